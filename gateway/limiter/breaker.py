"""A circuit breaker's states and counts (TP-490 … TP-494). Pure: instants are handed in, monotonic seconds.

States and what changes them
    closed      requests pass; ``finished`` counts them and trips when the thresholds are reached
    tripped     requests are refused until ``tripped_s`` have gone by; then ``admit`` lets one pass, the trial
    trying      the trial is under way, others are refused; its end closes the breaker or trips it anew

Invariants
    1. A request counts in the era that admitted it: what began before the breaker tripped changes nothing later.
    2. One trial at a time; a trial whose client left says nothing, and the next request is the trial.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

SUB_WINDOWS = 10
#: the number of no sub-window
_NEVER = -(1 << 62)


class State(enum.Enum):
    """See the module's docstring."""

    CLOSED = "closed"
    TRIPPED = "tripped"
    TRYING = "trying"


#: sums of seconds as floats miss by less
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Thresholds:
    """``error_ratio`` of at least ``volume`` requests within ``window_s`` trips for ``tripped_s``."""

    error_ratio: float
    volume: int
    window_s: float
    tripped_s: float


class Pass:
    """A request that was let through; handed back to ``finished`` once."""

    __slots__ = ("era", "trial")

    def __init__(self, era: int, *, trial: bool) -> None:
        self.era = era
        self.trial = trial


class Breaker:
    """One breaker."""

    __slots__ = ("_counts", "_era", "_errors", "_places", "_since", "_step_s", "_thresholds", "state")

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._step_s = thresholds.window_s / SUB_WINDOWS
        self.state = State.CLOSED
        self._era = 0
        self._since = 0.0
        #: ring of sub-windows: which one stands at each place, how many requests, how many errors
        self._places = [_NEVER] * SUB_WINDOWS
        self._counts = [0] * SUB_WINDOWS
        self._errors = [0] * SUB_WINDOWS

    def admit(self, now_s: float) -> Pass | int:
        """A pass, or the whole seconds to wait."""
        if self.state is State.CLOSED:
            return Pass(self._era, trial=False)
        left_s = self._since + self._thresholds.tripped_s - now_s
        if self.state is State.TRIPPED and left_s <= _ROUNDING_S:
            self.state = State.TRYING
            return Pass(self._era, trial=True)
        return max(1, math.ceil(left_s))

    def finished(self, admitted: Pass, now_s: float, *, failed: bool | None) -> None:
        """A request ended; ``failed`` is None when that says nothing (its client left)."""
        if admitted.era != self._era:
            return
        if admitted.trial:
            self._end_trial(now_s, failed)
        elif self.state is State.CLOSED and failed is not None:
            self._count(now_s, failed)

    def _end_trial(self, now_s: float, failed: bool | None) -> None:
        if failed is None:
            self.state = State.TRIPPED  # its time is over, so the next request is the trial
        elif failed:
            self._trip(now_s)
        else:
            self.state = State.CLOSED
            self._era += 1
            self._places = [_NEVER] * SUB_WINDOWS

    def _trip(self, now_s: float) -> None:
        self.state = State.TRIPPED
        self._since = now_s
        self._era += 1

    def _count(self, now_s: float, failed: bool) -> None:
        current = int(now_s / self._step_s)
        place = current % SUB_WINDOWS
        if self._places[place] != current:
            self._places[place] = current
            self._counts[place] = self._errors[place] = 0
        self._counts[place] += 1
        self._errors[place] += failed
        live = [at for at in range(SUB_WINDOWS) if current - SUB_WINDOWS < self._places[at] <= current]
        count = sum(self._counts[at] for at in live)
        errors = sum(self._errors[at] for at in live)
        if count >= self._thresholds.volume and errors >= self._thresholds.error_ratio * count:
            self._trip(now_s)
