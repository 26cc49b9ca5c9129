"""Whether ``on_http_response`` still runs behind what ended the request phase: the table of TP-42, TP-43 and TP-44."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import Answer, Stage, row, staged

MARK = {"type": "add-headers", "config": {"headers": {"x-ran": "yes"}}}
LIMIT = {"name": "n", "algorithm": "sliding_window", "capacity": 1, "rate": "60s", "bucket_key": ["'k'"]}
JWT = {
    "issuer": {"allow_list": [{"value": "i"}]},
    "http": {"tokens": [{"type": "jwt", "method": "header", "name": "x-token"}]},
    "jws": {"allowed_algorithms": ["RS256"], "keys": {"sources": {"additional_jkus": ["https://a.example"]}}},
}
BREAKER = {"error_threshold": 0, "volume_threshold": 1}
NOBODY = {"providers": [{"id": "openai", "base_url": "@service@/v1", "api_keys": [{"value": "sk-key"}]}]}


async def asked(*actions: Any, times: int = 1, target: str = "/x", method: str = "GET") -> Answer:
    """The last of so many answers of a gateway whose policy has these actions, with the mark behind all."""

    async def nothing(stage: Stage) -> None:
        pass

    policy = json.dumps({"on_http_request": list(actions), "on_http_response": [MARK]})
    inside = {"a": "", "b": json.dumps({"on_http_request": [{"type": "deny", "config": {"status_code": 418}}]})}
    async with staged(row(0, policy, forwards=True, inside=inside)(nothing), "yaml") as stage:
        stage.service.otherwise = lambda request: answer(
            '{"error": {}}', status=500 if request.path == "/v1/chat/completions" else 200
        )
        for _ in range(times - 1):
            await stage.ask(target, method=method)
        body = json.dumps({"model": "openai:m", "messages": []}).encode() if method == "POST" else None
        return await stage.ask(target, method=method, body=body)


@pytest.mark.parametrize(
    ("type", "config", "status", "runs"),
    [
        ("custom-response", {"status_code": 201}, 201, True),
        ("redirect", {"to": "/y"}, 302, True),
        ("redirect", {"to": "http://gateway.test/x"}, 200, True),
        ("forward-internal", {"url": "http://a.internal"}, 200, True),
        ("forward-internal", {"url": "http://b.internal"}, 418, True),
        ("forward-internal", {"url": "http://none.internal"}, 404, False),
        ("forward-internal", {"url": "http://none.internal", "on_error": "continue"}, 200, True),
        ("http-request", {"url": "http://none.internal", "on_error": "halt"}, 502, False),
        ("http-request", {"url": "http://none.internal"}, 200, True),
        ("deny", {"status_code": 404}, 404, False),
        ("restrict-ips", {"allow": ["10.0.0.0/8"]}, 403, False),
        ("basic-auth", {"credentials": ["u:password"]}, 401, False),
        ("jwt-validation", JWT, 401, False),
        ("verify-webhook", {"provider": "github", "secret": "s"}, 403, False),
        ("set-vars", {"vars": [{"a": "${vars.unset}"}]}, 500, False),
        ("add-headers", {"headers": {"a": "b"}}, 200, True),
    ],
)
async def test_what_runs_behind_it(type: str, config: Any, status: int, runs: bool) -> None:
    answered = await asked({"type": type, "config": config})
    assert (answered.status, "x-ran" in answered.headers) == (status, runs)


@pytest.mark.parametrize(("type", "config", "status"), [("rate-limit", LIMIT, 429), ("circuit-breaker", BREAKER, 503)])
async def test_what_counts_first(type: str, config: Any, status: int) -> None:
    action = {"type": type, "config": config}
    first = await asked(action)
    assert (first.status, first.headers["x-ran"]) == (200, "yes")
    second = await asked(action, times=2)
    assert (second.status, "x-ran" in second.headers) == (status, False)


@pytest.mark.parametrize("on_error", ["halt", "continue"])
async def test_errors_of_the_gateway_action_pass_through_it(on_error: str) -> None:
    """TP-44: so that policies can sanitise them; with ``continue`` the upstream of the endpoint answers (TP-51)."""
    action = {"type": "ai-gateway", "config": {**NOBODY, "on_error": on_error}}
    policy_status = {"halt": (500, 599), "continue": (500, 500)}[on_error]
    answered = await asked(action, target="/v1/chat/completions", method="POST")
    assert policy_status[0] <= answered.status <= policy_status[1]
    assert answered.headers["x-ran"] == "yes"
    assert (answered.code is not None) is (on_error == "halt")


async def test_nothing_that_handles_is_no_answer_of_a_policy() -> None:
    """TP-50 (3), TP-44: an error of the engine."""

    async def nothing(stage: Stage) -> None:
        pass

    log = {"type": "log", "config": {"metadata": {"a": 1}}}
    policy = json.dumps({"on_http_request": [log], "on_http_response": [MARK]})
    change = row(
        0, policy,
        change=lambda settings: replace(
            settings, endpoints=tuple(replace(entry, ai_gateway=False) for entry in settings.endpoints)
        ),
    )(nothing)  # fmt: skip
    async with staged(change, "yaml") as stage:
        answered = await stage.ask()
        assert (answered.status, answered.code) == (404, "ERR_TP_UNHANDLED")
        assert "x-ran" not in answered.headers
