"""``on_tcp_connect``: what a policy says to a connection before it reads anything from it (TP-46, TP-56).

The exchange of this phase has a connection and an endpoint, and nothing of HTTP. Every action that may stand in the
phase decides at once; one that wanted to wait would close the connection, as any failure does.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

from gateway.exchange import Exchange
from gateway.headers import HeaderMap
from gateway.policy.engine import run_phase

if TYPE_CHECKING:
    from gateway.exchange import Connection
    from gateway.policy.action import Outcome
    from gateway.policy.compile import CompiledPhase
    from gateway.proxy.handler import HandlerParts
    from gateway.snapshot import Endpoint

log = logging.getLogger("gateway.connections")


def admits(conn: Connection, parts: HandlerParts) -> bool:
    """Whether the connection may stay."""
    snapshot = parts.snapshot.current
    endpoint = parts.listener.connect_endpoint(snapshot)
    if endpoint is None or endpoint.connect_phase is None:
        return True
    exchange = _exchange(conn, endpoint, parts)
    outcome = _decide(endpoint.connect_phase, exchange)
    if exchange.log_metadata:
        fields = {"client_ip": conn.client_ip, "endpoint": endpoint.id, "logs": exchange.log_metadata}
        log.info("connection from %s", conn.client_ip, extra={"event": "connection", "fields": fields})
    if outcome is None:
        return True
    error = getattr(outcome, "error", None)
    if error is not None:
        reason = error.cause or error.message
        log.info("connection from %s closed: %s %s", conn.client_ip, error.code, reason)
    return False


def _decide(phase: CompiledPhase, exchange: Exchange) -> Outcome:
    outcome = run_phase(phase, exchange)
    exchange.scope = None
    if inspect.iscoroutine(outcome):
        outcome.close()
        raise TypeError("an action waits in on_tcp_connect")
    return outcome  # type: ignore[return-value] # no awaitable any more


def _exchange(conn: Connection, endpoint: Endpoint, parts: HandlerParts) -> Exchange:
    return Exchange(
        request_id=parts.next_id(),
        snapshot=parts.snapshot.current,
        endpoint=endpoint,
        conn=conn,
        downstream=None,
        method="",
        raw_target="",
        path="",
        query="",
        host="",
        scheme=endpoint.scheme,
        headers=HeaderMap(),
        started=parts.clock.monotonic(),
        started_s=conn.started_s,
    )
