"""What the events of one stream have in common, so that the next one is recognised by a few comparisons.

Most events of a stream differ in one generated text only (some providers count the events, or add random padding). A
``Pattern`` is everything else: the bytes before the text, those between text and padding, those behind. ``learn`` finds
it in two events.

An event that fits says nothing but its text: text and padding hold no line end, and no quotation mark that is not
escaped, so that no member, value or event is in it which was not in those learned from: no end mark, error or usage.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.upstream.sse import is_ping

_QUOTE: Final = b'"'
_DATA_LINES: Final = (b"data: {", b"event: ")
#: what comes before a generated text, and before padding: any other string may say how the stream goes on
_TEXTS: Final = tuple(
    b'"%b":%b"' % (name, blank)
    for name in (
        b"content", b"text", b"delta", b"thinking", b"partial_json", b"reasoning_content", b"reasoning", b"arguments",
    )
    for blank in (b"", b" ")
)  # fmt: skip
_PADDINGS: Final = (b'"obfuscation":"', b'"obfuscation": "', b'"p":"', b'"p": "')
#: what counts the events
_NUMBER: Final = re.compile(rb'"sequence_number": ?([0-9]+)[,}]')


class Pattern(NamedTuple):
    """``between`` is empty where there is one text only, which ``foot`` then follows.

    ``digits``: how many ones stand for its number, at ``number_at``: from the event's end, if negative.
    """

    head: bytes
    between: bytes
    foot: bytes
    number_at: int = 0
    digits: int = 0

    def event(self, text: bytes) -> bytes:
        """The event with that text, and without padding."""
        return self.head + text + self.between + self.foot


def learn(before: bytes, event: bytes) -> Pattern | None:
    """The pattern of two payloads, if both are one event of the usual form and differ in text and number only."""
    if not (_is_usual(before) and _is_usual(event)):
        return None
    number = _NUMBER.search(event)
    if number is None:
        return _learn(before, event)
    pattern = _learn(_NUMBER.sub(_ones, before), _NUMBER.sub(_ones, event))
    if pattern is None:
        return None
    start, stop = number.span(1)
    if stop > len(pattern.head):
        start -= len(event)
        if start < -len(pattern.foot):
            return None
    return pattern._replace(number_at=start, digits=len(number[1]))


def _ones(number: re.Match[bytes]) -> bytes:
    return number[0].replace(number[1], b"1" * len(number[1]))


def _learn(before: bytes, event: bytes) -> Pattern | None:
    head = _start_of_string(before, event)
    if not head.endswith(_TEXTS) or not head.count(_QUOTE) & 1:
        return None
    before, event = _behind_string(before, len(head)), _behind_string(event, len(head))
    if before == event:
        return Pattern(head, b"", event)
    between = _start_of_string(before, event)
    if not between.endswith(_PADDINGS) or between.count(_QUOTE) & 1:
        return None
    before, event = _behind_string(before, len(between)), _behind_string(event, len(between))
    return Pattern(head, between, event) if before == event else None


def _is_usual(payload: bytes) -> bool:
    """One event of whole lines, with output, and with nothing escaped: every quotation mark begins or ends a string."""
    return (
        payload.startswith(_DATA_LINES)
        and payload.find(b"\n\n") == len(payload) - 2
        and b"\r" not in payload
        and b"\\" not in payload
        and not is_ping(payload)
    )


def _start_of_string(one: bytes, other: bytes) -> bytes:
    """What both begin with, up to and with the quotation mark before the place where they differ."""
    size = min(len(one), len(other))
    # as one number each, the first byte that differs is the first that is not zero in what an exclusive or leaves
    differs = int.from_bytes(one[:size], "big") ^ int.from_bytes(other[:size], "big")
    same = size - (differs.bit_length() + 7 >> 3)
    return one[: one.rfind(_QUOTE, 0, same) + 1]


def _behind_string(payload: bytes, start: int) -> bytes:
    """From the quotation mark that closes the string."""
    return payload[payload.find(_QUOTE, start) :]
