"""``gateway.ai.strategies``: the first with a result wins; what is recorded, what is evaluated again (AG-100 ff.)."""

from __future__ import annotations

from random import Random

import pytest

from gateway.ai.collections import model_environment
from gateway.ai.entities import Model, ProviderKey
from gateway.ai.strategies import compile_strategy, shared_names, shown_name
from gateway.ai.surfaces import CHAT
from gateway.cel.env import DYN, Environment
from gateway.cel.errors import CelError
from tests.unit.ai.selection_kit import ENVIRONMENT, World, exchange, model, names, provider

MODEL_ENVIRONMENT = model_environment(ENVIRONMENT, Random(1))
MINE = (provider("a", "x", "y"), provider("b", "x", "z", model("old", disabled=True)))


def plan_of(strategies: list[str], *wanted: str, source=None, mine=MINE):
    world = World(*mine, model_strategies=strategies)
    arguments = () if source is None else (source,)
    return world.universe.plan(None, wanted, CHAT, world.universe.reach(), *arguments)


class TestModelStrategies:
    def test_the_first_with_a_result_wins_ag_100(self):
        plan = plan_of(["ai.models.only(['zip'])", "ai.models.only(['z'])", "ai.models"])
        assert names(plan.candidates) == ["b:z"]
        assert [selection.strategy for selection in plan.selections] == [
            "ai.models.only(['zip'])",
            "ai.models.only(['z'])",
        ]

    def test_automatic_order_is_the_strategy_s_ag_101(self):
        assert names(plan_of(["[ai.models[3], ai.models[0]]"]).candidates) == ["b:z", "a:x"]

    def test_named_order_is_the_client_s_and_within_a_name_the_strategy_s_ag_101(self):
        plan = plan_of(["[ai.models[2], ai.models[1], ai.models[0]]"], "x", "z", "y")
        assert names(plan.candidates) == ["b:x", "a:x", "b:z"]
        plan = plan_of(["ai.models.sortBy(m, m.id == 'y' ? 0 : 1)"], "x", "y")
        assert names(plan.candidates) == ["a:x", "b:x", "a:y"]

    def test_strategies_only_narrow_ag_101(self):
        assert names(plan_of(["ai.providers.get('b').models"], "b:x").candidates) == ["b:x"]
        plan = plan_of(["ai.models.only(['z'])", "ai.models"], "x")
        assert names(plan.candidates) == ["a:x", "b:x"]

    def test_pass_through_is_a_model_with_known_false_ag_118(self):
        plan = plan_of(["ai.models.filter(m, !m.known)"], "x", "a:unheard-of")
        assert names(plan.candidates) == ["a:unheard-of"]

    def test_a_run_time_error_counts_as_nothing_and_is_recorded_ag_102(self):
        plan = plan_of(["[ai.models[9]]", "ai.models[0]"])
        assert names(plan.candidates) == ["a:x"]
        assert "index out of bounds" in plan.selections[0].error
        assert plan.selections[1].error == ""

    @pytest.mark.parametrize(
        ("strategies", "code"),
        [
            (["ai.models[9]", "ai.models[8]"], "ERR_NGROK_3803"),
            (["ai.models[9]", "ai.models.only([])"], "ERR_NGROK_3805"),
            (["ai.models.only([])", "ai.models[9]"], "ERR_NGROK_3805"),
            (["ai.models.get('a', 'nope')"], "ERR_NGROK_3805"),
        ],
    )
    def test_exhausted_ag_102_ag_110(self, strategies, code):
        error = plan_of(strategies).error
        assert error is not None
        assert (error.code, error.status) == (code, 422)

    def test_a_wrong_result_fails_at_once_3806_ag_102(self):
        plan = plan_of(["vars.pick", "ai.models"], source=lambda: exchange(pick="gpt-4o").scope)
        error = plan.error
        assert error is not None
        assert error.code == "ERR_NGROK_3806"
        assert "vars.pick" in error.message
        assert "gpt-4o" not in error.message
        plan = plan_of(["[ai.models[0], vars.pick]"], source=lambda: exchange(pick=1).scope)
        assert plan.error is not None
        assert plan.error.code == "ERR_NGROK_3806"

    def test_variables_of_the_request_may_be_used_ag_9(self):
        plan = plan_of(["ai.models.only([vars.want])"], source=lambda: exchange(want="z").scope)
        assert names(plan.candidates) == ["b:z"]

    def test_the_scope_is_left_as_it_was(self):
        scope = exchange(want="z").scope
        plan_of(["ai.models.only([vars.want])"], source=lambda: scope)
        assert scope.ai is None

    def test_disabled_models_are_not_seen_ag_90(self):
        assert "b:old" not in names(plan_of(["ai.models"]).candidates)
        assert names(plan_of(["ai.providers.get('b').models"]).candidates) == ["b:x", "b:z"]

    def test_an_earlier_error_stands(self):
        plan = plan_of(["ai.models"], "no-such-name-at-all")
        assert plan.error is not None
        assert plan.error.code == "ERR_NGROK_3804"
        assert plan.selections == ()


class TestDuplicates:
    """AG-100."""

    @pytest.mark.parametrize(
        "strategy",
        [
            "[ai.models[0], ai.models[0]]", "ai.models.only(['y']) + ai.models.only(['y'])",
            "ai.models.map(m, ai.models[1])", "[ai.models, ai.models].flatten()",
            "ai.models.filter(m, m.id == 'y').map(m, m)", "ai.models.only(['y']).filter(m, true) + [ai.models[1]]",
        ],
    )  # fmt: skip
    def test_they_are_dropped(self, strategy):
        plan = plan_of([strategy])
        assert len(plan.candidates) == len(set(plan.candidates)) >= 1
        shown = plan.selections[0].as_map()
        assert len(shown["candidates_returned"]) == len(plan.candidates)
        assert not compile_strategy(strategy, MODEL_ENVIRONMENT, Model).distinct

    @pytest.mark.parametrize(
        "strategy",
        [
            "ai.models", "ai.models.only(['x', \"y\"]).randomize()", "ai.models.filter(m, m.metadata['tier'] == 'a')",
            "ai.models.sortBy(m, m.id)", "ai.models.only([])",
        ],
    )  # fmt: skip
    def test_what_cannot_repeat_is_not_searched(self, strategy):
        assert compile_strategy(strategy, MODEL_ENVIRONMENT, Model).distinct


class TestRecords:
    def test_fields_ag_280(self):
        plan = plan_of(["ai.models.only(['x', 'z'])"])
        (record,) = [selection.as_map() for selection in plan.selections]
        shown = ["a:x", "b:x", "z"]
        assert record == {
            "strategy": "ai.models.only(['x', 'z'])", "error": "", "candidates_returned": shown,
            "candidates_after_allowed_filter": shown, "candidates_after_client_filter": shown, "models_to_try": shown,
        }  # fmt: skip

    def test_shared_ids_carry_the_provider_ag_281(self):
        candidates = plan_of([], "x", "y").candidates
        shared = shared_names(candidates)
        assert [shown_name(each, shared) for each in candidates] == ["a:x", "b:x", "y"]

    def test_none_without_strategies(self):
        assert plan_of([]).selections == ()


class TestOncePerCatalog:
    def plans(self, strategy: str):
        world = World(*MINE, model_strategies=[strategy])
        return [world.universe.plan(None, ("x",), CHAT) for _ in range(2)]

    @pytest.mark.parametrize("strategy", ["ai.models.only(['x'])", "ai.models[9]", "ai.models.filter(m, m.known)"])
    def test_catalog_fields_are_evaluated_once(self, strategy):
        first, second = self.plans(strategy)
        assert first is second

    @pytest.mark.parametrize(
        "strategy",
        [
            "ai.models.filter(m, m.metrics.global.request_count == 0)",
            "ai.models.randomize()",
        ],
    )
    def test_everything_else_is_evaluated_again(self, strategy):
        first, second = self.plans(strategy)
        assert first is not second

    def test_a_live_strategy_before_a_constant_one_is_seen(self):
        world = World(
            *MINE, model_strategies=["ai.models.filter(m, m.metrics.global.request_count > 0)", "ai.models.only(['x'])"]
        )
        assert world.universe.plan(None, ("x",), CHAT) is not world.universe.plan(None, ("x",), CHAT)


class TestLoad:
    """AG-9."""

    @pytest.mark.parametrize(
        "source", ["'gpt-4o'", "ai.providers", "ai.models.map(m, m.id)", "size(ai.models)", "null"]
    )
    def test_a_result_that_can_never_be_a_model_is_a_load_error(self, source):
        with pytest.raises(CelError, match=r"must return an AIModel or \[\]AIModel, got") as caught:
            World(*MINE, model_strategies=[source])
        assert source in caught.value.message

    @pytest.mark.parametrize("source", ["ai.keys.map(k, k.id)", "ai.keys[0].quota", "true"])
    def test_keys_likewise(self, source):
        with pytest.raises(CelError, match=r"must return an AIKey or \[\]AIKey, got"):
            World(*MINE, key_strategies=[source])

    def test_what_cannot_be_known_loads(self):
        for source in ("vars.x", "[]", "ai.models[0]", "ai.models.get('a', 'b')"):
            World(*MINE, model_strategies=[source])

    def test_without_ai_it_is_undeclared(self):
        with pytest.raises(CelError, match="undeclared reference to 'ai'"):
            compile_strategy("ai.models", ENVIRONMENT, Model)
        assert compile_strategy("dynamic", Environment({"dynamic": DYN}), ProviderKey).only_ai is False

    def test_empty_equals_not_set(self):
        assert names(plan_of([]).candidates) == names(plan_of(["ai.models"]).candidates)
