"""Steps of a request that its own endpoint and endpoints behind it have in common."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai import failover
from gateway.errors import failure
from gateway.exchange import ResponseHead
from gateway.policy.action import CloseConnection, Outcome, Refuse, Respond
from gateway.policy.engine import run_phase
from gateway.proxy.bodies import finish_own

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy.compile import CompiledPhase


async def unhandled(exchange: Exchange) -> Outcome:
    """Nothing in the policy answered (TP-50, TP-51); raises GatewayError when the upstream gives no answer."""
    endpoint = exchange.endpoint
    if endpoint.upstream is not None:
        outcome: Outcome = await endpoint.upstream.send(exchange)
        return outcome
    if exchange.error is not None:
        return Refuse(exchange.error, run_response_phase=True)
    if endpoint.gateway is not None:
        return await failover.run(endpoint.gateway, exchange)
    return Refuse(failure(errors.UNHANDLED))


async def response_phase(exchange: Exchange) -> None:
    """``on_http_response`` over an answer that the policy made, then what concerns its body.

    Its outcome, if any, replaces ``exchange.response`` (TP-56, TP-221).
    """
    endpoint = exchange.endpoint
    if endpoint.response_phase is not None:
        await _ruled(exchange, endpoint.response_phase)
    if endpoint.stream_phase is not None or (exchange.response is not None and exchange.response.transforms):
        await finish_own(exchange)


async def _ruled(exchange: Exchange, phase: CompiledPhase) -> None:
    outcome = run_phase(phase, exchange)
    if inspect.isawaitable(outcome):
        outcome = await outcome
    if outcome is None:
        return
    if isinstance(outcome, Respond):
        exchange.response = ResponseHead(outcome.status, outcome.headers, outcome.body)
    elif isinstance(outcome, Refuse):
        raise outcome.error
    elif isinstance(outcome, CloseConnection):
        raise failure(errors.ACTION_FAILED)
