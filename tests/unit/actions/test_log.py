"""``log``: TP-425 to TP-427, CL-65."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.policy.model import Phase
from tests.unit.policy.world import Secrets, answer, compiled, load, refused, report, request, run, value_of


def policy(metadata: str, phase: Phase = Phase.REQUEST) -> str:
    return f"{phase}:\n- type: log\n  config: {{metadata: {metadata}}}\n"


def logged(metadata: str, phase: Phase = Phase.REQUEST) -> list[Any]:
    exchange = request(headers=[("x", "1")], response=answer(), secrets=Secrets(v={"s": "topsecret"}))
    assert run(compiled(policy(metadata, phase), phase), exchange) is None
    json.dumps(exchange.log_metadata)
    return exchange.log_metadata


@pytest.mark.parametrize("phase", list(Phase))
def test_types_are_kept(phase: Phase) -> None:
    """TP-425: one object per run."""
    assert logged('{a: x, b: [1, 1.5, true, null], c: "${endpoint.port}", d: {e: "${endpoint.id}!"}}', phase) == [
        {"metadata": {"a": "x", "b": [1, 1.5, True, None], "c": 8443, "d": {"e": "ep_1!"}}}
    ]


def test_in_order() -> None:
    exchange = request()
    text = """\
        on_http_request:
          - {type: log, config: {metadata: {n: 1}}}
          - {type: log, config: {metadata: {n: "${1 + 1}"}}}
    """
    assert run(compiled(text), exchange) is None
    assert exchange.log_metadata == [{"metadata": {"n": 1}}, {"metadata": {"n": 2}}]


def test_secrets_are_masked() -> None:
    """TP-426, CL-98: also inside longer texts, and in texts that were made earlier."""
    exchange = request(secrets=Secrets(v={"s": "topsecret"}))
    text = """\
        on_http_request:
          - {type: set-vars, config: {vars: [{token: "${'Bearer ' + secrets.get('v', 's')}"}]}}
          - {type: log, config: {metadata: {a: "${vars.token}", b: ["<${secrets.get('v', 's')}>"], c: "${vars}"}}}
    """
    assert run(compiled(text), exchange) is None
    assert exchange.log_metadata == [{"metadata": {"a": "Bearer ***", "b": ["<***>"], "c": {"token": "Bearer ***"}}}]


def test_structured_values() -> None:
    """CL-22: a whole result, timestamps, value lists."""
    assert logged("""{a: "${req.headers['x']}", b: "${timestamp('2026-01-01T00:00:00Z')}", c: "${req.cookies}"}""") == [
        {"metadata": {"a": ["1"], "b": "2026-01-01T00:00:00Z", "c": {}}}
    ]


def test_the_result() -> None:
    """TP-427."""
    exchange = request()
    assert run(compiled(policy('{a: "${[1]}"}')), exchange) is None
    assert value_of("actions.ngrok.log.metadata.a", exchange) == [1]


def test_size_at_run_time() -> None:
    """TP 8.12."""
    exchange = request(headers=[("x", "y" * 70_000)])
    assert refused(run(compiled(policy("""{a: "${req.headers['x'][0]}"}""")), exchange)) == "ERR_NGROK_2249"
    assert exchange.log_metadata == []


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("{}", ["3:22 error 2223"]),
        ("[a]", ["3:22 error 2203"]),
        ("text", ["3:22 error 2203"]),
        ("{a: '${foo}'}", ["3:29 error 2200"]),
        ("{a: " + "x" * 65_536 + "}", ["3:22 error 2255"]),
    ],
)
def test_wrong_configurations(metadata: str, expected: list[str]) -> None:
    assert report(load(policy(metadata))[1]) == expected


def test_metadata_is_required() -> None:
    assert report(load("on_http_request:\n- type: log\n  config: {}\n")[1]) == ["3:11 error 2234"]
