"""The configuration of the ``ai-gateway`` action: AG-1 to AG-13, AG-100, AG-211, AG-214, with the codes of AG-3."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.actions import ACTIONS
from gateway.ai.action_config import AI_CODES, AI_GATEWAY, AiGatewayConfig
from gateway.policy.load import load_policy, policy_context
from gateway.policy.options import PolicyOptions
from gateway.problems import Problems

CONTEXT = policy_context(ACTIONS, PolicyOptions(catalog_providers=frozenset(("openai", "anthropic"))))


def loaded(config: str, context: Any = CONTEXT) -> tuple[AiGatewayConfig | None, Problems]:
    """``config`` stands on line 3 of the document, from column 11."""
    policy, problems = load_policy(f"on_http_request:\n- type: ai-gateway\n  config: {config}\n", context)
    return (None if policy is None else policy.actions()[0].config), problems


def sound(config: str) -> AiGatewayConfig:
    found, problems = loaded(config)
    assert found is not None, str(problems)
    return found


def reported(config: str) -> list[str]:
    return [f"{problem.column} {problem.severity} {problem.code[-4:]}" for problem in loaded(config)[1]]


@pytest.mark.parametrize("config", ["", "null", "{}"])
def test_nothing_configured(config: str) -> None:
    """AG-1, AG-2, AG-6: the defaults of action mode."""
    found = sound(config)
    assert found == AiGatewayConfig(
        max_input_tokens=None, max_output_tokens=None, headers=(), query_params=(), body=(), on_error="halt",
        total_timeout=360.0, per_request_timeout=180.0, first_token_timeout=0.0, providers=(),
        only_allow_configured_providers=False, only_allow_configured_models=False, model_selection=(),
        api_key_selection=(),
    )  # fmt: skip
    assert not found.has_keys


def test_every_field() -> None:
    """AG 1.1."""
    found = sound(
        """{max_input_tokens: 1, max_output_tokens: 500000, headers: {X-A: "${req.id}", x-b: 5},
        query_params: {a: 1, b: true, c: "${req.method}"}, body: {temperature: 0.5, stop: ["${req.id}"], user: null},
        on_error: continue, total_timeout: 24h, per_request_timeout: 1ms, providers: [{id: openai}],
        only_allow_configured_providers: true, only_allow_configured_models: true,
        model_selection: {strategy: ["ai.models.filter(m, m.id == vars.wanted)", "ai.models[0]"]},
        api_key_selection: {strategy: ["ai.keys.randomize()"]}}"""
    )
    assert (found.max_input_tokens, found.max_output_tokens, found.on_error) == (1, 500_000, "continue")
    assert (found.total_timeout, found.per_request_timeout) == (86_400.0, 0.001)
    assert [name for name, _ in found.headers] == ["x-a", "x-b"]
    assert [(name, value.literal) for name, value in found.query_params] == [("a", "1"), ("b", "true"), ("c", None)]
    assert [(name, value.constant) for name, value in found.body] == [
        ("temperature", True),
        ("stop", False),
        ("user", True),
    ]
    assert found.model_strategies == ("ai.models.filter(m, m.id == vars.wanted)", "ai.models[0]")
    assert found.key_strategies == ("ai.keys.randomize()",)
    assert [provider.id for provider in found.providers] == ["openai"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{max_tokens: 1}", ["12 error 2203"]),
        ("[]", ["11 error 2203"]),
        ("{max_input_tokens: 0}", ["30 error 2215"]),
        ("{max_input_tokens: 500001}", ["30 error 2215"]),
        ("{max_output_tokens: x}", ["31 error 2203"]),
        ("{max_output_tokens: 1.5}", ["31 error 2203"]),
        ("{on_error: stop}", ["22 error 2222"]),
        ("{on_error: '${vars.x}'}", ["22 error 2224"]),
        ("{total_timeout: 5}", ["27 error 2203"]),
        ("{total_timeout: '5'}", ["27 error 2204"]),
        ("{total_timeout: 0s}", ["27 error 2215"]),
        ("{total_timeout: 24h1s}", ["27 error 2215"]),
        ("{per_request_timeout: 7m}", ["12 warning 2215"]),
        ("{only_allow_configured_models: yes}", ["42 error 2203"]),
        ("{only_allow_configured_models: true, only_allow_configured_providers: true}", ["48 warning 2204"]),
        ("{headers: {Host: a}}", ["22 error 2219"]),
        ("{headers: {Content-Type: a, proxy-x: b, TE: c}}", ["22 error 2219", "39 error 2219", "51 error 2219"]),
        ("{headers: {X-AI-Gateway-Hop: a}}", ["22 error 2219"]),
        ("{headers: {'a b': c}}", ["22 error 2208"]),
        ("{headers: {" + ", ".join(f"h{n}: 1" for n in range(65)) + "}}", ["21 error 2218"]),
        ("{query_params: {" + ", ".join(f"h{n}: 1" for n in range(65)) + "}}", ["26 error 2218"]),
        ("{query_params: {a: [1]}}", ["30 error 2203"]),
        ("{query_params: {a: null}}", ["30 error 2203"]),
        ("{body: {model: x, Model: y, models: []}}", ["19 error 2219", "39 error 2219"]),
        ("{body: [a]}", ["18 error 2203"]),
        ("{body: {a: '${'}}", ["23 error 2224"]),
        ("{body: {a: '${foo}'}}", ["25 error 2200"]),
        ("{providers: {id: openai}}", ["23 error 2203"]),
        ("{providers: [{id: openai}, {id: x}, {id: OpenAI}]}", ["43 error 2234", "52 error 2231"]),
        ("{providers: [" + ", ".join("{id: openai, disabled: 1}" for _ in range(201)) + "]}", None),
        ("{model_selection: {strategies: []}}", ["30 error 2203"]),
        ("{model_selection: []}", ["29 error 2203"]),
        ("{model_selection: {strategy: [1]}}", ["41 error 2200"]),
        ("{model_selection: {strategy: ['']}}", ["42 error 2200"]),
        ("{model_selection: {strategy: ['ai.models.filter(']}}", None),
        ("{model_selection: {strategy: [ai.keys]}}", ["44 error 2200"]),
        ("{model_selection: {strategy: ['ai.models.size()']}}", ["42 error 2200"]),
        ("{model_selection: {strategy: [res.status_code]}}", ["41 error 2200"]),
        ("{api_key_selection: {strategy: [ai.models]}}", ["46 error 2200"]),
        ("{api_key_selection: {strategy: ['ai.keys.filter(k, k.quta == 1)']}}", ["64 error 2200"]),
        ("{api_key_selection: {strategy: ['true']}}", ["44 error 2200"]),
    ],
)
def test_wrong_configurations(config: str, expected: list[str] | None) -> None:
    """AG-3: code and position of each."""
    if expected is None:
        assert loaded(config)[0] is None
    else:
        assert reported(config) == expected


def test_number_of_providers() -> None:
    entries = ", ".join(f"{{id: p{n}, base_url: 'https://h/'}}" for n in range(201))
    assert reported(f"{{providers: [{entries}]}}") == ["23 error 2218"]


def test_results_of_strategies_name_the_types() -> None:
    """AG-9: the text of 3806."""
    _, problems = loaded("{model_selection: {strategy: ['1 + 1']}}")
    assert "Expression '1 + 1' must return an AIModel or []AIModel, got int." in str(problems)


def test_collections_exist_only_in_their_strategies() -> None:
    """AG-9, TP-171."""
    for text in ("ai.models", "ai.keys", "ai.providers"):
        policy, _ = load_policy(f"on_http_request:\n- expressions: [{text} == null]\n  type: deny\n", CONTEXT)
        assert policy is None


@pytest.mark.parametrize(
    ("config", "has_keys"),
    [
        ("{providers: [{id: openai, api_keys: [{value: \"${secrets.get('a', 'b')}\"}]}]}", True),
        ("{providers: [{id: openai}]}", False),
    ],
)
def test_keys_of_the_operator(config: str, *, has_keys: bool) -> None:
    """CL-1: such an action warns when nothing guards it."""
    found, problems = loaded(config)
    assert found is not None
    assert found.has_keys is has_keys
    assert ("ERR_TP_UNGUARDED" in str(problems)) is has_keys


def test_two_gateway_actions() -> None:
    """TP-8, CL-31."""
    text = "on_http_request:\n- {type: ai-gateway, expressions: ['true']}\n- actions: [{type: ai-gateway}]\n"
    policy, problems = load_policy(text, CONTEXT)
    assert policy is None
    assert [(problem.code, problem.line, problem.column) for problem in problems.errors] == [("ERR_NGROK_2266", 3, 20)]


def test_the_action_uses_this_shape() -> None:
    assert ACTIONS["ai-gateway"].shape is AI_GATEWAY
    assert ACTIONS["ai-gateway"].codes is AI_CODES
    assert set(AI_GATEWAY.json_schema()["properties"]) == set(AiGatewayConfig.__dataclass_fields__)
