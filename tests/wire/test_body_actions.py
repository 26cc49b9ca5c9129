"""Find and replace over real sockets: framings, codings and limits of requests, answers and streams (TP-441 to 446)."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.settings.model import Settings
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import Answer, Stage, row, staged
from tests.wire.running import read_answer
from tests.wire.serving import connect
from tests.wire.upstreams import chunk

LIMIT = 65_536
REPLACEMENTS = {"replacements": [{"from": "sec(ret)", "to": "<$1>"}]}
REQUEST = json.dumps({"on_http_request": [{"type": "request-body-find-replace", "config": REPLACEMENTS}]})
RESPONSE = json.dumps({"on_http_response": [{"type": "response-body-find-replace", "config": REPLACEMENTS}]})
STREAM = json.dumps({"on_event_stream_message": [{"type": "sse-find-replace", "config": REPLACEMENTS}]})
#: é, a byte that is no UTF-8, an emoji
ODD = "é ".encode() + b"\xff\xfe secret " + "🎉".encode()
ODD_CHANGED = ODD.replace(b"secret", b"<ret>")


def limited(settings: Settings) -> Settings:
    policy = replace(settings.policy, max_buffered_body_bytes=LIMIT, max_sse_message_bytes=1_024)
    return replace(settings, policy=policy)


@asynccontextmanager
async def forwarding(policy: str) -> AsyncIterator[Stage]:
    async def nothing(stage: Stage) -> None:
        pass

    async with staged(row(0, policy, forwards=True, change=limited)(nothing), "yaml") as stage:
        yield stage


async def post(stage: Stage, body: bytes, *, pieces: int = 0, headers: Mapping[str, str] | None = None) -> Answer:
    """A POST with a length, or in chunks of this size."""
    framing = f"content-length: {len(body)}" if not pieces else "transfer-encoding: chunked"
    lines = ["POST /x HTTP/1.1", "host: gateway.test", framing, *(f"{k}: {v}" for k, v in (headers or {}).items())]
    reader, writer = await connect(stage.gateway)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    cut = [body[at : at + pieces] for at in range(0, len(body), pieces)] if pieces else []
    writer.write(b"".join(map(chunk, cut)) + b"0\r\n\r\n" if pieces else body)
    try:
        return Answer(*await read_answer(reader))
    finally:
        writer.close()


# ---- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [0, 1, 7, 1_000])
async def test_requests_in_every_framing_get_a_length(pieces: int) -> None:
    """TP-441, TP-442: bytes that are no text stay as they are."""
    async with forwarding(REQUEST) as stage:
        assert (await post(stage, ODD, pieces=pieces)).status == 200
        assert stage.asked.body == ODD_CHANGED
        assert stage.asked.header("content-length") == str(len(ODD_CHANGED))
        assert stage.asked.header("transfer-encoding") is None


@pytest.mark.parametrize(("coding", "body"), [("gzip", gzip.compress(ODD, mtime=0)), ("deflate", zlib.compress(ODD))])
async def test_coded_requests_are_passed_on_decoded(coding: str, body: bytes) -> None:
    """TP-442."""
    async with forwarding(REQUEST) as stage:
        assert (await post(stage, body, headers={"content-encoding": coding})).status == 200
        assert stage.asked.body == ODD_CHANGED
        assert stage.asked.header("content-encoding") is None


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"x" * (LIMIT + 1), {}, 413, "3903"),
        (gzip.compress(b"x" * (LIMIT + 1), mtime=0), {"content-encoding": "gzip"}, 413, "3903"),
        (b"secret", {"content-encoding": "compress"}, 500, "3904"),
        (b"secret", {"content-encoding": "gzip"}, 500, "3904"),
        (gzip.compress(b"secret" * 99, mtime=0)[:-9], {"content-encoding": "gzip"}, 500, "3904"),
    ],
)
async def test_requests_that_cannot_be_changed_do_not_pass(
    body: bytes, headers: Mapping[str, str], status: int, code: str
) -> None:
    """TP-441, TP-442: fail closed; a bomb is no larger than its limit."""
    async with forwarding(REQUEST) as stage:
        for pieces in (0, 5_000):
            answered = await post(stage, body, pieces=pieces, headers=headers)
            assert (answered.status, answered.code) == (status, f"ERR_NGROK_{code}")
        assert not stage.service.requests


async def test_an_empty_request_is_left_alone() -> None:
    """TP-442."""
    async with forwarding(REQUEST) as stage:
        assert (await post(stage, b"")).status == 200
        assert (stage.asked.body, stage.asked.header("content-length")) == (b"", "0")


# ---- answers --------------------------------------------------------------------------------------------------------


def chunked(body: bytes, size: int, *lines: str) -> bytes:
    """An answer in chunks."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "transfer-encoding: chunked", *lines, "", ""]).encode()
    return head + b"".join(chunk(body[at : at + size]) for at in range(0, len(body), size)) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1_000])
async def test_answers_in_chunks_get_a_length(size: int) -> None:
    """TP-441."""
    async with forwarding(RESPONSE) as stage:
        stage.service.otherwise = chunked(ODD, size)
        answered = await stage.ask()
        assert answered.body == ODD_CHANGED
        assert answered.headers["content-length"] == str(len(ODD_CHANGED))
        assert "transfer-encoding" not in answered.headers


@pytest.mark.parametrize(("coding", "body"), [("gzip", gzip.compress(ODD, mtime=0)), ("deflate", zlib.compress(ODD))])
async def test_coded_answers_are_passed_on_decoded(coding: str, body: bytes) -> None:
    """TP-442."""
    async with forwarding(RESPONSE) as stage:
        stage.service.otherwise = answer(body, content_encoding=coding)
        answered = await stage.ask("/x", {"accept-encoding": coding})
        assert answered.body == ODD_CHANGED
        assert "content-encoding" not in answered.headers


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(b"a secret" + b"x" * LIMIT), "3903"),
        (answer(gzip.compress(b"a secret" * LIMIT), content_encoding="gzip"), "3903"),
        (answer(b"a secret", content_encoding="compress"), "3904"),
        (answer(b"a secret", content_encoding="gzip"), "3904"),
    ],
)
async def test_answers_that_cannot_be_changed_are_replaced(reply: bytes, code: str) -> None:
    """TP-56, TP-441, TP-442."""
    async with forwarding(RESPONSE) as stage:
        stage.service.otherwise = reply
        answered = await stage.ask()
        assert (answered.status, answered.code) == (500, f"ERR_NGROK_{code}")
        assert b"secret" not in answered.body


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_are_left_alone(status: int) -> None:
    async with forwarding(RESPONSE) as stage:
        stage.service.otherwise = f"HTTP/1.1 {status} X\r\netag: a\r\n\r\n".encode()
        answered = await stage.ask(connection="close")  # what has no length lasts as long as the connection
        assert (answered.status, answered.headers["etag"], answered.body) == (status, "a", b"")
        assert (await stage.ask(method="HEAD")).status == status


# ---- streams --------------------------------------------------------------------------------------------------------

EVENTS = (
    b": a secret comment\n\nevent: a\nid: 7\ndata: a secret\ndata: two secrets\nx-secret: y\n\n"
    b"retry: 10\n\ndata: \xff secret\r\n\r\ndata:secret"
)
EVENTS_CHANGED = (
    b": a secret comment\n\nevent: a\nid: 7\ndata: a <ret>\ndata: two <ret>s\nx-secret: y\n\n"
    b"retry: 10\n\ndata: \xff <ret>\n\r\ndata: <ret>\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 10_000])
async def test_streams_are_changed_however_they_are_cut(size: int) -> None:
    """TP-445, TP-446, P12, P27: other fields, comments and the unfinished end included."""
    async with forwarding(STREAM) as stage:
        stage.service.otherwise = chunked(EVENTS, size, "content-type: text/event-stream")
        assert (await stage.ask()).body == EVENTS_CHANGED


async def test_a_message_above_the_limit_ends_the_stream() -> None:
    """TP-446, TP-56: what was complete before it came through, nothing of it did."""
    async with forwarding(STREAM) as stage:
        body = b"data: secret\n\ndata: " + b"long" * 300 + b"\n\ndata: after\n\n"
        stage.service.otherwise = chunked(body, 100, "content-type: text/event-stream")
        answered = await stage.ask()
        assert answered.body.startswith(b"data: <ret>\n\n")
        assert b"ERR_NGROK_2249" in answered.body
        assert b"long" not in answered.body
        assert b"after" not in answered.body


async def test_other_answers_meet_no_stream_rule() -> None:
    """TP-45."""
    async with forwarding(STREAM) as stage:
        stage.service.otherwise = answer(b"data: secret\n\n", content_type="text/plain")
        assert (await stage.ask()).body == b"data: secret\n\n"
