"""Sliding windows over attempts: five minutes in buckets of ten seconds. Pure; time comes from the ``Timeline``.

How it works. An attempt is appended to a list; reading, the next ten seconds, or a full list fold it into the current
bucket. When the timeline moves on, that bucket is added to the sum of the closed ones and leaves it again 30 buckets
later; the timeline knows which windows have a bucket to drop at which moment, so that a step costs nothing for idle
windows. What expressions read (rates, averages, percentiles) are slots that are empty until somebody looks:
``__getattr__`` is called for an empty slot only and fills it from the sums, and an attempt that changes the value
empties it. So an event costs the same however many values there are, and a strategy that reads an unchanged value pays
a slot access.

Invariant: a window shows exactly the attempts of the last 30 buckets, the running one included.
Source: ai-gateway.md 5.5 (AG-122 to AG-124, AG-132).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from gateway.ai.measure import KINDS, SUCCESS, Bucket, Measure, average_ms, percentiles_ms
from gateway.cel.env import DOUBLE, INT, STRING, CelType, nullable, object_of
from gateway.clock import Clock

BUCKET_S: Final = 10.0
BUCKETS: Final = 30
#: attempts that wait to be folded
_WAITING: Final = 64
WINDOW_S: Final = int(BUCKET_S * BUCKETS)


class Timeline:
    """The bucket that is running now, and which windows have a bucket to drop when. One per registry."""

    __slots__ = ("_clock", "_drops", "next_s", "number")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drops: dict[int, list[Window]] = {}
        self.number = int(clock.monotonic() / BUCKET_S)
        #: monotonic moment at which ``number`` changes
        self.next_s = (self.number + 1) * BUCKET_S

    @property
    def end_time(self) -> int:
        """Unix seconds."""
        return int(self._clock.now())

    def open(self, window: Window) -> None:
        """The window has a bucket for the running ten seconds; it is told when that bucket is too old."""
        self._drops.setdefault(self.number + BUCKETS, []).append(window)

    def advance(self, now_s: float) -> None:
        """Moves to ``now_s``; windows forget what is too old."""
        if now_s < self.next_s:
            return
        self.number = int(now_s / BUCKET_S)
        self.next_s = (self.number + 1) * BUCKET_S
        for due in [number for number in self._drops if number <= self.number]:
            for window in self._drops.pop(due):
                window.drop(due - BUCKETS)


class ErrorRate:
    """``error_rate`` of a key or a model: shares of all attempts in the window, 0.0 without any."""

    __slots__ = ("_filled", "_window", "client", "rate_limit", "server", "timeout", "total", "version")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "total": DOUBLE,
        "timeout": DOUBLE,
        "rate_limit": DOUBLE,
        "client": DOUBLE,
        "server": DOUBLE,
    }

    total: float
    timeout: float
    rate_limit: float
    client: float
    server: float

    def __init__(self, window: Window) -> None:
        self._window = window
        self._filled = False
        #: grows when a value that somebody has read is no longer true
        self.version = 0

    def __getattr__(self, name: str) -> float:
        if name not in ErrorRate.__cel__:
            raise AttributeError(name)
        closed, current = self._window.sums()
        self._window.read = True
        count = (closed.count + current.count) or 1
        self.total = (closed.failed + current.failed) / count
        self.timeout = (closed.timeout + current.timeout) / count
        self.rate_limit = (closed.rate_limit + current.rate_limit) / count
        self.client = (closed.client + current.client) / count
        self.server = (closed.server + current.server) / count
        self._filled = True
        value: float = object.__getattribute__(self, name)
        return value

    def empty(self) -> None:
        """The sums changed: the next reader computes again."""
        if self._filled:
            self._filled = False
            self.version += 1
            del self.total, self.timeout, self.rate_limit, self.client, self.server


class Latency:
    """``latency``: milliseconds; the token times are None without streamed requests in the window."""

    __slots__ = ("_averages", "_percentiles", "_window", *(f"{k}_avg" for k in KINDS), *(f"{k}_p95" for k in KINDS))
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "gateway_ms_avg": INT,
        "gateway_ms_p95": INT,
        "upstream_ms_avg": INT,
        "upstream_ms_p95": INT,
        "time_to_first_token_ms_avg": nullable(INT),
        "time_to_first_token_ms_p95": nullable(INT),
        "time_per_output_token_ms_avg": nullable(INT),
        "time_per_output_token_ms_p95": nullable(INT),
    }

    gateway_ms_avg: int
    gateway_ms_p95: int
    upstream_ms_avg: int
    upstream_ms_p95: int
    time_to_first_token_ms_avg: int | None
    time_to_first_token_ms_p95: int | None
    time_per_output_token_ms_avg: int | None
    time_per_output_token_ms_p95: int | None

    def __init__(self, window: Window) -> None:
        self._window = window
        self._averages = False
        self._percentiles = False

    def __getattr__(self, name: str) -> int | None:
        if name not in Latency.__cel__:
            raise AttributeError(name)
        self._window.read = True
        if name.endswith("_avg"):
            self._fill_averages()
        else:
            self._fill_percentiles()
        value: int | None = object.__getattribute__(self, name)
        return value

    def _fill_averages(self) -> None:
        a, b = self._window.sums()
        self.gateway_ms_avg = average_ms(a.gateway_us + b.gateway_us, a.gateway_count + b.gateway_count) or 0
        self.upstream_ms_avg = average_ms(a.upstream_us + b.upstream_us, a.upstream_count + b.upstream_count) or 0
        self.time_to_first_token_ms_avg = average_ms(a.first_us + b.first_us, a.first_count + b.first_count)
        self.time_per_output_token_ms_avg = average_ms(
            a.per_token_us + b.per_token_us, a.per_token_count + b.per_token_count
        )
        self._averages = True

    def _fill_percentiles(self) -> None:
        closed, current = self._window.sums()
        gateway_ms, upstream_ms, first_ms, per_token_ms = percentiles_ms(closed.histogram, current.histogram)
        self.gateway_ms_p95 = gateway_ms or 0
        self.upstream_ms_p95 = upstream_ms or 0
        self.time_to_first_token_ms_p95 = first_ms
        self.time_per_output_token_ms_p95 = per_token_ms
        self._percentiles = True

    def empty(self) -> None:
        """The sums changed: the next reader computes again."""
        if self._averages:
            self._averages = False
            del self.gateway_ms_avg, self.upstream_ms_avg
            del self.time_to_first_token_ms_avg, self.time_per_output_token_ms_avg
        if self._percentiles:
            self._percentiles = False
            del self.gateway_ms_p95, self.upstream_ms_p95
            del self.time_to_first_token_ms_p95, self.time_per_output_token_ms_p95


class TokenCount:
    """``token``: sums over the window."""

    __slots__ = ("_window",)
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "provider_input": INT,
        "provider_output": INT,
        "estimated_input": INT,
        "estimated_output": INT,
    }

    def __init__(self, window: Window) -> None:
        self._window = window

    @property
    def provider_input(self) -> int:
        closed, current = self._window.sums()
        return closed.provider_input + current.provider_input

    @property
    def provider_output(self) -> int:
        closed, current = self._window.sums()
        return closed.provider_output + current.provider_output

    @property
    def estimated_input(self) -> int:
        closed, current = self._window.sums()
        return closed.estimated_input + current.estimated_input

    @property
    def estimated_output(self) -> int:
        closed, current = self._window.sums()
        return closed.estimated_output + current.estimated_output


class Window:
    """Outcomes, times and tokens of what it is recorded for: a key, or one model in one scope."""

    __slots__ = (
        "_buckets", "_closed", "_current", "_timeline", "_waiting", "error_rate", "latency", "model", "provider",
        "read", "token",
    )  # fmt: skip

    def __init__(self, timeline: Timeline, provider: str, model: str) -> None:
        self._timeline = timeline
        #: the closed ones and the running one, oldest first
        self._buckets: list[Bucket] = []
        self._closed = Bucket(0)
        self._current = Bucket(-1)
        #: attempts of the current bucket that are not in its sums yet
        self._waiting: list[Measure] = []
        #: somebody looked: some slots of ``error_rate`` or ``latency`` are filled
        self.read = False
        self.provider = provider
        self.model = model
        self.error_rate = ErrorRate(self)
        self.latency = Latency(self)
        self.token = TokenCount(self)

    @property
    def request_count(self) -> int:
        """Attempts in the window."""
        return self._closed.count + self._current.count + len(self._waiting)

    @property
    def start_time(self) -> int:
        """Unix seconds."""
        return self._timeline.end_time - WINDOW_S

    @property
    def end_time(self) -> int:
        """Unix seconds."""
        return self._timeline.end_time

    def sums(self) -> tuple[Bucket, Bucket]:
        """(sum of the closed buckets, the running bucket)."""
        if self._waiting:
            self._fold()
        return self._closed, self._current

    def record(self, measure: Measure) -> None:
        """One attempt; the caller has advanced the timeline."""
        if self._current.number != self._timeline.number:
            self._open()
        waiting = self._waiting
        waiting.append(measure)
        if self.read:
            self._forget(failed=measure.outcome is not SUCCESS)
        if len(waiting) >= _WAITING:
            self._fold()

    def _fold(self) -> None:
        self._current.fold(self._waiting)
        self._waiting.clear()

    def _forget(self, *, failed: bool) -> None:
        """What was read may be wrong now. Rates of 0.0 stay true while attempts succeed."""
        self.latency.empty()
        if failed or self._closed.failed or self._current.failed:
            self.error_rate.empty()
            self.read = False

    def _open(self) -> None:
        closed, current = self.sums()
        if current.count:
            closed.add(current, 1)
        self._current = Bucket(self._timeline.number)
        self._buckets.append(self._current)
        self._timeline.open(self)

    def drop(self, number: int) -> None:
        """Forgets the bucket of that number, the oldest one."""
        closed, current = self.sums()
        bucket = self._buckets.pop(0)
        if bucket.number != number:
            raise RuntimeError("buckets are dropped in the order in which they were opened")
        self._forget(failed=False)
        if bucket is current:
            self._current = Bucket(-1)
        else:
            closed.add(bucket, -1)


_MEMBERS: Final[Mapping[str, CelType]] = {
    "provider": STRING,
    "model": STRING,
    "request_count": INT,
    "start_time": INT,
    "end_time": INT,
    "latency": object_of(Latency),
    "error_rate": object_of(ErrorRate),
}


class GlobalMetrics(Window):
    """``global`` and ``region``."""

    __slots__ = ()
    __cel__: ClassVar[Mapping[str, CelType]] = _MEMBERS


class AccountMetrics(GlobalMetrics):
    """``account`` and ``endpoint``."""

    __slots__ = ()
    __cel__: ClassVar[Mapping[str, CelType]] = {**_MEMBERS, "token": object_of(TokenCount)}
