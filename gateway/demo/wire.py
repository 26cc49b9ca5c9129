"""HTTP/1.1 as bytes: an incremental request parser and the writing of heads and frames. Pure, no sockets.

1. A request is handed out only when its body is complete.
2. Pipelined requests come out in order.
3. Whatever cannot be understood raises BadRequestError, and the connection is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

MAX_HEAD = 256 * 1024
MAX_BODY = 64 * 1024 * 1024

Headers = tuple[tuple[str, str], ...]


class BadRequestError(ValueError):
    """The bytes are not a request that this server takes."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as received. Header names are kept as sent; ``header`` ignores case."""

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first value of a header, given in lower case."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None

    @property
    def keep_alive(self) -> bool:
        connection = (self.header("connection") or "").lower()
        return connection != "close" and (self.version != "HTTP/1.0" or connection == "keep-alive")


class RequestParser:
    """Feed it bytes; iterate over what is complete."""

    __slots__ = ("_buffer", "_head", "_length", "_pieces")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head: Request | None = None
        #: bytes of body expected; None: chunked
        self._length: int | None = 0
        self._pieces = bytearray()

    @property
    def waits_for_body(self) -> Request | None:
        """The request whose head is complete and whose body is not."""
        return self._head

    def feed(self, received: bytes) -> Iterator[Request]:
        """Everything that these bytes complete. Must be exhausted."""
        self._buffer += received
        while True:
            if self._head is None and not self._read_head():
                return
            body = self._read_sized() if self._length is not None else self._read_chunked()
            if body is None:
                return
            head, self._head = self._head, None
            if head is not None:
                yield Request(head.method, head.target, head.version, head.headers, body)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadRequestError("request head too large")
            return False
        text = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + 4]
        first, *lines = text.split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequestError("malformed request line")
        headers = tuple(_split_header(line) for line in lines)
        self._head = Request(words[0], words[1], words[2], headers, b"")
        self._length = self._declared_length(self._head)
        return True

    @staticmethod
    def _declared_length(head: Request) -> int | None:
        if (head.header("transfer-encoding") or "").lower() == "chunked":
            return None
        text = head.header("content-length") or "0"
        if not text.isdecimal() or int(text) > MAX_BODY:
            raise BadRequestError("bad content-length")
        return int(text)

    def _read_sized(self) -> bytes | None:
        length = self._length or 0
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_chunked(self) -> bytes | None:
        while True:
            line_end = self._buffer.find(b"\r\n")
            if line_end < 0:
                return None
            try:
                size = int(self._buffer[:line_end].split(b";")[0], 16)
            except ValueError:
                raise BadRequestError("bad chunk size") from None
            whole = line_end + 2 + size + 2
            if len(self._pieces) + size > MAX_BODY:
                raise BadRequestError("body too large")
            if len(self._buffer) < whole:
                return None
            self._pieces += self._buffer[line_end + 2 : whole - 2]
            del self._buffer[:whole]
            if size == 0:
                body = bytes(self._pieces)
                self._pieces.clear()
                return body


def _split_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise BadRequestError("malformed header")
    return name, value.strip()


_REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Overloaded"}


def render_head(status: int, headers: Iterable[tuple[str, str]], now_s: float) -> bytes:
    """Status line and headers, ``date`` first, with the empty line."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}", f"Date: {formatdate(now_s, usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


LAST_CHUNK = b"0\r\n\r\n"


def frame(payload: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)
