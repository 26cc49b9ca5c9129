"""``gateway.ai.reach``: the access scope's entries (AG-94), and what a caller brings (AG-98)."""

from __future__ import annotations

import pytest

from gateway.ai.reach import NO_REACH, NO_ROUTING_RULE, AccessScope, Reach
from gateway.ai.surfaces import CHAT
from gateway.secrets.secret import Secret
from tests.unit.ai.selection_kit import World, provider


class Stored:
    """A provider from the store."""

    def __init__(self) -> None:
        self.config = provider("acme", "m")
        self.stored_id = "aigp_123"

    def __getattr__(self, name: str):
        return getattr(self.config, name)


WORLD = World(stored=[Stored()])


def admits(candidate: str, *, models=None, providers=None) -> bool:
    scope = AccessScope(
        None if providers is None else frozenset(providers), None if models is None else frozenset(models)
    )
    plan = WORLD.universe.plan(candidate, (), CHAT, WORLD.universe.reach(scope))
    return plan.error is None


@pytest.mark.parametrize(
    ("entry", "candidate", "admitted"),
    [
        ("openai:gpt-4o", "gpt-4o", True),
        ("openai:openai/gpt-4o", "gpt-4o", True),
        ("openai/gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "openai:gpt-4o", True),
        ("claude-sonnet-4-5", "gpt-4o", False),
        # the candidate is the pair, not the spelling
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06", False),
        # an entry that reads as a provider's does not admit others
        ("openai/gpt-4o", "openrouter:openai/gpt-4o", False),
        ("openrouter:openai/gpt-4o", "openrouter:openai/gpt-4o", True),
        ("openrouter/openai/gpt-4o", "openrouter:openai/gpt-4o", True),
        ("openai/gpt-oss-20b", "groq:openai/gpt-oss-20b", False),
        ("groq:openai/gpt-oss-20b", "groq:openai/gpt-oss-20b", True),
        # an author that is no provider, with and without the model's own prefix
        ("meta-llama/llama-guard-4-12b", "groq:meta-llama/llama-guard-4-12b", True),
        ("meta/meta-llama/llama-guard-4-12b", "groq:meta-llama/llama-guard-4-12b", True),
        # no wildcards, no aliases
        ("openai:*", "gpt-4o", False),
        ("open-ai:gpt-4o", "gpt-4o", False),
        # the id of a stored provider
        ("aigp_123:m", "acme:m", True),
        ("aigp_123/m", "acme:m", True),
        ("acme:m", "acme:m", True),
    ],
)
def test_model_entries_ag_94(entry, candidate, admitted):
    assert admits(candidate, models=[entry]) is admitted


@pytest.mark.parametrize(
    ("providers", "models", "admitted"),
    [
        (None, None, True),
        ([], None, False),
        (None, [], False),
        (["openai"], None, True),
        (["anthropic"], None, False),
        (["openai"], ["claude-sonnet-4-5"], False),
        (["anthropic"], ["gpt-4o"], False),
        (["anthropic", "openai"], ["gpt-4o", "x"], True),
    ],
)
def test_both_lists_must_admit_ag_94(providers, models, admitted):
    assert admits("gpt-4o", models=models, providers=providers) is admitted


def test_a_stored_provider_is_named_by_either_id_ag_94():
    assert admits("acme:m", providers=["aigp_123"])
    assert admits("acme:m", providers=["acme"])
    assert not admits("acme:m", providers=["aigp_124"])


def test_reaches_are_one_object_per_right():
    universe = WORLD.universe
    assert universe.reach(token="a") is universe.reach(token="b")
    assert universe.reach(token="sk-ant-a") is not universe.reach(token="a")
    assert universe.reach() is not universe.reach(token="a")
    assert NO_REACH.passthrough is None


def test_custom_providers_and_overrides_need_no_credential_ag_98():
    world = World(provider("mine", "m"), provider("openai", base_url="https://proxy.example/v1"))
    offered = {each.id for each in world.universe.providers if NO_REACH.offers(each)}
    assert offered == {"mine", "openai"}
    groq = next(each for each in world.universe.providers if each.id == "groq")
    keyed = Reach(AccessScope(stored=frozenset({"groq"})))
    assert keyed.offers(groq)
    assert not Reach(AccessScope()).offers(groq)


def test_managed_keys_are_offered_to_gateway_keys_only_ag_192():
    groq = next(each for each in World().universe.providers if each.id == "groq")
    groq.managed_texts = (Secret("managed"),)
    assert Reach(AccessScope()).offers(groq)
    assert not NO_REACH.offers(groq)
    assert not Reach(passthrough="openai").offers(groq)


def test_ag_203_no_rule_of_the_router_refuses_after_the_scope():
    candidate = next(iter(WORLD.universe.plan("gpt-4o", (), CHAT).candidates))
    scope = AccessScope(routes=lambda each: each is not candidate)
    assert scope.refuses(candidate, lambda name: True) == NO_ROUTING_RULE
    narrow = AccessScope(providers=frozenset(), routes=lambda each: False)
    assert narrow.refuses(candidate, lambda name: True) == "provider not allowed"
