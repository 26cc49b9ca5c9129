"""The limiter against brute force: exact where it must be, never above, never more than one sub-window early."""

from __future__ import annotations

from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.clock import ManualClock
from gateway.limiter.buckets import LimiterIdentity, LimiterTable, bucket_key
from gateway.limiter.window import NS_PER_S, CountedWindow, ExactWindow, Window

#: Steps between requests, in hundredths of the window: many at once, borders hit exactly, long silences.
STEPS = st.lists(
    st.one_of(st.sampled_from([0, 1, 2, 30, 50, 99, 100, 101]), st.integers(0, 130)), min_size=1, max_size=80
)


def _count(instants: list[int], now: int, width: int) -> int:
    return sum(now - width < a <= now for a in instants)


def _run(window: Window, steps: list[int]) -> list[tuple[int, int]]:
    """(instant, wait) of each request."""
    now, log, seen = 10_000, array("q"), []
    for step in steps:
        now += step
        if log:
            wait = window.admit(log, now)
        else:
            log, wait = window.open(now), 0
        seen.append((now, wait))
    return seen


@settings(max_examples=1_000, deadline=None)
@given(capacity=st.integers(1, 12), steps=STEPS)
def test_the_exact_window_is_brute_force_tp272_tp274(capacity: int, steps: list[int]) -> None:
    admitted: list[int] = []
    for now, wait in _run(ExactWindow(100, capacity), steps):
        if _count(admitted, now, 100) < capacity:
            assert wait == 0
            admitted.append(now)
        else:
            live = [a for a in admitted if now - 100 < a]
            assert wait == live[0] + 100 - now


@settings(max_examples=1_000, deadline=None)
@given(
    capacity=st.integers(1, 12),
    width=st.sampled_from([12_799, 12_800]),
    steps=st.lists(
        st.one_of(st.sampled_from([0, 40, 60, 99, 100, 101, 6_400, 12_700, 12_799, 12_800]), st.integers(0, 200)),
        min_size=1,
        max_size=80,
    ),
)
def test_the_counted_window_never_exceeds_and_is_early_by_one_sub_window_tp274(
    capacity: int, width: int, steps: list[int]
) -> None:
    window = CountedWindow(width, capacity)
    assert window.sub_width * 100 <= width
    admitted: list[int] = []
    for now, wait in _run(window, steps):
        if wait:
            assert _count(admitted, now, width + window.sub_width) >= capacity
            assert 0 < wait <= width
        else:
            assert _count(admitted, now, width) < capacity
            admitted.append(now)


@settings(max_examples=400, deadline=None)
@given(
    capacity=st.integers(1, 5),
    room=st.integers(1, 4),
    requests=st.lists(
        st.tuples(st.integers(0, 5), st.one_of(st.integers(0, 100), st.sampled_from([0, 450, 900]))), max_size=150
    ),
)
def test_no_key_exceeds_its_capacity_however_full_the_table_is_tp273_tp277(
    capacity: int, room: int, requests: list[tuple[int, int]]
) -> None:
    table = LimiterTable(max_buckets=room)
    limiter = table.limiter(LimiterIdentity("ep_1", "n", NS_PER_S, capacity, ("1",), 0))
    clock = ManualClock()
    admitted: dict[int, list[int]] = {}
    for who, step_ms in requests:
        clock.advance(step_ms / 1_000)
        now = round(clock.monotonic() * NS_PER_S)
        instants = admitted.setdefault(who, [])
        wait = limiter.admit(bucket_key(b"%d" % who), clock.monotonic())
        if not wait:
            assert _count(instants, now, NS_PER_S) < capacity
            instants.append(now)
        assert table.live <= room


@settings(max_examples=200, deadline=None)
@given(
    capacity=st.integers(1, 5),
    requests=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 700)), max_size=150),
)
def test_with_room_every_key_gets_exactly_its_share_tp274(capacity: int, requests: list[tuple[int, int]]) -> None:
    """Dropping empty buckets and adding them again changes no decision."""
    limiter = LimiterTable().limiter(LimiterIdentity("ep_1", "n", NS_PER_S, capacity, ("1",), 0))
    clock = ManualClock()
    admitted: dict[int, list[int]] = {}
    for who, step_ms in requests:
        clock.advance(step_ms / 1_000)
        now = round(clock.monotonic() * NS_PER_S)
        instants = admitted.setdefault(who, [])
        expected = _count(instants, now, NS_PER_S) < capacity
        wait = limiter.admit(bucket_key(b"%d" % who), clock.monotonic())
        assert (wait == 0) == expected
        if expected:
            instants.append(now)
