"""The numbers behind strategies, in explanations (AG-100, AG-126)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.policy_tools.deciding import read_paths, values_of
from gateway.policy_tools.render import render
from tests.unit.policy_tools.kit import explained

POLICY = """\
on_http_request:
  - type: ai-gateway
    config:
      providers:
        - id: openai
          api_keys: [{value: sk-canary-first-0001}, {value: sk-canary-second-0002}]
          models:
            - {id: gpt-4o, pricing: {text: {input: "2.5"}}}
            - {id: gpt-4o-mini, pricing: {text: {input: "0.15"}}}
      model_selection:
        strategy:
          - ai.models.filter(m, m.metrics.global.error_rate.total > 0.9)
          - ai.models.sortBy('price')
      api_key_selection:
        strategy:
          - ai.keys.filter(k, k.quota.remaining_requests > 100)
          - ai.keys.sortBy(k, k.error_rate.rate_limit)
"""
REQUEST = """\
upstream:
  - key: sk-canary-first-0001
    status: 429
    headers: {x-ratelimit-remaining-requests: "7", x-ratelimit-reset-requests: 1h}
  - {status: 200, headers: {x-ratelimit-remaining-requests: "4711", x-ratelimit-reset-requests: 1h}}
request: {body: {models: [gpt-4o, gpt-4o-mini], messages: []}}
"""


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("ai.keys", []),
        ("ai.models.sortBy('price')", ["pricing.text.input"]),
        ("ai.models.underCost('text.output', 5.0)", ["pricing.text.output"]),
        ("ai.models.only(['gpt-4o'])", []),
        (
            "ai.keys.filter(k, k.quota.remaining_requests > 10 && k.error_rate.total < 0.5)[0]",
            ["quota.remaining_requests", "error_rate.total"],
        ),
        ("ai.models.filter(m, m.metrics.api_keys['kh_1'].latency.upstream_ms_avg < 9)", [
            "metrics.api_keys.kh_1.latency.upstream_ms_avg",
        ]),
        ("ai.models.filter(m, m.metadata.tier == 'x').filter(m, m.metrics.global.request_count > 1)", [
            "metadata.tier", "metrics.global.request_count",
        ]),
        ("ai.keys.filter(k, k.value.startsWith('sk-'))", []),
        ("ai.keys.filter(k, k.error_rate.", []),
    ],
)  # fmt: skip
def test_what_an_expression_reads(source, paths):
    assert [".".join(path) for path in read_paths(source)] == paths


def test_values():
    element = SimpleNamespace(a=SimpleNamespace(b=1, words=("x", "y")), map={"k": SimpleNamespace(c=2.5)}, none=None)
    paths = [("a", "b"), ("a", "words"), ("map", "k", "c"), ("map", "gone", "c"), ("none", "x"), ("a",)]
    assert values_of(element, paths) == {
        "a.b": 1, "a.words": ["x", "y"], "map.k.c": 2.5, "map.gone.c": None, "none.x": None, "a": None,
    }  # fmt: skip


def test_an_explanation_names_the_numbers_that_decided():
    explanation = explained(POLICY, REQUEST + "cases: [{name: again, steps: [{repeat: 2}]}]", case="again")
    call = explanation["model_request"]
    first, second = call["strategies"]
    assert first["models_to_try"] == []
    assert [row["model"] for row in first["decided_by"]] == ["openai:gpt-4o", "openai:gpt-4o-mini"]
    assert all(row["values"].keys() == {"metrics.global.error_rate.total"} for row in first["decided_by"])
    prices = [row["values"]["pricing.text.input"] for row in second["decided_by"]]
    assert prices == [2.5, 0.15]
    # the second request was decided by what the first one learned, not by what came of itself
    (keys,) = call["candidates"][0]["key_strategies"]
    assert [row["values"]["quota.remaining_requests"] for row in keys["decided_by"]] == [7, 4_711]
    assert len(keys["keys_to_try"]) == 1
    text = render(explanation)
    assert "quota.remaining_requests = 4711" in text
    assert "openai:gpt-4o: pricing.text.input = " in text
    assert "canary" not in str(explanation)


def test_unknown_quotas_are_shown_as_absent():
    explanation = explained(POLICY, REQUEST)
    quota, rates = explanation["model_request"]["candidates"][0]["key_strategies"]
    assert {row["values"]["quota.remaining_requests"] for row in quota["decided_by"]} == {None}
    assert {row["values"]["error_rate.rate_limit"] for row in rates["decided_by"]} == {0.0}
    assert "quota.remaining_requests = absent" in render(explanation)
