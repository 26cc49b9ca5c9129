"""The answer when every candidate has failed (AG-176 … AG-180), and what each failed attempt is called (AG 12.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import errors
from gateway.errors import ErrorSpec, GatewayError

if TYPE_CHECKING:
    from gateway.exchange import Attempt

_DETAILS_LIMIT = 50
_CALLER_FAULTS = frozenset((400, 404, 405, 409, 413, 415, 422))
_BY_STATUS: dict[int, ErrorSpec] = {
    400: errors.UPSTREAM_REJECTED,
    401: errors.UPSTREAM_REJECTED_KEY,
    403: errors.UPSTREAM_DENIED,
    404: errors.UPSTREAM_NOT_FOUND,
    408: errors.UPSTREAM_408,
    413: errors.UPSTREAM_TOO_LARGE,
    422: errors.UPSTREAM_UNPROCESSABLE,
    429: errors.UPSTREAM_RATE_LIMIT,
    500: errors.UPSTREAM_500,
    502: errors.UPSTREAM_502,
    503: errors.UPSTREAM_503,
    504: errors.UPSTREAM_504,
}
#: kinds of AG-154: the candidate failed without an attempt
NO_ATTEMPT = frozenset(("no_key", "key_selection", "input_too_large"))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the search for an answer came to. Times in seconds."""

    attempts: Sequence[Attempt]
    total_timeout_s: float
    total_expired: bool = False
    limit_reached: bool = False
    passthrough: bool = False
    #: AG-177
    uniform_status: bool = True
    #: smallest wait any attempt reported
    retry_after_s: float | None = None
    #: the estimate that was compared last, and what it was compared with (AG-231)
    input_tokens: int = 0
    max_input_tokens: int | None = None


def attempt_error(status: int) -> ErrorSpec:
    """The table's row for an upstream status."""
    return _BY_STATUS.get(status, errors.UPSTREAM_UNEXPECTED)


def final_error(outcome: Outcome) -> GatewayError:
    """The first row of AG-176 that matches."""
    spec, status = _row_of(outcome)
    arguments: dict[str, Any] = {"reason": describe(outcome.attempts), "timeout": f"{outcome.total_timeout_s:g}s"}
    arguments.update(tokens=outcome.input_tokens, maximum=outcome.max_input_tokens)
    error = GatewayError(spec, arguments, status=status, details={"attempts": details(outcome.attempts)})
    if status in (429, 503) and outcome.retry_after_s is not None:
        error.headers = (("retry-after", str(max(1, math.ceil(outcome.retry_after_s)))),)
    return error


def _row_of(outcome: Outcome) -> tuple[ErrorSpec, int]:
    tried = [attempt for attempt in outcome.attempts if attempt.kind not in NO_ATTEMPT]
    if outcome.total_expired:
        return errors.TIMED_OUT, 504
    if not tried:
        return _without_attempt(outcome.attempts)
    if all(attempt.kind == "timeout" for attempt in tried):
        return errors.TIMED_OUT, 504
    if len(outcome.attempts) == 1 and tried[0].kind == "connection":
        return errors.UPSTREAM_UNREACHABLE, 502
    status = _shared_status(tried, outcome) if outcome.uniform_status and len(tried) == len(outcome.attempts) else 503
    if outcome.limit_reached and status != 429:
        return errors.TOO_MANY_ATTEMPTS, 503
    return errors.ALL_FAILED, status


def _shared_status(tried: Sequence[Attempt], outcome: Outcome) -> int:
    """Rows 5 to 7: one status that all attempts share the meaning of."""
    statuses = {attempt.status if attempt.kind == "http" else 0 for attempt in tried}
    if statuses == {429}:
        return 429
    if statuses <= _CALLER_FAULTS or (outcome.passthrough and statuses <= {401, 403}):
        return tried[-1].status
    return 503


def _without_attempt(attempts: Sequence[Attempt]) -> tuple[ErrorSpec, int]:
    codes = {attempt.code for attempt in attempts}
    if len(codes) == 1:
        spec = errors.TABLE[codes.pop()]
        return spec, spec.status
    return errors.ALL_FAILED, 503


def describe(attempts: Sequence[Attempt]) -> str:
    """``[429] openai/gpt-4o: Rate limit reached; [timeout] …`` (AG-180)."""
    return "; ".join(map(_described, attempts[:_DETAILS_LIMIT]))


def _described(attempt: Attempt) -> str:
    candidate = attempt.candidate
    return f"[{attempt.status or attempt.kind}] {candidate.provider.id}/{candidate.name}: {attempt.message}"


def details(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """``details.attempts`` of an error answer (AG-180): no key, not even a trimmed one."""
    return [_detailed(attempt) for attempt in attempts[:_DETAILS_LIMIT]]


def _detailed(attempt: Attempt) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "provider": attempt.candidate.provider.id,
        "model": attempt.candidate.name,
        "status_code": attempt.status,
        "kind": attempt.kind,
        "code": attempt.code,
        "message": attempt.message,
        "latency_ms": round(max(0.0, attempt.completed - attempt.started) * 1000),
    }
    detail = attempt.detail
    if detail is not None:
        shown["detail"] = {"code": detail.code, "message": detail.message}
    return shown
