"""The search for an answer: candidates in order, for each its keys in order, one attempt each (AG-150).

``run`` is the whole path of a model request up to the commit: which API is meant, who calls, what is asked, what
may serve it, and the attempts. It ends with an answer that is held, or with the error that AG-176 names.

Invariants
    1. Nothing has reached the client when this returns; after that there is no failover (AG-171).
    2. No waiting between attempts and no repetition of one (AG-151, AG-157).
    3. Errors before the first attempt never try another candidate (AG-155).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai import admission, going_on
from gateway.ai.answer import Answer
from gateway.ai.attempts import attempt_candidate
from gateway.ai.call import AiCall
from gateway.ai.final import final_error
from gateway.ai.result import AiGatewayResult
from gateway.errors import GatewayError
from gateway.policy.action import Forward, Outcome, Refuse
from gateway.policy.body import body_at_hand, request_body

if TYPE_CHECKING:
    from gateway.ai.gateway import AiGateway
    from gateway.exchange import Exchange

#: always end the request, whatever ``on_error`` says (AG-175)
_ALWAYS_HALT = frozenset((401, 403))


async def run(gateway: AiGateway, exchange: Exchange) -> Outcome:
    """Serves one request of an AI gateway endpoint; None with ``on_error: continue`` after a failure."""
    call = exchange.ai = AiCall(gateway, exchange)
    exchange.results["ai_gateway"] = AiGatewayResult(call)
    try:
        local = admission.enter(call)
        if local is not None:
            return local
        limit_bytes = gateway.options.max_body_bytes
        body = body_at_hand(exchange, limit_bytes)
        admission.prepare(call, body if body is not None else await request_body(exchange, limit_bytes))
        if gateway.charge is not None and (waiting := gateway.charge(call)) is not None:
            await waiting
        answer = await first_answer(call)
    except GatewayError as error:
        return _failed(call, error)
    call.status = "success"
    return Forward(answer)


async def first_answer(call: AiCall) -> Answer:
    """The first successful attempt's answer; raises the final error when there is none."""
    options, monotonic = call.gateway.options, call.gateway.clock.monotonic
    sent = 0
    for candidate in call.candidates:
        if options.counts_input and not await going_on.input_fits(call, candidate):
            continue
        if options.first_token_timeout_s:
            call.begin_candidate()
        for key in admission.keys_for(call, candidate):
            now = monotonic()
            if sent or now >= call.deadline:
                going_on.check(call, candidate, sent, now)
                if now >= call.first_token_by:  # another key makes a slow model no faster
                    break
            sent += 1
            answer = await attempt_candidate(call, candidate, key, now)
            if answer is not None:
                return answer
    raise final_error(call.outcome(monotonic()))


def _failed(call: AiCall, error: GatewayError) -> Outcome:
    """The action's error; with ``on_error: continue`` the next action runs and may read it (AG-175)."""
    call.status = "error"
    call.exchange.error = error
    fatal = error.status in _ALWAYS_HALT and not call.exchange.attempts
    if call.gateway.options.on_error_continue and not fatal and error.spec is not errors.INTERPOLATION_FAILED:
        return None
    return Refuse(error, run_response_phase=True)
