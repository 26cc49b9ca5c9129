"""The request body, decoded, for whoever needs it first: an action that reads or changes it, or the AI gateway.

``exchange.body`` keeps it. Decoding is bounded while it runs and happens off the event loop (P14).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import errors
from gateway.errors import GatewayError, failure
from gateway.upstream import decoding

if TYPE_CHECKING:
    from gateway.exchange import Exchange

_IDENTITY = frozenset(("", "identity"))
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def body_at_hand(exchange: Exchange, limit_bytes: int) -> bytes | None:
    """The body where it is here already and is not coded; None: ``request_body`` has to fetch it."""
    body: bytes | None = exchange.body
    if body is None:
        body = exchange.downstream.body_at_hand
        if body is None or len(body) > limit_bytes or "content-encoding" in exchange.headers:
            return None
        exchange.body = body
    return body


async def request_body(exchange: Exchange, limit_bytes: int) -> bytes:
    """At most ``limit_bytes``, before and after decoding; raises GatewayError 3801 with 413, 415 or 400."""
    if exchange.body is not None:
        return exchange.body
    return await keep_body(exchange, await raw_body(exchange, limit_bytes), limit_bytes)


async def raw_body(exchange: Exchange, limit_bytes: int) -> bytes:
    """The body as sent; for signatures. It can be read once: hand it to ``keep_body``."""
    expect = exchange.headers.get("expect")
    downstream = exchange.downstream
    waits = expect is not None and expect[0].lower() == "100-continue"
    if waits and not downstream.body_is_here and exchange.http_version == "HTTP/1.1":
        downstream.write(_CONTINUE)
    raw: bytes = await downstream.read_body(limit_bytes)
    return raw


async def keep_body(exchange: Exchange, raw: bytes, limit_bytes: int) -> bytes:
    """Decodes what ``raw_body`` gave and keeps it for everybody after."""
    codings = exchange.headers.get("content-encoding")
    if codings is not None:
        raw = await _decoded(raw, codings, limit_bytes)
        # what is kept is the decoded body: rules and upstreams must not see the old coding
        exchange.own_headers().pop("content-encoding", None)
    exchange.body = raw
    return raw


async def _decoded(raw: bytes, codings: list[str], limit_bytes: int) -> bytes:
    names = [name.strip().lower() for line in codings for name in line.split(",")]
    for name in reversed([name for name in names if name not in _IDENTITY]):
        if name not in decoding.CODINGS:
            raise _refused(415, f"unsupported content-encoding '{name[:32]}'")
        try:
            raw = await asyncio.to_thread(decoding.decode, name, raw, limit_bytes)
        except decoding.TooLarge:
            raise _refused(413, f"the decoded body is larger than {limit_bytes} bytes") from None
        except decoding.DecodeError as error:
            raise _refused(400, str(error)) from None
    return raw


def _refused(status: int, reason: str) -> GatewayError:
    error = failure(errors.INVALID_BODY, reason=reason)
    error.status = status
    return error
