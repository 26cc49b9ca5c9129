"""What a window has counted since it was made, in the shape in which Prometheus asks for it (AG-331).

Histograms count by the published bounds and not by the window's own bins: names that clients make up would fill
thousands of those one by one, and the process would grow for days.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from gateway.ai.measure import KIND_BINS, middle_of

if TYPE_CHECKING:
    from gateway.ai.measure import Bucket

#: upper bounds in seconds; the bins of ``ai.measure`` are 3 % wide, far less than the steps between these
BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: the gateway's own share is short
GATEWAY_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)
#: kinds of time, as ``ai.measure.KINDS`` numbers them; the last one is not published
GATEWAY, UPSTREAM, FIRST = 0, 1, 2
_PUBLISHED: Final = (GATEWAY_BOUNDS_S, BOUNDS_S, BOUNDS_S)


def _places(bounds_s: tuple[float, ...]) -> tuple[int, ...]:
    """Bin → index of the first bound that its middle does not exceed."""
    return tuple(bisect_left(bounds_s, middle_of(index) / 1e6) for index in range(KIND_BINS))


_PLACES: Final = tuple(map(_places, _PUBLISHED))


class Lifetime:
    """Sums of buckets. ``between[kind]``: values up to each bound and above the one before, then those above all."""

    __slots__ = (
        "between", "client", "connection", "count", "counts", "failed", "rate_limit", "server", "sums_us", "timeout",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = self.failed = self.timeout = self.rate_limit = self.client = self.server = self.connection = 0
        self.counts = [0, 0, 0]
        self.sums_us = [0, 0, 0]
        self.between = [[0] * (len(bounds_s) + 1) for bounds_s in _PUBLISHED]

    def add_bucket(self, bucket: Bucket) -> None:
        """Adds what a bucket has counted."""
        self._add_outcomes(bucket)
        for kind, count, us in (
            (GATEWAY, bucket.gateway_count, bucket.gateway_us),
            (UPSTREAM, bucket.upstream_count, bucket.upstream_us),
            (FIRST, bucket.first_count, bucket.first_us),
        ):
            self.counts[kind] += count
            self.sums_us[kind] += us
        between = self.between
        for key, number in bucket.histogram.items():
            kind, index = divmod(key, KIND_BINS)
            if kind <= FIRST:
                between[kind][_PLACES[kind][index]] += number

    def add(self, other: Lifetime) -> None:
        """Adds another's sums."""
        self._add_outcomes(other)
        for kind in (GATEWAY, UPSTREAM, FIRST):
            self.add_times(other, kind)

    def add_times(self, other: Lifetime, kind: int) -> None:
        """Adds another's times of one kind."""
        self.counts[kind] += other.counts[kind]
        self.sums_us[kind] += other.sums_us[kind]
        self.between[kind] = [a + b for a, b in zip(self.between[kind], other.between[kind], strict=True)]

    def _add_outcomes(self, other: Bucket | Lifetime) -> None:
        self.count += other.count
        self.failed += other.failed
        self.timeout += other.timeout
        self.rate_limit += other.rate_limit
        self.client += other.client
        self.server += other.server
        self.connection += other.connection
