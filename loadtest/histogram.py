"""A histogram of fixed size: any number of durations, quantiles within 2 %."""

from __future__ import annotations

import math

_FLOOR_S = 1e-6
_GROWTH = math.log(1.04)
_BUCKETS = 512


class Histogram:
    """Durations in seconds, from a microsecond to about ten minutes."""

    __slots__ = ("counts", "largest_s", "total")

    def __init__(self) -> None:
        self.counts = [0] * _BUCKETS
        self.total = 0
        self.largest_s = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration."""
        place = int(math.log(seconds / _FLOOR_S) / _GROWTH) if seconds > _FLOOR_S else 0
        self.counts[min(place, _BUCKETS - 1)] += 1
        self.total += 1
        self.largest_s = max(self.largest_s, seconds)

    def quantile(self, share: float) -> float:
        """``quantile(0.99)``; 0.0 when empty."""
        if share >= 1.0:
            return self.largest_s
        left = share * self.total
        for place, count in enumerate(self.counts):
            left -= count
            if count and left <= 0:
                return min(_FLOOR_S * math.exp(_GROWTH * (place + 0.5)), self.largest_s)
        return self.largest_s
