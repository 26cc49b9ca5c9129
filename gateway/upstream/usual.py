"""A stream's usual events on their way: those that differ from the ones before only in their text (``pattern``).

They pass with a few comparisons and without any other look at them. Of each only its text is kept, all texts in one
piece: the blocks themselves would cost more than their relay, by the memory that they touch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.upstream.blocks import payload_of
from gateway.upstream.framing import SIZES
from gateway.upstream.pattern import Pattern, learn

_QUOTE, _BACKSLASH, _LF, _CR = b'"\\\n\r'
_LONGEST_BYTES: Final = 4_096
_DROP: Final = deque[bytes](maxlen=0).append


class UsualEvents:
    """``pass_on`` gets a connection's blocks; what is not the pattern's next event goes to ``otherwise``.

    Size lines of chunk frames are as long as they were when the pattern was found; that of an event must have been
    seen before, anywhere (``framing.SIZES``).
    """

    __slots__ = (
        "_around", "_foot", "_foot_at", "_head", "_head_at", "_keep", "_line_at", "_otherwise", "_pattern", "_text",
        "_text_at", "_told", "_write", "passed_bytes",
    )  # fmt: skip

    def __init__(
        self, pattern: Pattern, line_bytes: int, write: Callable[[bytes], None], otherwise: Callable[[bytes], None],
        *, keeps: bool,
    ) -> None:  # fmt: skip
        self._pattern = pattern
        self._write = write
        self._otherwise = otherwise
        self._head = b"\r\n" + pattern.head
        self._foot = pattern.foot + b"\r\n"
        self._around = line_bytes + 4
        start = line_bytes + len(self._head)
        self._line_at = slice(line_bytes)
        self._head_at = slice(line_bytes, start)
        self._text_at = slice(start, -len(self._foot))
        self._foot_at = slice(-len(self._foot), None)
        self._text = bytearray()
        self._keep = self._text.extend if keeps else _DROP
        self._told = 0
        #: bytes relayed here, framing included
        self.passed_bytes = 0

    @property
    def feed(self) -> Callable[[bytes], None]:
        """What is to get the connection's blocks."""
        return self._pass_on_padded if self._pattern.between else self._pass_on

    def _pass_on(self, data: bytes) -> None:
        text = data[self._text_at]
        if (
            text
            and data[self._foot_at] == self._foot
            and data[self._head_at] == self._head
            and SIZES.get(data[self._line_at]) == len(data) - self._around
            and _QUOTE not in text
            and text[-1] != _BACKSLASH
            and _LF not in text
            and _CR not in text
        ):
            self._keep(text)
            self.passed_bytes += len(data)
            self._write(data)
        else:
            self._otherwise(data)

    def _pass_on_padded(self, data: bytes) -> None:
        """The same where padding follows the text."""
        text, between, padding = data[self._text_at].partition(self._pattern.between)
        if (
            text
            and between
            and data[self._foot_at] == self._foot
            and data[self._head_at] == self._head
            and SIZES.get(data[self._line_at]) == len(data) - self._around
            and _QUOTE not in text
            and text[-1] != _BACKSLASH
            and _LF not in text
            and _CR not in text
            and padding.isalnum()
        ):
            self._keep(text)
            self.passed_bytes += len(data)
            self._write(data)
        else:
            self._otherwise(data)

    def take(self) -> tuple[bytes, bytes] | None:
        """The events since the last call: one with all their text, and one of their kind without; None: no events."""
        if self._told == self.passed_bytes:
            return None
        self._told = self.passed_bytes
        whole = self._pattern.event(bytes(self._text))
        self._text.clear()
        return whole, self._pattern.event(b"")


def usual_events(
    before: bytes, frames: bytes, write: Callable[[bytes], None], otherwise: Callable[[bytes], None], *, keeps: bool
) -> UsualEvents | None:
    """Made from two blocks of whole frames, if those are two events of one pattern in a frame each."""
    if len(frames) > _LONGEST_BYTES or len(before) > _LONGEST_BYTES:
        return None
    pattern = learn(payload_of(before), payload_of(frames))
    if pattern is None:
        return None
    return UsualEvents(pattern, frames.find(b"\r\n"), write, otherwise, keeps=keeps)
