"""Cutting single events out of relayed blocks for the books: a block may hold hundreds of events and chunk framing.

What comes out is for reading only and never forwarded: where a frame's edge cuts an event in a way that cannot be
mended here, the reader of the piece finds no JSON and passes over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LAST_BYTES = 1_536
_FRAMING_BETWEEN = re.compile(rb"\r\n[0-9A-Fa-f]{1,15}(?:;[^\r\n]*)?\r\n")
_FRAMING_BEFORE = re.compile(rb"\A[0-9A-Fa-f]{1,15}(?:;[^\r\n]*)?\r\n")


def frame(payload: bytes) -> bytes:
    """Payload as one chunk frame."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def payload_of(frames: bytes) -> bytes:
    """The payload of whole, valid chunk frames."""
    pieces = []
    position = 0
    while position < len(frames):
        line_end = frames.index(b"\r\n", position)
        size = int(frames[position:line_end].partition(b";")[0], 16)
        pieces.append(frames[line_end + 2 : line_end + 2 + size])
        position = line_end + size + 4
    return b"".join(pieces)


def unframed(block: bytes) -> bytes:
    """Whole events without the framing they came in; for reading only: what looks like framing goes, too."""
    if not is_framed(block):
        return block
    return _FRAMING_BEFORE.sub(b"", _FRAMING_BETWEEN.sub(b"", block.removesuffix(b"\r\n")))


def is_framed(block: bytes) -> bool:
    """Whether a block came as chunk frames: no line of an event stream is a bare hexadecimal number."""
    return _FRAMING_BEFORE.match(block) is not None


def usage_events(block: bytes, *, framed: bool) -> Iterator[bytes]:
    """The events that report usage: those with a ``usage`` object."""
    end = 0
    while True:
        position = block.find(b'"usage":{', end)
        if position < 0:
            position = block.find(b'"usage": {', end)
            if position < 0:
                return
        # an event begins behind the blank line of the one before
        start = block.rfind(b"\n\n", 0, position) + 2
        start = 0 if start < 2 else start
        end = block.find(b"\n\n", position) + 2
        end = len(block) if end < 2 else end
        event = block[start:end]
        if framed and (not start or b"\r\n" in event):
            event = _FRAMING_BEFORE.sub(b"", _FRAMING_BETWEEN.sub(b"", event))
        yield event


def last_events(block: bytes, *, framed: bool) -> bytes:
    """The last few events of a block, from the beginning of one."""
    last = block[-_LAST_BYTES:]
    if framed:
        last = _FRAMING_BETWEEN.sub(b"", last.removesuffix(b"\r\n"))
    if len(block) > _LAST_BYTES:
        return last[last.find(b"\n\n") + 2 :]
    return _FRAMING_BEFORE.sub(b"", last) if framed else last
