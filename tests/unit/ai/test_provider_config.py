"""Providers and models of the ``ai-gateway`` action: AG-12 to AG-20, AG-45."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.actions import ACTIONS
from gateway.ai.provider_config import ModelConfig, ProviderConfig
from gateway.policy.load import policy_context
from gateway.policy.options import PolicyOptions
from tests.unit.ai.test_action_config import loaded


def provider(entry: str, **options: Any) -> tuple[ProviderConfig | None, list[str]]:
    """The entry stands from column 24 on."""
    defaults: dict[str, Any] = {"catalog_providers": frozenset(("openai", "claude"))}
    found, problems = loaded(f"{{providers: [{entry}]}}", policy_context(ACTIONS, PolicyOptions(**defaults | options)))
    reported = [
        f"{each.column} {each.severity} {each.code[-4:]}" for each in problems if each.code != "ERR_TP_UNGUARDED"
    ]
    return (found.providers[0] if found is not None else None), reported


def test_the_least() -> None:
    assert provider("{id: OpenAI}") == (
        ProviderConfig(
            id="OpenAI", id_aliases=None, base_url=None, display_name=None, description=None, website=None,
            disabled=None, metadata=None, api_keys=(), models=(), supported_api_surfaces=None, credential_header=None,
        ),
        [],
    )  # fmt: skip


def test_every_field() -> None:
    """AG 1.2, 1.3, AG-16, AG-17."""
    found, reported = provider(
        """{id: my.own_1-x, id_aliases: [mine], base_url: 'http://localhost:11434/v1?a=b', display_name: Mine,
        description: d, website: w, disabled: false, metadata: {tier: [1, {a: b}]}, credential_header: x-api-key,
        api_keys: [{value: "${secrets.get('v', 's')}"}, {value: '${vars.k}'}],
        supported_api_surfaces: [{format: openai},
          {format: openai, surface: embeddings, supported_params: [{name: a}, b]},
          {format: anthropic, surface: messages}],
        models: [{id: m, id_aliases: [n, o], author_id: au, display_name: M, description: d, disabled: true,
          metadata: {k: 1}, input_modalities: [text, image], output_modalities: [embedding], max_context_window: 8192,
          max_output_tokens: null, supported_features: [tool-calling], unsupported_params: [{name: logprobs}, n],
          provider_model_id: up/m,
          pricing: {text: {input: 0.5, output: null}, tools: {web_search: {per_search_call: 1}}},
          datacenters: [{country_code: DE, region: eu-1}]}]}"""
    )
    assert reported == []
    assert found is not None
    assert (found.id, found.id_aliases, found.base_url) == ("my.own_1-x", ("mine",), "http://localhost:11434/v1?a=b")
    assert (found.metadata, found.credential_header, found.stored_id) == ({"tier": [1, {"a": "b"}]}, "x-api-key", "")
    assert [key.reveal() for key in found.key_texts] == ["${secrets.get('v', 's')}", "${vars.k}"]
    assert found.surfaces == {
        ("openai", "chat-completions"): None, ("openai", "completions"): None, ("openai", "responses"): None,
        ("openai", "embeddings"): frozenset(("a", "b")), ("anthropic", "messages"): None,
    }  # fmt: skip
    assert found.models == (
        ModelConfig(
            id="m", id_aliases=("n", "o"), author_id="au", display_name="M", description="d", disabled=True,
            metadata={"k": 1}, input_modalities=("text", "image"), output_modalities=("embedding",),
            max_context_window=8192, max_output_tokens=None, supported_features=("tool-calling",),
            unsupported_params=("logprobs", "n"), provider_model_id="up/m",
            pricing={"text": {"input": 0.5, "output": None}, "tools": {"web_search": {"per_search_call": 1.0}}},
            datacenters=(("DE", "eu-1"),),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{}", ["24 error 2234"]),
        ("{id: ngrok}", ["29 error 2204"]),
        ("{id: NGROK}", ["29 error 2204"]),
        ("{id: -a}", ["29 error 2204"]),
        ("{id: 'a b'}", ["29 error 2204"]),
        ("{id: ''}", ["29 error 2204"]),
        ("{id: " + "a" * 256 + "}", ["29 error 2204"]),
        ("{id: custom}", ["29 error 2234"]),
        ("{id: openai, key: a}", ["37 error 2203"]),
        ("{id: openai, base_url: ''}", ["47 error 2223"]),
        ("{id: openai, base_url: x}", ["47 error 2226"]),
        ("{id: openai, base_url: 'http://example.com'}", ["47 error 2226"]),
        ("{id: openai, base_url: 'https://169.254.169.254/'}", ["47 error 2226"]),
        ("{id: openai, base_url: 'https://u:p@h/'}", ["47 error 2226"]),
        ("{id: openai, base_url: 'https://h/#f'}", ["47 error 2226"]),
        ("{id: openai, base_url: 'https://${vars.h}/'}", ["47 error 2224"]),
        ("{id: openai, disabled: 'true'}", ["47 error 2203"]),
        ("{id: openai, metadata: {a: '${x}'}}", ["51 error 2224"]),
        ("{id: openai, credential_header: bearer}", ["56 error 2222"]),
        ("{id: openai, id_aliases: [a, A]}", ["53 error 2231"]),
        ("{id: openai, id_aliases: ['']}", ["50 error 2223"]),
        ("{id: openai, api_keys: [{value: ''}]}", ["56 error 2223"]),
        ("{id: openai, api_keys: [{}]}", ["48 error 2234"]),
        ("{id: openai, api_keys: [{value: '${'}]}", ["57 error 2224"]),
        ("{id: openai, api_keys: [{value: '${foo}'}]}", ["59 error 2200"]),
        ("{id: openai, api_keys: [{value: 5}]}", ["56 error 2203"]),
        ("{id: openai, api_keys: [{value: sk-1}]}", ["56 warning 2203"]),
        ("{id: openai, api_keys: [{value: '${vars.a}'}, {value: '${vars.a}'}]}", ["70 warning 2231"]),
        ("{id: openai, api_keys: [" + ", ".join("{value: '${vars.a}'}" for _ in range(101)) + "]}", None),
        ("{id: openai, supported_api_surfaces: [{surface: messages}]}", ["62 error 2234"]),
        ("{id: openai, supported_api_surfaces: [{format: cohere}]}", ["71 error 2222"]),
        ("{id: openai, supported_api_surfaces: [{format: openai, surface: messages}]}", ["88 error 2222"]),
        ("{id: openai, supported_api_surfaces: [{format: openai, supported_params: [a]}]}", ["79 error 2204"]),
        ("{id: openai, supported_api_surfaces: [{format: openai}, {format: openai}]}", ["80 error 2231"]),
        ("{id: openai, models: [{}]}", ["46 error 2234"]),
        ("{id: openai, models: [{id: ''}]}", ["51 error 2223"]),
        ("{id: openai, models: [{id: " + "m" * 256 + "}]}", ["51 error 2221"]),
        ("{id: openai, models: [{id: a}, {id: A}]}", ["60 error 2231"]),
        ("{id: openai, models: [{id: a, id_aliases: [b]}, {id: c, id_aliases: [B]}]}", ["77 error 2231"]),
        ("{id: openai, models: [{id: a, input_modalities: [smell]}]}", ["73 error 2222"]),
        ("{id: openai, models: [{id: a, output_modalities: [file]}]}", ["74 error 2222"]),
        ("{id: openai, models: [{id: a, max_context_window: 0}]}", ["74 error 2215"]),
        ("{id: openai, models: [{id: a, unsupported_params: [a, {name: a}]}]}", ["78 error 2231"]),
        ("{id: openai, models: [{id: a, unsupported_params: [{nam: a}]}]}", ["75 error 2234", "76 error 2203"]),
        ("{id: openai, models: [{id: a, unsupported_params: ['']}]}", ["75 error 2223"]),
        ("{id: openai, models: [{id: a, pricing: {text: {inpt: 1}}}]}", ["71 error 2203"]),
        ("{id: openai, models: [{id: a, datacenters: [{region: x}]}]}", ["68 error 2234"]),
        ("{id: openai, models: [{id: a, provider_model_id: ''}]}", ["73 error 2223"]),
    ],
)
def test_wrong_entries(entry: str, expected: list[str] | None) -> None:
    """AG-3: code and position of each."""
    found, reported = provider(entry)
    if expected is None:
        assert any(line.endswith("error 2218") for line in reported)
    else:
        assert reported == expected
    assert (found is None) is any("error" in line for line in reported)


def test_hosts_that_may_be_reached_without_tls() -> None:
    """AG-45."""
    entry = "{id: openai, base_url: 'http://models.example/v1'}"
    assert provider(entry)[0] is None
    assert provider(entry, allow_http_hosts=frozenset(("models.example",)))[0] is not None


def test_the_management_listener_is_no_provider() -> None:
    """AG-46."""
    entry = "{id: openai, base_url: 'http://127.0.0.1:4041/'}"
    assert provider(entry)[0] is not None
    assert provider(entry, admin_listeners=(("127.0.0.1", 4041),))[0] is None


def test_ids_of_an_unknown_catalog_are_not_judged() -> None:
    assert provider("{id: custom}", catalog_providers=None)[1] == []
    assert provider("{id: Claude}")[1] == []


def test_keys_are_not_shown() -> None:
    """AG-208."""
    found, _ = provider("{id: openai, api_keys: [{value: sk-live-0123456789}]}")
    assert found is not None
    assert "sk-live" not in repr(found)
