"""Time as the gateway sees it. The only module that reads the system clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings, both in seconds."""

    def monotonic(self) -> float:
        """Never goes back; for durations, windows and deadlines."""
        ...

    def now(self) -> float:
        """Unix time; for logs, tokens and anything shown to people."""
        ...


class SystemClock:
    """The machine's clock; both readings are C functions, so that a call costs no Python frame."""

    __slots__ = ("monotonic", "now")

    def __init__(self) -> None:
        self.monotonic = time.monotonic
        self.now = time.time


class ManualClock:
    """A clock that stands still until it is moved: policy tests, property tests, fake time."""

    __slots__ = ("_monotonic_s", "_now_s")

    def __init__(self, *, monotonic_s: float = 1_000.0, now_s: float = 1_700_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._now_s = now_s

    def monotonic(self) -> float:
        return self._monotonic_s

    def now(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Moves both readings forward."""
        self._monotonic_s += seconds
        self._now_s += seconds
