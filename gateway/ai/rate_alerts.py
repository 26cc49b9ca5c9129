"""Which provider keys are being rate limited (AG-332). Pure: looks when asked, keeps who was told of.

A request pays nothing: a window whose last reading shows a 429 puts itself into ``MetricsRegistry.rate_limited``
(``key_metrics.KeyWindow.settle``), and only those are looked at.

Invariant: between two alerts of one key its rate was below half the threshold for a whole window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.ai.window_metrics import WINDOW_S

if TYPE_CHECKING:
    from gateway.ai.key_metrics import KeyWindow, MetricsRegistry

LEAST_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class RateLimited:
    """One alert: ``rate`` of ``attempts`` in the last ``window_s`` were answered with 429."""

    provider: str
    key_id: str
    rate: float
    attempts: int
    window_s: int = WINDOW_S


class RateAlerts:
    """Looks at the keys of one registry."""

    def __init__(self, registry: MetricsRegistry) -> None:
        self._registry = registry
        #: key → since when its rate has been below half the threshold; None: it is not
        self._told: dict[KeyWindow, float | None] = {}

    def turn(self, threshold: float) -> list[RateLimited]:
        """The keys to tell of now. 0 for ``threshold`` is the same as any rate at all."""
        registry = self._registry
        now_s = registry.advance()
        registry.settle_keys(now_s)
        found = []
        for window in list(registry.rate_limited):
            rate = window.error_rate.rate_limit
            if window in self._told:
                continue
            if not rate:
                registry.rate_limited.discard(window)
            elif window.key_id and rate >= threshold and window.request_count >= LEAST_ATTEMPTS:
                self._told[window] = None
                found.append(RateLimited(window.provider, window.key_id, rate, window.request_count))
        self._forget_calm(threshold, now_s)
        return found

    def _forget_calm(self, threshold: float, now_s: float) -> None:
        """Lets keys be told of again once they were calm for a window."""
        for window, since_s in list(self._told.items()):
            if window.error_rate.rate_limit and window.error_rate.rate_limit >= threshold / 2:
                self._told[window] = None
            elif since_s is None:
                self._told[window] = now_s
            elif now_s - since_s >= WINDOW_S:
                del self._told[window]
