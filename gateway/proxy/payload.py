"""Bodies and refusals of requests as aiohttp's parser gives them: the limits of SV-26, and the gateway's errors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp.http_exceptions import LineTooLong

from gateway import errors
from gateway.errors import GatewayError, failure

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

HEAD_LIMIT_BYTES = 32_768
REQUEST_LINE_LIMIT_BYTES = 8_192
HEADERS_LIMIT = 128
BODY_STALL_S = 30.0
LINGER_S = 2.0
_LINGER_BYTES = 1_048_576


async def read_payload(payload: StreamReader, limit_bytes: int) -> bytes:
    """The whole body as sent; raises GatewayError when it is too long, stalls or is malformed."""
    try:
        if payload.is_eof():
            whole = payload.read_nowait()
            if len(whole) > limit_bytes:
                raise too_large(limit_bytes)
            return whole
        return await _collect(payload, limit_bytes)
    except (GatewayError, asyncio.CancelledError):
        raise
    except TimeoutError:
        overdue = failure(errors.REQUEST_TIMEOUT)
        overdue.close = True
        raise overdue from None
    except Exception as error:
        # aiohttp sets whatever its parser raised on the stream: framing errors of many types
        refused = failure(errors.BAD_REQUEST, reason=f"malformed request body ({type(error).__name__})")
        refused.close = True
        raise refused from error


async def _collect(payload: StreamReader, limit_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while not payload.at_eof():
        async with asyncio.timeout(BODY_STALL_S):
            piece = await payload.readany()
        size += len(piece)
        if size > limit_bytes:
            raise too_large(limit_bytes)
        pieces.append(piece)
    return b"".join(pieces)


async def discard(payload: StreamReader) -> bool:
    """Reads away a body that nobody wanted, so that the answer is not lost to a reset. False: it was too much."""
    try:
        async with asyncio.timeout(LINGER_S):
            taken = 0
            while not payload.is_eof() and taken < _LINGER_BYTES:
                taken += len(await payload.readany())
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001 - the parser's own errors have no common base; the connection just closes
        return False
    return payload.is_eof()


def too_large(limit_bytes: int) -> GatewayError:
    """413; the rest of the body is not read."""
    error = failure(errors.INVALID_BODY, reason=f"the body is larger than {limit_bytes} bytes")
    error.status = 413
    error.close = True
    return error


def refusal(exc: BaseException) -> GatewayError:
    """The answer to a head that aiohttp's parser refused (SV-26)."""
    if isinstance(exc, LineTooLong):
        error = failure(errors.URI_TOO_LONG, reason="a line of the request head is too long")
        if exc.args[1] == REQUEST_LINE_LIMIT_BYTES:
            error.status = 414
    elif "Too many headers" in str(exc):
        error = failure(errors.URI_TOO_LONG, reason=f"more than {HEADERS_LIMIT} headers")
    else:
        error = failure(errors.BAD_REQUEST, reason="malformed request")
    error.close = True
    return error
