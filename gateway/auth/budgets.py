"""Budgets in memory: reserve before a request, book each attempt, release what is left (CP-56 to CP-58, P07, P38).

    reserve   the admission: refused when a covering budget has nothing left, or less than the stated estimate;
              ``Exhausted.held`` when only the reservations of running requests are in the way
    book      an attempt completed: its cost is spent and no longer reserved
    release   the request is over: the rest of its reservation is free again; harmless when repeated

With an estimate that is an upper bound, spending never passes a limit, however many requests run at once. Without one
(zero) the check is that of CP-57: running requests may overshoot. Counters start anew at UTC midnight, on the first of
a month, or never. Pure: time comes in, alerts go out, the store's rows are somebody else's.

Invariants, per counter
    1. spent grows only by ``book``; reserved is the sum of the open reservations' remainders and never negative.
    2. An admitted request saw spent + reserved + estimate ≤ limit at its admission.
    3. Each threshold alerts at most once per period.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

ACCOUNT: Final = ""
THRESHOLDS: Final = (80, 100)


class Period(enum.StrEnum):
    """How long a counter counts."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"

    def start(self, now_s: float) -> int:
        """The beginning of the running period, Unix milliseconds; 0 for ``total``."""
        if self is Period.TOTAL:
            return 0
        begin = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Period.MONTH:
            begin = begin.replace(day=1)
        return int(begin.timestamp()) * 1_000

    def end(self, start_ms: int) -> int | None:
        """When the period that began then is over; None for ``total``."""
        if self is Period.TOTAL:
            return None
        if self is Period.DAY:
            return start_ms + 86_400_000
        begin = datetime.fromtimestamp(start_ms / 1_000, UTC)
        after = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
        return int(after.timestamp()) * 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """``key_id`` is a gateway key's id, or ACCOUNT for everybody. Limits: units of 0.00001 USD, tokens."""

    id: str
    key_id: str
    period: Period
    limit_usd: int | None = None
    limit_tokens: int | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Counts:
    """A budget's counters at one moment; what the store keeps. ``alerted``: highest percentage reported."""

    period_start: int
    spent_usd: int = 0
    spent_tokens: int = 0
    alerted: int = 0


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold was passed (``ai_gateway_budget.v0``)."""

    budget: Budget
    percent: int
    counts: Counts


class Admission(enum.IntEnum):
    """What a budget says to a request, the worse the greater."""

    NOW = 0
    #: enough is left, but running requests hold it
    LATER = 1
    NEVER = 2


class Estimate(NamedTuple):
    """What a request will cost: at most, and at least. Units of 0.00001 USD, tokens.

    A request that may cost more than is left, and probably costs less, runs alone: nothing else holds anything then.
    """

    usd: int = 0
    tokens: int = 0
    least_usd: int = 0
    least_tokens: int = 0


def _admission(left: int, reserved: int, most: int, least: int) -> Admission:
    """``left`` of a limit is not spent, ``reserved`` of it is promised."""
    most, least = max(most, 1), max(least, 1)
    if most <= left - reserved:
        return Admission.NOW
    if least > left:
        return Admission.NEVER
    if most > left and reserved <= 0:
        return Admission.NOW
    return Admission.LATER


class Counter:
    """One budget's state. Only ``Ledger`` changes it."""

    __slots__ = (
        "alerted", "budget", "changed", "period_end", "period_start", "reserved_tokens", "reserved_usd",
        "spent_tokens", "spent_usd",
    )  # fmt: skip

    def __init__(self, budget: Budget, counts: Counts) -> None:
        self.reserved_usd = 0
        self.reserved_tokens = 0
        #: not yet written to the store
        self.changed = False
        self.restart(budget, counts)

    def restart(self, budget: Budget, counts: Counts) -> None:
        """Counts from there on; what is reserved stays reserved."""
        self.budget = budget
        self.period_start = counts.period_start
        self.period_end = budget.period.end(counts.period_start)
        self.spent_usd = counts.spent_usd
        self.spent_tokens = counts.spent_tokens
        self.alerted = counts.alerted

    def counts(self) -> Counts:
        return Counts(self.period_start, self.spent_usd, self.spent_tokens, self.alerted)

    def remaining_usd(self) -> int | None:
        """What may still be reserved; None without a limit."""
        limit = self.budget.limit_usd
        return None if limit is None else limit - self.spent_usd - self.reserved_usd

    def remaining_tokens(self) -> int | None:
        limit = self.budget.limit_tokens
        return None if limit is None else limit - self.spent_tokens - self.reserved_tokens

    def admits(self, estimate: Estimate) -> Admission:
        """Whether this budget lets a request run now, later, or not at all."""
        budget = self.budget
        if not budget.enabled:
            return Admission.NOW
        admission = Admission.NOW
        if budget.limit_usd is not None:
            left = budget.limit_usd - self.spent_usd
            admission = _admission(left, self.reserved_usd, estimate.usd, estimate.least_usd)
        if budget.limit_tokens is not None and admission is not Admission.NEVER:
            left = budget.limit_tokens - self.spent_tokens
            also = _admission(left, self.reserved_tokens, estimate.tokens, estimate.least_tokens)
            admission = max(admission, also)
        return admission

    def percent(self) -> int:
        """How much of the tighter limit is spent."""
        pairs = ((self.spent_usd, self.budget.limit_usd), (self.spent_tokens, self.budget.limit_tokens))
        return max((100 * spent // limit for spent, limit in pairs if limit), default=0)


class Reservation:
    """What one request holds of each budget that covers it."""

    __slots__ = ("counters", "key_id", "tokens", "usd")

    def __init__(self, key_id: str, counters: tuple[Counter, ...], usd: int, tokens: int) -> None:
        self.key_id = key_id
        self.counters = counters
        self.usd = usd
        self.tokens = tokens


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The refusal: which budget has too little left (4026 names it)."""

    budget: Budget
    #: running requests hold what is left: it may be free again when they are over
    held: bool = False


class Ledger:
    """All budgets. ``now`` is Unix seconds; ``on_alert`` must not block."""

    __slots__ = ("_by_id", "_by_key", "_now", "_on_alert", "has_budgets")

    def __init__(self, now: Callable[[], float], on_alert: Callable[[Alert], None] = lambda alert: None) -> None:
        self._now = now
        self._on_alert = on_alert
        self._by_id: dict[str, Counter] = {}
        self._by_key: dict[str, tuple[Counter, ...]] = {}
        #: at least one; asked for every request
        self.has_budgets = False

    def put(self, budget: Budget, counts: Counts) -> None:
        """Adds a budget; or changes one: open reservations stay, and counters stay unless the period changed."""
        counter = self._by_id.get(budget.id)
        if counter is None:
            self._by_id[budget.id] = Counter(budget, counts)
            self._index()
        elif counter.budget.period is not budget.period:
            counter.restart(budget, counts)
        else:
            counter.budget = budget
            # A raised limit may be reached again in the same period.
            counter.alerted = min(counter.alerted, _reached(counter.percent()))

    def remove(self, budget_id: str) -> None:
        if self._by_id.pop(budget_id, None) is not None:
            self._index()

    def covers(self, key_id: str) -> bool:
        """Whether any budget counts the requests of a gateway key ('' for none)."""
        return bool(self._by_key.get(key_id) or self._by_key.get(ACCOUNT))

    def reserve(self, key_id: str, *, usd: int = 0, tokens: int = 0) -> Reservation | Exhausted:
        """Admits a request of a gateway key ('' for none), or names the budget that does not."""
        return self.admit(key_id, Estimate(usd, tokens, usd, tokens))

    def admit(self, key_id: str, estimate: Estimate) -> Reservation | Exhausted:
        """The same with an estimate that is a range. A budget that will never admit is named before one that may."""
        counters = self._covering(key_id)
        held: Exhausted | None = None
        for counter in counters:
            admission = counter.admits(estimate)
            if admission is Admission.NEVER:
                return Exhausted(counter.budget)
            if admission is Admission.LATER:
                held = held or Exhausted(counter.budget, held=True)
        if held is not None:
            return held
        for counter in counters:
            counter.reserved_usd += estimate.usd
            counter.reserved_tokens += estimate.tokens
        return Reservation(key_id, counters, estimate.usd, estimate.tokens)

    def hold(self, key_id: str) -> Reservation:
        """A reservation of nothing: to book what a request cost that was not asked before (made before its budget)."""
        return Reservation(key_id, self._covering(key_id), 0, 0)

    def book(self, reservation: Reservation, *, usd: int, tokens: int) -> None:
        """Spends what an attempt cost; all of it, also beyond the reservation."""
        freed_usd, freed_tokens = min(usd, reservation.usd), min(tokens, reservation.tokens)
        reservation.usd -= freed_usd
        reservation.tokens -= freed_tokens
        self._turn(reservation.counters)
        for counter in reservation.counters:
            counter.reserved_usd -= freed_usd
            counter.reserved_tokens -= freed_tokens
            counter.spent_usd += usd
            counter.spent_tokens += tokens
            counter.changed = True
            self._alert(counter)

    def release(self, reservation: Reservation) -> None:
        for counter in reservation.counters:
            counter.reserved_usd -= reservation.usd
            counter.reserved_tokens -= reservation.tokens
        reservation.usd = reservation.tokens = 0

    def counter(self, budget_id: str) -> Counter | None:
        """For showing; turned to the running period first."""
        counter = self._by_id.get(budget_id)
        if counter is not None:
            self._turn((counter,))
        return counter

    def account(self) -> Iterator[Counter]:
        """The account's budgets."""
        yield from self._covering(ACCOUNT)

    def take_changed(self) -> list[tuple[str, Counts]]:
        """Counters that the store does not have yet, marked as taken."""
        changed = [counter for counter in self._by_id.values() if counter.changed]
        for counter in changed:
            counter.changed = False
        return [(counter.budget.id, counter.counts()) for counter in changed]

    def put_back(self, budget_ids: Iterable[str]) -> None:
        """A write of these failed: they are still to be written."""
        for budget_id in budget_ids:
            if (counter := self._by_id.get(budget_id)) is not None:
                counter.changed = True

    def _covering(self, key_id: str) -> tuple[Counter, ...]:
        counters = self._by_key.get(key_id)
        if counters is None:
            counters = self._by_key.get(ACCOUNT, ())
        self._turn(counters)
        return counters

    def _turn(self, counters: Iterable[Counter]) -> None:
        """Starts a new period where the old one is over; reservations go along."""
        now_s = self._now()
        for counter in counters:
            if counter.period_end is not None and now_s * 1_000 >= counter.period_end:
                counter.period_start = counter.budget.period.start(now_s)
                counter.period_end = counter.budget.period.end(counter.period_start)
                counter.spent_usd = counter.spent_tokens = counter.alerted = 0
                counter.changed = True

    def _alert(self, counter: Counter) -> None:
        reached = _reached(counter.percent())
        if reached > counter.alerted and counter.budget.enabled:
            passed = [threshold for threshold in THRESHOLDS if counter.alerted < threshold <= reached]
            counter.alerted = reached
            for threshold in passed:
                self._on_alert(Alert(counter.budget, threshold, counter.counts()))

    def _index(self) -> None:
        everyone = tuple(counter for counter in self._by_id.values() if counter.budget.key_id == ACCOUNT)
        by_key: dict[str, tuple[Counter, ...]] = {ACCOUNT: everyone}
        for counter in self._by_id.values():
            key_id = counter.budget.key_id
            if key_id != ACCOUNT:
                by_key[key_id] = (*by_key.get(key_id, everyone), counter)
        self._by_key = by_key
        self.has_budgets = bool(self._by_id)


def _reached(percent: int) -> int:
    """The highest threshold at or below a percentage; 0 for none."""
    return max((threshold for threshold in THRESHOLDS if threshold <= percent), default=0)
