"""The SSE parser (AG-260, AG-262, AG-266, lessons 2.3, P12)."""

from __future__ import annotations

import pytest

from gateway.upstream.sse import EventTooLargeError, SseEvent, SseParser, boundary, events_of, format_event, is_ping

CHAT = (
    b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"h\xc3\xa9"}}]}\n\n'
    b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3}}}\n\n'
    b'event: ping\ndata: {"type":"ping"}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def fields(events: list[SseEvent]) -> list[tuple[str, bytes | None]]:
    return [(event.event, event.data) for event in events]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_is_understood(line_end: bytes) -> None:
    """AG-266: LF, CRLF and CR."""
    parser = SseParser()
    events = parser.feed(MESSAGES.replace(b"\n", line_end))
    last = parser.close()
    events += [last] if last else []
    assert [event.event for event in events] == ["message_start", "ping", "message_stop"]
    assert events[1].data == b'{"type":"ping"}'


def test_raw_bytes_are_the_stream() -> None:
    events = SseParser().feed(CHAT)
    assert b"".join(event.raw for event in events) == CHAT
    assert events[2].data == b"[DONE]"


def test_fields() -> None:
    (event,) = SseParser().feed(b": note\nevent: e\nid: 7\nretry: 1500\ndata: a\ndata:b\ndata\nunknown: x\n\n")
    assert (event.event, event.id, event.retry, event.data) == ("e", "7", 1500, b"a\nb\n")
    assert not event.is_ping


def test_only_one_space_is_removed_and_an_id_with_nul_is_ignored() -> None:
    (event,) = SseParser().feed(b"data:  two\nid: a\0b\nretry: 1e3\n\n")
    assert (event.data, event.id, event.retry) == (b" two", None, None)


def test_a_byte_order_mark_opens_the_stream() -> None:
    (event,) = SseParser().feed(b"\xef\xbb\xbfdata: x\n\n")
    assert event.data == b"x"
    assert event.raw.startswith(b"\xef\xbb\xbf")


def test_comments_are_events_without_data() -> None:
    (event,) = SseParser().feed(b": OPENROUTER PROCESSING\n\n")
    assert event.data is None
    assert event.is_ping


def test_an_event_is_complete_with_its_last_byte() -> None:
    parser = SseParser()
    assert parser.feed(b"data: x\n") == []
    assert fields(parser.feed(b"\n")) == [("", b"x")]


def test_cr_streams_are_not_delayed() -> None:
    parser = SseParser()
    assert fields(parser.feed(b"data: x\r\r")) == [("", b"x")]


def test_half_a_crlf_waits_for_the_other_half() -> None:
    parser = SseParser()
    assert parser.feed(b"data: x\r\n\r") == []
    (event,) = parser.feed(b"\n")
    assert event.raw == b"data: x\r\n\r\n"


def test_close_gives_the_unfinished_event() -> None:
    parser = SseParser()
    parser.feed(b"data: x\n\ndata: y")
    assert parser.pending == b"data: y"
    rest = parser.close()
    assert rest is not None
    assert rest.data == b"y"
    assert parser.close() is None


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_events_above_the_limit_are_refused(piece: int) -> None:
    """AG-266: bounded, whether the end arrives or not."""
    stream = b"data: " + b"x" * 100 + b"\n\n"
    parser = SseParser(limit_bytes=64)
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    with pytest.raises(EventTooLargeError):
        list(map(parser.feed, pieces))


def test_an_event_of_exactly_the_limit_passes() -> None:
    stream = b"data: x\n\n"
    assert len(SseParser(limit_bytes=len(stream)).feed(stream)) == 1


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"", 0),
        (b"data: x", 0),
        (b"data: x\n", 0),
        (b"data: x\n\n", 9),
        (b"data: x\n\ndata: y\n", 9),
        (b"data: x\r\n\r\n", 11),
        (b"data: x\r\n\r\ndata", 11),
        (b"data: x\r\n\r", 0),
        (b"data: x\r\r", 9),
        (b"data: x\r\rdata: y\r", 9),
        (b"data: x\n\rdata: y\n", 9),
        (b"data: x\n\r\ndata: y\n", 10),
        (b"data: x\n\ndata: y\r\n\r\ndata: z\r\n", 20),
        (b"data: x\r\n\r\ndata: y\n\ndata: z\r\n", 20),
    ],
)
def test_boundary(block: bytes, expected: int) -> None:
    assert boundary(block) == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b": keep-alive\n\n", True),
        (b'event: ping\ndata: {"type": "ping"}\n\n', True),
        (b'event: keepalive\ndata: {"type":"keepalive"}\n\n', True),
        (b": a\n\n: b\r\n\r\n", True),
        (b": a\n\ndata: x\n\n", False),
        (b'event: ping\ndata: {}\n\nevent: content_block_delta\ndata: {"x":1}\n\n', False),
        (b'data: {"type":"ping"}\n\n', False),
        (b"event: pingpong\ndata: x\n\n", False),
        (CHAT, False),
    ],
)
def test_is_ping(block: bytes, *, expected: bool) -> None:
    """AG-164: what does not count as progress."""
    assert is_ping(block) is expected


def test_events_of_leaves_out_what_is_incomplete() -> None:
    assert [event.data for event in events_of(b"data: 1\n\ndata: 2\n\ndata: 3")] == [b"1", b"2"]


def test_format_event_is_read_back() -> None:
    raw = format_event(b"a\r\nb\nc", event="delta", id="1", retry=5)
    assert b"\r" not in raw
    (event,) = SseParser().feed(raw)
    assert (event.event, event.id, event.retry, event.data) == ("delta", "1", 5, b"a\nb\nc")


def test_format_event_cannot_be_split_by_a_name() -> None:
    (event,) = SseParser().feed(format_event(b"x", event="a\n\ndata: forged"))
    assert event.data == b"x"


def test_format_event_without_data_is_a_comment_to_readers() -> None:
    assert format_event(None, event="x") == b"event: x\n\n"


def test_repr_names_the_fields() -> None:
    assert repr(SseEvent(b"data: x\n\n")) == "SseEvent(event='', data=b'x', id=None, retry=None)"
