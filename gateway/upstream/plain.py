"""Answers of ordinary HTTP services: every header is kept, the body means nothing to the gateway (TP-50 (1)).

Reads a head as strictly as ``gateway.ai.inbound`` does, but drops no header beyond those of the connection.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar, Final

from gateway.upstream.framing import BadResponse

if TYPE_CHECKING:
    from gateway.upstream.sse import SseEvent

MAX_LINES: Final = 256
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
#: meant for one connection only (RFC 9110, 7.6.1), or written by whoever writes the body
HOP_BY_HOP: Final = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "content-length",
    )
)  # fmt: skip
EVENT_STREAM: Final = "text/event-stream"


class PlainHead:
    """One parsed head (``codec.Head``); ``lines`` are (lower-case name, value) as bytes."""

    __slots__ = ("chunked", "content_encoding", "content_length", "keep_alive", "lines", "media_type")

    def __init__(self, lines: list[tuple[bytes, bytes]], *, keep_alive: bool) -> None:
        self.lines = lines
        self.keep_alive = keep_alive
        self.chunked = False
        self.content_length: int | None = None
        self.media_type = ""
        self.content_encoding = ""

    @property
    def is_event_stream(self) -> bool:
        return self.media_type == EVENT_STREAM


def parse_plain_head(raw: bytes, minor: int = 1) -> PlainHead:
    """Status line and header lines, each with its CRLF; ``minor`` of HTTP/1.x. Raises BadResponse."""
    lines = raw.split(b"\r\n")[1:]
    if len(lines) > MAX_LINES or lines.pop():
        raise BadResponse("too many header lines, or one without its end")
    pairs = [_pair(line) for line in lines]
    head = PlainHead(pairs, keep_alive=minor == 1)
    lengths = {value for name, value in pairs if name == b"content-length"}
    codings = [value.lower() for name, value in pairs if name == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or lengths or minor == 0):
        raise BadResponse("unknown transfer coding, or one beside a length")
    head.chunked = bool(codings)
    if lengths:
        head.content_length = _length(lengths)
    for name, value in pairs:
        if name == b"content-type" and not head.media_type:
            head.media_type = value.partition(b";")[0].strip().decode("latin-1").lower()
    encodings = [value.decode("latin-1").lower().replace(" ", "") for name, value in pairs if name == _ENCODING]
    head.content_encoding = ",".join(coding for coding in encodings if coding not in ("", "identity"))
    _apply_connection(head)
    return head


_ENCODING: Final = b"content-encoding"


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise BadResponse("malformed header line")
    return name.lower(), value.strip(b" \t")


def _length(lengths: set[bytes]) -> int:
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 18:
        raise BadResponse("conflicting or malformed content-length")
    return int(length)


def _apply_connection(head: PlainHead) -> None:
    """``close``, ``keep-alive``, and the headers that are meant for this connection only."""
    words = {
        word.strip().lower()
        for name, value in head.lines
        if name == b"connection"
        for word in value.decode("latin-1").split(",")
    }
    if "close" in words:
        head.keep_alive = False
    elif "keep-alive" in words:
        head.keep_alive = True
    hop_by_hop = HOP_BY_HOP | words
    head.lines = [line for line in head.lines if line[0].decode("latin-1") not in hop_by_hop]


class PlainCodec:
    """Event streams of which nothing is known but that they are event streams (``codec.Codec``)."""

    end_marks: ClassVar[tuple[bytes, ...]] = ()

    def first_event_error(self, event: SseEvent) -> str | None:
        return None

    def error_event(self, code: str, message: str, last_block: bytes) -> bytes:
        """``event: error`` with code and message as JSON."""
        return b"event: error\ndata: %b\n\n" % json.dumps({"error": {"code": code, "message": message}}).encode()

    def has_ended(self, events: bytes) -> bool:
        """Such a stream has no end mark: its body's end is its end."""
        return True

    def strip_usage(self, events: bytes) -> bytes:
        return events
