"""Server-sent events, sans I/O: bytes in, events out (the event stream format of the HTML standard).

Works on bytes, never on text, so that a character or an event may be split anywhere (P12). What an event is:

1. A line ends in LF, CRLF or CR; an event ends with the first empty line after it began.
2. Every byte fed is part of the ``raw`` of exactly one event: joined, they are the stream.
3. The same bytes give the same events, however they were cut before feeding.
4. Nothing grows without bound: an event longer than the limit raises EventTooLargeError.

A CR that ends the block behind an LF may be the first half of a CRLF, so such an event waits for one more byte;
behind a lone CR it is complete at once, and a following LF opens the next event's ``raw``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

DEFAULT_LIMIT_BYTES = 1 << 20

#: the end of an event: two line ends in a row, the second one known to be whole (see the module's docstring)
_EVENT_END = re.compile(rb"\n\n|\r\r|\n\r\n|\n\r(?=[^\n])")
_MIXED_END = re.compile(rb"\n\r(?=[^\n])")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
#: events that only say "still there" (AG-164, P10); ``keepalive`` is what the Responses API sends
_PINGS = frozenset({"ping", "keepalive"})
#: how a block that may be a ping begins; anything else is output, decided by one C call
_PING_STARTS = (b":", b"event: ping", b"event:ping", b"event: keepalive", b"event:keepalive", b"\n", b"\r", _BOM)


class EventTooLargeError(ValueError):
    """One event is longer than the limit (AG-266: fail closed). ``before``: the events that came whole before it."""

    def __init__(self, limit_bytes: int, before: list[SseEvent]) -> None:
        super().__init__(f"an event of more than {limit_bytes} bytes")
        self.before = before


class SseEvent:
    """One event. ``data`` is None where no ``data`` line was given: comments, or nothing but blank lines."""

    __slots__ = ("data", "event", "id", "raw", "retry")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.event = ""
        self.id: str | None = None
        self.retry: int | None = None
        self.data: bytes | None = None
        self._read(raw)

    def _read(self, raw: bytes) -> None:
        if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and raw.endswith(b"\n\n") and b"\r" not in raw:
            self.data = raw[6:-2]
            return
        if raw.startswith(_BOM):
            raw = raw[3:]
        data: list[bytes] | None = None
        for line in _LINE_END.split(raw) if b"\r" in raw else raw.split(b"\n"):
            name, _, value = line.partition(b":")
            if value.startswith(b" "):
                value = value[1:]
            if name == b"data":
                if data is None:
                    data = [value]
                else:
                    data.append(value)
            elif name == b"event":
                self.event = value.decode("utf-8", "replace")
            else:
                self._read_rare(name, value)
        if data is not None:
            self.data = data[0] if len(data) == 1 else b"\n".join(data)

    def _read_rare(self, name: bytes, value: bytes) -> None:
        if name == b"id" and b"\0" not in value:
            self.id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) < 16:
            self.retry = int(value)

    @property
    def is_ping(self) -> bool:
        """Nothing that a model produced: a comment, blank lines, or a ``ping`` event."""
        return self.data is None or self.event in _PINGS

    def __repr__(self) -> str:
        return f"SseEvent(event={self.event!r}, data={self.data!r}, id={self.id!r}, retry={self.retry!r})"


class SseParser:
    """Cuts a stream into events: ``feed`` what arrives, in any pieces."""

    __slots__ = ("_limit", "_pending", "_scanned")

    def __init__(self, *, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._pending = bytearray()
        #: how much of the pending bytes is known to hold no end
        self._scanned = 0

    @property
    def pending(self) -> bytes:
        """The bytes of the event that has not ended yet."""
        return bytes(self._pending)

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that these bytes complete; raises EventTooLargeError."""
        pending = self._pending
        source: bytes | bytearray = data
        position = scan = 0
        if pending:
            pending += data
            source = pending
            scan = self._scanned
        events: list[SseEvent] = []
        for end in _event_ends(source, scan):
            if end - position > self._limit:
                raise EventTooLargeError(self._limit, events)
            events.append(SseEvent(bytes(source[position:end])))
            position = end
        rest = len(source) - position
        if rest > self._limit:
            raise EventTooLargeError(self._limit, events)
        if source is pending:
            del pending[:position]
        elif rest:
            pending += data[position:]
        # an end is at most three bytes long, so its first two may stand here already
        self._scanned = max(0, rest - 2)
        return events

    def close(self) -> SseEvent | None:
        """The unfinished event at the end of the stream, if any; clients ignore it, a relay must not add to it."""
        pending, self._pending, self._scanned = self._pending, bytearray(), 0
        return SseEvent(bytes(pending)) if pending else None


def boundary(data: bytes) -> int:
    """The index just behind the last complete event in ``data``, 0 if none is complete.

    ``data`` must begin where the previous call's boundary was: what is behind the boundary is held back and put
    in front of what arrives next.
    """
    if data.endswith(b"\n\n") or data.endswith(b"\r\n\r\n"):
        return len(data)
    last = data.rfind(b"\n\n")
    last = last + 2 if last >= 0 else 0
    if b"\r" not in data:
        return last
    for mark in (b"\n\r\n", b"\r\r"):
        if (found := data.rfind(mark, max(0, last - 1))) >= 0:
            last = max(last, found + len(mark))
    for end in _MIXED_END.finditer(data, max(0, last - 1)):
        last = end.end()
    return last


def events_of(block: bytes) -> Iterator[SseEvent]:
    """The complete events of a block that begins at an event's start; what is incomplete is left out."""
    position = 0
    for end in _event_ends(block, 0):
        yield SseEvent(block[position:end])
        position = end


def _event_ends(data: bytes | bytearray, start: int) -> Iterator[int]:
    """The index behind every event that ends in ``data``; without CR, which is the rule, by plain search."""
    if b"\r" in data:
        yield from (end.end() for end in _EVENT_END.finditer(data, start))
        return
    while (end := data.find(b"\n\n", start)) >= 0:
        start = end + 2
        yield start


def is_ping(block: bytes) -> bool:
    """Whether a block of complete events holds nothing but comments and ``ping`` events (AG-164)."""
    return block.startswith(_PING_STARTS) and all(event.is_ping for event in events_of(block))


def format_event(data: bytes | None, *, event: str = "", id: str | None = None, retry: int | None = None) -> bytes:
    """An event as it goes on the wire, with LF (AG-266); the names are kept on one line each."""
    lines: list[bytes] = []
    if event:
        lines.append(b"event: " + _one_line(event))
    if id is not None:
        lines.append(b"id: " + _one_line(id))
    if retry is not None:
        lines.append(b"retry: %d" % retry)
    if data is not None:
        lines.extend(b"data: " + line for line in _LINE_END.split(data))
    lines.append(b"\n")
    return b"\n".join(lines)


def _one_line(text: str) -> bytes:
    return _LINE_END.sub(b" ", text.encode("utf-8", "surrogateescape"))
