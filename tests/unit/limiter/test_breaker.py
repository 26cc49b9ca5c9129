"""The breaker's states (TP-491 … TP-493), against a model that remembers everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.limiter.breaker import Breaker, Pass, State, Thresholds


def breaker(ratio: float = 0.5, volume: int = 4, window_s: float = 10.0, tripped_s: float = 5.0) -> Breaker:
    return Breaker(Thresholds(ratio, volume, window_s, tripped_s))


def send(one: Breaker, now_s: float, *, failed: bool | None) -> bool:
    """A request that begins and ends at one instant; whether it passed."""
    admitted = one.admit(now_s)
    if isinstance(admitted, Pass):
        one.finished(admitted, now_s, failed=failed)
        return True
    return False


def state(one: Breaker) -> State:
    return one.state


def test_it_trips_at_both_thresholds_tp492() -> None:
    one = breaker()
    assert [send(one, 0.1 * n, failed=n % 2 == 0) for n in range(6)] == [True] * 4 + [False] * 2
    other = breaker()
    assert all(send(other, 0.1 * n, failed=n % 3 == 0) for n in range(1, 30)), "a third is less than a half"


def test_too_few_requests_do_not_trip_tp492() -> None:
    one = breaker(volume=10)
    assert all(send(one, float(n), failed=True) for n in range(9))
    assert state(one) is State.CLOSED


def test_a_threshold_of_zero_trips_on_any_outcome_tp492_cl68() -> None:
    one = breaker(ratio=0.0, volume=1)
    assert [send(one, 0.0, failed=False), send(one, 0.0, failed=False)] == [True, False]


def test_old_sub_windows_do_not_count_tp491() -> None:
    one = breaker(volume=4)
    for n in range(3):
        send(one, 0.5 + n * 0.1, failed=True)
    assert send(one, 10.4, failed=True)
    assert state(one) is State.CLOSED, "the first sub-window (0, 1] has gone"
    for n in range(3):
        send(one, 10.5 + n * 0.1, failed=True)
    assert state(one) is State.TRIPPED


def test_one_trial_then_closed_with_empty_counts_tp493() -> None:
    one = breaker(ratio=0.0, volume=2)
    send(one, 0.0, failed=True)
    send(one, 0.0, failed=True)
    assert one.admit(4.9) == 1
    trial = one.admit(5.0)
    assert isinstance(trial, Pass)
    assert one.admit(5.0) == 1, "the others are still refused"
    assert one.admit(60.0) == 1
    one.finished(trial, 61.0, failed=False)
    assert state(one) is State.CLOSED
    assert send(one, 61.0, failed=True)
    assert state(one) is State.CLOSED, "counts started afresh"


def test_a_failed_trial_trips_anew_tp493() -> None:
    one = breaker(ratio=0.0, volume=1)
    send(one, 0.0, failed=True)
    assert send(one, 5.0, failed=True)
    assert one.admit(5.1) == 5
    assert one.admit(9.9) == 1
    assert isinstance(one.admit(10.0), Pass)


def test_a_trial_whose_client_left_says_nothing_tp491() -> None:
    one = breaker(ratio=0.0, volume=1)
    send(one, 0.0, failed=True)
    assert send(one, 5.0, failed=None)
    assert isinstance(one.admit(5.0), Pass), "the next request is the trial"


def test_clients_that_leave_are_not_counted_tp491() -> None:
    one = breaker(ratio=0.0, volume=1)
    assert all(send(one, 0.0, failed=None) for _ in range(20))


def test_requests_of_an_earlier_era_change_nothing() -> None:
    """Slow requests end after the breaker tripped, or after it closed again."""
    one = breaker(ratio=0.0, volume=2)
    slow = [one.admit(0.0) for _ in range(4)]
    for admitted in slow[:2]:
        assert isinstance(admitted, Pass)
        one.finished(admitted, 1.0, failed=True)
    assert state(one) is State.TRIPPED
    assert isinstance(slow[2], Pass)
    one.finished(slow[2], 4.0, failed=True)
    assert one.admit(5.9) == 1
    assert send(one, 6.0, failed=False)
    assert isinstance(slow[3], Pass)
    one.finished(slow[3], 7.0, failed=True)
    assert send(one, 7.0, failed=False)
    assert state(one) is State.CLOSED, "one request in the new era is less than the volume"


@given(
    st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=80),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 6),
)
def test_it_trips_exactly_when_the_model_does(requests: list[tuple[int, bool]], ratio: float, volume: int) -> None:
    """Steps are tenths of a second, so that a window of 10 s has sub-windows of 10 steps."""
    one = breaker(ratio, volume)
    history: list[tuple[int, bool]] = []
    step = 0
    tripped_at: int | None = None
    for gap, failed in requests:
        step += gap
        expected = tripped_at is None or step - tripped_at >= 50
        assert send(one, step / 10 + 0.05, failed=failed) is expected
        if not expected:
            continue
        if tripped_at is not None:
            history, tripped_at = [], step if failed else None
            continue
        history.append((step, failed))
        recent = [bad for at, bad in history if step // 10 - 10 < at // 10]
        if len(recent) >= volume and sum(recent) >= ratio * len(recent):
            tripped_at = step
