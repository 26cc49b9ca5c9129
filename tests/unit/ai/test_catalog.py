"""``gateway.ai.catalog``: the shipped catalog and its overlay (AG-60 to AG-64)."""

from __future__ import annotations

from importlib import resources

import orjson
import pytest
from ruamel.yaml import YAML

from gateway.ai.catalog import load_overlay, load_shipped, render_json, surface_table
from gateway.problems import Problems

DATA = resources.files("gateway.ai") / "data"


def overlaid(text: str):
    problems = Problems("overlay.yaml")
    catalog = load_overlay(text, problems)
    assert catalog is not None, str(problems)
    return catalog


def refused(text: str) -> str:
    problems = Problems("overlay.yaml")
    assert load_overlay(text, problems) is None
    return str(problems)


def test_the_generated_file_is_the_source():
    """``model-catalog.json`` is ``render_json`` of the YAML; run that after changing it."""
    source = (DATA / "model-catalog.yaml").read_text("utf-8")
    assert (DATA / "model-catalog.json").read_bytes() == render_json(source)


def test_the_generated_file_leaves_nothing_out_but_notes():
    source = YAML(typ="safe", pure=True).load((DATA / "model-catalog.yaml").read_text("utf-8"))
    generated = orjson.loads((DATA / "model-catalog.json").read_bytes())
    notes = {"note", "retires", "undocumented", "provider_key_required"}
    for section in ("providers", "authors", "models"):
        wanted = [{k: v for k, v in entry.items() if k not in notes} for entry in source[section]]
        assert generated[section] == wanted


def test_counts_ag_60():
    catalog = load_shipped()
    assert (len(catalog.providers), len(catalog.authors), len(catalog.models)) == (11, 8, 103)
    assert sum(model.legacy for model in catalog.models) == 17
    assert sum(len(model.id_aliases) for model in catalog.models) == 63
    for empty in ("openrouter", "hyperbolic", "inceptionlabs", "inference-net"):
        assert catalog.models_by_provider[empty] == []


@pytest.mark.parametrize("name", ["openai", "OpenAI", "OPEN-AI", "open-ai"])
def test_names_ignore_case_ag_62(name):
    provider = load_shipped().provider(name)
    assert provider is not None
    assert provider.id == "openai"


def test_vision_follows_from_image_input_ag_64():
    catalog = load_shipped()
    for model in catalog.models:
        assert ("vision" in model.supported_features) is ("image" in model.input_modalities)


def test_surfaces_of_providers_ag_40():
    catalog = load_shipped()
    anthropic, google = catalog.provider("anthropic"), catalog.provider("google")
    assert anthropic is not None
    assert google is not None
    assert set(anthropic.surfaces) == {("anthropic", "messages"), ("openai", "chat-completions")}
    assert ("openai", "responses") not in google.surfaces
    assert [p.id for p in catalog.providers if ("anthropic", "messages") in p.surfaces] == ["anthropic"]


def test_surface_table_expands_and_narrows_ag_16():
    table = surface_table(
        [{"format": "openai"}, {"format": "openai", "surface": "embeddings", "supported_params": ["input"]}]
    )
    assert table[("openai", "chat-completions")] is None
    assert table[("openai", "embeddings")] == frozenset({"input"})
    assert ("anthropic", "messages") not in table


def test_an_overlay_merges_by_id_ag_61():
    catalog = overlaid(
        """
        providers:
          - {id: openai, website: "https://mirror.example/"}
          - {id: mine, base_url: "https://mine.example/v1", id_aliases: [my-own]}
        models:
          - {id: GPT-4o, provider: OpenAI, max_output_tokens: 7, pricing: {text: {input: 2.5}}}
          - {id: gpt-4.1, provider: openai, status: removed}
          - {id: tiny, provider: mine, author: me, datacenters: [{country_code: DE, region: eu-1}]}
        """
    )
    shipped = load_shipped()
    by_id = {(model.provider, model.id): model for model in catalog.models}
    changed = by_id["openai", "gpt-4o"]
    assert changed.max_output_tokens == 7
    assert changed.pricing == {"text": {"input": 2.5}}
    assert changed.display_name == next(m for m in shipped.models if m.id == "gpt-4o").display_name
    assert ("openai", "gpt-4.1") not in by_id
    assert by_id["mine", "tiny"].datacenters == (("DE", "eu-1"),)
    mine = catalog.provider("MY-OWN")
    assert mine is not None
    assert mine.surfaces[("openai", "chat-completions")] is None
    assert len(catalog.models) == len(shipped.models)
    openai = catalog.provider("openai")
    assert openai is not None
    assert (openai.website, openai.base_url) == ("https://mirror.example/", "https://api.openai.com/v1/")


def test_a_removed_provider_takes_its_models_along():
    catalog = overlaid("providers: [{id: groq, status: removed}]")
    assert catalog.provider("groq") is None
    assert not [model for model in catalog.models if model.provider == "groq"]


def test_an_empty_overlay_changes_nothing():
    assert load_overlay("", Problems("o.yaml")) == load_shipped()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [{id: x}]", "field 'provider' is required"),
        ("models: [{id: x, provider: nobody}]", "'nobody', which does not exist"),
        ("models: [{id: x, provider: groq, max_output_tokens: 0}]", "at least 1"),
        ("models: [{id: x, provider: groq, pricing: {text: {inputs: 1}}}]", "unknown field 'inputs'"),
        ("models: [{id: x, provider: groq}, {id: X, provider: Groq}]", "twice"),
        ("providers: [{id: mine}]", "base_url of provider 'mine'"),
        ("providers: [{id: mine, base_url: 'http://models.example'}]", "http is not allowed"),
        ("providers: [{id: mine, base_url: 'https://169.254.169.254'}]", "must not be an upstream"),
        ("provider: []", "did you mean 'providers'?"),
        ("models: [", "overlay.yaml:1"),
    ],
)
def test_a_wrong_overlay_gives_problems_and_no_catalog_ag_61(text, message):
    assert message in refused(text)


def test_every_problem_is_reported_at_once():
    report = refused("providers: [{id: '!'}]\nmodels: [{id: x}, {id: y}]")
    assert report.count("field 'provider' is required") == 2
    assert "providers[0].id" in report
