"""``.internal`` endpoints: reached by the policies of this gateway alone (``policy.internal``; TP-471, TP-540).

Nothing goes over a socket: the endpoint's policy runs over the same exchange (``forward-internal``), or over a new one
that nobody waits for but the policy that made it (``http-request``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import GatewayError, failure
from gateway.exchange import Exchange, ResponseHead
from gateway.headers import HeaderMap
from gateway.policy.action import Forward, Outcome, Refuse, Respond
from gateway.policy.engine import run_phase
from gateway.policy.paths import normalise
from gateway.policy.variables import request_changed, response_changed
from gateway.proxy import respond
from gateway.proxy.bodies import BodyReader, stream_rules, transformed, whole_stream
from gateway.proxy.commit import through_rules
from gateway.proxy.handed import Handed
from gateway.proxy.phases import response_phase, unhandled
from gateway.upstream.fetch import FetchAnswer, FetchError, FetchRequest, decoded_body
from gateway.upstream.relay import Ending

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.proxy.bodies import HeldAnswer
    from gateway.snapshot import Endpoint, Snapshot

MAX_ANSWER_BYTES = 262_144
_PORTS = {"http": 80, "https": 443}
#: written again by whoever writes the answer
_ID_HEADERS = ("x-gateway-request-id", "x-request-id", "request-id")


class GatewayEndpoints:
    """``policy.internal.InternalEndpoints``. ``record``: one finished exchange of an ``http-request``."""

    def __init__(self, clock: Clock, next_id: Callable[[], str], record: Callable[[Exchange], None]) -> None:
        self._clock = clock
        self._next_id = next_id
        self._record = record

    async def forward(self, exchange: Exchange, scheme: str, host: str, port: int | None) -> Outcome:
        """See the protocol. What this endpoint's policy knows of the request is hidden from the other, and back."""
        target = _find(exchange.snapshot, scheme, host, port)
        endpoint, scope, variables, results = exchange.endpoint, exchange.scope, exchange.vars, exchange.results
        error = exchange.error
        _forget_error(exchange)
        exchange.endpoint, exchange.scope, exchange.vars, exchange.results = target, None, {}, {}
        try:
            return await _served(exchange)
        finally:
            exchange.endpoint, exchange.scope, exchange.vars, exchange.results = endpoint, scope, variables, results
            exchange.error = exchange.error or error
            request_changed(exchange)
            response_changed(exchange)

    async def request(self, exchange: Exchange, request: FetchRequest, host: str, port: int | None) -> FetchAnswer:
        """See the protocol."""
        scheme = urlsplit(request.url).scheme
        try:
            target = _find(exchange.snapshot, scheme, host, port)
        except GatewayError:
            raise FetchError("there is no such endpoint") from None
        inner = self._exchange(exchange, target, request)
        try:
            return await self._fetched(inner)
        finally:
            for settle in inner.settlers:
                settle(inner)
            target.tally.count(inner)
            self._record(inner)
            inner.scope = None

    def _exchange(self, outer: Exchange, target: Endpoint, request: FetchRequest) -> Exchange:
        parts = urlsplit(request.url)
        raw_target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path, query = normalise(raw_target)
        headers = request.headers.copy()
        headers.set("host", parts.netloc)
        if request.body:
            headers.set("content-length", str(len(request.body)))
        inner = Exchange(
            request_id=self._next_id(),
            snapshot=outer.snapshot,
            endpoint=target,
            conn=outer.conn,
            downstream=_Asker(request.body),
            method=request.method,
            raw_target=raw_target,
            path=path,
            query=query,
            host=parts.netloc,
            scheme=parts.scheme,
            headers=headers,
            started=self._clock.monotonic(),
            started_s=self._clock.now(),
            content_length=len(request.body),
        )
        inner.hops = outer.hops + 1
        inner.forwards = outer.forwards
        return inner

    async def _fetched(self, exchange: Exchange) -> FetchAnswer:
        """The answer as a client would see it; FetchError where it would see none."""
        try:
            outcome = await _served(exchange)
            if isinstance(outcome, Forward):
                outcome = await _whole(exchange, outcome.held)
        except GatewayError as error:
            exchange.error = error
            exchange.status = error.status
            if error.spec is errors.BAD_UPSTREAM:
                raise FetchError("the endpoint's upstream gave no answer") from None
            outcome = _rendered(exchange, error)
        if not isinstance(outcome, Respond):
            exchange.status = 0
            raise FetchError("the endpoint closed the connection")
        exchange.status = outcome.status
        exchange.sent_bytes = len(outcome.body)
        body = await decoded_body(outcome.body, outcome.headers, MAX_ANSWER_BYTES)
        return FetchAnswer(outcome.status, outcome.headers, body, "")


def _forget_error(exchange: Exchange) -> None:
    """An error of the endpoint before is not this one's to answer with (TP-51)."""
    exchange.error = None


class _Asker:
    """The policy as a client: ``Exchange.downstream`` of a request that it makes."""

    body_is_here = True

    def __init__(self, body: bytes) -> None:
        self._body = self.body_at_hand = body

    async def read_body(self, limit_bytes: int) -> bytes:
        if len(self._body) > limit_bytes:
            raise failure(errors.INVALID_BODY, reason=f"the body is larger than {limit_bytes} bytes")
        return self._body


def _find(snapshot: Snapshot, scheme: str, host: str, port: int | None) -> Endpoint:
    wanted = (scheme, host.lower(), port or _PORTS[scheme])
    for endpoint in snapshot.endpoints.values():
        if (endpoint.scheme, endpoint.host, endpoint.port) == wanted:
            return endpoint
    raise failure(errors.NO_ENDPOINT, url=f"{scheme}://{host}" + (f":{port}" if port is not None else ""))


async def _served(exchange: Exchange) -> Outcome:
    """The endpoint's answer after its own response rules; raises GatewayError 3004 if its upstream gave none."""
    outcome = run_phase(exchange.endpoint.request_phase, exchange)
    if inspect.isawaitable(outcome):
        outcome = await outcome
    if outcome is None:
        outcome = await unhandled(exchange)
    if isinstance(outcome, Forward):
        return await _handed(exchange, outcome.held)
    ruled = isinstance(outcome, Respond | Refuse) and outcome.run_response_phase
    if isinstance(outcome, Refuse):
        exchange.error = outcome.error
        outcome = _rendered(exchange, outcome.error)
    if not isinstance(outcome, Respond):
        return outcome
    head = exchange.response = ResponseHead(outcome.status, outcome.headers, outcome.body)
    if ruled:
        await response_phase(exchange)
        head = exchange.response
    return _response(head, head.body or b"")


def _rendered(exchange: Exchange, error: GatewayError) -> Respond:
    headers = respond.error_headers(error, exchange)
    return Respond(
        error.status, headers, respond.error_body(error, exchange.path, exchange.id), run_response_phase=True
    )


def _response(head: ResponseHead, body: bytes) -> Respond:
    headers: HeaderMap = head.headers
    for name in _ID_HEADERS:
        headers.pop(name, None)
    return Respond(head.status, headers, body, run_response_phase=True)


async def _handed(exchange: Exchange, answer: HeldAnswer) -> Outcome:
    """An upstream's answer behind this endpoint's response rules, for the next endpoint's."""
    try:
        if exchange.endpoint.response_phase is None:
            head = ResponseHead(answer.status, answer.header_map(exchange))
            head.transforms = answer.transforms if isinstance(answer, Handed) else []
        else:
            head = await through_rules(exchange, answer)
    except BaseException:
        answer.abandon()
        raise
    if head.body is None:
        return Forward(Handed(answer, head, stream_rules(exchange, answer) if answer.event_stream else None))
    answer.abandon()
    return _response(head, await transformed(head.transforms, head.body))


async def _whole(exchange: Exchange, answer: Handed) -> Respond:
    """All of an answer, for a policy that asked for it."""
    head = ResponseHead(answer.status, answer.header_map(exchange))
    try:
        body = await BodyReader(answer, head)(MAX_ANSWER_BYTES)
    except BaseException:
        answer.abandon()
        raise
    if body is None:
        answer.abandon()
        raise FetchError("response size exceeded")
    counting = answer.settle(exchange, Ending.COMPLETE)
    if counting is not None:
        await counting
    if answer.rules is not None:
        body = whole_stream(answer.rules, exchange, answer.codec, body)
    return _response(head, await transformed(answer.transforms, body))
