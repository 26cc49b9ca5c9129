"""Running cases (``cases``) and what counts as a difference (``compare``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.policy_tools.cases import pair_of
from gateway.policy_tools.compare import decision_of
from gateway.policy_tools.documents import RequestPart
from tests.unit.policy_tools.kit import GATEWAY, failures, run_cases, served

GUARDED = """
on_http_request:
  - name: guard
    expressions: ["req.headers['x-token'][0] != secrets.get('v', 'token')"]
    actions:
      - type: log
        config: {metadata: {refused: "${conn.client_ip}"}}
      - type: custom-response
        config: {status_code: 401, body: '{"error": {"code": 7, "list": [1, 2]}}', headers: {x-a: b}}
  - type: deny
"""
REQUEST = "secrets: {v: {token: right}}\n"


def case(expect: str, request: str = "{}", more: str = "") -> str:
    return f"{REQUEST}{more}\ncases: [{{name: a, request: {request}, expect: {expect}}}]"


@pytest.mark.parametrize(
    "expect",
    [
        "{status: 401, decision: answered, rule: guard}",
        "{rule: 'on_http_request[0]'}",
        "{headers: {X-A: b, x-c: null, content-type: true}}",
        "{body: {error: {code: 7}}}",
        "{body: {error: {list: [1, 2]}}}",
        "{body_contains: ['\"code\": 7'], body_lacks: [right]}",
        "{log: [{refused: 203.0.113.10}], tried: []}",
    ],
)
def test_what_is_so_passes(tmp_path: Path, expect: str) -> None:
    assert failures(tmp_path, GUARDED, case(expect)) == []


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ("{status: 200}", "status: expected 200, got 401"),
        ("{decision: refused}", 'decision: expected "refused", got "answered"'),
        ("{rule: other}", "rule: expected 'other', decided by on_http_request[0] guard"),
        ("{code: ERR_X}", 'code: expected "ERR_X", got null'),
        ("{headers: {x-a: c}}", 'header x-a: expected "c", got "b"'),
        ("{headers: {x-a: null}}", 'header x-a: expected none, got "b"'),
        ("{headers: {x-c: true}}", "header x-c: expected one, got none"),
        ("{body: {error: {code: 8}}}", "body.error.code: expected 8, got 7"),
        ("{body: {error: {code: true}}}", "body.error.code: expected true, got 7"),
        ("{body: {error: {other: 1}}}", "body.error.other: expected 1, got nothing"),
        ("{body: {error: {list: [1]}}}", "body.error.list: expected [1], got [1, 2]"),
        ("{body_lacks: [code]}", "body: expected it not to contain 'code'"),
        ("{provider: openai}", 'provider: expected "openai", got "no upstream"'),
        ("{tried: [openai]}", "tried: expected ['openai'], got []"),
        ("{sent: {}}", "sent: expected a request to an upstream, there was none"),
        ("{log: []}", 'log: expected [], got [{"refused": "203.0.113.10"}]'),
    ],
)
def test_what_is_not_so_is_said(tmp_path: Path, expect: str, words: str) -> None:
    assert failures(tmp_path, GUARDED, case(expect)) == [words]


def test_failures_name_who_decided(tmp_path: Path) -> None:
    (result,) = run_cases(tmp_path, GUARDED, case("{status: 200}")).cases
    assert result.failures[-1] == "(decided by on_http_request[0], custom-response: answers 401)"


def test_sent(tmp_path: Path) -> None:
    """What went to the upstream is compared like an answer."""
    right = "{sent: {path: /v1/chat/completions, headers: {authorization: Bearer sk-first}, body: {model: gpt-4o}}}"
    assert failures(tmp_path, GATEWAY, case(right)) == []
    wrong = "{sent: {path: /x, headers: {cookie: true}, body: {model: m}, body_lacks: [gpt-4o]}}"
    assert failures(tmp_path, GATEWAY, case(wrong)) == [
        'sent path: expected "/x", got "/v1/chat/completions"',
        "sent header cookie: expected one, got none",
        'sent body.model: expected "m", got "gpt-4o"',
        "sent body: expected it not to contain 'gpt-4o'",
    ]


def test_steps_and_repetitions_are_named(tmp_path: Path) -> None:
    """The first difference ends a case; a gateway's state lasts for one case."""
    policy = """
        on_http_request:
          - type: rate-limit
            config: {name: a, algorithm: sliding_window, capacity: 2, rate: 60s, bucket_key: [req.host]}
          - type: deny
    """
    cases = """
        cases:
          - name: counts
            steps:
              - expect: {status: 403}
              - {repeat: 3, after: 1s, expect: {status: 403}}
          - name: counts anew
            steps:
              - {repeat: 2, expect: {status: 403}}
              - {after: 60s, expect: {status: 403}}
    """
    first, second = run_cases(tmp_path, policy, cases).cases
    assert first.failures[0] == "step 2, request 2: status: expected 403, got 429"
    assert second.failures == ()


def test_only(tmp_path: Path) -> None:
    cases = "cases: [{name: one}, {name: two}]"
    assert [result.name for result in run_cases(tmp_path, GUARDED, cases, only="tw").cases] == ["two"]


def test_missing_secrets_fail_as_they_do_in_service(tmp_path: Path) -> None:
    """TP-86."""
    assert failures(tmp_path, GUARDED, "cases: [{name: a, expect: {status: 500, code: ERR_NGROK_2254}}]") == []


def test_pairs() -> None:
    for name in ("d/a.yaml", "d/a.test.yaml"):
        assert pair_of(name) == (Path("d/a.yaml"), Path("d/a.test.yaml"))


def test_files_that_are_wrong(tmp_path: Path) -> None:
    result = run_cases(tmp_path, "on_http_request: [{type: denny}]", "cases: [{nam: a}]")
    assert result.failed
    assert {problem.file.rpartition("/")[2] for problem in result.problems} == {"p.yaml", "p.test.yaml"}
    assert result.cases == []


@pytest.mark.parametrize(
    ("policy", "decision"),
    [
        ("on_http_request: [{type: custom-response}]", "answered"),
        ("on_http_request: [{type: close-connection}]", "closed"),
        ("on_tcp_connect: [{type: restrict-ips, config: {deny: [203.0.113.0/24], allow: [0.0.0.0/0]}}]", "closed"),
        ("on_http_request: [{type: restrict-ips, config: {allow: [192.0.2.0/24]}}]", "refused"),
        (GATEWAY, "forwarded"),
    ],
)
def test_decisions(policy: str, decision: str) -> None:
    (answer,) = served(policy, RequestPart())
    assert decision_of(answer) == decision
