"""The client's side of a connection in memory: the bytes of a request, and a transport that keeps what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.headers import HeaderMap
from gateway.policy_tools.documents import CHAT_PATH, CLIENT_IP, HOST, MODEL, RequestPart, body_bytes

_SERVER = ("192.0.2.1", 443)
_CLIENT_PORT = 50_000
#: what is asked where a case says nothing
_TALKATIVE = frozenset((CHAT_PATH, "/v1/messages"))


class MemoryTransport(asyncio.Transport):
    """The transport of one connection. ``ended`` is called when the server closes it."""

    def __init__(self, client_ip: str, ended: Callable[[], None]) -> None:
        super().__init__({"peername": (client_ip, _CLIENT_PORT), "sockname": _SERVER})
        self._ended = ended
        self._closing = False
        self.aborted = False
        self.written = bytearray()

    def write(self, payload: bytes | bytearray | memoryview) -> None:
        self.written += payload

    def writelines(self, payloads: Any) -> None:
        for payload in payloads:
            self.written += payload

    def close(self) -> None:
        self._closing = True
        self._ended()

    def abort(self) -> None:
        self.aborted = True
        self.close()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        """There is nothing to pause: the request is here."""

    def resume_reading(self) -> None:
        """See ``pause_reading``."""

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""


def request_bytes(request: RequestPart) -> tuple[bytes, HeaderMap]:
    """The request as a client sends it, and its headers."""
    path = request.path or CHAT_PATH
    body = _body(request, path)
    method = request.method or ("POST" if body else "GET")
    lines = _lines(request, body)
    head = b"".join(b"%b: %b\r\n" % line for line in lines)
    first = f"{method} {path} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")
    return b"%b%b\r\n%b" % (first, head, body), HeaderMap.from_raw(lines)


def client_ip(request: RequestPart) -> str:
    """Where a request comes from."""
    return request.client_ip or CLIENT_IP


def _body(request: RequestPart, path: str) -> bytes:
    """The body, or that of a short conversation where an API wants one."""
    if request.body is not None:
        return body_bytes(request.body)
    if request.method not in (None, "POST") or path.partition("?")[0] not in _TALKATIVE:
        return b""
    body: dict[str, Any] = {"model": request.model or MODEL, "messages": [{"role": "user", "content": "Hello!"}]}
    if path.startswith("/v1/messages"):
        body["max_tokens"] = 64
    if request.stream is not None:
        body["stream"] = request.stream
    return body_bytes(body)


def _lines(request: RequestPart, body: bytes) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in request.headers}
    lines = [("host", request.host or HOST)] if "host" not in given else []
    if body and "content-type" not in given:
        lines.append(("content-type", "application/json"))
    if body and "content-length" not in given:
        lines.append(("content-length", str(len(body))))
    lines += [(name, value) for name, values in request.headers for value in values or ()]
    return [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in lines]


def parse_answer(written: bytes) -> tuple[int, HeaderMap, bytes]:
    """Status, headers and body of an answer, chunks put together."""
    head, _, body = written.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100 "):
        return parse_answer(body)
    first, *lines = head.split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    headers = HeaderMap.from_raw((name, value) for name, _, value in pairs)
    if headers.first("transfer-encoding") == "chunked":
        body = _joined(body)
    return int(first.split(b" ")[1]), headers, body


def _joined(chunks: bytes) -> bytes:
    whole = b""
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        whole += rest[:length]
        chunks = rest[length + 2 :] if length else b""
    return whole
