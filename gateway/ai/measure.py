"""One finished attempt and the buckets that count it: outcomes, times, tokens, and a histogram per kind of time.

Invariants
    1. Sums are integers (microseconds), so that adding a bucket and taking it away again leaves no residue.
    2. A histogram bin is at most 1/32 of its values wide and answers with its middle, so that a percentile is within
       1.6 % of the exact one. Bins follow from the bits of the number: no logarithm per attempt.
Source: ai-gateway.md AG-124.
"""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

#: a histogram key is ``kind * KIND_BINS + bin``; bins of times up to a month are below this
KIND_BINS: Final = 2_048
_LONGEST_US: Final = 30 * 86_400 * 1_000_000
#: the kinds of time, in the order of their number
KINDS: Final = ("gateway_ms", "upstream_ms", "time_to_first_token_ms", "time_per_output_token_ms")


class Outcome(enum.Enum):
    """How an attempt ended (AG-124). ``ERROR``: failed with a 2xx head, such as a stream that begins with an error."""

    SUCCESS = "success"
    RATE_LIMIT = "rate_limit"
    CLIENT = "client"
    SERVER = "server"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    ERROR = "error"

    @classmethod
    def of_status(cls, status: int) -> Outcome:
        """The outcome that an upstream status alone means."""
        if 200 <= status < 400:
            return cls.SUCCESS
        if status == 429:
            return cls.RATE_LIMIT
        return cls.CLIENT if 400 <= status < 500 else cls.SERVER


SUCCESS: Final = Outcome.SUCCESS


class Measure:
    """One finished attempt, made once and recorded in several windows. Times in seconds; -1 stands for unknown."""

    __slots__ = (
        "estimated_input", "estimated_output", "first_us", "gateway_bin", "gateway_us", "has_tokens", "outcome",
        "per_token_us", "provider_input", "provider_output", "upstream_bin", "upstream_us",
    )  # fmt: skip

    def __init__(self, outcome: Outcome, gateway_s: float = -1.0, upstream_s: float = -1.0) -> None:
        self.outcome = outcome
        #: request received → upstream request sent
        self.gateway_us = us = int(gateway_s * 1e6)
        #: histogram keys, computed once for all windows
        self.gateway_bin = bin_of(us)
        #: upstream request sent → response complete
        self.upstream_us = us = int(upstream_s * 1e6)
        self.upstream_bin = KIND_BINS + bin_of(us)
        self.first_us = self.per_token_us = -1
        self.has_tokens = False
        self.provider_input = self.provider_output = self.estimated_input = self.estimated_output = 0

    def stream(self, *, first_s: float, last_s: float, output_tokens: int) -> None:
        """A stream: seconds from sent to the first and to the last body byte."""
        self.first_us = int(first_s * 1e6)
        if output_tokens > 1:
            self.per_token_us = int((last_s - first_s) * 1e6 / (output_tokens - 1))

    def tokens(self, provider: tuple[int, int], estimated: tuple[int, int]) -> None:
        """(input, output) as the provider reported them and as they were estimated."""
        self.has_tokens = True
        self.provider_input, self.provider_output = provider
        self.estimated_input, self.estimated_output = estimated


def bin_of(us: int) -> int:
    """Microseconds → bin. Values below 64 have one each."""
    if us < 64:
        return us
    if us > _LONGEST_US:
        us = _LONGEST_US
    shift = us.bit_length() - 6
    return (shift << 5) + (us >> shift)


def middle_of(index: int) -> float:
    """Bin → the microseconds in its middle."""
    if index < 64:
        return float(index)
    shift = (index >> 5) - 1
    return float((index - (shift << 5)) << shift) + (1 << shift) / 2


class Bucket:
    """Sums over some time; ``histogram`` counts by kind and bin."""

    __slots__ = (
        "client", "connection", "count", "estimated_input", "estimated_output", "failed", "first_count", "first_us",
        "gateway_count", "gateway_us", "histogram", "number", "per_token_count", "per_token_us", "provider_input",
        "provider_output", "rate_limit", "server", "timeout", "upstream_count", "upstream_us",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = self.failed = self.timeout = self.rate_limit = self.client = self.server = self.connection = 0
        self.gateway_us = self.gateway_count = self.upstream_us = self.upstream_count = 0
        self.first_us = self.first_count = self.per_token_us = self.per_token_count = 0
        self.provider_input = self.provider_output = self.estimated_input = self.estimated_output = 0
        self.histogram: defaultdict[int, int] = defaultdict(int)

    def fold(self, measures: list[Measure]) -> None:
        """Counts some attempts. Local sums: a third of the cost of adding each to the slots."""
        histogram = self.histogram
        gateway_us = gateway_count = upstream_us = upstream_count = 0
        for measure in measures:
            if measure.outcome is not SUCCESS:
                self._note_failure(measure.outcome)
            us = measure.gateway_us
            if us >= 0:
                gateway_us += us
                gateway_count += 1
                histogram[measure.gateway_bin] += 1
            us = measure.upstream_us
            if us >= 0:
                upstream_us += us
                upstream_count += 1
                histogram[measure.upstream_bin] += 1
            if measure.first_us >= 0:
                self._fold_stream(measure)
            if measure.has_tokens:
                self._fold_tokens(measure)
        self.count += len(measures)
        self.gateway_us += gateway_us
        self.gateway_count += gateway_count
        self.upstream_us += upstream_us
        self.upstream_count += upstream_count

    def fold_outcomes(self, measures: list[Measure]) -> None:
        """Counts how some attempts ended, and nothing else."""
        self.count += len(measures)
        for measure in measures:
            if measure.outcome is not SUCCESS:
                self._note_failure(measure.outcome)

    def _note_failure(self, outcome: Outcome) -> None:
        self.failed += 1
        if outcome is Outcome.RATE_LIMIT:
            self.rate_limit += 1
        elif outcome is Outcome.SERVER:
            self.server += 1
        elif outcome is Outcome.CLIENT:
            self.client += 1
        elif outcome is Outcome.TIMEOUT:
            self.timeout += 1
        elif outcome is Outcome.CONNECTION:
            self.connection += 1

    def _fold_stream(self, measure: Measure) -> None:
        self.first_us += measure.first_us
        self.first_count += 1
        self.histogram[2 * KIND_BINS + bin_of(measure.first_us)] += 1
        if measure.per_token_us >= 0:
            self.per_token_us += measure.per_token_us
            self.per_token_count += 1
            self.histogram[3 * KIND_BINS + bin_of(measure.per_token_us)] += 1

    def _fold_tokens(self, measure: Measure) -> None:
        self.provider_input += measure.provider_input
        self.provider_output += measure.provider_output
        self.estimated_input += measure.estimated_input
        self.estimated_output += measure.estimated_output

    def add(self, other: Bucket, sign: int) -> None:
        """Adds (1) or takes away (-1) another bucket's sums."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + sign * getattr(other, name))
        histogram = self.histogram
        for key, number in other.histogram.items():
            left = histogram[key] + sign * number
            if left:
                histogram[key] = left
            else:
                del histogram[key]


_SUMS: Final = tuple(name for name in Bucket.__slots__ if name not in ("histogram", "number"))


def average_ms(sum_us: int, count: int) -> int | None:
    """Rounded; None without values."""
    return round(sum_us / count / 1_000) if count else None


def percentiles_ms(first: Mapping[int, int], second: Mapping[int, int]) -> list[int | None]:
    """The 95th percentile of each kind over two histograms; None for a kind without values."""
    merged = dict(first)
    for key, number in second.items():
        merged[key] = merged.get(key, 0) + number
    by_kind: list[list[int]] = [[] for _ in KINDS]
    for key in sorted(merged):
        by_kind[key // KIND_BINS].append(key)
    return [_percentile_ms(merged, keys) for keys in by_kind]


def _percentile_ms(histogram: Mapping[int, int], keys: Iterable[int]) -> int | None:
    # nearest rank: the least value that at least 95 % of the values do not exceed
    rank = math.ceil(0.95 * sum(histogram[key] for key in keys))
    for key in keys:
        rank -= histogram[key]
        if rank <= 0:
            return round(middle_of(key % KIND_BINS) / 1_000)
    return None
