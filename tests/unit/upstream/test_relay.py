"""Connection, hold and relay together, over recording transports: framing, splits, endings."""

from __future__ import annotations

import asyncio

import pytest

from gateway.upstream.attempt import Expectations, Held
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.deadlines import Deadlines
from gateway.upstream.origin import Origin
from gateway.upstream.relay import Ending, Relay, RelayLimits, RelayPlan
from tests.unit.upstream.wire_double import ChatCodec, RecordingTransport, Tap, chunk, dechunk, parse_plain_head

ORIGIN = Origin("http", "127.0.0.1", 9)
LIMITS = RelayLimits(idle_s=0, progress_s=0, client_write_s=0, keepalive_s=0)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = (
    b'data: {"choices":[{"delta":{"content":"h\xc3\xa9"}}]}\n\n',
    b": keep-alive\n\n",
    b'data: {"choices":[{"delta":{"content":"\xe4\xbd\xa0\xe5\xa5\xbd"}}]}\r\n\r\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
)


class Rig:
    """One upstream connection feeding one client."""

    def __init__(self, *, strip_usage: bool = False, limits: RelayLimits = LIMITS, chunked: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.released: list[bool] = []
        self.connection = UpstreamConnection(
            ORIGIN, parse_plain_head, lambda _, reusable: self.released.append(reusable)
        )
        self.upstream = RecordingTransport()
        self.client = RecordingTransport()
        self.connection.connection_made(self.upstream)
        self.held = Held(self.loop, Expectations(ChatCodec(), streaming=True))
        self.held.connection = self.connection
        self.endings: list[Ending] = []
        self.tap = Tap()
        self.deadlines = Deadlines(self.loop)
        self.relay = Relay(
            self.loop,
            self.client,
            RelayPlan(
                codec=ChatCodec(),
                limits=limits,
                chunked=chunked,
                event_stream=True,
                tap=self.tap,
                strip_usage=strip_usage,
                errors=lambda ending: (ending.value, ""),
                deadlines=self.deadlines,
            ),
            self.endings.append,
        )
        self.connection.start(self.held, b"POST / HTTP/1.1\r\n\r\n")
        self.committed = False

    def feed(self, data: bytes) -> None:
        """Bytes of the upstream; commits as soon as the answer is ready."""
        if not self.upstream.is_closing():
            self.connection.data_received(data)
        if self.held.ready and not self.committed:
            self.committed = True
            self.relay.begin(self.held, b"")

    def lose(self, exc: Exception | None = None) -> None:
        self.connection.connection_lost(exc)


async def relay_pieces(*pieces: bytes, strip_usage: bool = False) -> Rig:
    rig = Rig(strip_usage=strip_usage)
    for piece in pieces:
        rig.feed(piece)
    return rig


async def test_every_two_way_split_relays_the_same_bytes() -> None:
    """AG-260, P12: however the upstream's bytes are cut, the client's payload is the upstream's."""
    stream = STREAM_HEAD + chunk(*EVENTS)
    for cut in range(1, len(stream)):
        rig = await relay_pieces(stream[:cut], stream[cut:])
        payload, ended = dechunk(rig.client.bytes_written)
        assert payload == b"".join(EVENTS), cut
        assert ended
        assert rig.endings == [Ending.COMPLETE]
        assert rig.released == [True]


async def test_byte_by_byte_relays_the_same_bytes() -> None:
    """P12: the finest split there is."""
    stream = STREAM_HEAD + chunk(*EVENTS)
    rig = await relay_pieces(*(stream[i : i + 1] for i in range(len(stream))))
    assert dechunk(rig.client.bytes_written) == (b"".join(EVENTS), True)


@pytest.mark.parametrize("frames", [(b"".join(EVENTS),), tuple(bytes([b]) for b in b"".join(EVENTS))])
async def test_framing_of_the_upstream_does_not_matter(frames: tuple[bytes, ...]) -> None:
    """One frame for all events, or one for each byte."""
    rig = await relay_pieces(STREAM_HEAD, *(chunk(frame, end=False) for frame in frames), b"0\r\n\r\n")
    assert dechunk(rig.client.bytes_written) == (b"".join(EVENTS), True)


async def test_each_event_is_written_before_the_next_arrives() -> None:
    """AG-260: nothing waits for what comes later."""
    rig = Rig()
    rig.feed(STREAM_HEAD)
    for index, event in enumerate(EVENTS):
        rig.feed(chunk(event, end=False))
        if index:
            assert dechunk(rig.client.bytes_written)[0] == b"".join(EVENTS[: index + 1])


async def test_cut_at_every_offset_ends_with_one_error_event_and_no_mark() -> None:
    """AG-172, P09: a cut stream never looks finished; after the end mark nothing is added."""
    stream = STREAM_HEAD + chunk(*EVENTS)
    whole = b"".join(EVENTS)
    for cut in range(len(STREAM_HEAD) + len(chunk(EVENTS[0], end=False)), len(stream)):
        rig = await relay_pieces(stream[:cut])
        rig.lose(ConnectionResetError())
        payload, ended = dechunk(rig.client.bytes_written)
        assert ended
        if b"[DONE]" in payload:
            assert payload == whole
            assert rig.endings == [Ending.COMPLETE]
        else:
            kept, separator, rest = payload.partition(b'data: {"error"')
            assert separator
            assert rest == b': "broken"}\n\n'
            assert whole.startswith(kept)
            assert not kept or kept.endswith((b"\n\n", b"\r\n\r\n"))
            assert rig.endings == [Ending.BROKEN]


@pytest.mark.parametrize(
    "garbage", [b"zz\r\n", b"-5\r\nhello\r\n", b"5\r\nhelloXX", b"0x5\r\nhello\r\n", b"1_0\r\n", b"\r\n"]
)
async def test_malformed_chunking_is_a_broken_stream(garbage: bytes) -> None:
    """AG-172: an error event, never an exception in the loop."""
    rig = await relay_pieces(STREAM_HEAD + chunk(EVENTS[0], end=False), garbage)
    assert rig.endings == [Ending.BROKEN]
    assert rig.upstream.aborted
    assert b'"error"' in rig.client.bytes_written


@pytest.mark.parametrize("garbage", [b"zz\r\n", b"5\r\nhelloXX", b"0x5\r\nhello\r\n", b"\r\n"])
async def test_events_before_malformed_chunking_reach_the_client_however_they_come(garbage: bytes) -> None:
    """P12: in one piece with the malformed frame, or before it."""
    begun, rest = STREAM_HEAD + chunk(EVENTS[0], end=False), chunk(*EVENTS[1:4], end=False) + garbage
    for cut in range(len(rest)):
        rig = await relay_pieces(begun, rest[:cut], rest[cut:])
        payload, ended = dechunk(rig.client.bytes_written)
        assert (payload, ended) == (b"".join(EVENTS[:4]) + b'data: {"error": "broken"}\n\n', True), cut
        assert rig.endings == [Ending.BROKEN]
        assert rig.upstream.aborted


async def test_usage_chunk_is_stripped_only_when_injected() -> None:
    """AG-244: with every split, the chunk with empty choices and a usage object is gone, and only it."""
    stream = STREAM_HEAD + chunk(*EVENTS)
    expected = b"".join(event for event in EVENTS if b"usage" not in event)
    for cut in range(1, len(stream)):
        rig = await relay_pieces(stream[:cut], stream[cut:], strip_usage=True)
        payload, _ = dechunk(rig.client.bytes_written)
        assert payload == expected, cut
        assert any(b"completion_tokens" in block for block in rig.tap.blocks)


async def test_client_gone_aborts_the_upstream_at_once() -> None:
    """AG-265."""
    rig = await relay_pieces(STREAM_HEAD + chunk(EVENTS[0], end=False))
    rig.relay.client_gone()
    assert rig.upstream.aborted
    assert rig.endings == [Ending.CLIENT_GONE]


async def test_flow_control_goes_both_ways() -> None:
    """AG-263: a full client stops the reading of the upstream."""
    rig = await relay_pieces(STREAM_HEAD + chunk(EVENTS[0], end=False))
    rig.relay.pause()
    assert not rig.upstream.reading
    rig.relay.resume()
    assert rig.upstream.reading


async def test_finished_stream_without_a_mark_ends_as_the_upstream_ended_it() -> None:
    """P09: the end mark is never made up."""
    events = (EVENTS[0], b'data: {"choices":[{"finish_reason":"stop"}]}\n\n')
    rig = await relay_pieces(STREAM_HEAD + chunk(*events))
    payload, ended = dechunk(rig.client.bytes_written)
    assert payload == b"".join(events)
    assert ended
    assert rig.endings == [Ending.COMPLETE]


async def test_unfinished_stream_in_a_finished_body_is_broken() -> None:
    """P09, AG-172: a body that ends in order, as one without length does when its connection closes."""
    rig = await relay_pieces(STREAM_HEAD + chunk(*EVENTS[:2]))
    payload, ended = dechunk(rig.client.bytes_written)
    assert payload.startswith(b"".join(EVENTS[:2]))
    assert b'"error"' in payload
    assert ended
    assert rig.endings == [Ending.BROKEN]


async def test_upstream_that_hangs_after_the_mark_is_ended_within_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """AG-172, P10: the client's stream ends cleanly, the upstream is left."""
    monkeypatch.setattr("gateway.upstream.relay.GRACE_AFTER_END_S", 0.01)
    monkeypatch.setattr("gateway.upstream.deadlines.TICK_S", 0.01)
    rig = await relay_pieces(STREAM_HEAD + chunk(*EVENTS, end=False))
    assert rig.endings == []
    await asyncio.sleep(0.05)
    assert rig.endings == [Ending.COMPLETE]
    assert dechunk(rig.client.bytes_written) == (b"".join(EVENTS), True)
    assert rig.upstream.aborted


async def test_the_grace_is_not_lost_to_the_idle_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the other way round, wherever the mark came: with the first block, which was held, or after it."""
    monkeypatch.setattr("gateway.upstream.relay.GRACE_AFTER_END_S", 0.01)
    monkeypatch.setattr("gateway.upstream.deadlines.TICK_S", 0.01)
    limits = RelayLimits(idle_s=120, progress_s=0, client_write_s=0, keepalive_s=0)
    for pieces in ([EVENTS], [EVENTS[:1], EVENTS[1:]]):
        rig = Rig(limits=limits)
        head = STREAM_HEAD
        for events in pieces:
            rig.feed(head + chunk(*events, end=False))
            head = b""
        assert rig.endings == []
        await asyncio.sleep(0.1)
        assert rig.endings == [Ending.COMPLETE]
        assert not rig.deadlines.waiting
        rig.deadlines.close()


async def test_a_client_that_is_slow_with_the_last_bytes_keeps_its_connection() -> None:
    """The transport may be full with what ended the stream, and says so a turn later."""
    rig = Rig(limits=RelayLimits(idle_s=0, progress_s=0, client_write_s=0.02, keepalive_s=0))
    rig.feed(STREAM_HEAD + chunk(*EVENTS[:2], end=False))
    rig.feed(chunk(*EVENTS[2:]))
    assert rig.endings == [Ending.COMPLETE]
    rig.relay.pause()
    await asyncio.sleep(0.06)
    assert not rig.client.aborted


async def test_idle_stream_ends_with_an_error_event() -> None:
    """AG-164."""
    rig = Rig(limits=RelayLimits(idle_s=0.04, progress_s=0, client_write_s=0, keepalive_s=0))
    rig.feed(STREAM_HEAD + chunk(EVENTS[0], end=False))
    await asyncio.sleep(0.15)
    assert rig.endings == [Ending.IDLE]
    assert b'"error": "idle"' in rig.client.bytes_written


async def test_a_long_idle_limit_needs_no_timer() -> None:
    """AG-164: looked at four times per limit, by a timer that all streams share."""
    rig = Rig(limits=RelayLimits(idle_s=120, progress_s=0, client_write_s=0, keepalive_s=0))
    rig.feed(STREAM_HEAD + chunk(EVENTS[0], end=False))
    due_s = rig.deadlines.waiting.pop(rig.relay) - rig.loop.time()
    assert 29 < due_s <= 30
    rig.relay.overdue()
    for _ in range(3):
        assert rig.deadlines.waiting.pop(rig.relay)
        assert not rig.endings
        rig.relay.overdue()
    rig.feed(chunk(EVENTS[1], end=False))
    for _ in range(5):
        assert rig.deadlines.waiting.pop(rig.relay)
        assert not rig.endings
        rig.relay.overdue()
    assert rig.endings == [Ending.IDLE]
    assert not rig.deadlines.waiting
    rig.deadlines.close()


async def test_an_ended_stream_is_forgotten() -> None:
    rig = Rig(limits=RelayLimits(idle_s=120, progress_s=0, client_write_s=0, keepalive_s=0))
    rig.feed(STREAM_HEAD + chunk(EVENTS[0], end=False))
    assert list(rig.deadlines.waiting) == [rig.relay]
    rig.relay.client_gone()
    assert not rig.deadlines.waiting
    rig.deadlines.close()


async def test_pings_are_no_progress() -> None:
    """P10: comments and ping events do not keep a dead stream alive for ever."""
    rig = Rig(limits=RelayLimits(idle_s=0.04, progress_s=0.1, client_write_s=0, keepalive_s=0))
    rig.feed(STREAM_HEAD + chunk(EVENTS[0], end=False))
    for _ in range(40):
        if rig.endings:
            break
        rig.feed(chunk(b": ping\n\n", end=False))
        await asyncio.sleep(0.01)
    assert rig.endings == [Ending.IDLE]


async def test_keepalive_comments_stand_between_events() -> None:
    """AG-268: never inside an event, and they do not count as upstream bytes."""
    rig = Rig(limits=RelayLimits(idle_s=0, progress_s=0, client_write_s=0, keepalive_s=0.01))
    half = EVENTS[0][:10]
    rig.feed(STREAM_HEAD + chunk(EVENTS[0], half, end=False))
    await asyncio.sleep(0.05)
    payload, _ = dechunk(rig.client.bytes_written)
    assert payload.startswith(EVENTS[0] + b":\n\n")
    assert half not in payload[len(EVENTS[0]) :]
    rig.relay.client_gone()


async def test_client_without_chunking_gets_plain_bytes() -> None:
    """HTTP/1.0 clients."""
    rig = Rig(chunked=False)
    rig.feed(STREAM_HEAD + chunk(*EVENTS))
    assert rig.client.bytes_written == b"".join(EVENTS)
