"""The SSE parser under any chunking: the same bytes give the same events (P12)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.sse import SseEvent, SseParser, boundary

PIECES = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b"\r\r",
            b"data: x",
            b"data:",
            b": c",
            b"event: ping",
            b"id: 1",
            b"\xe2\x82\xac",
            b"\0",
        ]
    )
    | st.binary(max_size=6),
    max_size=24,
)


def read(stream: bytes, cuts: list[int]) -> list[SseEvent]:
    parser = SseParser()
    events: list[SseEvent] = []
    start = 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        events += parser.feed(stream[start:cut])
        start = cut
    last = parser.close()
    return [*events, last] if last else events


def view(event: SseEvent) -> tuple[object, ...]:
    return (event.raw, event.event, event.data, event.id, event.retry)


@given(pieces=PIECES, cuts=st.lists(st.integers(min_value=0, max_value=300), max_size=12))
def test_any_chunking_gives_the_same_events(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    whole = read(stream, [])
    assert [view(event) for event in read(stream, cuts)] == [view(event) for event in whole]
    assert b"".join(event.raw for event in whole) == stream


@given(pieces=PIECES)
def test_byte_by_byte_gives_the_same_events(pieces: list[bytes]) -> None:
    stream = b"".join(pieces)
    assert [view(e) for e in read(stream, list(range(len(stream))))] == [view(e) for e in read(stream, [])]


@given(pieces=PIECES)
def test_boundary_never_cuts_an_event(pieces: list[bytes]) -> None:
    """Cutting at the boundary loses nothing, and all that is complete stands before it."""
    stream = b"".join(pieces)
    cut = boundary(stream)
    complete = SseParser().feed(stream)
    assert cut >= sum(len(event.raw) for event in complete)
    told = [event.data for event in complete if event.data is not None]
    # a parser waits behind a CR, which an LF may follow; here something else does
    shown = stream[:cut] + (b":" if cut < len(stream) else b"")
    assert [event.data for event in SseParser().feed(shown) if event.data is not None] == told
    assert all(event.data is None for event in SseParser().feed(stream[cut:]))
