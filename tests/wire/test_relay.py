"""The relay over real sockets, plain and TLS, pool and ClientSession: what a proxy owes both sides (P3, P12)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from gateway.demo.server import DemoProvider
from gateway.demo.tls import make_certificate
from tests.wire.running import RunningGateway, ai_policy, read_answer, request_bytes, settings_for
from tests.wire.test_failover import CHAT, provider_entry

WAYS = ("plain", "tls", "session")
#: more than fits into all socket buffers between provider and client
EVENTS = 4_000


@asynccontextmanager
async def relay(way: str, **ai: Any) -> AsyncIterator[tuple[DemoProvider, RunningGateway]]:
    """A gateway in front of a demo provider, by one of ``WAYS``."""
    certificate = await asyncio.to_thread(make_certificate) if way == "tls" else None
    provider = await DemoProvider().start(tls=certificate)
    try:
        policy = ai_policy([provider_entry(provider, "demo-key-relay")])
        gateway = RunningGateway(settings_for(policy, **ai), trust=certificate, use_session=way == "session")
        async with gateway:
            yield provider, gateway
    finally:
        await provider.stop()


def chat(model: str, *, stream: bool = True) -> bytes:
    return request_bytes("/v1/chat/completions", {**CHAT, "model": model, "stream": stream})


async def connect(gateway: RunningGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(gateway.address.host, gateway.address.port, limit=1 << 22)


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    await asyncio.sleep(0)


async def until(condition: Any, limit_s: float = 5.0) -> None:
    """Waits for something that has to become true."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what others do sets no event
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", WAYS)
async def test_keep_alive_relays_the_same_bytes(way: str) -> None:
    """AG-218, AG-260: many answers over one connection, each byte for byte the provider's."""
    async with relay(way) as (provider, gateway):
        reader, writer = await connect(gateway)
        for number in range(20):
            stream = number % 2 == 0
            body = {**CHAT, "model": f"demo:n={number + 1},delay=0ms", "stream": stream}
            writer.write(request_bytes("/v1/chat/completions", body))
            status, headers, payload = await read_answer(reader)
            assert status == 200
            assert headers["x-gateway-attempts"] == "1"
            sent = json.loads(provider.last.body)
            assert sent == {**body, "model": body["model"].removeprefix("demo:")}
            if stream:
                assert payload.endswith(b"data: [DONE]\n\n")
                assert payload.count(b'"content":"') >= number + 1
            else:
                assert json.loads(payload)["usage"]["completion_tokens"] == number + 1
        await leave(writer)
        await until(lambda: not gateway.process.listeners[0].handler.connections)


@pytest.mark.parametrize("way", WAYS)
async def test_pipelined_requests_are_answered_in_order(way: str) -> None:
    async with relay(way) as (_, gateway):
        reader, writer = await connect(gateway)
        writer.write(chat("demo:n=2", stream=False) + chat("demo:n=3") + request_bytes("/v1/models", method="GET"))
        answers = [await read_answer(reader) for _ in range(3)]
        assert [status for status, _, _ in answers] == [200] * 3
        assert b"chat.completion" in answers[0][2]
        assert answers[1][2].endswith(b"[DONE]\n\n")
        assert json.loads(answers[2][2])["object"] == "list"
        await leave(writer)


@pytest.mark.parametrize("way", WAYS)
async def test_each_event_arrives_before_the_next_is_sent(way: str) -> None:
    """AG-260: promptness is order, not time: the provider waits between events, and so each is seen alone."""
    async with relay(way) as (provider, gateway):
        reader, writer = await connect(gateway)
        writer.write(chat("demo:n=6,delay=150ms"))
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(4):
            seen = await reader.readuntil(b"\n\n\r\n")
            sent = provider.last.events_sent
            assert b"data:" in seen
            assert sent <= 6
        await leave(writer)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", WAYS)
async def test_slow_client_holds_the_upstream_back(way: str) -> None:
    """AG-263: a client that does not read stops the provider; later it gets everything, in order."""
    async with relay(way) as (provider, gateway):
        reader, writer = await connect(gateway)
        transport = cast("asyncio.Transport", writer.transport)
        transport.pause_reading()
        writer.write(chat(f"demo:n={EVENTS},delay=0ms,pad=10000"))
        await until(lambda: provider.stats.events_sent > 0)
        level = -1
        async with asyncio.timeout(90):
            while level != provider.stats.events_sent:  # until it stands still
                level = provider.stats.events_sent
                await asyncio.sleep(0.3)
        assert level < EVENTS
        transport.resume_reading()
        payload = b"".join([piece async for piece in _until_end(reader)])
        assert payload.count(b'"content":"') >= EVENTS
        await leave(writer)


async def _until_end(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The rest of a chunked stream, in large pieces, up to its last frame."""
    tail = b""
    while not tail.endswith(b"\r\n0\r\n\r\n"):
        async with asyncio.timeout(60):
            piece = await reader.read(1 << 20)
        assert piece
        tail = (tail + piece)[-16:]
        yield piece


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", ["demo:n=500,delay=20ms", "demo-silent", "demo-late-30s"])
async def test_client_gone_stops_the_upstream(way: str, model: str) -> None:
    """AG-265, P04: before headers, before the first token and mid-stream; over TLS too."""
    async with relay(way) as (provider, gateway):
        reader, writer = await connect(gateway)
        writer.write(chat(f"demo:{model}" if not model.startswith("demo:") else model))
        await until(lambda: provider.stats.requests == 1)
        if "delay" in model:
            await reader.readuntil(b"\n\n")
        writer.transport.abort()
        await until(lambda: provider.stats.connections_open == 0, 1.0)
        await until(lambda: len(gateway.records) == 1)
        assert gateway.records[0].status == 499
        assert gateway.parts.pool.open_count == 0


@pytest.mark.parametrize("way", WAYS)
async def test_cut_stream_ends_with_an_error_event(way: str) -> None:
    """AG-172, P09: never a clean end."""
    async with relay(way) as (_, gateway):
        reader, writer = await connect(gateway)
        writer.write(chat("demo:cut-3"))
        status, _, payload = await read_answer(reader)
        assert status == 200
        assert b"[DONE]" not in payload
        error = json.loads(payload.rstrip().rpartition(b"data: ")[2])["error"]
        assert error["code"] == "ERR_NGROK_3800"
        assert await reader.read() == b""  # the connection closes
        assert gateway.records[0].error is not None
        await leave(writer)


@pytest.mark.parametrize("way", WAYS)
async def test_upstream_that_never_closes_after_the_mark(way: str) -> None:
    """P10: the client's stream ends properly, within the grace."""
    async with relay(way) as (_, gateway):
        reader, writer = await connect(gateway)
        writer.write(chat("demo:done-hang"))
        async with asyncio.timeout(5):
            status, _, payload = await read_answer(reader)
        assert status == 200
        assert payload.endswith(b"data: [DONE]\n\n")
        assert b'"error"' not in payload
        await leave(writer)


async def test_stalled_stream_ends_with_an_error_event() -> None:
    """AG-164: nothing for the idle time."""
    async with relay("plain", stream_idle_timeout_s=0.4) as (_, gateway):
        reader, writer = await connect(gateway)
        writer.write(chat("demo:stall-3"))
        async with asyncio.timeout(5):
            _, _, payload = await read_answer(reader)
        assert b"ERR_NGROK_27207" in payload
        assert b"[DONE]" not in payload
        await leave(writer)


async def test_http_10_client_gets_plain_bytes_until_close() -> None:
    async with relay("plain") as (_, gateway):
        reader, writer = await connect(gateway)
        writer.write(chat("demo:n=3").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert (await reader.read()).endswith(b"data: [DONE]\n\n")
        await leave(writer)


@pytest.mark.timeout(180)
async def test_thousand_streams_are_complete_and_leave_nothing() -> None:
    """1,000 paced streams at once: each complete and in order; then no task, connection or descriptor is left."""
    count, events = 1_000, 12

    async def one(gateway: RunningGateway) -> None:
        reader, writer = await connect(gateway)
        writer.write(chat(f"demo:n={events},delay=60ms"))
        status, _, payload = await read_answer(reader)
        assert status == 200
        assert payload.endswith(b"data: [DONE]\n\n")
        chunks = [json.loads(line[6:]) for line in payload.splitlines() if line.startswith(b"data: {")]
        assert sum(1 for chunk in chunks if chunk["choices"] and chunk["choices"][0]["delta"].get("content")) == events
        writer.close()
        await writer.wait_closed()

    async with relay("plain") as (provider, gateway):
        await one(gateway)
        handler = gateway.process.listeners[0].handler
        await until(lambda: not handler.connections)
        descriptors, tasks = _descriptors(), len(asyncio.all_tasks())
        async with asyncio.TaskGroup() as clients:
            for number in range(count):
                clients.create_task(one(gateway))
                if number % 50 == 0:
                    await asyncio.sleep(0.01)
        assert provider.stats.answers_completed == count + 1
        await until(lambda: not handler.connections)
        assert handler.inflight == 0
        assert len(gateway.records) == count + 1
        gateway.parts.pool.close()  # idle connections are kept on purpose
        await until(lambda: provider.stats.connections_open == 0)
        await until(lambda: _descriptors() <= descriptors)
        assert len(asyncio.all_tasks()) == tasks


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
