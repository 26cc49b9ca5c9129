"""``on_tcp_connect``: what a policy says to a connection before it reads anything from it (TP-46, TP-56).

The exchange of this phase has a connection and an endpoint, and nothing of HTTP. Every action that may stand in the
phase decides at once; one that wanted to wait would close the connection, as any failure does.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a connection may stay; ``event`` is what has to be logged when it closes (TP-425)."""

    admitted: bool
    event: Mapping[str, Any] | None = None


_ADMITTED = Verdict(admitted=True)


def judge(conn: Connection, parts: HandlerParts) -> Verdict:
    """What the policy of the connection's endpoint says to it."""
    snapshot = parts.snapshot.current
    endpoint = parts.listener.connect_endpoint(snapshot)
    if endpoint is None or endpoint.connect_phase is None:
        return _ADMITTED
    exchange = _exchange(conn, endpoint, parts)
    outcome = _decide(endpoint.connect_phase, exchange)
    event = None
    if exchange.log_metadata:
        logs = {"logs": exchange.log_metadata}
        event = {"client_ip": conn.client_ip, "endpoint": endpoint.id, "traffic_policy": logs}
    if outcome is None:
        return Verdict(admitted=True, event=event)
    error = getattr(outcome, "error", None)
    if error is not None:
        reason = error.cause or error.message
        log.info("connection from %s closed: %s %s", conn.client_ip, error.code, reason)
    return Verdict(admitted=False, event=event)


def report_closed(event: Mapping[str, Any] | None) -> None:
    """A connection is over of which a policy wanted to log something."""
    if event is not None:
        extra = {"event": "tcp_connection_closed.v0", "fields": event}
        log.info("connection from %s closed", event["client_ip"], extra=extra)


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
