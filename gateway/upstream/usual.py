"""A stream's usual events on their way: those that differ from the ones before only in their text (``pattern``).

They pass with a few comparisons and without any other look at them. Of each only its text is kept, all texts in one
piece: the blocks themselves would cost more than their relay, by the memory that they touch.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Final

from gateway.upstream.framing import known_size
from gateway.upstream.pattern import Pattern, learn

_QUOTE, _BACKSLASH, _LF, _CR = b'"\\\n\r'
_LONGEST_BYTES: Final = 8_192
#: size lines and payloads, and what is behind the last line end
_PIECES_OF_TWO: Final = 5
_DROP: Final = deque[bytes](maxlen=0).append


class UsualEvents:
    """``pass_on`` gets a connection's blocks; what is not the pattern's next event goes to ``otherwise``.

    Size lines of chunk frames are as long as they were when the pattern was found; that of an event must have been
    seen before, anywhere (``framing.known_size``).
    """

    __slots__ = (
        "_around", "_between", "_foot", "_foot_at", "_head", "_head_at", "_keep", "_line_at", "_otherwise", "_text",
        "_text_at", "_told", "_write", "passed_bytes",
    )  # fmt: skip

    def __init__(
        self, pattern: Pattern, line_bytes: int, write: Callable[[bytes], None], otherwise: Callable[[bytes], None],
        *, keeps: bool,
    ) -> None:  # fmt: skip
        self._write = write
        self._otherwise = otherwise
        # the pattern, with the framing around it
        self._head = b"\r\n" + pattern.head
        self._between = pattern.between
        self._foot = pattern.foot + b"\r\n"
        self._around = line_bytes + 4
        self._line_at, self._head_at, self._text_at, self._foot_at = _places(
            line_bytes, len(self._head), len(self._foot)
        )
        self._text = bytearray()
        self._keep = self._text.extend if keeps else _DROP
        self._told = 0
        #: bytes relayed here, framing included
        self.passed_bytes = 0

    @property
    def feed(self) -> Callable[[bytes], None]:
        """What is to get the connection's blocks."""
        return self._pass_on_padded if self._between else self._pass_on

    def _pass_on(self, data: bytes) -> None:
        text = data[self._text_at]
        if (
            text
            and data[self._foot_at] == self._foot
            and data[self._head_at] == self._head
            and known_size(data[self._line_at]) == len(data) - self._around
            and _QUOTE not in text
            and text[-1] != _BACKSLASH
            and _LF not in text
            and _CR not in text
        ):
            keep, write = self._keep, self._write
            keep(text)
            self.passed_bytes += len(data)
            write(data)
        elif data[self._foot_at] != self._foot or not self._pass_on_many(data):
            self._otherwise(data)

    def _pass_on_many(self, data: bytes) -> bool:
        """The same for a block of several frames: what comes faster than it is read, or was held up on the way."""
        pieces = data.split(b"\r\n")
        if len(pieces) < _PIECES_OF_TWO or pieces[-1]:
            return False
        lines, payloads = pieces[:-1:2], pieces[1::2]
        head, foot = self._head[2:], self._foot[:-2]
        start, end = len(head), -len(foot)
        texts = [payload[start:end] for payload in payloads if payload[:start] == head and payload[end:] == foot]
        if len(texts) < len(lines) or b"" in texts or list(map(known_size, lines)) != list(map(len, payloads)):
            return False
        text = b"\0".join(texts)
        if _QUOTE in text or _LF in text or _CR in text or text[-1] == _BACKSLASH or text.find(b"\\\0") >= 0:
            return False
        self._keep(text.replace(b"\0", b""))
        self.passed_bytes += len(data)
        self._write(data)
        return True

    def _pass_on_padded(self, data: bytes) -> None:
        """The same where padding follows the text."""
        text, between, padding = data[self._text_at].partition(self._between)
        if (
            text
            and between
            and data[self._foot_at] == self._foot
            and data[self._head_at] == self._head
            and known_size(data[self._line_at]) == len(data) - self._around
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
        pattern = Pattern(self._head[2:], self._between, self._foot[:-2])
        whole = pattern.event(bytes(self._text))
        self._text.clear()
        return whole, pattern.event(b"")


@functools.lru_cache(maxsize=256)  # streams of one provider share them
def _places(line: int, head: int, foot: int) -> tuple[slice, slice, slice, slice]:
    """Where size line, head, text and foot are."""
    return slice(line), slice(line, line + head), slice(line + head, -foot), slice(-foot, None)


def usual_events(
    before: bytes, frames: bytes, write: Callable[[bytes], None], otherwise: Callable[[bytes], None], *, keeps: bool
) -> UsualEvents | None:
    """Made from the last two events of two blocks of whole frames, if those are of one pattern and in a frame each."""
    pieces = (before + frames)[-_LONGEST_BYTES:].split(b"\r\n")
    if len(pieces) < _PIECES_OF_TWO:
        return None
    pattern = learn(pieces[-4], pieces[-2])
    return None if pattern is None else UsualEvents(pattern, len(pieces[-3]), write, otherwise, keeps=keeps)
