"""``gateway.ai.key_metrics``: scopes, what survives, what is bounded (AG-122, AG-123, AG-131, AG-132)."""

from __future__ import annotations

import pytest

from gateway.ai import key_metrics
from gateway.ai.key_metrics import KeyMetrics, MetricsRegistry, ModelMetrics
from gateway.ai.measure import Measure, Outcome
from gateway.ai.quota import Quota
from gateway.clock import ManualClock
from gateway.headers import HeaderMap
from tests.unit.ai.selection_kit import quota_headers


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = MetricsRegistry(self.clock)

    def record(self, metrics: ModelMetrics, *key_ids: str, outcome: Outcome = Outcome.SUCCESS) -> None:
        keys = tuple((key_id, self.registry.unknown_quota) for key_id in key_ids)
        self.registry.record(metrics, Measure(outcome, upstream_s=0.1), keys)


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestScopes:
    def test_global_region_and_account_are_one_ag_122(self, stage):
        metrics = stage.registry.model("openai", "gpt-4o", "ep_1")
        assert getattr(metrics, "global") is metrics.region is metrics.account

    def test_endpoint_counts_its_own_only_ag_122(self, stage):
        here = stage.registry.model("openai", "gpt-4o", "ep_1")
        there = stage.registry.model("openai", "gpt-4o", "ep_2")
        stage.record(here)
        stage.record(there)
        stage.record(there)
        assert (here.account.request_count, there.account.request_count) == (3, 3)
        assert (here.endpoint.request_count, there.endpoint.request_count) == (1, 2)

    def test_api_keys_holds_those_seen_in_the_window_ag_122(self, stage):
        metrics = stage.registry.model("openai", "gpt-4o", "ep_1")
        assert metrics.api_keys == {}
        stage.record(metrics, "kh_1", "aigk_1")
        stage.clock.advance(200)
        stage.record(metrics, "kh_1")
        assert metrics.api_keys["kh_1"].request_count == 2
        assert metrics.api_keys["aigk_1"].quota.remaining_requests is None
        stage.clock.advance(150)
        stage.registry.advance()
        assert set(metrics.api_keys) == {"kh_1"}
        assert metrics.api_keys["kh_1"].request_count == 1
        stage.clock.advance(200)
        stage.registry.advance()
        assert metrics.api_keys == {}
        assert stage.registry.key_windows == 0

    def test_every_declared_member_exists(self, stage):
        metrics = stage.registry.model("openai", "gpt-4o", "ep_1")
        for name in ModelMetrics.__cel__:
            getattr(metrics, name)
        stage.record(metrics, "kh_1")
        for name in KeyMetrics.__cel__:
            getattr(metrics.api_keys["kh_1"], name)


class TestReload:
    def test_the_same_names_have_the_same_numbers(self, stage):
        first = stage.registry.model("openai", "gpt-4o", "ep_1")
        stage.record(first, "kh_1")
        second = stage.registry.model("openai", "gpt-4o", "ep_1")
        assert second.account is first.account
        assert second.endpoint is first.endpoint
        assert second.api_keys is first.api_keys

    def test_keys_keep_theirs_per_model_ag_131(self, stage):
        key = stage.registry.key("openai", "kh_1")
        assert stage.registry.key("openai", "kh_1") is key
        assert stage.registry.key("azure", "kh_1") is not key
        assert key.state("gpt-4o") is key.state("gpt-4o")
        assert key.state("gpt-4o") is not key.state("gpt-4.1")

    def test_error_rate_is_over_all_models_ag_132(self, stage):
        key = stage.registry.key("openai", "kh_1")
        key.window.record(Measure(Outcome.SERVER))
        key.window.record(Measure(Outcome.SUCCESS))
        stage.registry.settle_keys(stage.registry.advance())
        assert key.window.error_rate.server == 0.5
        stage.clock.advance(301)
        stage.registry.settle_keys(stage.registry.advance())
        assert key.window.error_rate.server == 0.0


class TestTime:
    def test_a_reset_takes_effect_without_a_request_ag_131(self, stage):
        state = stage.registry.key("openai", "kh_1").state("gpt-4o")
        state.observe(200, quota_headers(0, 10, "8s"))
        stage.registry.settle()
        assert state.quota.remaining_requests == 0
        stage.clock.advance(8.1)
        stage.registry.settle()
        assert state.quota.remaining_requests == 10

    def test_an_earlier_reset_replaces_a_later_one(self, stage):
        state = stage.registry.key("openai", "kh_1").state("gpt-4o")
        for reset in ("10h", "8s", "30s"):
            state.observe(200, quota_headers(0, 10, reset))
            stage.registry.settle()
        stage.clock.advance(8.1)
        stage.registry.settle()
        assert state.quota.remaining_requests == 0
        stage.clock.advance(22)
        stage.registry.settle()
        assert state.quota.remaining_requests == 10

    def test_reminders_do_not_pile_up_p01(self, stage):
        states = [stage.registry.key("openai", f"kh_{number}").state("gpt-4o") for number in range(5)]
        for _ in range(500):
            for state in states:
                state.observe(200, quota_headers(3, 10, "20s"))
            stage.clock.advance(1)
            stage.registry.settle()
        assert len(stage.registry._reminders) <= 10

    def test_unread_observations_do_not_pile_up_p01(self, stage):
        state = stage.registry.key("openai", "kh_1").state("gpt-4o")
        for remaining in range(500):
            state.observe(200, quota_headers(remaining))
        assert len(stage.registry.unsettled) == 1
        stage.registry.settle()
        assert stage.registry.unsettled == []
        assert state.quota.remaining_requests == 499

    def test_cooling_does_not_need_settling(self, stage):
        state = stage.registry.key("openai", "kh_1").state("gpt-4o")
        state.observe(429, HeaderMap())
        assert state.cool_until_s == stage.clock.monotonic() + 60


class TestBounds:
    """P01."""

    def test_pass_through_names(self, stage, monkeypatch):
        monkeypatch.setattr(key_metrics, "PASS_THROUGH_LIMIT", 10)
        for number in range(50):
            stage.record(stage.registry.model("openrouter", f"m{number}", "ep_1", known=False))
        assert len(stage.registry._models) <= 11
        assert stage.registry.model("openrouter", "m49", "ep_1", known=False).account.request_count == 40
        assert stage.registry.model("openai", "gpt-4o", "ep_1").account.request_count == 0

    def test_models_per_key(self, stage, monkeypatch):
        monkeypatch.setattr(key_metrics, "PASS_THROUGH_LIMIT", 10)
        key = stage.registry.key("openrouter", "kh_1")
        states = {id(key.state(f"m{number}")) for number in range(50)}
        assert len(states) == 11

    def test_models_of_all_keys_together(self, stage, monkeypatch):
        """Keys and names that both come from clients multiply: what clients make up leaves room for the rest."""
        monkeypatch.setattr(key_metrics, "STATE_LIMIT", 40)
        keys = [stage.registry.key("openrouter", f"kh_{number}") for number in range(5)]
        made_up = {id(key.state(f"m{number}", known=False)) for key in keys for number in range(50)}
        assert len(made_up) == 10 + 5  # the first key's own, and one for all others of each
        known = {id(keys[0].state(f"gpt-{number}")) for number in range(100)}
        assert len(known - made_up) == 25
        assert stage.registry.states == 40

    def test_keys(self, stage, monkeypatch):
        monkeypatch.setattr(key_metrics, "KEY_LIMIT", 10)
        series = {id(stage.registry.key("openai", f"kh_{number}")) for number in range(50)}
        assert len(series) == 11
        assert id(stage.registry.key("openai", "kh_3")) in series

    def test_keys_per_model_come_back_when_others_are_idle(self, stage, monkeypatch):
        monkeypatch.setattr(key_metrics, "KEY_WINDOW_LIMIT", 10)
        metrics = stage.registry.model("openai", "gpt-4o", "ep_1")
        for number in range(50):
            stage.record(metrics, f"aigk_{number}")
        assert len(metrics.api_keys) == 10
        assert metrics.account.request_count == 50
        stage.clock.advance(301)
        stage.record(metrics, "aigk_49")
        assert set(metrics.api_keys) == {"aigk_49"}

    def test_the_unknown_quota_is_never_known(self, stage):
        assert isinstance(stage.registry.unknown_quota, Quota)
        assert stage.registry.unknown_quota.remaining_requests is None
