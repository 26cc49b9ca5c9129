"""The arithmetic of one bucket (TP-272 … TP-275, TP-281)."""

from __future__ import annotations

from array import array

import pytest

from gateway.limiter.window import (
    EXACT_CAPACITY,
    NS_PER_S,
    SUB_WINDOWS,
    CountedWindow,
    ExactWindow,
    Window,
    window_for,
)

MINUTE = 60 * NS_PER_S


def admissions(window: Window, instants: list[float]) -> tuple[array[int], list[float]]:
    """The waits in seconds (0.0: admitted) of requests at these seconds, the first of which opens the log."""
    log = window.open(int(instants[0] * NS_PER_S))
    return log, [0.0] + [window.admit(log, int(t * NS_PER_S)) / NS_PER_S for t in instants[1:]]


def test_the_vector_of_the_rule_tp281() -> None:
    _, waits = admissions(ExactWindow(MINUTE, 3), [0, 1, 2, 3, 59.5, 60, 60.5, 61])
    assert waits == [0, 0, 0, 57, 0.5, 0, 0.5, 0]


def test_the_interval_is_half_open_tp272() -> None:
    """An admission at t - W no longer counts; one nanosecond later it does."""
    window = ExactWindow(MINUTE, 1)
    log = window.open(5)
    assert window.admit(log, MINUTE + 4) == 1
    assert window.admit(log, MINUTE + 5) == 0


def test_an_idle_client_gets_its_whole_capacity_at_once_tp274() -> None:
    window = ExactWindow(MINUTE, EXACT_CAPACITY)
    log = window.open(0)
    assert all(window.admit(log, 7) == 0 for _ in range(EXACT_CAPACITY - 1))
    assert window.admit(log, 7) == MINUTE - 7


def test_no_burst_across_a_boundary_tp273() -> None:
    """Late in one window and early in the next: what a fixed window and a weighted pair of counters let through."""
    window = ExactWindow(MINUTE, 100)
    log = window.open(59 * NS_PER_S)
    late = 1 + sum(window.admit(log, 59 * NS_PER_S + n) == 0 for n in range(150))
    early = sum(window.admit(log, 61 * NS_PER_S + n) == 0 for n in range(150))
    assert (late, early) == (100, 0)


def test_a_refusal_leaves_the_log_alone_tp275() -> None:
    for window in (ExactWindow(MINUTE, 2), CountedWindow(MINUTE, 2)):
        log = window.open(0)
        window.admit(log, 1)
        before = log.tobytes()
        assert all(window.admit(log, 2 + n) > 0 for n in range(50))
        assert log.tobytes() == before


def test_the_ring_keeps_its_order_when_it_grows_half_way_round_tp274() -> None:
    """Overwriting moves the oldest place; growing must put the new places right before it."""
    window = ExactWindow(100, 4)
    log = window.open(0)
    # 100 overwrites 0 and the oldest is then 30, in the second of two places; 101 and 102 make the ring grow
    assert [window.admit(log, t) for t in (30, 100, 101, 102)] == [0, 0, 0, 0]
    assert window.admit(log, 103) == 27
    assert [window.admit(log, t) for t in (130, 131)] == [0, 69]
    assert window.newest(log) == 130


@pytest.mark.parametrize(("capacity", "most"), [(1, 16), (100, 808), (EXACT_CAPACITY, 80_008)])
def test_the_exact_log_is_bounded(capacity: int, most: int) -> None:
    window = ExactWindow(MINUTE, capacity)
    log = window.open(0)
    for t in range(1, 3 * capacity):
        window.admit(log, t * 20 * MINUTE // capacity if t % 7 == 0 else t)
    for t in range(2 * capacity):
        window.admit(log, 100 * MINUTE + t)
    assert len(log) * log.itemsize <= most


def test_the_places_in_use_follow_what_was_held_at_once() -> None:
    """A client that sends one request per interval costs one place, whatever the capacity."""
    window = ExactWindow(MINUTE, 5_000)
    log = window.open(0)
    for n in range(1, 1_000):
        window.admit(log, n * MINUTE)
    assert len(log) == 2


def test_the_counted_window_is_bounded_and_holds_its_capacity_tp274() -> None:
    window = CountedWindow(MINUTE, 1_000_000)
    log = window.open(0)
    admitted = 1
    for n in range(1, 20_000):
        now = n * MINUTE // 5_000
        admitted += window.admit(log, now) == 0
    assert admitted == 20_000
    assert len(log) <= 2 + 2 * (SUB_WINDOWS + 1)
    assert window.newest(log) == 19_999 * MINUTE // 5_000


def test_the_counted_window_refuses_at_its_capacity_and_names_the_wait() -> None:
    window = CountedWindow(MINUTE, 3)
    log = window.open(0)
    assert [window.admit(log, s * NS_PER_S) for s in (1, 2)] == [0, 0]
    assert window.admit(log, 3 * NS_PER_S) == 57 * NS_PER_S
    assert window.admit(log, 60 * NS_PER_S) == 0
    assert window.admit(log, 60 * NS_PER_S) == NS_PER_S


def test_a_sub_window_counts_in_full_until_its_last_admission_left_tp274() -> None:
    """Two admissions in one sub-window leave together, with the later one."""
    window = CountedWindow(128 * 10, 2)
    log = window.open(0)
    assert window.admit(log, 9) == 0
    assert window.admit(log, 1_280) == 9
    assert window.admit(log, 1_288) == 1
    assert [window.admit(log, 1_289), window.admit(log, 1_289)] == [0, 0]


def test_a_sub_window_does_not_grow_with_its_admissions_tp274() -> None:
    """Steady traffic is not one long sub-window: what came in its first part leaves first."""
    window = CountedWindow(128 * 10, 3)
    log = window.open(0)
    assert [window.admit(log, t) for t in (9, 18)] == [0, 0]
    assert [window.admit(log, t) for t in (1_288, 1_289, 1_289)] == [1, 0, 0]
    assert window.admit(log, 1_289) == 9


def test_an_hour_idle_then_the_counted_window_starts_afresh() -> None:
    window = CountedWindow(MINUTE, 2)
    log = window.open(0)
    window.admit(log, 1)
    assert [window.admit(log, 60 * MINUTE + n) == 0 for n in range(3)] == [True, True, False]


def test_the_rule_chooses_the_window_tp274() -> None:
    assert isinstance(window_for(MINUTE, 10_000), ExactWindow)
    assert isinstance(window_for(MINUTE, 10_001), CountedWindow)
    assert SUB_WINDOWS >= 100
