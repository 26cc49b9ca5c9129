"""The scripted upstream does on the wire what its scripts say."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from gateway.demo.tls import make_certificate
from tests.wire.upstreams import (
    LAST_CHUNK,
    SSE_HEAD,
    ScriptedUpstream,
    events,
    half_close,
    json_answer,
    request,
    reset,
    send,
    stall,
    told,
    until,
)

GET = b"GET /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"


async def connect(upstream: ScriptedUpstream, context: ssl.SSLContext | None = None):
    return await asyncio.open_connection("127.0.0.1", upstream.port, ssl=context)


async def test_sends_exactly_these_bytes_and_records_the_request():
    script = [request(), send(SSE_HEAD), send(events("1", "2"), size=1), send(LAST_CHUNK)]
    async with ScriptedUpstream(script) as upstream:
        reader, writer = await connect(upstream)
        writer.write(GET)
        assert await reader.read() == SSE_HEAD + events("1", "2") + LAST_CHUNK
        assert [(r.method, r.target, r.body) for r in upstream.requests] == [("GET", "/x", b"abc")]
        assert upstream.peers[0].received == GET
        writer.close()


async def test_each_connection_plays_its_own_script_and_the_last_repeats():
    async with ScriptedUpstream([request(), json_answer(b"1")], [request(), json_answer(b"2")]) as upstream:
        answers = []
        for _ in range(3):
            reader, writer = await connect(upstream)
            writer.write(GET)
            answers.append((await reader.read())[-1:])
            writer.close()
        assert answers == [b"1", b"2", b"2"]


async def test_reset_arrives_as_a_reset_after_what_was_sent():
    async with ScriptedUpstream([request(), send(b"HTTP/1.1 200 OK\r\n"), reset()]) as upstream:
        reader, writer = await connect(upstream)
        writer.write(GET)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_half_close_still_reads():
    async with ScriptedUpstream([half_close(), request(), stall()]) as upstream:
        reader, writer = await connect(upstream)
        assert await reader.read() == b""
        writer.write(GET)
        peer = await upstream.peer()
        await peer.wait_until(lambda: len(peer.requests) == 1)
        writer.close()
        await peer.wait_until(lambda: peer.ended or peer.lost)


async def test_stalls_until_the_event():
    here, go = asyncio.Event(), asyncio.Event()
    async with ScriptedUpstream([request(), told(here), until(go), json_answer(b"ok")]) as upstream:
        reader, writer = await connect(upstream)
        writer.write(GET)
        await here.wait()
        assert upstream.peers[0].sent == 0
        go.set()
        assert (await reader.read()).endswith(b"ok")
        writer.close()


async def test_sees_the_client_leave():
    async with ScriptedUpstream([request(), stall()]) as upstream:
        _, writer = await connect(upstream)
        writer.write(GET)
        peer = await upstream.peer()
        await peer.wait_until(lambda: len(peer.requests) == 1)
        writer.transport.abort()
        await peer.wait_until(lambda: peer.lost or peer.ended)


async def test_a_failing_script_fails_the_test():
    async def leave_early() -> None:
        async with ScriptedUpstream([request()]) as upstream:
            _, writer = await connect(upstream)
            writer.close()
            peer = await upstream.peer()
            await peer.wait_until(lambda: peer.ended)

    with pytest.raises(ConnectionError, match="before its request was complete"):
        await leave_early()


async def test_speaks_tls():
    certificate = make_certificate()
    async with ScriptedUpstream([request(), json_answer(b"ok")], tls=certificate) as upstream:
        reader, writer = await connect(upstream, certificate.client_context())
        writer.write(GET)
        assert (await reader.read()).endswith(b"ok")
        writer.close()
