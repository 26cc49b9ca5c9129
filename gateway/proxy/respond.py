"""Answers that the gateway makes itself: errors in the caller's dialect, local responses, heads of relayed ones.

Invariants
    1. Every answer carries ``x-gateway-request-id``; the gateway's own carry the same id under the names SDKs read.
    2. ``ngrok-error-code`` is set here only, never taken from an upstream (AG-300, TP-700).
"""

from __future__ import annotations

import http
from email.utils import formatdate
from typing import TYPE_CHECKING

from gateway.ai.dialects import dialect_for
from gateway.ai.surfaces import path_format
from gateway.headers import HeaderMap

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.errors import GatewayError
    from gateway.exchange import Exchange

_STATUS_LINES: dict[int, bytes] = {}
_NO_BODY = frozenset((204, 304))
SHORT_RETRY_S = 60


def status_line(status: int) -> bytes:
    """``b"HTTP/1.1 200 OK\\r\\n"``."""
    line = _STATUS_LINES.get(status)
    if line is None:
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"
        line = _STATUS_LINES[status] = f"HTTP/1.1 {status} {phrase}\r\n".encode()
    return line


class DateLine:
    """The ``date`` header line, rendered once a second."""

    __slots__ = ("_clock", "_line", "_second")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = -1
        self._line = b""

    def __call__(self) -> bytes:
        second = int(self._clock.now())
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


def error_headers(error: GatewayError, exchange: Exchange | None) -> HeaderMap:
    """Headers of an error answer: code, retry advice for SDKs (AG-178, AG-179, lessons 2.1)."""
    headers = HeaderMap.of(error.headers)
    headers.set("content-type", "application/json")
    headers.set("ngrok-error-code", error.code)
    status = error.status
    retry_after = headers.first("retry-after")
    wait_s = int(retry_after) if retry_after is not None and retry_after.isdigit() else None
    attempts = len(exchange.attempts) if exchange is not None else 0
    if (status < 500 and status not in (408, 429)) or (wait_s is not None and wait_s > SHORT_RETRY_S):
        headers.set("x-should-retry", "false")
    elif status in (429, 503) and wait_s is not None:
        headers.set("retry-after-ms", str(wait_s * 1000))
    elif status in (502, 503, 504) and wait_s is None and attempts > 1:
        headers.set("x-should-retry", "false")
    return headers


def error_body(error: GatewayError, path: str, request_id: str) -> bytes:
    """The JSON body, in the format of the request's path (AG-300)."""
    return dialect_for(path_format(path)).error_body(error, request_id)


def id_lines(request_id: str) -> bytes:
    """The request id under all three names, for answers that the gateway makes itself (AG-221)."""
    encoded = request_id.encode()
    return b"x-gateway-request-id: %b\r\nx-request-id: %b\r\nrequest-id: %b\r\n" % (encoded, encoded, encoded)


def complete_response(
    status: int, headers: bytes, body: bytes, *, keep_alive: bool, head_only: bool = False, keep_alive_10: bool = False
) -> bytes:
    """A whole response with its content-length; 204 and 304 have no body (TP-223)."""
    line = _STATUS_LINES.get(status) or status_line(status)
    if keep_alive and not head_only and not keep_alive_10 and status not in _NO_BODY:
        return b"".join((line, headers, b"content-length: %d\r\n\r\n" % len(body), body))
    if status in _NO_BODY:
        body = b""
        length = b""
    else:
        length = b"content-length: %d\r\n" % len(body)
    connection = (
        b"" if keep_alive and not keep_alive_10 else b"connection: %b\r\n" % (b"keep-alive" if keep_alive else b"close")
    )
    return b"".join((line, headers, length, connection, b"\r\n", b"" if head_only else body))
