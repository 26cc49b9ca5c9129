"""``gateway.ai.candidates``: from names to candidates, and why there are none (AG-72, AG-73, AG-79 to AG-98)."""

from __future__ import annotations

import pytest

from gateway.ai import candidates
from gateway.ai.candidates import Limits, Plan
from gateway.ai.reach import AccessScope
from gateway.ai.surfaces import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES
from tests.unit.ai.selection_kit import World, model, names, provider

ANYONE = "a-token-without-a-known-prefix"
ONLY_MINE = Limits(only_configured_providers=True)


def planned(world: World, first: str | None, *rest: str, surface=CHAT, **reach) -> Plan:
    return world.universe.plan(first, rest, surface, world.universe.reach(**reach))


def reasons(plan: Plan) -> dict[str, str]:
    return {rejection.model: rejection.reason for rejection in plan.rejected}


class TestRequestList:
    def test_model_goes_first_then_models_in_order_ag_72(self):
        plan = planned(World(), "gpt-4o-mini", "claude-sonnet-4-5", "gpt-4o")
        assert names(plan.candidates) == ["openai:gpt-4o-mini", "anthropic:claude-sonnet-4-5", "openai:gpt-4o"]

    def test_models_alone_will_do(self):
        assert names(planned(World(), None, "gpt-4o").candidates) == ["openai:gpt-4o"]

    def test_duplicates_keep_their_first_place_ag_72(self):
        plan = planned(World(), "gpt-4o", "gpt-4.1", "openai:gpt-4o", "GPT-4O")
        assert names(plan.candidates) == ["openai:gpt-4o", "openai:gpt-4.1"]

    def test_a_pinned_snapshot_is_no_duplicate(self):
        plan = planned(World(), "gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06")
        assert [each.upstream_model for each in plan.candidates] == ["gpt-4o", "gpt-4o-2024-08-06"]

    def test_rejected_names_do_not_stop_the_others_ag_80(self):
        plan = planned(World(), "nope-nope-nope", "gpt-4o")
        assert plan.error is None
        assert names(plan.candidates) == ["openai:gpt-4o"]
        assert reasons(plan) == {"nope-nope-nope": "unknown model"}


class TestAutomatic:
    @pytest.mark.parametrize("first", [None, "ngrok/auto", "NGROK/Auto"])
    def test_no_name_or_auto_ag_73(self, first):
        plan = planned(World(provider("mine", "b", "a")), first)
        assert plan.automatic
        assert names(plan.candidates) == ["mine:b", "mine:a"]

    def test_auto_beside_models_equals_models_alone_ag_73(self):
        world = World(provider("mine", "b", "a"))
        assert names(planned(world, "ngrok/auto", "a").candidates) == ["mine:a"]

    def test_auto_inside_models_expands_in_place_ag_73(self):
        world = World(provider("mine", "c", "b", "a"))
        plan = planned(world, "a", "ngrok/auto", "gpt-4o")
        assert names(plan.candidates) == ["mine:a", "mine:c", "mine:b", "openai:gpt-4o"]
        assert not plan.automatic

    def test_order_is_by_provider_then_configuration_ag_97(self):
        world = World(provider("zeta", "b", "a"), provider("Alpha", "z", "y"))
        assert names(planned(world, None).candidates) == ["Alpha:z", "Alpha:y", "zeta:b", "zeta:a"]

    def test_providers_without_a_credential_are_left_out_ag_98(self):
        world = World(provider("groq", keys=["gsk-groq"]), provider("mine", "m"))
        assert {each.provider.id for each in planned(world, None).candidates} == {"groq", "mine"}
        everybody = {each.provider.id for each in planned(world, None, token=ANYONE).candidates}
        assert {"openai", "anthropic", "google", "groq", "mine"} <= everybody

    @pytest.mark.parametrize(
        ("token", "owner"),
        [("sk-ant-x", "anthropic"), ("sk-proj-x", "openai"), ("gsk_x", "groq"), ("AIzaX", "google")],
    )
    def test_a_token_with_a_prefix_reaches_its_provider_only_ag_195_e(self, token, owner):
        assert {each.provider.id for each in planned(World(), None, token=token).candidates} == {owner}

    def test_stored_keys_count_as_credentials(self):
        world = World()
        plan = world.universe.plan(None, (), CHAT, world.universe.reach(AccessScope(stored=frozenset({"groq"}))))
        assert {each.provider.id for each in plan.candidates} == {"groq"}

    def test_legacy_models_are_left_out_but_found_by_name_ag_63(self):
        world = World()
        legacy = [m for p in world.universe.providers for m in p.models if m.legacy]
        assert legacy
        automatic = {each.element for each in planned(world, None, token=ANYONE).candidates}
        assert automatic.isdisjoint(legacy)
        assert planned(world, f"{legacy[0].provider_id}:{legacy[0].id}").error is None

    def test_model_surfaces_narrow_automatic_selection_only_ag_98(self):
        world = World(provider("openai", keys=["k"]))
        automatic = names(planned(world, None).candidates)
        assert "openai:gpt-5.3-codex" not in automatic
        assert "openai:gpt-5.3-codex" in names(planned(world, None, surface=RESPONSES).candidates)
        assert names(planned(world, "gpt-5.3-codex").candidates) == ["openai:gpt-5.3-codex"]

    def test_nothing_to_choose_from_is_3804_ag_83(self):
        error = planned(World(), None).error
        assert error is not None
        assert (error.code, error.status) == ("ERR_NGROK_3804", 422)

    def test_nothing_with_that_surface_is_3813_ag_95(self):
        world = World(provider("mine", "m"), limits=ONLY_MINE)
        error = planned(world, None, surface=MESSAGES).error
        assert error is not None
        assert error.code == "ERR_NGROK_3813"
        assert "anthropic" in error.message


class TestFilters:
    def test_disabled_ag_92(self):
        world = World(provider("groq", disabled=True), provider("openai", model("gpt-4o", disabled=True)))
        plan = planned(world, "groq:openai/gpt-oss-20b", "gpt-4o", "openai:gpt-4o")
        assert reasons(plan) == {
            "groq:openai/gpt-oss-20b": "provider disabled",
            "gpt-4o": "model disabled",
            "openai:gpt-4o": "model disabled",
        }
        assert plan.error is not None
        assert plan.error.code == "ERR_NGROK_3804"
        assert "groq" not in {each.provider.id for each in planned(world, None, token=ANYONE).candidates}

    def test_another_provider_of_the_name_remains(self):
        world = World(provider("openai", disabled=True), provider("mine", "gpt-4o"))
        plan = planned(world, "gpt-4o")
        assert names(plan.candidates) == ["mine:gpt-4o"]
        assert not plan.rejected

    def test_only_configured_providers_ag_93(self):
        world = World(provider("openai"), limits=ONLY_MINE)
        plan = planned(world, "claude-sonnet-4-5", "gpt-4o", "openai:whatever")
        assert names(plan.candidates) == ["openai:gpt-4o", "openai:whatever"]
        assert reasons(plan) == {"claude-sonnet-4-5": "provider not allowed"}

    def test_only_configured_models_ag_93(self):
        world = World(provider("openai", "gpt-4o"), provider("groq"), limits=Limits(only_configured_models=True))
        plan = planned(world, "gpt-4o", "gpt-4.1", "openai:new", "groq:openai/gpt-oss-20b")
        assert names(plan.candidates) == ["openai:gpt-4o"]
        assert set(reasons(plan).values()) == {"model not allowed"}
        assert len(plan.rejected) == 3

    def test_both_flags_and_no_providers_allow_nothing_ag_93(self):
        world = World(limits=Limits(only_configured_providers=True, only_configured_models=True))
        assert planned(world, "gpt-4o").error is not None
        assert planned(world, None, token=ANYONE).error is not None

    def test_surface_ag_95(self):
        plan = planned(World(), "gemini-2.5-pro", "gpt-4o", surface=RESPONSES)
        assert names(plan.candidates) == ["openai:gpt-4o"]
        assert reasons(plan) == {"gemini-2.5-pro": "api surface not supported"}

    def test_count_tokens_is_the_messages_surface(self):
        assert names(planned(World(), "claude-sonnet-4-5", surface=COUNT_TOKENS).candidates)

    def test_the_reason_is_the_last_filter_that_emptied_the_name(self):
        messages_only = {("anthropic", "messages"): None}
        world = World(
            provider("openai", disabled=True), provider("mine", "gpt-4o", supported_api_surfaces=messages_only)
        )
        assert reasons(planned(world, "gpt-4o")) == {"gpt-4o": "api surface not supported"}


class TestFinalError:
    """AG-81, AG-82."""

    def error(self, world: World, *wanted: str, surface=CHAT, **reach):
        plan = planned(world, *wanted, surface=surface, **reach)
        assert plan.candidates == ()
        error = plan.error
        assert error is not None
        return error

    def test_access_decides_first_3803(self):
        access = AccessScope(providers=frozenset({"anthropic"}))
        error = self.error(World(), "gpt-4o", "no-such-thing-here", access=access)
        assert (error.code, error.status) == ("ERR_NGROK_3803", 422)

    def test_only_surface_3813(self):
        error = self.error(World(), "gpt-4o", "gpt-4.1", surface=MESSAGES)
        assert (error.code, error.status) == ("ERR_NGROK_3813", 422)
        assert error.type is None

    @pytest.mark.parametrize("wanted", [("gpt-4o", "no-such-thing-here"), ("no-such-thing-here",)])
    def test_anything_else_3804(self, wanted):
        error = self.error(World(), *wanted, surface=MESSAGES)
        assert (error.code, error.status) == ("ERR_NGROK_3804", 422)
        assert error.details == {"rejected_models": [
            {"model": name, "reason": "api surface not supported" if name == "gpt-4o" else "unknown model"}
            for name in wanted
        ]}  # fmt: skip

    @pytest.mark.parametrize(
        ("limits", "kind"),
        [(ONLY_MINE, "provider_not_allowed"), (Limits(only_configured_models=True), "model_not_allowed")],
    )
    def test_type_for_a_single_name_ag_82(self, limits, kind):
        world = World(limits=limits)
        assert self.error(world, "gpt-4o").type == kind
        assert self.error(world, "gpt-4o", "gpt-4.1").type is None

    def test_type_for_access_ag_82(self):
        access = AccessScope(models=frozenset())
        assert self.error(World(), "gpt-4o", access=access).type == "model_not_allowed"

    def test_errors_are_fresh_and_names_bounded(self):
        world = World()
        name = "x" * 10_000
        plan = planned(world, name)
        assert plan.error is not plan.error
        assert len(str(plan.error)) < 1_000


class TestCache:
    def test_the_same_request_shares_a_plan(self):
        world = World()
        assert planned(world, "gpt-4o", "gpt-4.1") is planned(world, "gpt-4o", "gpt-4.1")
        assert planned(world, "gpt-4o") is not planned(world, "gpt-4o", surface=COMPLETIONS)

    def test_another_reach_has_another_plan(self):
        world = World()
        access = AccessScope(providers=frozenset({"anthropic"}))
        assert planned(world, "gpt-4o").error is None
        assert planned(world, "gpt-4o", access=access).error is not None

    def test_it_is_bounded_p01(self, monkeypatch):
        monkeypatch.setattr(candidates, "PLAN_LIMIT", 8)
        world = World()
        for number in range(50):
            planned(world, f"openrouter:m{number}")
        assert len(world.universe._plans) == 8
        planned(world, "unknown-" * 3)
        assert len(world.universe._plans) == 8
        for _ in range(50):
            planned(world, "gpt-4o", access=AccessScope())
        assert len(world.universe._reaches) <= 8

    def test_long_lists_are_not_kept(self):
        world = World()
        planned(world, *[f"openrouter:{'m' * 200}{number}" for number in range(64)])
        assert not world.universe._plans


class TestListing:
    """AG-65."""

    def ids(self, world: World, only_format: str | None = None, **reach) -> dict[str, str]:
        return {entry.id: entry.owned_by for entry in world.universe.listed(world.universe.reach(**reach), only_format)}

    def test_ids_of_custom_providers_carry_the_provider(self):
        world = World(
            provider("mine", "gpt-4o", model("own", author_id="acme")),
            provider("openai", base_url="https://p.example/v1"),
        )
        listed = self.ids(world)
        assert listed["gpt-4o"] == "openai"
        assert listed["mine:gpt-4o"] == "mine"
        assert listed["mine:own"] == "acme"

    def test_legacy_disabled_and_forbidden_are_left_out(self):
        world = World(provider("groq", disabled=True), provider("openai", model("gpt-4o", disabled=True)))
        listed = self.ids(world)
        assert len(listed) == 86 - 1 - sum(
            1 for p in World().universe.providers if p.id == "groq" for m in p.models if not m.legacy
        )
        access = AccessScope(providers=frozenset({"deepseek"}))
        assert set(self.ids(world, access=access).values()) == {"deepseek"}

    def test_one_format_only(self):
        assert set(self.ids(World(), "anthropic").values()) == {"anthropic"}

    def test_embeddings_are_listed_although_chat_does_not_serve_them(self):
        world = World(provider("e", "m", supported_api_surfaces={EMBEDDINGS.key: None}))
        assert "e:m" in self.ids(world)
