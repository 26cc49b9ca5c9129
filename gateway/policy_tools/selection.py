"""How the AI gateway chose: names, candidates, strategies, keys, attempts; as a plain document for ``explain``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.ai.entities import KeySource
from gateway.secrets.secret import MASK

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.ai.key_order import KeyOrder
    from gateway.exchange import Attempt
    from gateway.policy_tools.deciding import Decisions

#: candidates whose keys are shown
MAX_CANDIDATES = 10


def describe_call(call: AiCall, decisions: Decisions) -> dict[str, Any]:
    """Keys are trimmed (AG-208). Candidates that were not reached are shown with the keys they would have."""
    plan = call.plan
    reached = {id(candidate): order for candidate, order in call.key_orders}
    return {
        "surface": call.surface,
        "asked_for": list(call.requested_models),
        "rejected": [{"model": each.model, "reason": each.reason} for each in plan.rejected] if plan else [],
        "strategies": [
            {**each.as_map(), "decided_by": decisions.models.get(each.strategy, [])} for each in plan.selections
        ]
        if plan
        else [],
        "candidates": [
            _candidate(call, each, reached.get(id(each)), decisions) for each in call.candidates[:MAX_CANDIDATES]
        ],
        "more_candidates": max(0, len(call.candidates) - MAX_CANDIDATES),
        "attempts": [_attempt(each) for each in call.exchange.attempts],
        "outcome": call.status,
    }


def _candidate(call: AiCall, candidate: Candidate, order: KeyOrder | None, decisions: Decisions) -> dict[str, Any]:
    reached = order is not None
    if order is None:
        order = call.gateway.keyring.order(candidate, call)
    error = order.error
    noted = decisions.keys.get(id(order), {})
    return {
        "provider": candidate.provider.id,
        "model": candidate.upstream_model,
        "reached": reached,
        "keys": [shown_key(key) for key in order.keys],
        "key_strategies": [
            {**each.as_map(), "decided_by": noted.get(each.strategy, [])}
            for each in order.selections
            if each.strategy != "ai.keys"
        ],
        "dropped_keys": [{"position": each.position, "reason": each.reason} for each in order.dropped],
        "cooling_keys": len(order.cooling),
        "error": f"{error.code}: {error.message}" if error is not None else "",
    }


def shown_key(key: ProviderKey) -> str:
    """How a key is called in an explanation."""
    if key.source is KeySource.NONE:
        return "none"
    if key.source is KeySource.PASSTHROUGH:
        return "the caller's own"
    trimmed = key.value.trimmed()
    return trimmed if trimmed != MASK else f"{trimmed} {key.id}"  # short keys look alike, their ids do not


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "provider": attempt.candidate.provider.id,
        "model": attempt.candidate.upstream_model,
        "key": shown_key(attempt.key) if attempt.key is not None else "none",
        "status": attempt.status,
        "problem": f"{attempt.kind} {attempt.code}: {attempt.message}" if attempt.kind else "",
    }
