"""Sliding windows over attempts: five minutes in buckets of ten seconds. Pure; time comes from the ``Timeline``.

How it works. An attempt is appended to a list; settling, the next ten seconds, or a full list fold it into the current
bucket. When the timeline moves on, that bucket is added to the sum of the closed ones and leaves it again 30 buckets
later; the timeline knows which windows have a bucket to drop at which moment, so that a step costs nothing for idle
windows. What expressions read are plain slots, brought up to date by ``settle`` for the windows that changed since:
an event costs the same however many values there are, and a strategy pays a slot access per value. (Filling slots from
``__getattr__`` when somebody looks needs no settling, but such a class makes every read twice as slow, found slots
included.) Percentiles are computed when they are read.

A window made with ``forever`` also keeps the sums of all buckets that were ever closed (``ai.lifetime``): what counters
for Prometheus need, at the cost of one more addition per bucket and none per attempt.

Invariant: a window shows exactly the attempts of the last 30 buckets, the running one included.
Source: ai-gateway.md 5.5 (AG-122 to AG-124, AG-132).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from gateway.ai.lifetime import Lifetime
from gateway.ai.measure import Bucket, Measure, average_ms, percentiles_ms
from gateway.cel.env import DOUBLE, INT, STRING, CelType, nullable, object_of
from gateway.clock import Clock

BUCKET_S: Final = 10.0
BUCKETS: Final = 30
#: attempts that wait to be folded
WAITING: Final = 64
WINDOW_S: Final = int(BUCKET_S * BUCKETS)


class Timeline:
    """The bucket that is running now, and which windows have a bucket to drop when. One per registry."""

    __slots__ = ("_clock", "_drops", "changed", "changed_keys", "next_s", "number", "pending")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drops: dict[int, list[Window]] = {}
        self.number = int(clock.monotonic() / BUCKET_S)
        #: monotonic moment at which ``number`` changes
        self.next_s = (self.number + 1) * BUCKET_S
        #: windows of models, and of keys, that have changed since they were last settled
        self.changed: list[Window] = []
        self.changed_keys: list[Window] = []
        #: fan-outs with attempts that their windows have not got yet
        self.pending: list[FanOut] = []

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
        self.deliver()
        self.number = int(now_s / BUCKET_S)
        self.next_s = (self.number + 1) * BUCKET_S
        for due in [number for number in self._drops if number <= self.number]:
            for window in self._drops.pop(due):
                window.drop(due - BUCKETS)
        # where nobody reads, the lists would hold windows for ever
        settle(self.changed)
        settle(self.changed_keys)

    def deliver(self) -> None:
        """Windows get what was recorded for them."""
        pending, self.pending = self.pending, []
        for fan_out in pending:
            fan_out.deliver()


def settle(changed: list[Window]) -> None:
    """Brings the visible values of these windows up to date."""
    for window in changed:
        window.settle()
    changed.clear()


class ErrorRate:
    """``error_rate`` of a key or a model: shares of all attempts in the window, 0.0 without any."""

    __slots__ = ("client", "rate_limit", "server", "timeout", "total", "version")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "total": DOUBLE,
        "timeout": DOUBLE,
        "rate_limit": DOUBLE,
        "client": DOUBLE,
        "server": DOUBLE,
    }

    def __init__(self) -> None:
        self.total = self.timeout = self.rate_limit = self.client = self.server = 0.0
        #: grows when a value changes
        self.version = 0

    def set(self, closed: Bucket, current: Bucket) -> None:
        """From the sums of a window."""
        count = (closed.count + current.count) or 1
        failed = closed.failed + current.failed
        if not failed:
            if self.total:
                self.version += 1
                self.total = self.timeout = self.rate_limit = self.client = self.server = 0.0
            return
        total = failed / count
        timeout = (closed.timeout + current.timeout) / count
        rate_limit = (closed.rate_limit + current.rate_limit) / count
        client = (closed.client + current.client) / count
        server = (closed.server + current.server) / count
        if (total, timeout, rate_limit, client, server) != (
            self.total, self.timeout, self.rate_limit, self.client, self.server,
        ):  # fmt: skip
            self.version += 1
            self.total, self.timeout, self.rate_limit, self.client, self.server = (
                total, timeout, rate_limit, client, server,
            )  # fmt: skip


class Latency:
    """``latency``: milliseconds; the token times are None without streamed requests in the window."""

    __slots__ = (
        "_percentiles", "_window", "gateway_ms_avg", "time_per_output_token_ms_avg", "time_to_first_token_ms_avg",
        "upstream_ms_avg",
    )  # fmt: skip
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

    def __init__(self, window: Window) -> None:
        self._window = window
        #: gateway, upstream, first token, per token; None: to be computed
        self._percentiles: list[int | None] | None = None
        self.gateway_ms_avg = self.upstream_ms_avg = 0
        self.time_to_first_token_ms_avg: int | None = None
        self.time_per_output_token_ms_avg: int | None = None

    def set(self, a: Bucket, b: Bucket) -> None:
        """From the sums of a window."""
        self._percentiles = None
        self.gateway_ms_avg = average_ms(a.gateway_us + b.gateway_us, a.gateway_count + b.gateway_count) or 0
        self.upstream_ms_avg = average_ms(a.upstream_us + b.upstream_us, a.upstream_count + b.upstream_count) or 0
        streams = a.first_count + b.first_count
        if streams or self.time_to_first_token_ms_avg is not None:
            self.time_to_first_token_ms_avg = average_ms(a.first_us + b.first_us, streams)
            self.time_per_output_token_ms_avg = average_ms(
                a.per_token_us + b.per_token_us, a.per_token_count + b.per_token_count
            )

    def _computed(self) -> list[int | None]:
        if self._percentiles is None:
            closed, current = self._window.sums()
            self._percentiles = percentiles_ms(closed.histogram, current.histogram)
        return self._percentiles

    @property
    def gateway_ms_p95(self) -> int:
        return (self._percentiles or self._computed())[0] or 0

    @property
    def upstream_ms_p95(self) -> int:
        return (self._percentiles or self._computed())[1] or 0

    @property
    def time_to_first_token_ms_p95(self) -> int | None:
        return (self._percentiles or self._computed())[2]

    @property
    def time_per_output_token_ms_p95(self) -> int | None:
        return (self._percentiles or self._computed())[3]


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
        "_buckets", "_changed", "_closed", "_current", "_forever", "_listed", "_timeline", "_waiting", "error_rate",
        "latency", "model", "provider", "token",
    )  # fmt: skip

    def __init__(self, timeline: Timeline, provider: str, model: str, *, forever: bool = False) -> None:
        self._timeline = timeline
        #: the list that names this window while its visible values are behind
        self._changed = timeline.changed
        self._listed = False
        #: the closed ones and the running one, oldest first
        self._buckets: list[Bucket] = []
        self._closed = Bucket(0)
        self._current = Bucket(-1)
        #: sums of everything but the running bucket since the window was made; None: nobody asks for them
        self._forever = Lifetime() if forever else None
        #: attempts of the current bucket that are not in its sums yet
        self._waiting: list[Measure] = []
        self.provider = provider
        self.model = model
        self.error_rate = ErrorRate()
        self.latency = Latency(self)
        self.token = TokenCount(self)

    @property
    def request_count(self) -> int:
        """Attempts in the window."""
        if self._timeline.pending:
            self._timeline.deliver()
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
        if self._timeline.pending:
            self._timeline.deliver()
        if self._waiting:
            self._fold()
        return self._closed, self._current

    def lifetime(self) -> Lifetime:
        """Everything since the window was made (AG-331); the caller's own copy."""
        if self._forever is None:
            raise RuntimeError("this window was made without lifetime sums")
        _, current = self.sums()
        whole = Lifetime()
        whole.add(self._forever)
        whole.add_bucket(current)
        return whole

    def record(self, measure: Measure) -> None:
        """One attempt; the caller has advanced the timeline."""
        self.take((measure,))

    def take(self, measures: Sequence[Measure]) -> None:
        """Attempts of the running ten seconds."""
        if self._current.number != self._timeline.number:
            self._open()
        waiting = self._waiting
        waiting.extend(measures)
        if not self._listed:
            self._listed = True
            self._changed.append(self)
        if len(waiting) >= WAITING:
            self._fold()

    def settle(self) -> None:
        """Brings the visible values up to date; called by whom ``_changed`` belongs to."""
        self._listed = False
        closed, current = self.sums()
        self.error_rate.set(closed, current)
        self.latency.set(closed, current)

    def _fold(self) -> None:
        self._current.fold(self._waiting)
        self._waiting.clear()

    def _open(self) -> None:
        closed, current = self.sums()
        if current.count:
            closed.add(current, 1)
            if self._forever is not None:
                self._forever.add_bucket(current)
        self._current = Bucket(self._timeline.number)
        self._buckets.append(self._current)
        self._timeline.open(self)

    def drop(self, number: int) -> None:
        """Forgets the bucket of that number, the oldest one."""
        closed, current = self.sums()
        bucket = self._buckets.pop(0)
        if bucket.number != number:
            raise RuntimeError("buckets are dropped in the order in which they were opened")
        if bucket is current:
            self._current = Bucket(-1)
            if self._forever is not None:
                self._forever.add_bucket(bucket)
        else:
            closed.add(bucket, -1)
        if not self._listed:
            self._listed = True
            self._changed.append(self)


class FanOut:
    """Windows that count the same attempts: recording costs one append, however many they are."""

    __slots__ = ("_timeline", "_waiting", "_windows")

    def __init__(self, timeline: Timeline, windows: tuple[Window, ...]) -> None:
        self._timeline = timeline
        self._windows = windows
        self._waiting: list[Measure] = []

    def record(self, measure: Measure) -> None:
        """One attempt; the caller has advanced the timeline."""
        waiting = self._waiting
        if not waiting:
            self._timeline.pending.append(self)
        waiting.append(measure)
        if len(waiting) >= WAITING:
            self._timeline.deliver()

    def deliver(self) -> None:
        """Called by the timeline, which has taken this off its list."""
        waiting, self._waiting = self._waiting, []
        for window in self._windows:
            window.take(waiting)


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
