"""Everything before the first attempt: which API is meant, who calls, what is asked, which candidates there are.

Raises the errors of AG-155, which never try another candidate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai import models_list
from gateway.ai.caller import caller_of
from gateway.ai.outbound import HOP_HEADER, UpstreamQuery, client_lines, field_lines, next_hop
from gateway.ai.request import parse_request
from gateway.ai.splice import encode_overrides
from gateway.exchange import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.policy.action import Respond


def enter(call: AiCall) -> Respond | None:
    """Which API is meant and who calls; an answer if the gateway itself gives one (``/v1/models``)."""
    gateway = call.gateway
    caller = call.caller = caller_of(gateway, call.exchange)
    call.credential = caller.credential
    authenticate = gateway.authenticate
    authenticate(call)
    call.surface_of = caller.surface
    return models_list.answer(call) if caller.surface is None else None


def prepare(call: AiCall, body: bytes) -> None:
    """What is asked, and which candidates there are."""
    exchange, gateway, caller = call.exchange, call.gateway, call.caller
    assert caller is not None
    assert caller.surface is not None
    call.request = request = parse_request(caller.surface, body)
    call.requested_models = request.names
    if gateway.headers or gateway.query or gateway.body:
        _evaluate_fields(call)
    call.lines = caller.lines
    if exchange.secrets_seen:
        hop = next_hop(exchange.headers.get(HOP_HEADER), gateway.instance_id)
        call.lines = client_lines(
            exchange.headers, hop=hop, replaced=gateway.headers, secrets_seen=exchange.secrets_seen
        )
    if exchange.query or gateway.query:
        call.upstream_query = UpstreamQuery.of(exchange.query, call.query)
    plan = call.plan = gateway.universe.plan(
        request.model,
        request.models,
        request.surface,
        caller.reach or gateway.reach(call),
        lambda: gateway.scope_of(exchange),
    )
    if plan.failure is not None:
        raise plan.failure()
    call.candidates = plan.candidates


def keys_for(call: AiCall, candidate: Candidate) -> Iterable[ProviderKey]:
    """The keys to try for a candidate, those already tried in this request left out (AG-151).

    A candidate without any is a failed attempt without a request (AG-154).
    """
    gateway = call.gateway
    order = gateway.keyring.order(candidate, call)
    call.key_orders.append((candidate, order))
    if order.failure is None:
        if order.perishable:
            return _fresh_keys(call, candidate, order.keys)
        return (
            order.keys if len(call.candidates) == 1 else [key for key in order.keys if call.first_time(candidate, key)]
        )
    error = order.error
    assert error is not None
    attempt = Attempt(candidate, None, gateway.clock.monotonic())
    call.exchange.attempts.append(attempt)
    attempt.detail = order.detail
    call.failed(attempt, "no_key" if error.spec is errors.NO_API_KEY else "key_selection", error.code, error.message)
    return ()


def _fresh_keys(call: AiCall, candidate: Candidate, keys: Iterable[ProviderKey]) -> Iterator[ProviderKey]:
    """The same, looked at again when their turn comes: no new attempt uses a deleted key (CP-66)."""
    keyring = call.gateway.keyring
    for key in keys:
        fresh = keyring.fresh(candidate, key)
        if fresh is not None and call.first_time(candidate, fresh):
            yield fresh


def _evaluate_fields(call: AiCall) -> None:
    """``headers``, ``query_params`` and ``body`` of the action, once per client request (AG-10)."""
    gateway, exchange = call.gateway, call.exchange
    if gateway.headers:
        headers = gateway.headers
        call.fields = field_lines(tuple(headers), tuple([text(exchange) for text in headers.values()]))
    if gateway.query:
        call.query = {name: text(exchange) for name, text in gateway.query.items()}
    if gateway.body:
        call.overrides = encode_overrides({name: value(exchange) for name, value in gateway.body.items()})
