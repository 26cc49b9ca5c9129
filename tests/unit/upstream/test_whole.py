"""An answer that comes in one piece is taken in one step, and is what it would be in pieces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.ai.inbound import parse_head
from gateway.upstream.attempt import Expectations, Held
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.origin import Origin
from tests.unit.upstream.wire_double import ChatCodec, RecordingTransport

ANSWERS = {
    "json": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "closing": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
    "http 1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    "less than announced": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
    "nothing": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "created": b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}",
    "no content": b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\ncontent-length: 2\r\n\r\n{}",
    "error": b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}",
    "compressed, broken": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}",
    "events": b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: 1\n\n",
    "chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "informed before": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
}


async def outcome(pieces: list[bytes], expect: Expectations) -> dict[str, Any]:
    """Everything that can be seen of an answer."""
    released: list[bool] = []
    connection = UpstreamConnection(Origin("http", "h", 80), parse_head, lambda _, reusable: released.append(reusable))
    connection.connection_made(RecordingTransport())
    held = Held(asyncio.get_running_loop(), expect)
    held.connection = connection
    connection.start(held, b"")
    for piece in pieces:
        connection.data_received(piece)
    failure = held.failure
    return {
        "ready": held.ready,
        "ended": held.ended,
        "status": held.status,
        "framing": held.framing,
        "length": held.head.content_length if held.head is not None else None,
        "began": bool(held.first_byte_at),
        "failure": None if failure is None else (failure.kind, failure.reason, failure.status, failure.body),
        "body": held.take_held(),
        "released": released,
    }


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("as_is", [False, True])
@pytest.mark.parametrize("name", ANSWERS)
async def test_one_piece_or_two(name: str, as_is: bool, streaming: bool) -> None:
    answer = ANSWERS[name]
    expect = Expectations(ChatCodec(), streaming=streaming, as_is=as_is)
    whole = await outcome([answer], expect)
    for cut in range(1, len(answer)):
        assert await outcome([answer[:cut], answer[cut:]], expect) == whole, cut


async def test_a_usual_answer_is_taken_in_one_step() -> None:
    taken = await outcome([ANSWERS["json"]], Expectations(ChatCodec(), streaming=False))
    assert (taken["ready"], taken["ended"], taken["body"], taken["released"]) == (True, True, b"{}", [True])
