"""Whether the search for an answer goes on: inputs that are too long for a candidate, attempts, and time.

One budget of attempts and of time holds for the whole client call (P35). An attempt that the time left makes pointless
is not made: the client gets its answer at once instead of at the very end (P36).

Source: ai-gateway.md AG-154, AG-156, AG-165, AG-231, AG-232; lessons.md P35, P36.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.ai.final import final_error
from gateway.ai.key_order import KeyOrder
from gateway.errors import failure
from gateway.exchange import Attempt

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate

#: no provider is reached and answers within less
SHORTEST_S: Final = 0.02
#: so many attempts tell how long a model takes
_TELLING: Final = 10
#: an attempt is pointless with less than this share of the time that the model takes on average
_HOPELESS: Final = 0.25


async def input_fits(call: AiCall, candidate: Candidate) -> bool:
    """Counts the client's body in the candidate's encoding; records the candidate as failed if it is too long."""
    gateway, request = call.gateway, call.request
    assert request is not None
    encoding = candidate.tokenizer
    if call.input_counts is None:
        call.input_counts = {}
    tokens = call.input_counts.get(encoding)
    if tokens is None:
        tokens = call.input_counts[encoding] = await gateway.estimator.count_input(request, encoding)
    call.estimated_input = tokens
    maximum = gateway.options.max_input_tokens
    if maximum is None or tokens <= maximum:
        return True
    attempt = Attempt(candidate, None, gateway.clock.monotonic())
    call.exchange.attempts.append(attempt)
    call.key_orders.append((candidate, KeyOrder(())))
    error = failure(errors.INPUT_TOO_LARGE, tokens=tokens, maximum=maximum)
    call.failed(attempt, "input_too_large", error.code, error.message)
    return False


def check(call: AiCall, candidate: Candidate, sent: int, now: float) -> None:
    """Raises the final error where no further attempt is to be made; ``sent`` were made."""
    left_s = call.deadline - now
    if left_s <= 0.0 or (sent and is_pointless(call, candidate, left_s)):
        raise final_error(call.outcome(call.deadline))
    if sent >= call.gateway.options.max_attempts:
        call.limit_reached = True
        raise final_error(call.outcome(now))


def is_pointless(call: AiCall, candidate: Candidate, left_s: float) -> bool:
    """Whether so little time is left that the candidate has never answered within anything like it."""
    if left_s < SHORTEST_S:
        return True
    if left_s >= call.gateway.options.per_request_timeout_s:
        return False
    call.gateway.metrics.settle()
    window = candidate.metrics.series.account
    if window.request_count < _TELLING:
        return False
    latency = window.latency
    streamed = call.request is not None and call.request.stream
    usual_ms = latency.time_to_first_token_ms_avg if streamed else latency.upstream_ms_avg
    return usual_ms is not None and left_s * 1_000 < usual_ms * _HOPELESS
