"""What clients must not send: status, code, dialect, a clean connection, nothing upstream (SV-26, P14, P33)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import brotli
import pytest
import zstandard

from gateway.proxy import downstream, payload
from tests.wire.running import RunningGateway, read_answer, request_bytes
from tests.wire.serving import CHAT_PATH, MESSAGES_PATH, chat_body, connect, serving, until

MAX_BODY = 100_000
BODY, REQUEST, TIMEOUT, LARGE = "ERR_NGROK_3801", "ERR_AIGW_BAD_REQUEST", "ERR_AIGW_TIMEOUT", "ERR_AIGW_TOO_LARGE"
GOOD = chat_body("demo:n=2,delay=0ms")
END = "\r\n\r\n"


@dataclass(frozen=True)
class Row:
    """Bytes of a request and what is answered. ``closes``: the connection ends; else it serves the next request."""

    sent: bytes
    status: int
    code: str
    closes: bool = False


def post(body: bytes, **headers: str) -> bytes:
    return request_bytes(CHAT_PATH, body, **headers)


def head(*lines: str, target: str = CHAT_PATH) -> bytes:
    """A request head with exactly these lines behind the request line."""
    return "\r\n".join([f"POST {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def chunked(body: bytes) -> bytes:
    return head("host: h", "transfer-encoding: chunked") + body


HOST = "host: gateway.test"
LENGTH = f"content-length: {len(GOOD)}"
UPGRADE: dict[str, Any] = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec_websocket_version": "13",
    "sec_websocket_key": "x",
}

BODIES = {
    "no json": Row(post(b"{"), 400, BODY),
    "no bytes": Row(post(b""), 400, BODY),
    "no object": Row(post(b"[]"), 400, BODY),
    "no utf-8": Row(post(b'{"model": "\xff"}'), 400, BODY),
    "two documents": Row(post(b'{"model":"demo"}{}'), 400, BODY),
    "model is a number": Row(post(b'{"model": 7}'), 400, BODY),
    "models is a string": Row(post(b'{"models": "demo"}'), 400, BODY),
    "models holds a number": Row(post(b'{"models": ["demo", 7]}'), 400, BODY),
    "65 names": Row(post(json.dumps({"models": [f"demo:{n}" for n in range(65)]}).encode()), 400, BODY),
    "a member twice": Row(post(b'{"model":"demo","model":"demo"}'), 400, BODY),
    "deep nesting": Row(post(b'{"model":"demo","messages":' + b"[" * 40_000 + b"]" * 40_000 + b"}"), 400, BODY),
    "unknown coding": Row(post(GOOD, content_encoding="compress"), 415, BODY),
    "broken gzip": Row(post(b"\x1f\x8bnot", content_encoding="gzip"), 400, BODY),
    "cut gzip": Row(post(gzip.compress(GOOD)[:-9], content_encoding="gzip"), 400, BODY),
    "too long": Row(head(HOST, f"content-length: {MAX_BODY + 1}") + b"x" * (MAX_BODY + 1), 413, BODY, closes=True),
    "too long by chunks": Row(
        chunked((b"2000\r\n" + b"x" * 0x2000 + b"\r\n") * 14 + b"0\r\n\r\n"), 413, BODY, closes=True
    ),
}

REQUESTS = {
    "unknown path": Row(request_bytes("/v1/files", GOOD), 404, "ERR_NGROK_3814"),
    "trailing slash": Row(request_bytes(f"{CHAT_PATH}/", GOOD), 404, "ERR_NGROK_3814"),
    "wrong method": Row(request_bytes(CHAT_PATH, method="GET"), 405, "ERR_NGROK_3814"),
    "upgrade": Row(request_bytes("/v1/responses", method="GET", **UPGRADE), 426, "ERR_NGROK_27205", closes=True),
    "no host": Row(head(LENGTH) + GOOD, 400, REQUEST, closes=True),
    "two hosts": Row(head(HOST, "host: other", LENGTH) + GOOD, 400, REQUEST, closes=True),
    "long line": Row(head(HOST, target="/v1/" + "x" * 9_000), 414, LARGE, closes=True),
    "long field": Row(head(HOST, "x: " + "x" * 40_000), 431, LARGE, closes=True),
    "large head": Row(head(HOST, *(f"x-{n}: {'x' * 1000}" for n in range(40))), 431, LARGE, closes=True),
    "many headers": Row(head(HOST, *(f"x-{n}: 1" for n in range(200))), 431, LARGE, closes=True),
}

#: what leaves doubt about where a request ends, or who reads it (P33)
FRAMING = {
    "length and chunks": head(HOST, LENGTH, "transfer-encoding: chunked") + b"0\r\n\r\n",
    "two lengths": head(HOST, LENGTH, "content-length: 3") + GOOD,
    "list of lengths": head(HOST, f"content-length: {len(GOOD)}, {len(GOOD)}") + GOOD,
    "signed length": head(HOST, "content-length: +5") + b"12345",
    "negative length": head(HOST, "content-length: -1"),
    "hex length": head(HOST, "content-length: 0x5") + b"12345",
    "unknown coding": head(HOST, "transfer-encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunked twice": head(HOST, "transfer-encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked not last": head(HOST, "transfer-encoding: chunked, gzip") + b"0\r\n\r\n",
    "chunked misspelt": head(HOST, "transfer-encoding: xchunked") + b"0\r\n\r\n",
    "vertical tab": head(HOST, "transfer-encoding: \x0bchunked") + b"0\r\n\r\n",
    "chunk size": chunked(b"xyz\r\n{}\r\n0\r\n\r\n"),
    "signed chunk size": chunked(b"+2\r\n{}\r\n0\r\n\r\n"),
    "chunk size 0x": chunked(b"0x2\r\n{}\r\n0\r\n\r\n"),
    "chunk size with _": chunked(b"1_0\r\n{}\r\n0\r\n\r\n"),
    "chunk too long": chunked(b"2\r\n{}x\r\n0\r\n\r\n"),
    "chunk ends with LF": chunked(b"2\n{}\r\n0\r\n\r\n"),
    "space before colon": head(HOST, f"content-length : {len(GOOD)}") + GOOD,
    "folded line": head(HOST, "x-a: b\r\n c", LENGTH) + GOOD,
    "bare LF": head(HOST, f"x-a: b\n{LENGTH}") + GOOD,
    "bare CR": head(HOST, f"x-a: b\r{LENGTH}", LENGTH) + GOOD,
    "NUL in a value": head(HOST, "x-a: b\0c", LENGTH) + GOOD,
    "NUL in a name": head(HOST, "x\0a: b", LENGTH) + GOOD,
    "no colon": head(HOST, "nonsense", LENGTH) + GOOD,
    "empty name": head(HOST, ": b", LENGTH) + GOOD,
    "no version": f"POST {CHAT_PATH}\r\n{HOST}{END}".encode(),
    "version 2": f"POST {CHAT_PATH} HTTP/2.0\r\n{HOST}{END}".encode(),
    "version junk": f"POST {CHAT_PATH} HTTP/1.1x\r\n{HOST}{END}".encode(),
    "space in target": f"POST {CHAT_PATH} x HTTP/1.1\r\n{HOST}{END}".encode(),
    "method with colon": f"PO:ST {CHAT_PATH} HTTP/1.1\r\n{HOST}{END}".encode(),
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    status, headers, payload = await read_answer(reader)
    return status, headers, json.loads(payload)


async def check(gateway: RunningGateway, row: Row) -> str:
    """'' if the row is answered as it says and the connection is as it has to be; else what is wrong."""
    reader, writer = await connect(gateway)
    try:
        writer.write(row.sent)
        status, headers, body = await answer_of(reader)
        error = body["error"]
        if (status, error["code"], headers.get("ngrok-error-code")) != (row.status, row.code, row.code):
            return f"{status} {error}"
        if not error["message"].endswith(f"[{row.code}]") or headers["content-type"] != "application/json":
            return f"{headers} {error}"
        if (headers.get("connection") == "close") != row.closes:
            return f"connection: {headers.get('connection')}"
        if row.closes:
            with contextlib.suppress(ConnectionResetError):
                return (await reader.read()).decode()
            return ""
        writer.write(post(GOOD))
        status, _, payload = await read_answer(reader)
        return "" if status == 200 else f"next: {status} {payload!r}"
    finally:
        writer.transport.abort()


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    """No row reaches the provider; ``check``'s own good requests do."""
    async with serving(ai={"max_body_bytes": MAX_BODY}) as (provider, gateway):
        yield gateway
        assert len({received.body for received in provider.requests}) <= 1
        assert provider.stats.bad_requests == 0


async def problems(gateway: RunningGateway, rows: dict[str, Row]) -> dict[str, str]:
    async with asyncio.timeout(20):
        return {name: problem for name, row in rows.items() if (problem := await check(gateway, row))}


async def test_bodies(gateway: RunningGateway) -> None:
    """AG-70, AG-72, AG-218, P14."""
    assert await problems(gateway, BODIES) == {}


async def test_requests(gateway: RunningGateway) -> None:
    """AG-69, AG-305, SV-26."""
    assert await problems(gateway, REQUESTS) == {}


async def test_framing(gateway: RunningGateway) -> None:
    """P33, SV-26: refused, once, and the connection closes, so that nothing behind it is taken for a request."""
    smuggled = request_bytes("/v1/models", method="GET")
    rows = {name: Row(sent + smuggled, 400, REQUEST, closes=True) for name, sent in FRAMING.items()}
    assert await problems(gateway, rows) == {}


async def test_errors_are_in_the_callers_dialect(gateway: RunningGateway) -> None:
    """AG-300: by path."""
    reader, writer = await connect(gateway)
    for path, sent in ((MESSAGES_PATH, b"{"), (CHAT_PATH, b"{"), (f"{MESSAGES_PATH}/batches", b"")):
        writer.write(request_bytes(path, sent))
        _, headers, body = await answer_of(reader)
        assert (body.get("type") == "error") == path.startswith(MESSAGES_PATH)
        assert body.get("request_id", headers["request-id"]) == headers["request-id"]
        assert headers["x-request-id"] == headers["x-gateway-request-id"] == headers["request-id"]
    writer.transport.abort()


async def test_wrong_method_names_the_right_one(gateway: RunningGateway) -> None:
    reader, writer = await connect(gateway)
    for path, method in ((CHAT_PATH, "GET"), ("/v1/models", "POST"), (CHAT_PATH, "PUT")):
        writer.write(request_bytes(path, method=method))
        status, headers, body = await answer_of(reader)
        assert (status, headers["allow"]) == (405, "GET" if path == "/v1/models" else "POST")
        assert CHAT_PATH in body["error"]["message"]
    writer.transport.abort()


async def test_head_requests_have_no_body(gateway: RunningGateway) -> None:
    """The next answer is not behind a body that HEAD must not have."""
    reader, writer = await connect(gateway)
    writer.write(request_bytes("/v1/models", method="HEAD") + request_bytes("/v1/models", method="GET"))
    first = await reader.readuntil(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 405")
    status, _, _ = await answer_of(reader)
    assert status == 200
    writer.transport.abort()


# ---- codings -------------------------------------------------------------------------------------------------------

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda raw: brotli.compress(raw, quality=2),
    "zstd": zstandard.compress,
}


async def test_compressed_bodies(gateway: RunningGateway) -> None:
    """AG-70: decoded, and sent upstream without their coding."""
    reader, writer = await connect(gateway)
    for name, encode in CODINGS.items():
        writer.write(post(encode(GOOD), content_encoding=name))
        status, _, body = await answer_of(reader)
        assert (status, body["object"]) == (200, "chat.completion"), name
    writer.write(post(gzip.compress(brotli.compress(GOOD)), content_encoding="br, gzip"))
    assert (await answer_of(reader))[0] == 200
    writer.transport.abort()


@pytest.mark.parametrize("coding", CODINGS)
async def test_bombs(gateway: RunningGateway, coding: str) -> None:
    """P14: 64 MiB of nothing in a few KiB: 413, and the loop goes on meanwhile."""
    bomb = await asyncio.to_thread(CODINGS[coding], bytes(64 * 1_048_576))
    lags = [0.0]

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            lags.append(loop.time() - before)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        assert await check(gateway, Row(post(bomb, content_encoding=coding), 413, BODY)) == ""
        watching.cancel()
    assert max(lags) < 0.25  # inflating all of it takes longer


# ---- time ----------------------------------------------------------------------------------------------------------


async def test_slow_head(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """SV-26: 408; bytes that trickle in do not renew the time."""
    monkeypatch.setattr(downstream, "HEAD_READ_S", 0.3)
    reader, writer = await connect(gateway)
    async with asyncio.TaskGroup() as group:
        trickle = group.create_task(_trickle(writer, post(GOOD)))
        status, headers, body = await answer_of(reader)
        trickle.cancel()
    assert (status, body["error"]["code"], headers["connection"]) == (408, TIMEOUT, "close")
    assert await reader.read() == b""
    writer.transport.abort()


async def _trickle(writer: asyncio.StreamWriter, request: bytes) -> None:
    for position in range(len(request)):
        writer.write(request[position : position + 1])
        await asyncio.sleep(0.05)


async def test_idle_connection_is_no_slow_head(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downstream, "HEAD_READ_S", 0.2)
    reader, writer = await connect(gateway)
    for _ in range(2):
        writer.write(post(GOOD))
        assert (await answer_of(reader))[0] == 200
        await asyncio.sleep(0.4)
    assert not reader.at_eof()
    writer.transport.abort()


async def test_stalled_body(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "BODY_STALL_S", 0.2)
    reader, writer = await connect(gateway)
    writer.write(post(GOOD)[:-5])
    status, headers, body = await answer_of(reader)
    assert (status, body["error"]["code"], headers["connection"]) == (408, TIMEOUT, "close")
    assert await reader.read() == b""
    writer.transport.abort()


async def test_cut_body(gateway: RunningGateway) -> None:
    """A client that ends its side within the body gets no answer and leaves a record."""
    _, writer = await connect(gateway)
    writer.write(post(GOOD)[:-5])
    await asyncio.sleep(0.05)
    writer.transport.abort()
    await until(lambda: gateway.records)
    assert gateway.records[0].status == 499


# ---- one connection ------------------------------------------------------------------------------------------------


async def test_expect_100_continue(gateway: RunningGateway) -> None:
    """The client that asks is told to go on, once; one whose request is refused is not."""
    reader, writer = await connect(gateway)
    writer.write(head(HOST, LENGTH, "expect: 100-continue"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(GOOD)
    assert (await answer_of(reader))[0] == 200
    writer.write(head(HOST, LENGTH, "expect: 100-continue", target="/v1/files"))
    status, headers, _ = await answer_of(reader)
    assert (status, headers["connection"]) == (404, "close")
    writer.transport.abort()


async def test_pipelined_behind_an_error(gateway: RunningGateway) -> None:
    """Each answer belongs to its request."""
    reader, writer = await connect(gateway)
    writer.write(post(b"{") + post(GOOD) + request_bytes("/v1/files", GOOD) + post(GOOD))
    assert [(await answer_of(reader))[0] for _ in range(4)] == [400, 200, 404, 200]
    writer.transport.abort()


async def test_names_that_are_empty(gateway: RunningGateway) -> None:
    """AG-70: null and blank names are absent; AG-83: then the gateway chooses."""
    reader, writer = await connect(gateway)
    for model in ("null", '""', '"  "'):
        writer.write(post(GOOD.replace(b'"demo:n=2,delay=0ms"', model.encode())))
        status, headers, _ = await answer_of(reader)
        assert (status, headers["x-gateway-model"]) == (200, "demo")
    writer.transport.abort()
