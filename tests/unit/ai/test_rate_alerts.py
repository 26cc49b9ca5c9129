"""When a key's rate limits are told of, and when again (AG-332)."""

from __future__ import annotations

import pytest

from gateway.ai.key_metrics import KeySeries, MetricsRegistry
from gateway.ai.measure import Measure, Outcome
from gateway.ai.rate_alerts import RateAlerts, RateLimited
from gateway.clock import ManualClock


class Stage:
    """One registry on a clock."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic_s=1_000.0)
        self.registry = MetricsRegistry(self.clock)
        self.alerts = RateAlerts(self.registry)
        self.key = self.registry.key("openai", "kh_1")

    def attempts(self, fine: int, limited: int, key: KeySeries | None = None) -> None:
        window = (key or self.key).window
        for outcome, count in ((Outcome.SUCCESS, fine), (Outcome.RATE_LIMIT, limited)):
            for _ in range(count):
                window.record(Measure(outcome))

    def turns(self, seconds: int, threshold: float = 0.1) -> list[RateLimited]:
        """Looks once a second, as the process does."""
        found: list[RateLimited] = []
        for _ in range(seconds):
            found += self.alerts.turn(threshold)
            self.clock.advance(1.0)
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_ag_332_at_the_threshold_with_five_attempts(stage):
    stage.attempts(9, 1)
    assert stage.turns(3) == [RateLimited("openai", "kh_1", 0.1, 10, 300)]


@pytest.mark.parametrize(("fine", "limited"), [(0, 4), (3, 1), (91, 9), (10, 0)])
def test_ag_332_too_few_attempts_or_too_low_a_rate(stage, fine, limited):
    stage.attempts(fine, limited)
    assert stage.turns(400) == []


def test_ag_332_the_fifth_attempt_counts(stage):
    stage.attempts(0, 4)
    assert stage.turns(2) == []
    stage.attempts(0, 1)
    assert [each.attempts for each in stage.turns(2)] == [5]


def test_ag_332_once_while_it_goes_on(stage):
    found = []
    for _ in range(30):
        stage.attempts(5, 5)
        found += stage.turns(60)
    assert len(found) == 1


def test_ag_332_again_only_after_a_calm_window(stage):
    stage.attempts(0, 10)
    assert len(stage.turns(1)) == 1
    assert stage.turns(310) == []  # the window has emptied just now
    stage.attempts(0, 10)
    assert stage.turns(310) == []  # and has not been calm for as long as a window
    assert stage.turns(310) == []
    stage.attempts(0, 10)
    assert len(stage.turns(5)) == 1


def test_ag_332_half_the_threshold_is_not_calm(stage):
    stage.attempts(0, 10)
    assert len(stage.turns(1)) == 1
    for _ in range(20):
        stage.attempts(95, 5)  # 5 %: half of the threshold
        assert stage.turns(60) == []
    stage.attempts(0, 100)
    assert stage.turns(5) == []


def test_ag_332_keys_are_apart_and_the_callers_own_is_nobodys(stage):
    other = stage.registry.key("openai", "kh_2")
    nobody = stage.registry.key("openai", "")
    stage.attempts(0, 5)
    stage.attempts(0, 6, other)
    stage.attempts(0, 7, nobody)
    assert {each.key_id: each.attempts for each in stage.turns(2)} == {"kh_1": 5, "kh_2": 6}


def test_p01_nothing_is_remembered_of_keys_that_recovered(stage):
    for number in range(50):
        stage.attempts(0, 5, stage.registry.key("openai", f"kh_{number}"))
    assert len(stage.turns(1)) == 50
    assert stage.turns(700) == []
    assert not stage.registry.rate_limited
    assert not stage.alerts._told
