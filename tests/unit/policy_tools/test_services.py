"""What stands around a document's gateway: other services, IP policies, gateway keys (``services``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.policy_tools.kit import GATEWAY, explained, failures, run_cases

ASKING = """
on_http_request:
  - type: http-request
    config: {url: "${req.headers['x-url'][0]}", method: POST, body: "${req.method}"}
  - type: custom-response
    config:
      body: "${json.encode([actions.ngrok.http_request.res.body, actions.ngrok.http_request.error.message])}"
"""
ANSWERS = """
services:
  http://a.internal: {body: root}
  http://a.internal/deep: {status: 500, body: deep, headers: {x-a: b}}
  https://outside.example/x: {body: outside}
  http://dead.internal: {error: connection}
  http://slow.internal: {error: timeout}
"""


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("http://a.internal", '["root",null]'),
        ("http://a.internal/deeper?x=1", '["root",null]'),
        ("http://a.internal/deep/x", '["deep",null]'),
        ("https://outside.example/x", '["outside",null]'),
        ("https://outside.example/y", '[null,"there is no such endpoint"]'),
        ("https://elsewhere.example/x", '[null,"this host may not be asked"]'),
        ("http://dead.internal/", '[null,"connection refused"]'),
        ("http://slow.internal/", '[null,"the request took longer than its timeout"]'),
        ("http://none.internal/", '[null,"there is no such endpoint"]'),
    ],
)
def test_the_longest_url_answers(url: str, body: str, tmp_path: Path) -> None:
    """TP-471, TP-477: hosts that the document names may be asked, others may not."""
    case = f"cases: [{{name: a, request: {{headers: {{x-url: '{url}'}}}}, expect: {{body: '{body}'}}}}]"
    assert failures(tmp_path, ASKING, ANSWERS + case) == []


def test_what_was_sent_is_seen(tmp_path: Path) -> None:
    request = "request: {headers: {x-url: 'http://a.internal/deep?q=1'}}\n"
    sent = "{path: /deep?q=1, body: POST, headers: {ngrok-req-type: http-request, ngrok-req-hops: '1', x-no: null}}"
    assert failures(tmp_path, ASKING, f"{ANSWERS}{request}cases: [{{name: a, expect: {{sent: {sent}}}}}]") == []


FORWARDING = """
on_http_request:
  - type: forward-internal
    config: {url: "http://${req.headers['x-to'][0]}.internal", on_error: %s}
  - {type: custom-response, config: {body: "${actions.ngrok.forward_internal.error.code}"}}
"""


@pytest.mark.parametrize(
    ("to", "on_error", "expect"),
    [
        ("a", "halt", "{status: 200, body: root, headers: {content-type: text/plain}}"),
        ("dead", "halt", "{status: 502, code: ERR_NGROK_3004}"),
        ("none", "halt", "{status: 404, code: ERR_NGROK_3200}"),
        ("dead", "continue", "{status: 200, body: ERR_NGROK_3004}"),
    ],
)
def test_internal_endpoints(to: str, on_error: str, expect: str, tmp_path: Path) -> None:
    """TP-540 to TP-543."""
    case = f"cases: [{{name: a, request: {{headers: {{x-to: {to}}}}}, expect: {expect}}}]"
    assert failures(tmp_path, FORWARDING % on_error, ANSWERS + case) == []


def test_ip_policies(tmp_path: Path) -> None:
    """TP-305: an id that the document does not have is unknown."""
    policy = "on_http_request: [{type: restrict-ips, config: {ip_policies: [ipp_a]}}, {type: custom-response}]"
    rules = "ip_policies: {ipp_a: [{cidr: 10.0.0.0/8, action: allow}, {cidr: 10.9.0.0/16, action: deny}]}\n"
    for address, status in (("10.1.1.1", 200), ("10.9.1.1", 403), ("11.1.1.1", 403)):
        case = f"cases: [{{name: a, request: {{client_ip: {address}}}, expect: {{status: {status}}}}}]"
        assert failures(tmp_path, policy, rules + case) == []
    other = rules.replace("ipp_a", "ipp_b") + "cases: [{name: a}]"
    problems = run_cases(tmp_path, policy, other).problems
    assert [problem.code for problem in problems.errors] == ["ERR_NGROK_2216"]


def test_gateway_keys_of_the_document(tmp_path: Path) -> None:
    """AG-187: with any, the endpoint asks for one; the policy's keys serve it."""
    keys = "gateway_keys: [ng-one000000000-g1-a]\n"
    for header, expect in (
        ("Bearer ng-one000000000-g1-a", "{status: 200, key: sk-first}"),
        ("Bearer ng-two000000000-g1-a", "{status: 401, code: ERR_NGROK_27007}"),
        ("Bearer sk-other", "{status: 401, code: ERR_NGROK_27007}"),
        ("null", "{status: 401, code: ERR_NGROK_27201}"),
    ):
        case = f"cases: [{{name: a, request: {{headers: {{authorization: {header}}}}}, expect: {expect}}}]"
        assert failures(tmp_path, GATEWAY, keys + case) == []


def test_explain_plays_them_too() -> None:
    shown = explained(ASKING, ANSWERS + "request: {headers: {x-url: 'https://outside.example/x'}}")
    assert shown["answer"]["body"] == '["outside",null]'
    assert [each["url"] for each in shown["upstream_requests"]] == ["https://outside.example/x"]
