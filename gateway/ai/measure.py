"""One finished attempt and the buckets that count it: outcomes, times, tokens, and a histogram per kind of time.

Invariants
    1. Sums are integers (microseconds), so that adding a bucket and taking it away again leaves no residue.
    2. Histogram bins are 3 % wide and answer with their middle, so that a percentile is within 2 % of the exact one.
Source: ai-gateway.md AG-124.
"""

from __future__ import annotations

import enum
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

_BIN_WIDTH: Final = 1.03
_BINS_PER_E: Final = 1.0 / math.log(_BIN_WIDTH)
#: a histogram key is ``kind * _KIND + bin``; a bin of 3 % width reaches 24 days below this
_KIND: Final = 1_024
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


class Measure:
    """One finished attempt, made once and recorded in several windows. Times in seconds; None where not known."""

    __slots__ = (
        "estimated_input", "estimated_output", "first_bin", "first_us", "gateway_bin", "gateway_us", "outcome",
        "per_token_bin", "per_token_us", "provider_input", "provider_output", "upstream_bin", "upstream_us",
    )  # fmt: skip

    def __init__(self, outcome: Outcome, *, gateway_s: float | None = None, upstream_s: float | None = None) -> None:
        self.outcome = outcome
        #: request received → upstream request sent
        self.gateway_us, self.gateway_bin = _place(gateway_s, 0)
        #: upstream request sent → response complete
        self.upstream_us, self.upstream_bin = _place(upstream_s, 1)
        self.first_us = self.first_bin = self.per_token_us = self.per_token_bin = -1
        self.provider_input = self.provider_output = self.estimated_input = self.estimated_output = 0

    def stream(self, *, first_s: float, last_s: float, output_tokens: int) -> None:
        """A stream: seconds from sent to the first and to the last body byte."""
        self.first_us, self.first_bin = _place(first_s, 2)
        if output_tokens > 1:
            self.per_token_us, self.per_token_bin = _place((last_s - first_s) / (output_tokens - 1), 3)

    def tokens(self, provider: tuple[int, int], estimated: tuple[int, int]) -> None:
        """(input, output) as the provider reported them and as they were estimated."""
        self.provider_input, self.provider_output = provider
        self.estimated_input, self.estimated_output = estimated


def _place(seconds: float | None, kind: int) -> tuple[int, int]:
    if seconds is None:
        return -1, -1
    us = int(seconds * 1e6)
    if us < 1:
        return 0, kind * _KIND
    return us, kind * _KIND + min(int(math.log(us) * _BINS_PER_E), _KIND - 1)


class Bucket:
    """Sums over some time; ``histogram`` counts by kind and bin."""

    __slots__ = (
        "client", "count", "estimated_input", "estimated_output", "failed", "first_count", "first_us", "gateway_count",
        "gateway_us", "histogram", "number", "per_token_count", "per_token_us", "provider_input", "provider_output",
        "rate_limit", "server", "timeout", "upstream_count", "upstream_us",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.count = self.failed = self.timeout = self.rate_limit = self.client = self.server = 0
        self.gateway_us = self.gateway_count = self.upstream_us = self.upstream_count = 0
        self.first_us = self.first_count = self.per_token_us = self.per_token_count = 0
        self.provider_input = self.provider_output = self.estimated_input = self.estimated_output = 0
        self.histogram: defaultdict[int, int] = defaultdict(int)

    def note(self, measure: Measure) -> None:
        """Counts one attempt."""
        self.count += 1
        if measure.outcome is not Outcome.SUCCESS:
            self._note_failure(measure.outcome)
        histogram = self.histogram
        if measure.gateway_us >= 0:
            self.gateway_us += measure.gateway_us
            self.gateway_count += 1
            histogram[measure.gateway_bin] += 1
        if measure.upstream_us >= 0:
            self.upstream_us += measure.upstream_us
            self.upstream_count += 1
            histogram[measure.upstream_bin] += 1
        if measure.first_us >= 0:
            self._note_stream(measure)
        self.provider_input += measure.provider_input
        self.provider_output += measure.provider_output
        self.estimated_input += measure.estimated_input
        self.estimated_output += measure.estimated_output

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

    def _note_stream(self, measure: Measure) -> None:
        self.first_us += measure.first_us
        self.first_count += 1
        self.histogram[measure.first_bin] += 1
        if measure.per_token_us >= 0:
            self.per_token_us += measure.per_token_us
            self.per_token_count += 1
            self.histogram[measure.per_token_bin] += 1

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


def _bin_ms(index: int) -> float:
    return math.exp((index + 0.5) / _BINS_PER_E) / 1_000 if index else 0.0


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
        by_kind[key // _KIND].append(key)
    return [_percentile_ms(merged, keys) for keys in by_kind]


def _percentile_ms(histogram: Mapping[int, int], keys: list[int]) -> int | None:
    # nearest rank: the least value that at least 95 % of the values do not exceed
    rank = math.ceil(0.95 * sum(histogram[key] for key in keys))
    for key in keys:
        rank -= histogram[key]
        if rank <= 0:
            return round(_bin_ms(key % _KIND))
    return None
