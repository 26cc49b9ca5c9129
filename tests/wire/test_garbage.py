"""Upstreams that send garbage: a failed attempt or a right relay, never a 500 and never half an answer."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import brotli
import pytest
import zstandard

from gateway.demo.tls import SelfSigned, make_certificate
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, chat_body, provider_entry
from tests.wire.upstreams import (
    LAST_CHUNK,
    SSE_HEAD,
    Move,
    Peer,
    ScriptedUpstream,
    chunk,
    close,
    events,
    json_answer,
    request,
    send,
    stall,
)

certificate = functools.cache(make_certificate)
BODY = b'{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
JSON = "Content-Type: application/json\r\n"
LENGTH = f"Content-Length: {len(BODY)}\r\n"
DELTA = '{"choices":[{"delta":{"content":"a"}}]}'
FINISH = '{"choices":[{"delta":{},"finish_reason":"stop"}]}'
#: more than any head may have
HEAD_BYTES = 65_536
UNREACHABLE = "502 ERR_NGROK_3800"
WHOLE, STREAM, CUT = "200 whole", "200 stream", "200 cut"


def answer(headers: str, body: bytes = BODY, status: str = "HTTP/1.1 200 OK") -> Move:
    return send(f"{status}\r\n{headers}\r\n".encode("latin-1") + body)


def coded(coding: str, body: bytes) -> Move:
    return answer(f"{JSON}Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n", body)


def chunks(body: bytes) -> Move:
    return answer(f"{JSON}Transfer-Encoding: chunked\r\n", body)


def raw(received: bytes) -> Move:
    return send(received)


def apart(first: bytes, second: bytes) -> Move:
    """The second after the first has been committed."""

    async def play(peer: Peer) -> None:
        await peer.write(first)
        await asyncio.sleep(0.05)
        await peer.write(second)

    return play


#: what the upstream sends before it closes → what a client gets that asked for no stream
ANSWERS: dict[str, tuple[Move, str]] = {
    # heads
    "no head at all": (raw(b"hello\r\n"), UNREACHABLE),
    "ssh": (raw(b"SSH-2.0-OpenSSH_9.2p1\r\n"), UNREACHABLE),
    "http/2": (answer(JSON + LENGTH, status="HTTP/2 200"), UNREACHABLE),
    "http/0.9": (raw(BODY), UNREACHABLE),
    "status of two digits": (answer(JSON + LENGTH, status="HTTP/1.1 20 OK"), UNREACHABLE),
    "status of four digits": (answer(JSON + LENGTH, status="HTTP/1.1 2000 OK"), UNREACHABLE),
    "status 600": (answer(JSON + LENGTH, status="HTTP/1.1 600 Hm"), UNREACHABLE),
    "signed status": (answer(JSON + LENGTH, status="HTTP/1.1 +20 OK"), UNREACHABLE),
    "space before the status": (answer(JSON + LENGTH, status="HTTP/1.1  200 OK"), UNREACHABLE),
    "no reason": (answer(JSON + LENGTH, status="HTTP/1.1 200"), WHOLE),
    "empty reason": (answer(JSON + LENGTH, status="HTTP/1.1 200 "), WHOLE),
    "truncated head": (raw(f"HTTP/1.1 200 OK\r\n{JSON}Content-Le".encode()), UNREACHABLE),
    "length and chunks": (answer(f"{JSON}{LENGTH}Transfer-Encoding: chunked\r\n"), UNREACHABLE),
    "two lengths": (answer(f"{JSON}{LENGTH}Content-Length: 3\r\n"), UNREACHABLE),
    "negative length": (answer(f"{JSON}Content-Length: -1\r\n"), UNREACHABLE),
    "length is no number": (answer(f"{JSON}Content-Length: many\r\n"), UNREACHABLE),
    "unknown transfer coding": (answer(f"{JSON}Transfer-Encoding: gzip, chunked\r\n"), UNREACHABLE),
    "bare line feeds": (raw(f"HTTP/1.1 200 OK\n{JSON}{LENGTH}\n".encode() + BODY), UNREACHABLE),
    "bare carriage return": (answer(f"{JSON}{LENGTH}X-A: a\rb\r\n"), UNREACHABLE),
    "folded line": (answer(f"{JSON}{LENGTH}X-A: a\r\n b\r\n"), UNREACHABLE),
    "nul": (answer(f"{JSON}{LENGTH}X-A: a\0b\r\n"), UNREACHABLE),
    "space before the colon": (answer(f"{JSON}{LENGTH}X-A : b\r\n"), UNREACHABLE),
    "no colon": (answer(f"{JSON}{LENGTH}nonsense\r\n"), UNREACHABLE),
    "257 headers": (answer(JSON + LENGTH + "X-A: b\r\n" * 257), UNREACHABLE),
    "100 headers": (answer(JSON + LENGTH + "X-A: b\r\n" * 100), WHOLE),
    "head without end": (raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * (HEAD_BYTES // 8 + 9)), UNREACHABLE),
    "one endless line": (raw(b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 2 * HEAD_BYTES), UNREACHABLE),
    "split head": (send(f"HTTP/1.1 200 OK\r\n{JSON}{LENGTH}\r\n".encode() + BODY, size=1), WHOLE),
    "bytes above ascii": (answer(f"{JSON}{LENGTH}X-Name: J\xf6rg\r\n"), WHOLE),
    # interim answers
    "100 and 103 first": (
        raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
            f"HTTP/1.1 200 OK\r\n{JSON}{LENGTH}\r\n".encode() + BODY), WHOLE),
    "interim answers without end": (raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5_000), UNREACHABLE),
    "101 switch": (raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello"), UNREACHABLE),
    # bodies
    "close-delimited": (answer(JSON), WHOLE),
    "close-delimited http/1.0": (answer(JSON, status="HTTP/1.0 200 OK"), WHOLE),
    "sized http/1.0": (answer(JSON + LENGTH, status="HTTP/1.0 200 OK"), WHOLE),
    "chunks in http/1.0": (
        answer(f"{JSON}Transfer-Encoding: chunked\r\n", chunk(BODY) + LAST_CHUNK, "HTTP/1.0 200 OK"), UNREACHABLE),
    "chunks": (chunks(chunk(BODY[:9]) + chunk(BODY[9:]) + LAST_CHUNK), WHOLE),
    "chunk extension": (chunks(b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)), WHOLE),
    "trailers": (chunks(chunk(BODY) + b"0\r\nX-Checksum: 1\r\n\r\n"), WHOLE),
    "trailers without end": (chunks(chunk(BODY) + b"0\r\n" + b"X-A: b\r\n" * 20_000), UNREACHABLE),
    "chunk size is no number": (chunks(chunk(BODY) + b"zz\r\n"), UNREACHABLE),
    "signed chunk size": (chunks(b"+5\r\nhello\r\n0\r\n\r\n"), UNREACHABLE),
    "chunk size of 20 digits": (chunks(b"f" * 20 + b"\r\n" + BODY), UNREACHABLE),
    "chunk without its line end": (chunks(b"5\r\nhelloXX0\r\n\r\n"), UNREACHABLE),
    "endless chunk extension": (chunks(b"5;" + b"a" * 100_000), UNREACHABLE),
    "no last chunk": (chunks(chunk(BODY)), UNREACHABLE),
    "shorter than announced": (answer(f"{JSON}Content-Length: {len(BODY) + 1}\r\n"), UNREACHABLE),
    "longer than announced": (answer(JSON + LENGTH, BODY + b"HTTP/1.1 200 OK\r\n\r\n"), WHOLE),
    "empty 200": (answer(f"{JSON}Content-Length: 0\r\n", b""), UNREACHABLE),
    "empty close-delimited 200": (answer(JSON, b""), UNREACHABLE),
    "204": (answer("", b"", "HTTP/1.1 204 No Content"), UNREACHABLE),
    # content codings of AG-217
    "gzip": (coded("gzip", gzip.compress(BODY)), WHOLE),
    "x-gzip in chunks": (
        answer(f"{JSON}Content-Encoding: x-gzip\r\nTransfer-Encoding: chunked\r\n",
               b"".join(chunk(gzip.compress(BODY)[at : at + 7]) for at in range(0, 999, 7) if gzip.compress(BODY)[at:])
               + LAST_CHUNK), WHOLE),
    "br": (coded("br", brotli.compress(BODY)), WHOLE),
    "zstd": (coded("zstd", zstandard.compress(BODY)), WHOLE),
    "truncated gzip": (coded("gzip", gzip.compress(BODY)[:-8]), UNREACHABLE),
    "no gzip": (coded("gzip", BODY), UNREACHABLE),
    "gzip bomb": (coded("gzip", gzip.compress(bytes(80 * 1_048_576))), UNREACHABLE),
    # other statuses
    "error with a broken body": (
        answer(f"{JSON}Content-Length: 999\r\n", b'{"error"', "HTTP/1.1 400 Bad Request"), "400 ERR_NGROK_3807"),
    "error with a huge body": (
        answer(JSON, b"x" * 300_000, "HTTP/1.1 500 Oh"), "503 ERR_NGROK_3807"),
    "error of another kind": (json_answer(b"[]", status="418 Teapot"), "503 ERR_NGROK_3807"),
    "redirect": (answer("Location: http://127.0.0.1:9/\r\nContent-Length: 0\r\n", b"", "HTTP/1.1 302 Found"), "302"),
    "304": (answer("ETag: x\r\n", b"", "HTTP/1.1 304 Not Modified"), "304"),
}  # fmt: skip

#: the same for a client that asked for a stream
STREAMS: dict[str, tuple[Move, str]] = {
    "good": (raw(SSE_HEAD + events(DELTA, FINISH, "[DONE]") + LAST_CHUNK), STREAM),
    "byte by byte": (send(SSE_HEAD + events(DELTA, FINISH, "[DONE]") + LAST_CHUNK, size=1), STREAM),
    "close-delimited": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" +
            f"data: {DELTA}\n\ndata: {FINISH}\n\ndata: [DONE]\n\n".encode()), STREAM),
    "close-delimited and cut": (
        raw(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {DELTA}\n\ndata: {DELTA[:9]}".encode()),
        CUT),
    "gzip": (
        answer("Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n",
               gzip.compress(f"data: {DELTA}\n\ndata: {FINISH}\n\ndata: [DONE]\n\n".encode())), STREAM),
    "gzip that is none": (
        answer("Content-Type: text/event-stream\r\nContent-Encoding: gzip\r\n", b"data: {}\n\n"), UNREACHABLE),
    "cut in the first event": (raw(SSE_HEAD + chunk(f"data: {DELTA[:9]}".encode())), UNREACHABLE),
    "ends in the first event": (
        raw(SSE_HEAD + chunk(f"data: {DELTA[:9]}".encode()) + LAST_CHUNK), "503 ERR_NGROK_3807"),
    "cut between events": (apart(SSE_HEAD + events(DELTA), b""), CUT),
    "cut in an event": (raw(SSE_HEAD + events(DELTA) + chunk(f"data: {DELTA[:9]}".encode())), CUT),
    "chunk garbage at once": (raw(SSE_HEAD + events(DELTA) + b"nonsense\r\n"), UNREACHABLE),
    "chunk garbage": (apart(SSE_HEAD + events(DELTA), b"nonsense\r\n"), CUT),
    "chunk without its line end": (apart(SSE_HEAD + events(DELTA), b"5\r\nhelloXX0\r\n\r\n"), CUT),
    "ends without a finish": (raw(SSE_HEAD + events(DELTA) + LAST_CHUNK), CUT),
    "another head": (apart(SSE_HEAD + events(DELTA), SSE_HEAD), CUT),
    "no event": (raw(SSE_HEAD + LAST_CHUNK), "503 ERR_NGROK_3807"),
    "only comments": (raw(SSE_HEAD + chunk(b": a\n\n") + LAST_CHUNK), "503 ERR_NGROK_3807"),
    "204": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "503 ERR_NGROK_3807"),
    "json": (json_answer(BODY), "503 ERR_NGROK_3807"),
    "redirect": (answer("Location: /x\r\nContent-Length: 0\r\n", b"", "HTTP/1.1 307 Moved"), "307"),
}  # fmt: skip


@dataclass(frozen=True)
class Facing:
    """A gateway with one scripted provider per row."""

    gateway: RunningGateway
    upstreams: Mapping[str, ScriptedUpstream]

    async def ask(self, name: str, *, stream: bool) -> tuple[int, aiohttp.typedefs.LooseHeaders, bytes]:
        number = list(self.upstreams).index(name)
        async with self.gateway.session as client:
            body = chat_body(f"p{number}:demo", stream=stream)
            async with client.post(CHAT_PATH, data=body, allow_redirects=False) as answered:
                return answered.status, answered.headers, await answered.read()


@asynccontextmanager
async def facing(moves: Mapping[str, Move], tls: SelfSigned | None = None, **config: Any) -> AsyncIterator[Facing]:
    async with AsyncExitStack() as stack:
        upstreams = {
            name: await stack.enter_async_context(ScriptedUpstream([request(), move], tls=tls))
            for name, move in moves.items()
        }
        entries = [
            provider_entry(f"{upstream.url}/v1", f"key-{number}", id=f"p{number}")
            for number, upstream in enumerate(upstreams.values())
        ]
        policy = ai_policy(entries, per_request_timeout="5s", **config)
        gateway = await stack.enter_async_context(RunningGateway(settings_for(policy), trust=tls))
        yield Facing(gateway, upstreams)


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("rows", "stream"), [(ANSWERS, False), (STREAMS, True)], ids=["whole", "streamed"])
async def test_table(rows: dict[str, tuple[Move, str]], stream: bool, over_tls: bool) -> None:
    """AG-152, AG-153, AG-158, AG-172, AG-217, AG-262, AG-264, P09, P33."""
    seen = {}
    async with facing({name: move for name, (move, _) in rows.items()}, certificate() if over_tls else None) as world:
        for name in rows:
            seen[name] = judge(*await world.ask(name, stream=stream))
        assert seen == {name: wanted for name, (_, wanted) in rows.items()}
        assert all(len(upstream.requests) == 1 for upstream in world.upstreams.values())
        assert world.gateway.parts.pool.open_count <= 2  # only a healthy connection may be kept


async def test_an_answer_cut_without_the_end_of_tls_is_no_answer() -> None:
    """RFC 9112, 9.8: where only the end of the connection ends a body, anybody on the way could make that end."""
    whole, cut = answer(JSON), answer(JSON)

    async def fin(peer: Peer) -> None:
        await cut(peer)
        await asyncio.sleep(0.05)
        peer.transport.abort()

    async with facing({"closed": whole, "cut": fin}, certificate()) as world:
        assert judge(*await world.ask("closed", stream=False)) == WHOLE
        assert judge(*await world.ask("cut", stream=False)) == UNREACHABLE


def judge(status: int, headers: Any, payload: bytes) -> str:
    if status in (302, 304, 307):
        assert ("location" in headers) == (status != 304)
        assert payload == b""
        return str(status)
    if status != 200:
        return f"{status} {json.loads(payload)['error']['code']}"
    assert "content-encoding" not in headers
    if payload == BODY:
        return WHOLE
    *before, last = [line[6:] for line in payload.decode().split("\n") if line.startswith("data: ")]
    if [*before, last] == [DELTA, FINISH, "[DONE]"]:
        return STREAM
    return CUT if before == [DELTA] and json.loads(last)["error"]["code"] == "ERR_NGROK_3800" else repr(payload)


async def test_head_of_a_garbage_answer_is_not_shown() -> None:
    """An upstream's bytes do not get into the error that clients see, but for what it says in an error's body."""
    moves = {"head": raw(b"HTTP/1.1 999 sk-leaked\r\n\r\n"), "size": chunks(b"sk-leaked\r\n")}
    async with facing(moves) as world:
        for name in moves:
            _, _, payload = await world.ask(name, stream=False)
            assert b"sk-leaked" not in payload


async def test_unread_rest_spoils_the_connection() -> None:
    """What comes behind an answer is not taken for the next one."""
    first = answer(JSON + LENGTH, BODY + json.dumps({"poisoned": True}).encode())
    async with ScriptedUpstream([request(), first, stall()], [request(), json_answer(BODY), stall()]) as upstream:
        policy = ai_policy([provider_entry(f"{upstream.url}/v1", "key")])
        async with RunningGateway(settings_for(policy)) as gateway, gateway.session as client:
            for _ in range(2):
                async with client.post(CHAT_PATH, data=chat_body()) as answered:
                    assert await answered.read() == BODY
        assert len(upstream.peers) == 2


async def test_a_stream_that_cannot_be_decoded_ends_and_its_upstream_is_let_go() -> None:
    """AG-172: whole events first, then the error event; nobody reads on what can mean nothing any more."""
    packer = zlib.compressobj(wbits=31)
    event = f"data: {DELTA}\n\n".encode()
    good = packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
    head = SSE_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"
    moves = [request(), send(head + chunk(good)), send(chunk(b"\xff" * 40), gap_s=0.05), stall(), close()]
    async with ScriptedUpstream(moves) as upstream:
        policy = ai_policy([provider_entry(f"{upstream.url}/v1", "key")])
        async with RunningGateway(settings_for(policy)) as gateway, gateway.session as client:
            async with client.post(CHAT_PATH, data=chat_body(stream=True)) as answered:
                payload = await answered.read()
            assert payload.startswith(event)
            assert judge(200, answered.headers, payload) == CUT
            peer = await upstream.peer()
            await peer.wait_until(lambda: peer.ended or peer.lost)
            assert gateway.parts.pool.open_count == 0
        assert len(upstream.peers) == 1
