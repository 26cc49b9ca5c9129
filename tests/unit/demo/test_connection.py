"""Keep-alive, pipelining, disconnects and their counters."""

from __future__ import annotations

import asyncio

from gateway.demo.server import DemoProvider
from tests.unit.demo.rawclient import MESSAGES, connected, eventually, render

CHAT = "/v1/chat/completions"


async def test_one_connection_serves_many_requests(provider):
    async with connected(provider) as client:
        for _ in range(5):
            assert (await client.chat("demo-fast")).ended == "complete"
    assert (provider.stats.connections_opened, provider.stats.requests) == (1, 5)
    assert {r.connection for r in provider.requests} == {1}


async def test_pipelined_requests_are_answered_in_order(provider):
    async with connected(provider) as client:
        for size in (3, 1, 2):
            client.send(CHAT, {"model": f"demo-fast:n={size}", "messages": MESSAGES, "stream": True})
        client.send("/v1/models", None, method="GET")
        streams = [await client.read() for _ in range(3)]
        models = await client.read()
    assert [len(seen.objects()) - 2 for seen in streams] == [3, 1, 2]
    assert models.json()["object"] == "list"


async def test_connection_close_is_obeyed(provider):
    async with connected(provider) as client:
        client.send(CHAT, {"model": "demo-fast", "messages": MESSAGES}, connection="close")
        assert (await client.read()).status == 200
        assert await client.reader.read() == b""


async def test_expect_100_continue(provider):
    async with connected(provider) as client:
        head, _, body = render(
            CHAT,
            {"model": "demo-fast", "messages": MESSAGES},
            {"authorization": "Bearer demo-k", "expect": "100-continue"},
        ).partition(b"\r\n\r\n")
        client.writer.write(head + b"\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.writer.write(body)
        assert (await client.read()).status == 200


async def test_what_is_no_http_gets_400(provider):
    async with connected(provider) as client:
        client.writer.write(b"hello\r\n\r\n")
        assert (await client.read()).status == 400
    assert provider.stats.bad_requests == 1


async def test_a_client_that_leaves_aborts_the_answer(provider):
    async with connected(provider) as client:
        client.send(CHAT, {"model": "demo:n=1000,delay=5ms", "messages": MESSAGES, "stream": True})
        await client.reader.readuntil(b"\r\n\r\n")
    await eventually(lambda: provider.stats.connections_open == 0)
    received = provider.last
    assert (received.aborted, received.completed, provider.stats.answers_aborted) == (True, False, 1)
    assert 0 < received.events_sent < 1_000
    assert provider.stats.answers_open == 0


async def test_events_after_a_half_close_are_counted(provider):
    """P04: what a provider generates after the disconnect is paid for, so tests must be able to see it."""
    async with connected(provider) as client:
        client.send(CHAT, {"model": "demo-deaf:n=20,delay=2ms", "messages": MESSAGES, "stream": True})
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write_eof()
        await client.reader.read()
    assert provider.stats.events_after_disconnect > 0
    assert provider.stats.answers_completed == 1


async def test_an_idle_connection_closes_with_its_client(provider):
    async with connected(provider) as client:
        await client.chat("demo-fast")
        client.writer.write_eof()
        assert await client.reader.read() == b""
    await eventually(lambda: provider.stats.connections_open == 0)


async def test_a_silent_answer_ends_with_its_client(provider):
    async with connected(provider) as client:
        client.send(CHAT, {"model": "demo-silent", "messages": MESSAGES})
        await eventually(lambda: provider.stats.answers_open == 1)
    await eventually(lambda: provider.stats.answers_aborted == 1)


async def test_a_slow_reader_slows_the_script(provider):
    """Backpressure: events are made as fast as they are taken."""
    async with connected(provider) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(CHAT, {"model": "demo-fast:n=100000,pad=1k", "messages": MESSAGES, "stream": True})
        await eventually(lambda: provider.stats.events_sent > 0)
        while True:
            before = provider.stats.events_sent
            await asyncio.sleep(0.05)
            if provider.stats.events_sent == before:
                break
        assert provider.stats.events_sent < 50_000


async def test_stop_drops_what_is_open():
    provider = await DemoProvider().start()
    async with connected(provider) as client:
        client.send(CHAT, {"model": "demo-silent", "messages": MESSAGES})
        await eventually(lambda: provider.stats.answers_open == 1)
        await provider.stop()
        assert provider.stats.connections_open == 0
    await provider.stop()
