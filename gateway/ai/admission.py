"""Everything before the first attempt: which API is meant, who calls, what is asked, which candidates there are.

Raises the errors of AG-155, which never try another candidate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai import models_list
from gateway.ai.credentials import client_credential
from gateway.ai.outbound import HOP_HEADER, UpstreamQuery, client_lines, next_hop
from gateway.ai.request import parse_request
from gateway.ai.splice import encode_overrides
from gateway.ai.surfaces import MODELS_PATH, SURFACES, path_format
from gateway.errors import GatewayError, failure
from gateway.exchange import Attempt
from gateway.policy.body import request_body

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.request import AiRequest
    from gateway.exchange import Exchange
    from gateway.policy.action import Respond

SUPPORTED_PATHS = ", ".join((*SURFACES, MODELS_PATH))


async def admit(call: AiCall) -> Respond | None:
    """Prepares the call's candidates; an answer if the gateway itself gives one (``/v1/models``)."""
    exchange, gateway = call.exchange, call.gateway
    path = exchange.path
    surface = SURFACES.get(path)
    if surface is None and not models_list.is_models_path(path):
        raise _unknown_path(call)
    if "upgrade" in exchange.headers and "websocket" in exchange.headers["upgrade"][0].lower():
        raise _no_upgrade(exchange)
    allowed = "POST" if surface is not None else "GET"
    if exchange.method != allowed:
        raise _wrong_method(call, allowed)
    hop = next_hop(exchange.headers.get(HOP_HEADER), gateway.instance_id)
    call.credential = client_credential(exchange.headers, path_format(path))
    gateway.authenticate(call)
    if surface is None:
        return models_list.answer(call)
    call.surface_of = surface
    body = await request_body(exchange, gateway.options.max_body_bytes)
    call.request = request = parse_request(surface, body)
    call.requested_models = request.names
    _evaluate_fields(call)
    call.lines = client_lines(exchange.headers, hop=hop, extra=call.headers, secrets_seen=exchange.secrets_seen)
    call.upstream_query = UpstreamQuery.of(exchange.query, call.query)
    _plan(call, request)
    return None


def _plan(call: AiCall, request: AiRequest) -> None:
    """Resolves the names to candidates (AG-90); raises the errors of AG-81 and AG-102."""
    gateway = call.gateway
    plan = call.plan = gateway.universe.plan(
        request.model, request.models, request.surface, gateway.reach(call), lambda: gateway.scope_of(call.exchange)
    )
    error = plan.error
    if error is not None:
        raise error
    call.candidates = plan.candidates


def keys_for(call: AiCall, candidate: Candidate) -> Iterable[ProviderKey]:
    """The keys to try for a candidate, those already tried in this request left out (AG-151).

    A candidate without any is a failed attempt without a request (AG-154).
    """
    gateway = call.gateway
    order = gateway.keyring.order(candidate, gateway.key_request(call))
    call.key_orders.append((candidate, order))
    error = order.error
    if error is None:
        return (
            order.keys if len(call.candidates) == 1 else [key for key in order.keys if call.first_time(candidate, key)]
        )
    attempt = Attempt(candidate, None, gateway.clock.monotonic())
    call.exchange.attempts.append(attempt)
    call.failed(attempt, "no_key" if error.spec is errors.NO_API_KEY else "key_selection", error.code, error.message)
    return ()


def _evaluate_fields(call: AiCall) -> None:
    """``headers``, ``query_params`` and ``body`` of the action, once per client request (AG-10)."""
    gateway = call.gateway
    if not (gateway.headers or gateway.query or gateway.body):
        return
    exchange = call.exchange
    call.headers = {name: text(exchange) for name, text in gateway.headers.items()}
    call.query = {name: text(exchange) for name, text in gateway.query.items()}
    call.overrides = encode_overrides({name: value(exchange) for name, value in gateway.body.items()})


def _unknown_path(call: AiCall) -> GatewayError:
    path = call.exchange.path[:256]
    if call.gateway.options.shared:
        return failure(errors.UNSUPPORTED_SURFACE, path=path)
    return failure(errors.UNSUPPORTED_PATH, path=path, supported=SUPPORTED_PATHS)


def _wrong_method(call: AiCall, allowed: str) -> GatewayError:
    error = _unknown_path(call)
    error.status = 405
    error.headers = (("allow", allowed),)
    return error


def _no_upgrade(exchange: Exchange) -> GatewayError:
    """Coding agents that try a WebSocket first fall back at once on 426 (AG-69, P39)."""
    error = failure(errors.SURFACE_NOT_IMPLEMENTED, surface=f"{exchange.path} over WebSocket")
    error.close = True
    return error
