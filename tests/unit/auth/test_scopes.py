"""Scopes and routing rules (AG-94, AG-200 to AG-203)."""

from __future__ import annotations

import pytest

from gateway.auth.scopes import (
    ALLOW_NOTHING,
    AccessScope,
    KeyConfiguration,
    ModelEntries,
    RouteRule,
    RouteStep,
    StepKind,
    Target,
)

GPT = Target(("openai",), "openai", "gpt-4o")
ROUTED = Target(("openrouter",), "openai", "openai/gpt-4o")
OWN = Target(("vllm", "aigp_1"), "", "meta-llama/Llama-3")
PROVIDERS = {"openai", "openrouter", "vllm", "aigp_1"}


def models(*entries):
    return ModelEntries.compile(entries, PROVIDERS.__contains__)


@pytest.mark.parametrize(
    ("entry", "admitted"),
    [
        ("openai:gpt-4o", [GPT]),
        ("OpenAI:GPT-4o", [GPT]),
        ("openai:openai/gpt-4o", [GPT]),
        ("openai/gpt-4o", [GPT]),
        ("gpt-4o", [GPT]),
        ("openrouter:openai/gpt-4o", [ROUTED]),
        ("openrouter/openai/gpt-4o", [ROUTED]),
        ("meta-llama/llama-3", [OWN]),
        ("aigp_1:meta-llama/Llama-3", [OWN]),
        ("vllm/meta-llama/llama-3", [OWN]),
        ("gpt-*", []),
        ("llama-3", []),
        ("", []),
    ],
)
def test_ag_94_which_entries_admit_which_candidates(entry, admitted):
    scope = AccessScope(models=models(entry))
    assert [target for target in (GPT, ROUTED, OWN) if scope.admits(target)] == admitted


def test_ag_94_absent_allows_empty_blocks_and_both_must_admit():
    assert AccessScope().admits(GPT)
    assert not AccessScope(providers=frozenset()).admits(GPT)
    assert not AccessScope(models=models()).admits(GPT)
    assert AccessScope(frozenset({"aigp_1"})).admits(OWN)
    assert not AccessScope(frozenset({"openai"}), models("openrouter:openai/gpt-4o")).admits(GPT)
    assert not ALLOW_NOTHING.scope.admits(GPT)


def rule(name, provider=None, model=None):
    return RouteRule(provider, models(model) if model else None, (RouteStep(StepKind.USER, (name,)),))


def test_ag_200_a_model_rule_wins_and_then_the_first_counts():
    configuration = KeyConfiguration(
        "aigac_1",
        "",
        AccessScope(),
        (rule("p1", "openai"), rule("m1", None, "openai:gpt-4o"), rule("m2", "openai", "gpt-4o"), rule("v", "vllm")),
    )

    def key_for(target):
        found = configuration.rule_for(target)
        return found and found.steps[0].key_ids[0]

    assert key_for(GPT) == "m1"
    assert key_for(Target(("openai",), "openai", "o3")) == "p1"
    assert key_for(OWN) == "v"
    assert key_for(ROUTED) is None, "rules, but none for this candidate (AG-203)"


def test_ag_200_a_provider_beside_a_model_must_match_too():
    configuration = KeyConfiguration("", "", AccessScope(), (rule("x", "vllm", "gpt-4o"),))
    assert configuration.rule_for(GPT) is None
