"""Events cut out of relayed blocks, framed and not: what the books read is what was sent."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.blocks import last_events, payload_of, usage_events
from tests.unit.upstream.wire_double import chunk

TEXT = b'data: {"choices":[{"delta":{"content":"usage"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7}}\n\n'
SPACED = b'data: {"usage": {"prompt_tokens": 7}}\n\n'
DONE = b"data: [DONE]\n\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
def test_payload_of_frames_is_what_was_framed(payloads: list[bytes]) -> None:
    assert payload_of(chunk(*payloads, end=False)) == b"".join(payloads)


def test_extensions_of_chunks_are_no_payload() -> None:
    assert payload_of(b"3;name=value\r\nabc\r\n") == b"abc"


def test_only_events_with_a_usage_object_are_read() -> None:
    assert list(usage_events(TEXT + USAGE + TEXT + SPACED + DONE, framed=False)) == [USAGE, SPACED]
    assert list(usage_events(TEXT + DONE, framed=False)) == []


def test_an_event_without_its_end_is_read_as_far_as_it_goes() -> None:
    assert list(usage_events(TEXT + USAGE[:-2], framed=False)) == [USAGE[:-2]]


def test_framing_does_not_get_into_events() -> None:
    """One event a frame, and one frame that begins with the event."""
    for frames in (chunk(TEXT, USAGE, DONE, end=False), chunk(USAGE, end=False), chunk(TEXT + USAGE, end=False)):
        (event,) = usage_events(frames, framed=True)
        assert json.loads(event.partition(b"data: ")[2])["usage"] == {"prompt_tokens": 7}


def test_an_event_cut_by_a_frame_is_mended() -> None:
    mark = b'"usage":{'
    for cut in range(1, len(USAGE)):
        events = list(usage_events(chunk(TEXT + USAGE[:cut], USAGE[cut:] + DONE, end=False), framed=True))
        # where the cut hides the mark itself, the event is passed over
        seen = mark in USAGE[:cut] or mark in USAGE[cut:]
        assert [json.loads(event.partition(b"data: ")[2]) for event in events] == [json.loads(USAGE[6:])] * seen


def test_the_last_events_begin_at_an_event() -> None:
    block = TEXT * 100 + USAGE + DONE
    last = last_events(block, framed=False)
    assert len(last) <= 1_536
    assert last.startswith(b"data: ")
    assert last.endswith(USAGE + DONE)
    assert last_events(TEXT + DONE, framed=False) == TEXT + DONE


def test_the_last_events_have_no_framing() -> None:
    assert last_events(chunk(DONE, end=False), framed=True) == DONE
    assert last_events(chunk(TEXT, DONE, end=False), framed=True) == TEXT + DONE
    assert last_events(chunk(*[TEXT] * 100, DONE, end=False), framed=True).endswith(b"\n\n" + TEXT + DONE)
