"""The path of a request, top to bottom: accept, request phase, commit, relay, settle, record.

The only writer to the downstream side. What happens between the request phase and the commit (plan, attempts,
failover) is in ``gateway.ai.failover``; it gives back an answer that is held, or an error.

Invariants
    1. Every request ends in exactly one record, also when its client left (AG-330).
    2. Nothing is written before the response phase has agreed to status and headers (AG-171).
    3. An unexpected exception is a 500 without details, never a half answer (AG-305).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import errors
from gateway.ai.inbound import header_block
from gateway.errors import GatewayError, failure
from gateway.exchange import Exchange, RequestHead, ResponseHead
from gateway.observability.tally import SurfaceTally
from gateway.policy.action import OUTCOMES, CloseConnection, Forward, Refuse, Respond
from gateway.policy.engine import run_phase
from gateway.proxy import respond
from gateway.proxy.accept import connection_facts, open_exchange, read_head
from gateway.proxy.commit import commit_forward
from gateway.proxy.connecting import judge, report_closed
from gateway.proxy.heads import HeadTable
from gateway.proxy.phases import response_phase, unhandled
from gateway.proxy.turnstile import Turnstile
from gateway.upstream.deadlines import Deadlines

if TYPE_CHECKING:
    from aiohttp.http_parser import RawRequestMessage

    from gateway.clock import Clock
    from gateway.policy.action import Outcome
    from gateway.proxy.announced import Announced
    from gateway.proxy.downstream import Downstream
    from gateway.snapshot import Listener, SnapshotRef


@dataclass(slots=True, kw_only=True)
class HandlerParts:
    """What a handler is built from. ``record``: one finished exchange; ``fault``: an unexpected exception."""

    snapshot: SnapshotRef
    listener: Listener
    clock: Clock
    next_id: Callable[[], str]
    record: Callable[[Exchange], None]
    fault: Callable[[BaseException, Exchange | None], None]
    max_connections: int = 20_000


class Handler:
    """Serves one listener (``downstream.RequestServer``)."""

    def __init__(self, parts: HandlerParts) -> None:
        self._parts = parts
        self._date = respond.DateLine(parts.clock)
        self.heads = HeadTable()
        loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(loop)
        self.turnstile = Turnstile(loop)
        #: connections open, for the limit and for draining
        self.connections: set[Downstream] = set()
        #: new connections of a listener behind a PROXY protocol, until they are connected
        self.announced: dict[Downstream, Announced] = {}
        #: what is logged when a connection closes (TP-425)
        self._closing: dict[Downstream, Mapping[str, Any]] = {}
        #: requests being served
        self.inflight = 0
        #: requests that were refused before their endpoint was known
        self.refused = SurfaceTally()
        self._idle: asyncio.Event | None = None
        self.stopping = False
        #: called when the number of connections falls below the limit again
        self.on_room: Callable[[], None] | None = None

    # ---- downstream.RequestServer ---------------------------------------------------------------------------------

    def connected(self, downstream: Downstream) -> bool:
        if self.stopping:
            return False
        assert downstream.transport is not None
        conn = downstream.conn = connection_facts(
            downstream.transport, self._parts.clock, self.announced.get(downstream) if self.announced else None
        )
        try:
            verdict = judge(conn, self._parts)
        except Exception as exception:  # noqa: BLE001 - a phase that cannot be run must not let anybody in
            self._parts.fault(exception, None)
            return False
        if not verdict.admitted:
            report_closed(verdict.event)
            return False
        if verdict.event is not None:
            self._closing[downstream] = verdict.event
        self.connections.add(downstream)
        return True

    def disconnected(self, downstream: Downstream) -> None:
        self.connections.discard(downstream)
        if self._closing:
            report_closed(self._closing.pop(downstream, None))
        if self.on_room is not None and len(self.connections) < self._parts.max_connections:
            self.on_room()

    def refuse(self, downstream: Downstream, error: GatewayError) -> None:
        self.refused.note(error.status, error)
        request_id = self._parts.next_id()
        headers = header_block(respond.error_headers(error, None)) + respond.id_lines(request_id)
        body = respond.error_body(error, "", request_id)
        downstream.write(respond.complete_response(error.status, self._date() + headers, body, keep_alive=False))

    def is_eager(self, head: RequestHead) -> bool:
        """Where nothing but a model's answer is waited for."""
        endpoint = head.endpoint
        return endpoint is not None and endpoint.is_eager and head.snapshot is self._parts.snapshot.current

    async def serve(self, downstream: Downstream, head: RawRequestMessage | RequestHead) -> bool:
        """One request, start to end. True: the connection may be used again."""
        exchange: Exchange | None = None
        self.inflight += 1
        try:
            if not isinstance(head, RequestHead):
                head = self._read(downstream, head)
            downstream.exchange = exchange = open_exchange(downstream, head, self._parts)
            outcome = run_phase(exchange.endpoint.request_phase, exchange)
            if outcome is not None and not isinstance(outcome, OUTCOMES):
                outcome = await outcome
            if type(outcome) is Forward:
                waiting = commit_forward(exchange, downstream, outcome.held)
                if waiting is not None:
                    await waiting
            else:
                await self._answer(exchange, downstream, outcome)
        except GatewayError as error:
            self._send_error(exchange, error, downstream)
        except asyncio.CancelledError:
            self._cancelled(exchange, downstream)
            raise
        except Exception as exception:  # noqa: BLE001 - invariant 3: whatever it was, the client gets a plain 500
            self._parts.fault(exception, exchange)
            internal = failure(errors.INTERNAL)
            internal.cause = type(exception).__name__
            self._send_error(exchange, internal, downstream)
        finally:
            self.inflight -= 1
            downstream.exchange = None
            if self._idle is not None and not self.inflight:
                self._idle.set()
            if exchange is not None:
                self._settle(exchange)
        return exchange is not None and exchange.keep_alive and not downstream.draining

    def _read(self, downstream: Downstream, message: RawRequestMessage) -> RequestHead:
        """Judges a parsed head, and remembers it if it may come again."""
        key, downstream.learning = downstream.learning, b""
        head = read_head(downstream, message)
        if key:
            self.heads.learn(key, head)
        return head

    async def drain(self, limit_s: float) -> None:
        """Returns when no request is being served any more, or after ``limit_s``."""
        if self.inflight:
            self._idle = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._idle.wait()

    # ---- phases ---------------------------------------------------------------------------------------------------

    async def _answer(self, exchange: Exchange, downstream: Downstream, outcome: Outcome) -> None:
        if outcome is None:
            outcome = await unhandled(exchange)
        if isinstance(outcome, Forward):
            waiting = commit_forward(exchange, downstream, outcome.held)
            if waiting is not None:
                await waiting
        elif isinstance(outcome, Respond):
            await self._respond(exchange, downstream, outcome)
        elif isinstance(outcome, Refuse):
            await self._refuse_by_policy(exchange, downstream, outcome)
        elif isinstance(outcome, CloseConnection):
            exchange.keep_alive = False
            downstream.abort()
        else:
            raise TypeError(f"unknown outcome {outcome!r}")

    async def _respond(self, exchange: Exchange, downstream: Downstream, outcome: Respond) -> None:
        head = ResponseHead(outcome.status, outcome.headers, outcome.body)
        exchange.response = head
        if outcome.run_response_phase:
            await response_phase(exchange)
        self._send(exchange, downstream, exchange.response)

    async def _refuse_by_policy(self, exchange: Exchange, downstream: Downstream, outcome: Refuse) -> None:
        error = exchange.error = outcome.error
        exchange.keep_alive = exchange.keep_alive and not error.close
        head = ResponseHead(
            error.status, respond.error_headers(error, exchange), respond.error_body(error, exchange.path, exchange.id)
        )
        exchange.response = head
        if outcome.run_response_phase and exchange.endpoint.response_phase is not None:
            await response_phase(exchange)
        self._send(exchange, downstream, exchange.response)

    # ---- writing --------------------------------------------------------------------------------------------------

    def _send(self, exchange: Exchange, downstream: Downstream, head: ResponseHead) -> None:
        """A complete answer of the gateway's own."""
        exchange.status = head.status
        if "expect" in exchange.headers and not downstream.body_is_here:
            exchange.keep_alive = False  # whether the client still sends its body nobody knows (RFC 9110, 10.1.1)
        keep_alive = exchange.keep_alive = exchange.keep_alive and not downstream.draining
        body = head.body or b""
        headers = self._date() + header_block(head.headers) + respond.id_lines(exchange.id)
        exchange.sent_bytes = len(body)
        downstream.write(
            respond.complete_response(
                head.status, headers, body, keep_alive=keep_alive, head_only=exchange.method == "HEAD",
                keep_alive_10=exchange.http_version != "HTTP/1.1",
            )
        )  # fmt: skip

    def _send_error(self, exchange: Exchange | None, error: GatewayError, downstream: Downstream) -> None:
        if downstream.relay is not None:  # committed already: all that is left is to cut (AG-171)
            downstream.abort()
            return
        if exchange is None:
            error.close = True
            self.refuse(downstream, error)
            return
        exchange.error = error
        exchange.keep_alive = exchange.keep_alive and not error.close
        headers = respond.error_headers(error, exchange)
        body = respond.error_body(error, exchange.path, exchange.id)
        self._send(exchange, downstream, ResponseHead(error.status, headers, body))

    def _cancelled(self, exchange: Exchange | None, downstream: Downstream) -> None:
        """The client left, or the drain time is over (AG-265, AG-267)."""
        if exchange is None:
            return
        if downstream.transport is None:
            exchange.client_gone = True
            exchange.status = 499
            return
        exchange.error = failure(errors.SHUTTING_DOWN)
        exchange.keep_alive = False
        headers = respond.error_headers(exchange.error, exchange)
        body = respond.error_body(exchange.error, exchange.path, exchange.id)
        self._send(exchange, downstream, ResponseHead(503, headers, body))

    def _settle(self, exchange: Exchange) -> None:
        for settle in exchange.settlers:
            try:
                settle(exchange)
            except Exception as exception:  # noqa: BLE001 - one settler's bug must not keep the others from running
                self._parts.fault(exception, exchange)
        exchange.endpoint.tally.count(exchange)
        record = self._parts.record
        record(exchange)
        exchange.scope = None  # refers back to the exchange: no cycle is left for the collector
