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
#: size lines and payloads of two frames, and what is behind the last line end
_PIECES_OF_TWO: Final = 5
_DROP: Final = deque[bytes](maxlen=0).append


class UsualEvents:
    """``feed`` gets a connection's blocks; what is not the pattern's next event goes to ``otherwise``.

    The size of an event must have been seen before, anywhere (``framing.known_size``).
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

    def feed(self, data: bytes) -> None:
        """A block: passed on at once if it is one event behind a size line as long as the one learned from."""
        text = data[self._text_at]
        if (
            text
            and data[self._foot_at] == self._foot
            and data[self._head_at] == self._head
            and known_size(data[self._line_at]) == len(data) - self._around
            and (_QUOTE not in text or _are_escaped(text))
            and text[-1] != _BACKSLASH
            and _LF not in text
            and _CR not in text
        ):
            keep, write = self._keep, self._write
            keep(text)
            self.passed_bytes += len(data)
            write(data)
        elif data[self._foot_at] != self._foot or not self._pass_on_frames(data):
            self._otherwise(data)

    def _pass_on_frames(self, data: bytes) -> bool:
        """The same for any number of frames: what comes faster than it is read, or was held up on the way."""
        pieces = data.split(b"\r\n")
        if pieces[-1]:
            return False
        lines, payloads = pieces[:-1:2], pieces[1::2]
        head, foot = self._head[2:], self._foot[:-2]
        start, end = len(head), -len(foot)
        texts = [payload[start:end] for payload in payloads if payload[:start] == head and payload[end:] == foot]
        if len(texts) < len(lines) or b"" in texts or list(map(known_size, lines)) != list(map(len, payloads)):
            return False
        text = b"\0".join(texts)
        if _LF in text or _CR in text or text[-1] == _BACKSLASH or text.find(b"\\\0") >= 0 or not _are_escaped(text):
            return False
        self._keep(text.replace(b"\0", b""))
        self.passed_bytes += len(data)
        self._write(data)
        return True

    def take(self) -> tuple[bytes, bytes] | None:
        """The events since the last call: one with all their text, and the last, or one like it; None: no events."""
        if self._told == self.passed_bytes:
            return None
        self._told = self.passed_bytes
        pattern = Pattern(self._head[2:], self._between, self._foot[:-2])
        whole = pattern.event(bytes(self._text))
        self._text.clear()
        return whole, self._last_event() or pattern.event(b"")

    def _last_event(self) -> bytes:
        return b""


class VaryingEvents(UsualEvents):
    """Where a number counts the events, or padding follows the text: the same at twice the cost, one event a block."""

    __slots__ = ("_last", "_number_ends", "_number_starts", "_ones")

    def __init__(
        self, pattern: Pattern, write: Callable[[bytes], None], otherwise: Callable[[bytes], None], *, keeps: bool
    ) -> None:
        super().__init__(pattern, 0, write, otherwise, keeps=keeps)
        self._ones = b"1" * pattern.digits
        # behind the size line, which is as long as it is
        self._number_starts = pattern.number_at + (2 if pattern.number_at > 0 else -2)
        self._number_ends = self._number_starts + pattern.digits
        #: the last block with a number: whoever adds an event counts on
        self._last = b""

    def feed(self, data: bytes) -> None:
        line_end = data.find(b"\r\n")
        event, ones, between = data[line_end:], self._ones, self._between
        if ones and event[self._number_starts : self._number_ends].isdigit():
            event = event[: self._number_starts] + ones + event[self._number_ends :]
        text, padding = event[self._text_at], b"0"
        if between:
            text, _, padding = text.partition(between)
        if (
            text
            and event[self._foot_at] == self._foot
            and event[self._head_at] == self._head
            and known_size(data[:line_end]) == len(event) - 4
            and (_QUOTE not in text or _are_escaped(text))
            and text[-1] != _BACKSLASH
            and _LF not in text
            and _CR not in text
            and padding.isalnum()
        ):
            self._keep(text)
            self.passed_bytes += len(data)
            if ones:
                self._last = data
            self._write(data)
        else:
            self._otherwise(data)

    def _last_event(self) -> bytes:
        return self._last.partition(b"\r\n")[2][:-2]


def _are_escaped(text: bytes) -> bool:
    """Whether no quotation mark in it ends a string; code and arguments of tools are full of them."""
    return _QUOTE not in text.replace(rb"\\", b"").replace(rb"\"", b"")


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
    if pattern is None:
        return None
    if pattern.between or pattern.digits:
        return VaryingEvents(pattern, write, otherwise, keeps=keeps)
    return UsualEvents(pattern, len(pieces[-3]), write, otherwise, keeps=keeps)
