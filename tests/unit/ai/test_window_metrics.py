"""``gateway.ai.window_metrics``: five minutes in steps of ten seconds (AG-123, AG-124)."""

from __future__ import annotations

import pytest

from gateway.ai.measure import Measure, Outcome
from gateway.ai.window_metrics import AccountMetrics, GlobalMetrics, Timeline, Window, settle
from gateway.clock import ManualClock


class Stage:
    """One window on a clock."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic_s=1_000.0)
        self.timeline = Timeline(self.clock)
        self.window = AccountMetrics(self.timeline, "openai", "gpt-4o")

    def record(self, outcome: Outcome = Outcome.SUCCESS, upstream_s: float = 0.1) -> Measure:
        self.timeline.advance(self.clock.monotonic())
        measure = Measure(outcome, gateway_s=0.002, upstream_s=upstream_s)
        self.window.record(measure)
        return measure

    def shown(self) -> AccountMetrics:
        self.timeline.advance(self.clock.monotonic())
        settle(self.timeline.changed)
        return self.window


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_without_data_ag_123(stage):
    window = stage.shown()
    assert window.request_count == 0
    assert (window.latency.gateway_ms_avg, window.latency.upstream_ms_p95) == (0, 0)
    assert window.latency.time_to_first_token_ms_avg is None
    assert window.latency.time_to_first_token_ms_p95 is None
    assert window.latency.time_per_output_token_ms_p95 is None
    assert (window.error_rate.total, window.error_rate.server, window.token.provider_input) == (0.0, 0.0, 0)
    assert (window.provider, window.model) == ("openai", "gpt-4o")
    assert window.end_time - window.start_time == 300
    assert window.end_time == int(stage.clock.now())


def test_rates_are_shares_of_all_attempts_ag_124(stage):
    for outcome in (Outcome.SUCCESS, Outcome.RATE_LIMIT, Outcome.SERVER, Outcome.TIMEOUT, Outcome.CLIENT):
        stage.record(outcome)
    for outcome in (Outcome.CONNECTION, Outcome.ERROR, Outcome.SUCCESS):
        stage.record(outcome)
    rate = stage.shown().error_rate
    assert rate.total == 6 / 8
    assert rate.rate_limit == rate.server == rate.timeout == rate.client == 1 / 8


def test_averages_and_tokens(stage):
    for upstream_s in (0.1, 0.3):
        stage.record(upstream_s=upstream_s).tokens((10, 20), (11, 21))
    streamed = stage.record(upstream_s=0.2)
    streamed.stream(first_s=0.05, last_s=0.15, output_tokens=5)
    window = stage.shown()
    assert window.latency.upstream_ms_avg == 200
    assert window.latency.gateway_ms_avg == 2
    assert window.latency.time_to_first_token_ms_avg == 50
    assert window.latency.time_per_output_token_ms_avg == 25
    assert window.latency.time_to_first_token_ms_p95 == pytest.approx(50, abs=1)
    assert (window.token.provider_input, window.token.provider_output) == (20, 40)
    assert (window.token.estimated_input, window.token.estimated_output) == (22, 42)


def test_it_slides_in_steps_of_ten_seconds(stage):
    stage.record(Outcome.SERVER)
    stage.clock.advance(10)
    stage.record()
    assert stage.shown().error_rate.total == 0.5
    stage.clock.advance(289.9)
    assert stage.shown().request_count == 2
    stage.clock.advance(0.2)
    assert stage.shown().request_count == 1
    assert stage.shown().error_rate.total == 0.0
    stage.clock.advance(10)
    assert stage.shown().request_count == 0
    assert stage.shown().latency.upstream_ms_avg == 0
    assert stage.shown().latency.upstream_ms_p95 == 0


def test_after_a_long_pause_everything_is_gone(stage):
    for _ in range(5):
        stage.record(Outcome.SERVER)
        stage.clock.advance(17)
    stage.clock.advance(100_000)
    assert stage.shown().request_count == 0
    stage.record()
    assert stage.shown().request_count == 1
    assert stage.shown().error_rate.total == 0.0


def test_percentiles_follow_new_attempts(stage):
    stage.record(upstream_s=0.1)
    assert stage.shown().latency.upstream_ms_p95 == pytest.approx(100, rel=0.02)
    stage.record(upstream_s=1.0)
    assert stage.shown().latency.upstream_ms_p95 == pytest.approx(1_000, rel=0.02)


def test_many_attempts_do_not_wait_p01(stage):
    for _ in range(1_000):
        stage.record()
    assert len(stage.window._waiting) < 64
    assert stage.window.request_count == 1_000
    assert len(stage.window._buckets) == 1


def test_idle_windows_cost_nothing_and_lists_do_not_grow_p01(stage):
    for _ in range(200):
        stage.record()
        stage.clock.advance(5)
    assert len(stage.window._buckets) <= 30
    assert len(stage.timeline._drops) <= 31
    assert len(stage.timeline.changed) <= 1
    stage.clock.advance(1_000)
    stage.timeline.advance(stage.clock.monotonic())
    assert stage.timeline._drops == {}
    assert stage.timeline.changed == []


def test_version_grows_when_a_rate_changes(stage):
    stage.record()
    assert stage.shown().error_rate.version == 0
    stage.record(Outcome.SERVER)
    assert stage.shown().error_rate.version == 1
    stage.record()
    assert stage.shown().error_rate.version == 2
    assert stage.shown().error_rate.version == 2
    stage.clock.advance(301)
    assert stage.shown().error_rate.version == 3


def test_only_some_scopes_have_tokens_ag_122():
    assert "token" in AccountMetrics.__cel__
    assert "token" not in GlobalMetrics.__cel__
    assert issubclass(AccountMetrics, GlobalMetrics)
    assert issubclass(GlobalMetrics, Window)


@pytest.mark.parametrize("scope", [GlobalMetrics, AccountMetrics])
def test_every_declared_member_exists(scope):
    window = scope(Timeline(ManualClock()), "p", "m")
    for name, kind in scope.__cel__.items():
        value = getattr(window, name)
        for inner in kind.host.__cel__ if kind.host is not None else ():
            getattr(value, inner)
