"""What a writer of policies is told at the command line: why a request was answered so, and what is wrong where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.unit.policy.test_seeds import FILES

#: the first policy of the guides that looks at a header
FIRST = next(path for path in FILES if path.name.startswith("cl02"))


@pytest.fixture
def bare_request(tmp_path: Path) -> str:
    """A request without a token, as it stands on the wire."""
    path = tmp_path / "request.http"
    path.write_text("POST /v1/chat/completions HTTP/1.1\nhost: gateway.example\n\n" + '{"model": "gpt-4o"}')
    return str(path)


def test_explain_shows_why_the_first_policy_answered_401(bare_request: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The missing header is absent, absent differs from any text (TP-81), so the rule matched and answered."""
    assert main(["policy", "explain", str(FIRST), "--request", bare_request]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "req.headers['authorization'][0] → absent" in lines
    assert "'Bearer ' + secrets.get('gateway-auth', 'access-token') → \"Bearer ***\"" in lines
    assert any(line.startswith("custom-response: answers 401") for line in lines)
    assert any(line.startswith("answered with 401 by on_http_request[0]") for line in lines)


def test_explain_says_the_same_to_programs(bare_request: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "explain", str(FIRST), "--request", bare_request, "--json"]) == 0
    explanation = json.loads(capsys.readouterr().out)
    (guard,) = explanation["rules"]  # the second was not reached
    assert (guard["place"], guard["matched"]) == ("on_http_request[0]", True)
    (condition,) = guard["expressions"]
    assert condition["value"] is True
    values = {part["source"]: part["value"] for part in condition["parts"]}
    assert values["req.headers['authorization'][0]"] is None
    assert values["secrets.get('gateway-auth', 'access-token')"] == "***"
    assert [action["outcome"] for action in guard["actions"]] == ["answers 401"]
    assert (explanation["answer"]["status"], explanation["answer"]["decision"]) == (401, "answered")
    assert explanation["upstream_requests"] == []
    assert "Invalid or missing authorization token" in explanation["answer"]["body"]


LIMIT = """\
on_http_request:
  - type: rate-limit
    config:
      name: few
      algorithm: sliding_window
      capacity: 100
      rate: 50/min
      bucket_key: [conn.client_ip]
"""
UNQUOTED = """\
on_http_request:
  - expressions:
      - !(req.headers['authorization'][0] in vars.tokens)
    actions:
      - type: deny
"""


@pytest.mark.parametrize(
    ("policy", "place", "code", "words"),
    [
        (LIMIT, "7:13", "ERR_NGROK_2222", ("100", "50", "'capacity'")),
        (UNQUOTED, "3:9", "ERR_NGROK_2236", ("quotes", "'!'")),
    ],
)
def test_check_says_what_to_do(
    policy: str, place: str, code: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TP-261: both numbers; TP-3: the hint to quote it."""
    path = tmp_path / "policy.yaml"
    path.write_text(policy)
    assert main(["policy", "check", str(path)]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{path}:{place}: error {code}: ")
    assert all(word in first for word in words), first
