"""``gateway.ai.resolve``: what names mean (AG-62, AG-72 to AG-84)."""

from __future__ import annotations

import random
import string

import pytest

from gateway.ai.resolve import closest, edit_distance
from gateway.ai.surfaces import CHAT
from tests.unit.ai.selection_kit import World, model, names, provider

WORLD = World(
    provider("ollama", "llama3.2:1b", model("qwen", id_aliases=("qwen2",))),
    provider("my-provider", "my-model", "meta-llama/Llama-3.2-8B-Instruct"),
)


def resolved(name: str, world: World = WORLD) -> list[tuple[str, str]]:
    plan = world.universe.plan(name, (), CHAT)
    return [(shown, each.upstream_model) for shown, each in zip(names(plan.candidates), plan.candidates, strict=True)]


def reason(name: str, world: World = WORLD) -> str:
    (rejection,) = world.universe.plan(name, (), CHAT).rejected
    assert rejection.model == name
    return rejection.reason


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        # step 1: id or alias
        ("gpt-4o", ("openai:gpt-4o", "gpt-4o")),
        ("GPT-4O", ("openai:gpt-4o", "gpt-4o")),
        ("openai/gpt-oss-20b", ("groq:openai/gpt-oss-20b", "openai/gpt-oss-20b")),
        ("llama3.2:1b", ("ollama:llama3.2:1b", "llama3.2:1b")),
        ("qwen2", ("ollama:qwen", "qwen")),
        # step 2: provider before ':'
        ("openai:gpt-4o", ("openai:gpt-4o", "gpt-4o")),
        ("OPEN-AI:GPT-4o", ("openai:gpt-4o", "gpt-4o")),
        ("ollama:llama3.2:1b", ("ollama:llama3.2:1b", "llama3.2:1b")),
        ("my-provider:my-model", ("my-provider:my-model", "my-model")),
        ("groq:openai/gpt-oss-20b", ("groq:openai/gpt-oss-20b", "openai/gpt-oss-20b")),
        ("openai:openai/gpt-4o", ("openai:gpt-4o", "gpt-4o")),
        ("openrouter:anthropic/claude-3.5", ("openrouter:anthropic/claude-3.5", "anthropic/claude-3.5")),
        ("openai:New-Model", ("openai:New-Model", "New-Model")),
        # step 3: author before '/'
        ("claude/claude-sonnet-4-5", ("anthropic:claude-sonnet-4-5", "claude-sonnet-4-5")),
        ("openai/gpt-4o", ("openai:gpt-4o", "gpt-4o")),
        # step 4: provider before '/'
        ("groq/openai/gpt-oss-20b", ("groq:openai/gpt-oss-20b", "openai/gpt-oss-20b")),
        ("openrouter/some/model", ("openrouter:some/model", "some/model")),
        # AG-84: the provider's own name
        ("meta-llama/llama-3.3-70b-versatile", ("groq:meta-llama/llama-3.3-70b-versatile", "llama-3.3-70b-versatile")),
    ],
)  # fmt: skip
def test_step_table_ag_74_to_76(name, meaning):
    assert resolved(name) == [meaning]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai:", "unknown model"),
        ("mistral.7:1b", "unknown model"),
        ("no-such-model-at-all", "unknown model"),
        ("gpt-4oo", "unknown model, did you mean 'gpt-4o'?"),
        ("clade-sonnet-4-5", "unknown model, did you mean 'claude-sonnet-4-5'?"),
        ("nowhere:gpt-4o", "unknown provider"),
        ("opnai:anything", "unknown provider"),
        ("x" * 100_000, "unknown model"),
    ],
)
def test_unknown_names_ag_80(name, expected):
    assert reason(name) == expected


def test_pass_through_ag_79():
    (candidate,) = WORLD.universe.plan("openrouter:Who/Knows", (), CHAT).candidates
    assert candidate.model is None
    assert candidate.element.known is False
    assert candidate.author == ""
    assert candidate.element.metadata == {}
    assert candidate.upstream_model == candidate.name == "Who/Knows"


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("openai:GPT-4o-2024-08-06", "GPT-4o-2024-08-06"),
        ("openai/gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"),
        ("gpt5.3-codex", "gpt-5.3-codex"),
    ],
)
def test_dated_catalog_aliases_stay_pinned_ag_84(name, upstream):
    (candidate,) = WORLD.universe.plan(name, (), CHAT).candidates
    assert candidate.upstream_model == upstream


def test_a_configured_dated_alias_is_normalised_ag_84():
    world = World(provider("mine", model("m", id_aliases=("m-2025-01-01",), provider_model_id="deployment")))
    assert resolved("m-2025-01-01", world) == [("mine:m", "deployment")]


class TestConfiguredNames:
    """AG-15, AG-19, AG-20."""

    def test_equal_names_at_several_providers_yield_them_alphabetically_ag_97(self):
        world = World(provider("zeta", "gpt-4o"), provider("alpha", "GPT-4o"))
        assert resolved("gpt-4o", world) == [
            ("alpha:GPT-4o", "GPT-4o"), ("openai:gpt-4o", "gpt-4o"), ("zeta:gpt-4o", "gpt-4o"),
        ]  # fmt: skip

    def test_an_alias_of_an_official_provider_yields_both_and_inherits_ag_15(self):
        world = World(provider("openai-eu", id_aliases=("OpenAI",)))
        assert resolved("openai:gpt-4o", world) == [("openai:gpt-4o", "gpt-4o"), ("openai-eu:gpt-4o", "gpt-4o")]
        assert resolved("openai-eu:gpt-4o", world) == [("openai-eu:gpt-4o", "gpt-4o")]

    def test_ids_go_before_aliases_ag_15(self):
        world = World(provider("azure", id_aliases=("openai",)))
        assert names(world.universe.plan("openai:gpt-4o", (), CHAT).candidates) == ["openai:gpt-4o", "azure:gpt-4o"]

    def test_an_entry_named_by_an_alias_configures_the_official_provider_ag_15(self):
        world = World(provider("open-ai", display_name="Ours"))
        (openai,) = [each for each in world.universe.providers if each.id == "openai"]
        assert openai.display_name == "Ours"
        assert openai.configured
        assert not [each for each in world.universe.providers if each.id == "open-ai"]

    def test_an_entry_overlays_a_catalog_model_field_by_field_ag_19(self):
        world = World(provider("openai", model("GPT-4o", max_output_tokens=5, id_aliases=("four",))))
        (candidate,) = world.universe.plan("four", (), CHAT).candidates
        assert candidate.element.id == "gpt-4o"
        assert candidate.element.max_output_tokens == 5
        assert candidate.element.max_context_window == 128_000
        assert not candidate.element.custom
        assert resolved("gpt-4o-2024-08-06", world) == [("openai:gpt-4o", "gpt-4o-2024-08-06")]

    def test_a_configured_id_takes_over_a_catalog_alias_ag_20(self):
        world = World(provider("openai", model("gpt-4o-2024-08-06", provider_model_id="mine")))
        assert resolved("gpt-4o-2024-08-06", world) == [("openai:gpt-4o-2024-08-06", "mine")]
        assert resolved("gpt-4o", world) == [("openai:gpt-4o", "gpt-4o")]
        (candidate,) = world.universe.plan("gpt-4o", (), CHAT).candidates
        assert "gpt-4o-2024-08-06" not in candidate.element.id_aliases

    def test_a_configured_alias_takes_over_a_catalog_id_ag_20(self):
        world = World(provider("openai", model("house", id_aliases=("gpt-4o",))))
        assert resolved("gpt-4o", world) == [("openai:house", "house")]
        assert resolved("gpt-4o-2024-08-06", world) == [("openai:gpt-4o", "gpt-4o-2024-08-06")]

    def test_an_author_of_a_configured_model_counts_ag_74(self):
        world = World(provider("mine", model("llama", author_id="Acme")))
        assert resolved("acme/llama", world) == [("mine:llama", "llama")]


def test_edit_distance_against_the_definition():
    chance = random.Random(7)

    def plain(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(plain(a[1:], b) + 1, plain(a, b[1:]) + 1, plain(a[1:], b[1:]) + (a[0] != b[0]))

    for _ in range(300):
        a, b = ("".join(chance.choices("abc", k=chance.randint(0, 5))) for _ in range(2))
        exact = plain(a, b)
        for limit in (0, 1, 2, 9):
            found = edit_distance(a, b, limit)
            assert found == exact if exact <= limit else found > limit


def test_closest_misses_nothing_within_two_edits():
    chance = random.Random(3)
    known = [name.lower() for provider_ in WORLD.universe.providers for m in provider_.models for name in (m.id,)]
    for name in known:
        text = list(name)
        for _ in range(2):
            place = chance.randrange(len(text))
            text[place : place + chance.randint(0, 1)] = chance.choices(string.ascii_lowercase, k=chance.randint(0, 1))
        changed = "".join(text)
        found = closest(changed, known)
        assert found is not None
        assert edit_distance(changed, found, 2) <= edit_distance(changed, name, 2) <= 2
