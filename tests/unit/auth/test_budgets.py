"""Budgets: admission, booking, periods, alerts (CP-56 to CP-58, P38)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.auth.budgets import ACCOUNT, Budget, Counts, Exhausted, Ledger, Period, Reservation
from gateway.clock import ManualClock


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def clock():
    return ManualClock(now_s=at("2026-02-28T23:59:00"))


@pytest.fixture
def alerts():
    return []


@pytest.fixture
def ledger(clock, alerts):
    return Ledger(clock.now, alerts.append)


def put(ledger, clock, budget_id="aigb_1", key_id=ACCOUNT, period=Period.DAY, **more):
    budget = Budget(id=budget_id, key_id=key_id, period=period, **more)
    ledger.put(budget, Counts(period.start(clock.now())))
    return budget


def reserve(ledger, key_id="aigk_1", **estimate):
    reservation = ledger.reserve(key_id, **estimate)
    assert isinstance(reservation, Reservation)
    return reservation


def test_cp_57_a_request_is_refused_when_nothing_is_left(ledger, clock):
    budget = put(ledger, clock, limit_usd=100)
    running = [reserve(ledger), reserve(ledger)]
    for reservation in running:
        ledger.book(reservation, usd=60, tokens=1)
    assert ledger.counter("aigb_1").spent_usd == 120, "running requests may overshoot"
    assert ledger.reserve("aigk_1") == Exhausted(budget)
    assert ledger.reserve("") == Exhausted(budget)


def test_p07_an_estimate_is_held_until_it_is_booked_or_released(ledger, clock):
    put(ledger, clock, limit_usd=100, limit_tokens=1_000)
    first = reserve(ledger, usd=60, tokens=10)
    assert isinstance(ledger.reserve("aigk_1", usd=41), Exhausted)
    assert isinstance(ledger.reserve("aigk_1", tokens=991), Exhausted)
    ledger.book(first, usd=20, tokens=5)
    assert isinstance(ledger.reserve("aigk_1", usd=41), Exhausted), "spent 20, still reserved 40"
    ledger.release(first)
    ledger.release(first)
    counter = ledger.counter("aigb_1")
    assert (counter.spent_usd, counter.reserved_usd, counter.spent_tokens, counter.reserved_tokens) == (20, 0, 5, 0)
    reserve(ledger, usd=80)
    assert isinstance(ledger.reserve("aigk_1"), Exhausted)


def test_cp_57_every_covering_budget_must_admit_and_others_do_not_count(ledger, clock):
    put(ledger, clock, "aigb_1", limit_usd=100)
    mine = put(ledger, clock, "aigb_2", "aigk_1", limit_usd=10)
    put(ledger, clock, "aigb_3", "aigk_2", limit_usd=1)
    ledger.book(reserve(ledger), usd=10, tokens=0)
    assert ledger.reserve("aigk_1") == Exhausted(mine)
    assert isinstance(ledger.reserve("aigk_2"), Reservation)
    assert isinstance(ledger.reserve(""), Reservation)
    assert [counter.spent_usd for counter in map(ledger.counter, ("aigb_1", "aigb_2", "aigb_3"))] == [10, 10, 0]
    ledger.remove("aigb_2")
    assert isinstance(ledger.reserve("aigk_1"), Reservation)


def test_a_disabled_budget_counts_and_does_not_refuse(ledger, clock, alerts):
    put(ledger, clock, limit_usd=1, enabled=False)
    ledger.book(reserve(ledger), usd=5, tokens=0)
    assert isinstance(ledger.reserve(""), Reservation)
    assert ledger.counter("aigb_1").spent_usd == 5
    assert alerts == []


@pytest.mark.parametrize(("period", "starts_anew"), [(Period.DAY, True), (Period.MONTH, True), (Period.TOTAL, False)])
def test_cp_56_a_new_period_starts_at_utc_midnight(ledger, clock, period, starts_anew):
    put(ledger, clock, period=period, limit_usd=10)
    running = reserve(ledger, usd=4)
    ledger.book(reserve(ledger), usd=6, tokens=0)
    assert isinstance(ledger.reserve(""), Exhausted)
    clock.advance(60)
    assert isinstance(ledger.reserve(""), Reservation) is starts_anew
    ledger.book(running, usd=4, tokens=0)
    assert ledger.counter("aigb_1").spent_usd == (4 if starts_anew else 10), "cost counts where it is completed"


def test_cp_56_periods():
    assert Period.DAY.start(at("2026-02-28T23:59:59")) == at("2026-02-28T00:00:00") * 1000
    start = Period.MONTH.start(at("2026-12-31T23:59:59"))
    assert start == at("2026-12-01T00:00:00") * 1000
    assert Period.MONTH.end(start) == at("2027-01-01T00:00:00") * 1000
    assert (Period.TOTAL.start(at("2026-12-31T23:59:59")), Period.TOTAL.end(0)) == (0, None)


def test_cp_58_each_threshold_alerts_once_per_period(ledger, clock, alerts):
    put(ledger, clock, limit_usd=100)
    for _ in range(13):
        ledger.book(reserve(ledger), usd=9, tokens=0) if not isinstance(ledger.reserve(""), Exhausted) else None
    assert [alert.percent for alert in alerts] == [80, 100]
    assert [alert.counts.spent_usd for alert in alerts] == [81, 108]
    clock.advance(60)
    ledger.book(reserve(ledger), usd=100, tokens=0)
    assert [alert.percent for alert in alerts] == [80, 100, 80, 100], "both at once, and again in the new period"


def test_cp_58_a_restart_does_not_repeat_an_alert(ledger, clock, alerts):
    budget = Budget(id="aigb_1", key_id=ACCOUNT, period=Period.DAY, limit_tokens=100)
    ledger.put(budget, Counts(Period.DAY.start(clock.now()), 0, 85, 80))
    ledger.book(reserve(ledger), usd=0, tokens=1)
    assert alerts == []


def test_a_raised_limit_may_alert_again_and_keeps_what_was_spent(ledger, clock, alerts):
    put(ledger, clock, limit_usd=100)
    ledger.book(reserve(ledger), usd=90, tokens=0)
    put(ledger, clock, limit_usd=1_000)
    assert ledger.counter("aigb_1").spent_usd == 90
    ledger.book(reserve(ledger), usd=720, tokens=0)
    assert [alert.percent for alert in alerts] == [80, 80]


def test_a_changed_period_counts_from_the_given_state_and_keeps_reservations(ledger, clock):
    put(ledger, clock, limit_usd=100)
    running = reserve(ledger, usd=10)
    ledger.put(Budget(id="aigb_1", key_id=ACCOUNT, period=Period.TOTAL, limit_usd=50), Counts(0, 30, 0))
    assert ledger.counter("aigb_1").remaining_usd() == 10
    ledger.release(running)
    assert ledger.counter("aigb_1").remaining_usd() == 20


def test_changed_counters_are_given_out_once_until_they_change_again(ledger, clock):
    put(ledger, clock, limit_usd=100)
    assert ledger.take_changed() == []
    ledger.book(reserve(ledger), usd=1, tokens=2)
    [(budget_id, counts)] = ledger.take_changed()
    assert (budget_id, counts.spent_usd, counts.spent_tokens) == ("aigb_1", 1, 2)
    assert ledger.take_changed() == []
    ledger.put_back(["aigb_1", "aigb_gone"])
    assert len(ledger.take_changed()) == 1
