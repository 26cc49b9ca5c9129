"""What the upstream's parts agree on: how a body is delimited, who receives it, and the small rules of HTTP/1.1 chunks.

Pure: ``connection`` walks the bytes.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from typing import Final, Protocol

from gateway.upstream.codec import Head

HEAD_LIMIT_BYTES = 65_536
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n\x00]{0,1024})?\Z")
_SIZES_LIMIT = 4_096
_USUAL_LINE_BYTES = 8
#: sizes that lines of chunk frames state, of all connections: a bounded cache
_SIZES: Final[dict[bytes, int]] = {}
#: the size for a line that was seen before, else None or what is given. (A function, not a method: what is imported
#: under a name and called by an attribute is looked up slowly, once per event.)
known_size = _SIZES.get
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n\x00]*)?")
_STATUS_LINES_LIMIT = 256
#: what status lines say, as ``status_of`` reads them: a bounded cache
_STATUS_LINES: Final[dict[bytes, tuple[int, int]]] = {}
known_status = _STATUS_LINES.get


class Framing(enum.Enum):
    """How a body is delimited (RFC 9112, 6.3)."""

    NONE = 0
    SIZED = 1
    CHUNKED = 2
    CLOSE = 3


#: as names of a module: read in a tenth of the time that a member of an enumeration takes
NO_BODY, SIZED = Framing.NONE, Framing.SIZED


class BadResponse(ValueError):  # noqa: N818 - reads as what it is
    """The upstream's bytes are not a valid HTTP/1.1 response."""


class Response(Protocol):
    """The receiver of a response's body."""

    def on_payload(self, payload: bytes) -> None: ...
    def on_frames(self, frames: bytes, payload_end: bytes) -> None:
        """Whole chunk frames; ``payload_end``: the last bytes of the last one's payload."""
        ...

    def on_event(self, frames: bytes) -> None:
        """The same for what is known to end with an event."""
        ...

    def on_end(self) -> None: ...
    def on_broken(self, reason: str) -> None: ...


class Receiver(Response, Protocol):
    """The receiver of a whole response: see ``attempt.Held``. After the head another may take its place."""

    def on_whole(self, status: int, head: Head, body: bytes) -> bool:
        """Takes head and body in one, where nothing about them has to be judged; ``on_end`` follows. False: no."""
        ...

    def on_head(self, status: int, head: Head, framing: Framing) -> None: ...


class Source(Protocol):
    """A connection as the receiver of its answer sees it."""

    response: Response | None
    #: bytes of the answer were seen
    received: bool
    #: the connection served another request before
    reused: bool

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def want_frames(self, first: Callable[[bytes], None] | None) -> None: ...
    def feed_frames(self, data: bytes) -> None: ...
    def abandon(self) -> None: ...


#: raw head (status line included, blank line excluded), HTTP minor version → parsed head
ParseHead = Callable[[bytes, int], Head]


def frame_size(line: bytes) -> int:
    """The size a chunk-size line states; strict, and a usual one is remembered since streams repeat their sizes."""
    match = _SIZE_LINE.match(line)
    if match is None:
        raise BadResponse("malformed chunk size")
    size = int(match[1], 16)
    if len(_SIZES) < _SIZES_LIMIT and len(line) <= _USUAL_LINE_BYTES:
        _SIZES[line] = size
    return size


def begun_head(data: bytes) -> bytes:
    """The same, if it may still become a head."""
    if len(data) > HEAD_LIMIT_BYTES:
        raise BadResponse("response head too large")
    if len(data) >= 5 and not data.startswith(b"HTTP/"):
        raise BadResponse("not an HTTP response")
    return data


def status_of(line: bytes) -> tuple[int, int]:
    """(status, minor version) of a status line without its line end."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise BadResponse("malformed status line")
    read = int(match[2]), int(match[1])
    if len(_STATUS_LINES) < _STATUS_LINES_LIMIT and len(line) <= 64:
        _STATUS_LINES[line] = read
    return read


def require_line_end(data: bytes, position: int) -> None:
    """After the payload of each chunk."""
    if data[position : position + 2] != b"\r\n":
        raise BadResponse("chunk without its line end")
