"""What a request will probably cost, before it was sent: learned per gateway key and model (P05, P07).

The upper end is what budgets reserve. Output: ``max_tokens`` of the request where it has one; else the most that this
key and model used lately; else what the model may write. Input: the body's length, each token being at least a byte,
until the ratio of tokens to bytes is known. The lower end is what such requests use on average.

Invariants
    1. Memory is bounded: the pair that was used least recently is forgotten first.
    2. For requests that are alike the upper end is at least the truth from the first answer on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.ai.surfaces import EMBEDDINGS
from gateway.auth.budgets import Estimate

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate
    from gateway.ai.usage import Usage

PAIRS_LIMIT: Final = 4_096
#: of a model whose limit the catalog does not know
UNKNOWN_OUTPUT: Final = 4_096
UNKNOWN_WINDOW: Final = 1_000_000
_LIMIT_MEMBERS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_CHOICES_MAXIMUM: Final = 128
#: what is left of a maximum after each request that stays below it
_KEPT: Final = 0.98
_WEIGHT: Final = 0.1
#: prices are USD per million tokens, units are 0.00001 USD
_UNITS_PER_PRICE: Final = 0.1
_ROUNDING: Final = 1e-12


class Habit:
    """What one key used of one model lately."""

    __slots__ = ("mean_cost", "mean_tokens", "most_output", "per_byte")

    def __init__(self) -> None:
        self.most_output = 0.0
        self.per_byte = 0.0
        self.mean_tokens = -1.0
        self.mean_cost = -1.0

    def learn(self, body_bytes: int, usage: Usage, cost: int) -> None:
        """One answered request; ``cost`` in units of 0.00001 USD."""
        self.most_output = max(usage.output, self.most_output * _KEPT)
        self.per_byte = max(usage.input / max(body_bytes, 1), self.per_byte * _KEPT)
        tokens = usage.input + usage.output
        if self.mean_tokens < 0:
            self.mean_tokens, self.mean_cost = tokens, cost
        else:
            self.mean_tokens += _WEIGHT * (tokens - self.mean_tokens)
            self.mean_cost += _WEIGHT * (cost - self.mean_cost)


class _Tokens(NamedTuple):
    input: int
    output: int


class Expectations:
    """All habits. ``learn`` after an answer, ``estimate`` before a request."""

    __slots__ = ("_habits",)

    def __init__(self) -> None:
        self._habits: dict[tuple[str, str], Habit] = {}

    def __len__(self) -> int:
        return len(self._habits)

    def learn(self, call: AiCall, candidate: Candidate, usage: Usage, cost: int) -> None:
        """What an answered request really used."""
        pair = (call.gateway_key_id or "", candidate.name)
        habit = self._habits.pop(pair, None) or Habit()
        if len(self._habits) >= PAIRS_LIMIT:
            del self._habits[next(iter(self._habits))]
        self._habits[pair] = habit
        habit.learn(0 if call.request is None else len(call.request.body), usage, cost)

    def estimate(self, call: AiCall) -> Estimate:
        """The dearest of the candidates counts that may have their turn, since any of them may serve the request."""
        key_id = call.gateway_key_id or ""
        candidates = call.candidates[: call.gateway.options.max_attempts]
        most_usd = most_tokens = 0
        least_usd = least_tokens = math.inf
        asked = _asked(call)
        for candidate in candidates:
            habit = self._habits.get((key_id, candidate.name))
            tokens = _tokens(call, candidate, habit, asked)
            usd = _price(tokens, candidate)
            total = tokens.input + tokens.output
            most_usd, most_tokens = max(most_usd, usd), max(most_tokens, total)
            least_usd = min(least_usd, usd, 0 if habit is None else math.ceil(habit.mean_cost))
            least_tokens = min(least_tokens, total, 0 if habit is None else math.ceil(habit.mean_tokens))
        if not candidates:
            return Estimate()
        return Estimate(most_usd, most_tokens, int(least_usd), int(least_tokens))


def _tokens(call: AiCall, candidate: Candidate, habit: Habit | None, asked: tuple[int, int] | None) -> _Tokens:
    surface, request = call.surface_of, call.request
    body_bytes = 0 if request is None else len(request.body)
    element = candidate.element
    given = body_bytes if habit is None else math.ceil(body_bytes * habit.per_byte)
    given = min(given, element.max_context_window or UNKNOWN_WINDOW)
    if surface is EMBEDDINGS:
        return _Tokens(given, 0)
    if asked is not None:
        # nobody holds more of a budget than the model could use, whatever is asked for
        limit, choices = asked
        return _Tokens(given, min(limit, element.max_output_tokens or UNKNOWN_WINDOW) * choices)
    made = (element.max_output_tokens or UNKNOWN_OUTPUT) if habit is None else math.ceil(habit.most_output)
    return _Tokens(given, made)


def _asked(call: AiCall) -> tuple[int, int] | None:
    """(output tokens, choices) that the request allows itself; the gateway's cap lowers them. None: no limit."""
    document = call.request.document if call.request is not None else {}
    limits = [limit for name in _LIMIT_MEMBERS if (limit := _count(document.get(name))) is not None]
    cap = call.gateway.options.max_output_tokens
    if cap is not None:
        limits.append(cap)
    if not limits:
        return None
    choices = max(_count(document.get(name)) or 1 for name in ("n", "best_of"))
    return min(limits), min(choices, _CHOICES_MAXIMUM)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _price(tokens: _Tokens, candidate: Candidate) -> int:
    """Units of 0.00001 USD, rounded up; input at its dearest price. In floats: a bound need not be exact."""
    pricing = candidate.element.pricing
    if pricing is None:
        return 0
    text = pricing.text
    given = max(text.input or 0.0, text.input_cache_write or 0.0, text.input_cache_read or 0.0)
    units = (tokens.input * given + tokens.output * (text.output or 0.0)) * _UNITS_PER_PRICE
    return math.ceil(units * (1 + _ROUNDING))
