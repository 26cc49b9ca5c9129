"""Every action over real sockets: what fails lets nothing through (TP-55, TP-111), what each leaves behind (TP-202)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import Answer, Stage, row, staged

#: division by nothing, which only shows when it runs
BOOM = "${1 / (size(req.method) - size(req.method))}"
SAID = "what the upstream said"


def policy(*actions: Any, phase: str = "on_http_request", **more: Any) -> str:
    """A policy of these actions in a phase."""
    return json.dumps({phase: [{"actions": list(actions)}], **more})


async def play(text: str, **request: Any) -> tuple[Answer, Stage]:
    """One POST through a gateway that forwards what its policy leaves."""

    async def nothing(stage: Stage) -> None:
        pass

    async with staged(row(0, text, forwards=True)(nothing), "yaml") as stage:
        stage.service.otherwise = answer(SAID, content_type="text/plain", x_said="yes")
        return await stage.ask(method="POST", body=b"a secret body", **request), stage


#: action, its configuration with something that fails, the code
REQUEST_FAILURES: list[tuple[str, Any, str]] = [
    ("custom-response", {"body": BOOM}, "2238"),
    ("custom-response", {"headers": {"a": f"x{BOOM}"}}, "2238"),
    ("set-vars", {"vars": [{"a": 1}, {"b": [{"c": BOOM}]}]}, "2238"),
    ("rate-limit", {"name": "n", "algorithm": "sliding_window", "capacity": 9, "rate": "60s",
                    "bucket_key": ["req.method", BOOM[2:-1]]}, "2253"),
    ("restrict-ips", {"allow": ["127.0.0.0/8", BOOM]}, "2238"),
    ("restrict-ips", {"allow": ["127.0.0.0/8", "${req.method}"], "enforce": False}, "2238"),
    ("jwt-validation", {"issuer": {"allow_list": [{"value": BOOM}]},
                        "http": {"tokens": [{"type": "jwt", "method": "header", "name": "a"}]},
                        "jws": {"allowed_algorithms": ["RS256"],
                                "keys": {"sources": {"additional_jkus": ["https://a.example"]}}}}, "2238"),
    ("add-headers", {"headers": {"x-a": "1", "x-b": BOOM}}, "2238"),
    ("add-headers", {"headers": {"x-a": "${string(b'\\x0d\\x0a') + 'x: y'}"}}, "2238"),
    ("redirect", {"to": BOOM}, "2238"),
    ("redirect", {"from": "${'('}", "to": "/x"}, "3901"),
    ("url-rewrite", {"from": BOOM, "to": "/x"}, "2238"),
    ("url-rewrite", {"to": "${'::'}"}, "3904"),
    ("basic-auth", {"credentials": [f"u:{BOOM}"], "enforce": False}, "2238"),
    ("log", {"metadata": {"a": {"b": [BOOM]}}}, "2238"),
    ("request-body-find-replace", {"replacements": [{"from": "secret", "to": BOOM}]}, "3900"),
    ("request-body-find-replace", {"replacements": [{"from": "${'('}"}]}, "3901"),
    ("http-request", {"url": f"http://a.internal/{BOOM}"}, "2238"),
    ("http-request", {"url": "http://a.internal", "retry_condition": f"{BOOM[2:-1]} == 1"}, "2253"),
    ("verify-webhook", {"provider": "github", "secret": BOOM, "enforce": False}, "2238"),
    ("forward-internal", {"url": f"http://{BOOM}.internal", "on_error": "continue"}, "2238"),
    ("forward-internal", {"url": "http://${'a.example'}", "on_error": "continue"}, "2238"),
]  # fmt: skip


@pytest.mark.parametrize(("type", "config", "code"), REQUEST_FAILURES)
async def test_a_failing_action_stops_the_request(type: str, config: Any, code: str) -> None:
    """TP-55, TP-56: the code and a generic message; the upstream is never asked, and nothing was changed."""
    after = {"type": "log", "config": {"metadata": {"reached": True}}}
    answered, stage = await play(policy({"type": type, "config": config}, after))
    assert (answered.status, answered.code) == (500, f"ERR_NGROK_{code}")
    assert answered.headers["x-gateway-request-id"]
    assert not stage.service.requests
    assert not stage.last.log_metadata
    for word in ("size", "req.method", "secret", "division"):
        assert word not in answered.text


RESPONSE_FAILURES: list[tuple[str, Any, str]] = [
    ("custom-response", {"body": BOOM}, "2238"),
    ("set-vars", {"vars": [{"a": BOOM}]}, "2238"),
    ("restrict-ips", {"allow": [BOOM]}, "2238"),
    ("restrict-ips", {"allow": ["10.0.0.0/8"]}, "3203"),
    ("add-headers", {"headers": {"x-b": BOOM}}, "2238"),
    ("log", {"metadata": {"a": BOOM}}, "2238"),
    ("response-body-find-replace", {"replacements": [{"from": BOOM, "to": "x"}]}, "3900"),
    ("http-request", {"url": BOOM}, "2238"),
]


@pytest.mark.parametrize(("type", "config", "code"), RESPONSE_FAILURES)
async def test_a_failing_action_takes_the_upstreams_place(type: str, config: Any, code: str) -> None:
    """TP-56: nothing that the upstream said reaches the client."""
    answered, stage = await play(policy({"type": type, "config": config}, phase="on_http_response"))
    assert (answered.status, answered.code) == (403 if code == "3203" else 500, f"ERR_NGROK_{code}")
    assert SAID not in answered.text
    assert "x-said" not in answered.headers
    assert len(stage.service.requests) == 1


STREAM_FAILURES: list[tuple[str, Any, str]] = [
    ("set-vars", {"vars": [{"a": BOOM}]}, "2238"),
    ("log", {"metadata": {"a": BOOM}}, "2238"),
    ("sse-find-replace", {"replacements": [{"from": "a", "to": BOOM}]}, "3900"),
    ("sse-find-replace", {"replacements": [{"from": "${'('}"}]}, "3901"),
]


@pytest.mark.parametrize(("type", "config", "code"), STREAM_FAILURES)
async def test_a_failing_action_ends_the_stream(type: str, config: Any, code: str) -> None:
    """TP-56: one error event in place of the message."""
    stream = {
        "type": "custom-response",
        "config": {"headers": {"content-type": "text/event-stream"}, "body": "data: hidden\n\ndata: more\n\n"},
    }
    text = policy(stream, on_event_stream_message=[{"type": type, "config": config}])
    answered, _ = await play(text)
    assert answered.status == 200
    assert answered.text.count("data:") == 1
    assert f"ERR_NGROK_{code}" in answered.text
    assert "hidden" not in answered.text


@pytest.mark.parametrize("config", [{"a": BOOM.replace("req.method", "conn.client_ip")}])
async def test_a_failing_action_closes_the_connection(config: Any) -> None:
    """TP-56."""
    text = policy({"type": "set-vars", "config": {"vars": [config]}}, phase="on_tcp_connect")
    with pytest.raises((ConnectionError, EOFError)):
        await play(text)


SIGNED = {"x-hub-signature-256": "sha256=" + "0" * 64}
#: action, its configuration, headers of the request, name of its result, the result as JSON
RESULTS: list[tuple[str, Any, dict[str, str], str, Any]] = [
    ("rate-limit", {"name": "n", "algorithm": "sliding_window", "capacity": 1, "rate": "60s", "bucket_key": ["'k'"]},
     {}, "rate_limit", {"limited": False}),
    ("restrict-ips", {"allow": ["127.0.0.0/8"], "enforce": False}, {}, "restrict_ips",
     {"action": "allow", "matched_cidr": "127.0.0.0/8"}),
    ("restrict-ips", {"allow": ["10.0.0.0/8"], "enforce": False}, {}, "restrict_ips",
     {"action": "deny", "matched_cidr": "", "error": {"code": "ERR_NGROK_3203"}}),
    ("add-headers", {"headers": {"X-A": "${req.method}"}}, {}, "add_headers", {"headers_added": {"x-a": "POST"}}),
    ("remove-headers", {"headers": ["X-There", "x-not"]}, {"x-there": "1"}, "remove_headers",
     {"headers_removed": ["x-there"]}),
    ("redirect", {"from": "nothing", "to": "/x"}, {}, "redirect", {"matches": [], "url": "http://gateway.test/x"}),
    ("url-rewrite", {"from": "/x", "to": "/y"}, {}, "url_rewrite", {"matches": ["/x"], "url": "http://gateway.test/y"}),
    ("basic-auth", {"credentials": ["u:password"], "enforce": False}, {"authorization": "Basic dTpub3RpdA=="},
     "basic_auth", {"credentials": {"presented": True, "username": "u", "authorized": False}}),
    ("log", {"metadata": {"a": [1, True, None]}}, {}, "log", {"metadata": {"a": [1, True, None]}}),
    ("request-body-find-replace", {"replacements": [{"from": "x+"}, {"from": "sec(ret)", "to": "$1"}]}, {},
     "request_body_find_replace", {"replacements": [{"replacement_index": 1, "matched_content": "secret"}]}),
    ("verify-webhook", {"provider": "github", "secret": "s", "enforce": False}, SIGNED, "verify_webhook",
     {"verified": False, "error": {"code": "ERR_NGROK_3204"}}),
    ("forward-internal", {"url": "http://none.internal", "on_error": "continue"}, {}, "forward_internal",
     {"url": "http://none.internal", "error": {"code": "ERR_NGROK_3200"}}),
    ("http-request", {"url": "http://none.internal"}, {}, "http_request", {"error": {"code": "ERR_TP_HTTP_REQUEST"}}),
]  # fmt: skip


def at_least(expected: Any, actual: Any) -> bool:
    """Whether everything expected is there."""
    if isinstance(expected, dict):
        return all(name in actual and at_least(value, actual[name]) for name, value in expected.items())
    return bool(expected == actual)


@pytest.mark.parametrize(("type", "config", "headers", "name", "result"), RESULTS)
async def test_results(type: str, config: Any, headers: dict[str, str], name: str, result: Any) -> None:
    """TP-202: of the last run; an error only after one; absent before the action ran."""
    before = {"type": "set-vars", "config": {"vars": [{"ran": f"${{actions.ngrok.{name} != null}}"}]}}
    show = {"type": "custom-response", "config": {"body": f"${{json.encode([vars.ran, actions.ngrok.{name}])}}"}}
    answered, _ = await play(policy(before, {"type": type, "config": config}, show), headers=headers)
    ran, shown = answered.json
    assert ran is False
    assert at_least(result, shown), shown
    assert ("error" in shown) is ("error" in result)
    if "error" in result:
        assert shown["error"]["message"]


async def test_results_of_the_response_phase() -> None:
    """TP-532, TP-447."""
    replace = {"type": "response-body-find-replace", "config": {"replacements": [{"from": "up", "to": "down"}]}}
    compress = {"type": "compress-response"}
    names = ("response_body_find_replace", "compress")
    show = {"type": "add-headers", "config": {"headers": {f"x-{n}": f"${{actions.ngrok.{n}}}" for n in names}}}
    text = policy(replace, compress, show, phase="on_http_response")
    answered, _ = await play(text, headers={"accept-encoding": "gzip"})
    assert json.loads(answered.headers["x-compress"]) == {"already_compressed": False, "negotiated_algorithm": "gzip"}
    (shown,) = json.loads(answered.headers["x-response_body_find_replace"])["replacements"]
    assert shown == {"replacement_index": 0, "matched_content": "up"}
