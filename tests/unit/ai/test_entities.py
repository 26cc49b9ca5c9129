"""``gateway.ai.entities``: what expressions see of providers, models, authors and keys (AG-118 to AG-121)."""

from __future__ import annotations

import pytest

from gateway.ai.entities import (
    Author,
    Candidate,
    Datacenter,
    KeyElement,
    Model,
    Provider,
)
from gateway.ai.pricing import TextPrices
from gateway.ai.surfaces import CHAT
from gateway.ai.universe import build_authors
from tests.unit.ai.selection_kit import CATALOG, World, model, provider

WORLD = World(
    provider(
        "mine", model("m", pricing={"text": {"input": 1}}, datacenters=(("DE", "eu"),)), keys=["sk-0123456789abcdef"]
    )
)


def candidate() -> Candidate:
    (found,) = WORLD.universe.plan("mine:m", (), CHAT).candidates
    return found


def test_members_of_a_model_ag_118():
    assert set(Model.__cel__) == {
        "id", "provider_id", "author_id", "id_aliases", "provider_id_aliases", "author_id_aliases", "display_name",
        "description", "known", "custom", "metadata", "datacenters", "metrics", "input_modalities", "output_modalities",
        "supported_features", "max_context_window", "max_output_tokens", "parameter_count", "quantization",
        "data_training_policy", "data_retention_policy", "data_retention_days", "pricing",
    }  # fmt: skip
    element = candidate().element
    for name in Model.__cel__:
        getattr(element, name)


def test_members_of_a_provider_and_an_author_ag_119():
    assert set(Provider.__cel__) == {
        "id", "id_aliases", "display_name", "description", "website", "base_url", "custom", "metadata", "models",
    }  # fmt: skip
    for name in Provider.__cel__:
        getattr(candidate().provider, name)
    assert set(Author.__cel__) == {"id", "id_aliases", "display_name", "models"}
    (author,) = build_authors([WORLD.universe.plan("gpt-4o", (), CHAT).candidates[0].element], CATALOG)
    assert (author.id, author.display_name, author.id_aliases) == ("openai", "OpenAI", ("open-ai",))


def test_members_of_a_key_ag_120():
    assert set(KeyElement.__cel__) == {"id", "value", "quota", "error_rate"}
    (key,) = WORLD.order(candidate()).keys
    element = KeyElement(key)
    assert element.quota is key.quota
    assert element.error_rate is key.window.error_rate
    assert "sk-0123456789abcdef" not in repr(element) + repr(key)


def test_nullable_members_say_so():
    for name in ("max_context_window", "parameter_count", "quantization", "data_retention_days", "pricing"):
        assert Model.__cel__[name].nullable
    assert all(kind.nullable for kind in TextPrices.__cel__.values())


def test_a_candidate_of_a_known_model():
    found = candidate()
    assert found.model is found.element
    assert (found.name, found.upstream_model, found.author) == ("m", "m", "")
    assert found.metrics is found.element.metrics
    assert found.tokenizer == "o200k_base"
    assert found.element.datacenters == (Datacenter("DE", "eu"),)


def test_candidates_are_equal_only_to_themselves():
    one, other = Candidate(candidate().element, "m"), Candidate(candidate().element, "m")
    assert one != other
    assert len({one, other}) == 2


def test_a_narrowed_provider_is_the_same_but_for_its_models():
    original = candidate().provider
    narrowed = original.narrowed([])
    assert narrowed.models == []
    for name in Provider.__slots__:
        if name != "models":
            assert getattr(narrowed, name) == getattr(original, name)
    assert original.models


@pytest.mark.parametrize(("name", "official"), [("openai", True), ("mine", False)])
def test_official_providers(name, official):
    (found,) = [each for each in WORLD.universe.providers if each.id == name]
    assert found.official is official
    assert found.custom is not official


def test_an_override_is_not_official_but_not_custom_either():
    world = World(provider("openai", base_url="https://proxy.example/v1"))
    (found,) = [each for each in world.universe.providers if each.id == "openai"]
    assert not found.official
    assert not found.custom
