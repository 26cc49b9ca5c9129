"""Requests with a known head run outside of any task, and end as those in a task do, whatever happens to them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.proxy.downstream import EARLY_BYTES
from gateway.proxy.request_server import DownstreamServer
from tests.wire.running import RunningGateway, ai_policy, read_answer, request_bytes, settings_for
from tests.wire.serving import CHAT_PATH, chat_body, connect, provider_entry, serving, until
from tests.wire.upstreams import (
    LAST_CHUNK,
    SSE_HEAD,
    ScriptedUpstream,
    close,
    events,
    json_answer,
    request,
    send,
    stall,
)

WHOLE = json_answer(json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode())
HELLO = request_bytes(CHAT_PATH, chat_body("demo:demo"))


class Records(list[Exchange]):
    """Knows for each request whether its end ran in a task."""

    def __init__(self) -> None:
        super().__init__()
        self.in_task: list[bool] = []

    def append(self, exchange: Exchange) -> None:
        self.in_task.append(asyncio.current_task() is not None)
        super().append(exchange)


@asynccontextmanager
async def behind(
    upstream: ScriptedUpstream, *keys: str, drain_timeout_s: float = 2.0, use_session: bool = False, **config: Any
) -> AsyncIterator[tuple[RunningGateway, Records]]:
    """A gateway in front of the upstream; HELLO's head is known after one request, which is always parsed."""
    policy = ai_policy([provider_entry(f"{upstream.url}/v1", *(keys or ("key-a",)))], **config)
    records = Records()
    settings = settings_for(policy, drain_timeout_s=drain_timeout_s)
    async with RunningGateway(settings, records=records, use_session=use_session) as gateway:
        yield gateway, records


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes = HELLO) -> int:
    writer.write(request)
    status, _, _ = await read_answer(reader)
    return status


async def test_a_usual_request_needs_no_task() -> None:
    async with ScriptedUpstream([request(), WHOLE] * 3) as upstream, behind(upstream) as (gateway, records):
        reader, writer = await connect(gateway)
        assert [await ask(reader, writer) for _ in range(3)] == [200, 200, 200]
        assert records.in_task == [True, False, False]
        writer.close()


async def test_an_answer_that_comes_in_somebody_elses_task() -> None:
    async with (
        ScriptedUpstream([request(), WHOLE] * 3) as upstream,
        behind(upstream, use_session=True) as (gateway, records),
    ):
        reader, writer = await connect(gateway)
        assert [await ask(reader, writer) for _ in range(3)] == [200, 200, 200]
        assert records.in_task == [True, False, False]
        writer.close()


async def test_the_second_key_answers() -> None:
    failed = json_answer(b"{}", status="500 Internal Server Error")
    script = [request(), WHOLE, request(), failed, request(), WHOLE]
    async with ScriptedUpstream(script) as upstream, behind(upstream, "key-a", "key-b") as (gateway, records):
        reader, writer = await connect(gateway)
        assert [await ask(reader, writer) for _ in range(2)] == [200, 200]
        assert records.in_task == [True, False]
        assert [attempt.status for attempt in records[-1].attempts] == [500, 200]
        writer.close()


async def test_dialling_takes_a_task() -> None:
    """The pooled connection is gone: the request is sent on a new one."""
    answers = [[request(), WHOLE, request(), close()], [request(), WHOLE]]
    async with ScriptedUpstream(*answers) as upstream, behind(upstream) as (gateway, records):
        reader, writer = await connect(gateway)
        assert [await ask(reader, writer) for _ in range(2)] == [200, 200]
        assert records.in_task == [True, True]
        assert len(records[-1].attempts) == 1
        writer.close()


async def test_nobody_listens_upstream() -> None:
    async with ScriptedUpstream([request(), WHOLE, close()]) as upstream, behind(upstream) as (gateway, records):
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        await until(lambda: not gateway.parts.pool.open_count)
        await upstream.__aexit__(None, None, None)
        assert await ask(reader, writer) == 502
        assert [attempt.kind for attempt in records[-1].attempts] == ["connection"]
        writer.close()


@pytest.mark.parametrize("size", [0, 5])
async def test_a_stream_becomes_a_task(size: int) -> None:
    stream = events('{"choices":[{"delta":{"content":"a"}}]}', "[DONE]")
    script = [request(), WHOLE, request(), send(SSE_HEAD + stream + LAST_CHUNK, size=size), request(), WHOLE]
    async with ScriptedUpstream(script) as upstream, behind(upstream) as (gateway, records):
        reader, writer = await connect(gateway)
        streamed = request_bytes(CHAT_PATH, chat_body("demo:demo", stream=True))
        assert await ask(reader, writer) == 200
        writer.write(streamed)
        status, headers, body = await read_answer(reader)
        assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        assert body == b'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n'
        assert await ask(reader, writer) == 200
        assert records.in_task[-1] is False
        writer.close()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_ends_its_attempt(streamed: bool) -> None:
    last = [send(SSE_HEAD + events('{"choices":[{"delta":{"content":"a"}}]}')), stall()] if streamed else [stall()]
    async with (
        ScriptedUpstream([request(), WHOLE, request(), *last]) as upstream,
        behind(upstream) as (gateway, records),
    ):
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        tasks = len(asyncio.all_tasks())
        writer.write(request_bytes(CHAT_PATH, chat_body("demo:demo", stream=streamed)))
        await until(lambda: len(upstream.requests) == 2)
        if streamed:
            await reader.readuntil(b"\n\n")
        writer.transport.abort()
        await until(lambda: upstream.peers[0].lost, 1.0)
        await until(lambda: len(records) == 2)
        assert (records[-1].status, records[-1].client_gone) == (499, True)
        # the client's own task is over, and that of the upstream's script
        await until(lambda: len(asyncio.all_tasks()) < tasks)
        assert not gateway.process.listeners[0].handler.connections


async def test_a_silent_upstream_runs_into_the_limit() -> None:
    async with (
        ScriptedUpstream([request(), WHOLE, request(), stall()]) as upstream,
        behind(upstream, per_request_timeout="1s") as (gateway, records),
    ):
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        assert await ask(reader, writer) == 504
        assert [attempt.kind for attempt in records[-1].attempts] == ["timeout"]
        assert records.in_task == [True, False]
        writer.close()


async def test_the_end_of_the_drain_time_answers_503() -> None:
    async with (
        ScriptedUpstream([request(), WHOLE, request(), stall()]) as upstream,
        behind(upstream, drain_timeout_s=0.2) as (gateway, records),
    ):
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        writer.write(HELLO)
        await until(lambda: len(upstream.requests) == 2)
        gateway.process.stop()
        status, _, _ = await read_answer(reader)
        assert status == 503
        assert await reader.read() == b""
        assert records[-1].status == 503
        writer.close()


async def test_an_idle_connection_is_not_taken_for_one_that_waits() -> None:
    """Connections that wait for a request for too long are closed; one whose request waits upstream does not."""
    late = [request(), WHOLE, request(), wait(0.6), WHOLE]
    async with ScriptedUpstream(late) as upstream, behind(upstream) as (gateway, _):
        server: DownstreamServer = gateway.process.listeners[0]._factory
        server._kwargs["keepalive_timeout"] = 0.2
        server._look_s = 0.05
        reader, writer = await connect(gateway)
        assert [await ask(reader, writer) for _ in range(2)] == [200, 200]
        assert await reader.read() == b""  # and now it is
        writer.close()


async def test_a_connection_goes_without_a_parser_while_it_needs_none() -> None:
    """Heads that are known, heads that are not, bodies of both kinds, in turns on one connection."""
    body = chat_body("demo:demo")
    chunked = request_bytes(CHAT_PATH, body).replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
    chunked = chunked[: -len(body)] + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    models = b"GET /v1/models HTTP/1.1\r\nhost: gateway.test\r\n\r\n"
    async with serving() as (_, gateway):
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        (connection,) = gateway.process.listeners[0].handler.connections
        for _ in range(3):
            assert await ask(reader, writer) == 200
            assert connection._parser is None
            assert await ask(reader, writer, models) == 200
            assert connection._parser is not None
        for piece in (HELLO[:40], HELLO[40:], models[:9], models[9:], HELLO[:-7], HELLO[-7:]):
            writer.write(piece)
            await asyncio.sleep(0.02)
        assert [(await read_answer(reader))[0] for _ in range(3)] == [200] * 3
        # where its body ends only the parser knows, from here on
        assert [await ask(reader, writer, each) for each in (chunked, HELLO, chunked, HELLO)] == [200] * 4
        writer.write(b"POST / HTTP/9.1\r\n\r\n")
        assert (await read_answer(reader))[0] == 400
        assert await reader.read() == b""
        writer.close()


async def test_a_burst_while_a_stream_runs() -> None:
    """Requests that are held back for a turn or two are answered like others, unless their client leaves."""
    async with serving() as (_, gateway):
        (handler,) = [listener.handler for listener in gateway.process.listeners]
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        writer.write(request_bytes(CHAT_PATH, chat_body("demo:demo:n=2000,delay=5ms", stream=True)))
        await until(lambda: handler.turnstile.streams == 1)
        others = [await connect(gateway) for _ in range(30)]
        for _, other in others:
            other.write(HELLO)
        others[20][1].transport.abort()
        answered = [await read_answer(reader) for number, (reader, _) in enumerate(others) if number != 20]
        assert [status for status, _, _ in answered] == [200] * 29
        assert handler.turnstile.streams == 1
        for _, other in [*others, (reader, writer)]:
            other.transport.abort()
        await until(lambda: not handler.turnstile.streams and not handler.inflight and not handler.connections)
        assert sum(record.status == 200 for record in gateway.records) in (30, 31)


async def test_a_request_that_is_held_back_begins_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although its client sends more than may wait, and a task serves all of it."""
    async with serving() as (provider, gateway):
        (handler,) = [listener.handler for listener in gateway.process.listeners]
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        monkeypatch.setattr("gateway.proxy.turnstile.AT_ONCE", 0)
        handler.turnstile.streams += 1
        writer.write(request_bytes(CHAT_PATH, chat_body("demo:demo-late-1s")))
        await until(lambda: len(handler.turnstile._waiting) == 1)
        count = EARLY_BYTES // len(HELLO) + 2
        writer.write(HELLO * count)
        (connection,) = handler.connections
        await until(lambda: connection._task is not None)
        monkeypatch.setattr("gateway.proxy.turnstile.AT_ONCE", 4)
        assert [(await read_answer(reader))[0] for _ in range(1 + count)] == [200] * (1 + count)
        writer.write(HELLO)
        assert (await read_answer(reader))[0] == 200
        handler.turnstile.streams -= 1
        await until(lambda: not handler.turnstile._waiting and not handler.inflight)
        assert provider.stats.requests == len(gateway.records) == 1 + 1 + count + 1
        assert [exchange.ai.requested_models[0] for exchange in gateway.records].count("demo:demo-late-1s") == 1
        writer.close()


async def test_a_connection_that_waits_has_no_task() -> None:
    async with serving() as (_, gateway):
        before = len(asyncio.all_tasks())
        reader, writer = await connect(gateway)
        assert [await ask(reader, writer) for _ in range(2)] == [200, 200]
        await until(lambda: len(asyncio.all_tasks()) == before)
        writer.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as (_, gateway):
        reader, writer = await connect(gateway)
        assert await ask(reader, writer) == 200
        writer.write(HELLO * 4 + b"GET /v1/models HTTP/1.1\r\nhost: gateway.test\r\n\r\n" + HELLO)
        assert [(await read_answer(reader))[0] for _ in range(6)] == [200] * 6
        assert [exchange.path for exchange in gateway.records] == [CHAT_PATH] * 5 + ["/v1/models", CHAT_PATH]
        writer.close()


def wait(seconds: float) -> Any:
    async def play(peer: Any) -> None:
        await asyncio.sleep(seconds)

    return play
