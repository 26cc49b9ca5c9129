"""``gateway policy explain`` and ``gateway policy test`` (SV 1, SV-1)."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from gateway.cli.main import main

POLICY = "on_http_request: [{name: no, type: deny, config: {status_code: 418}}]\n"


def _files(folder: Path, cases: str = "cases: [{name: a, expect: {status: 418}}]") -> tuple[str, str]:
    (folder / "p.yaml").write_text(POLICY)
    (folder / "p.test.yaml").write_text(cases)
    return str(folder / "p.yaml"), str(folder / "p.test.yaml")


def test_cases_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, cases = _files(tmp_path)
    assert main(["policy", "test", policy]) == 0
    assert main(["policy", "test", cases]) == 0
    assert capsys.readouterr().out.startswith("1 file, 1 case: 0 failed, ")


def test_cases_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1; the place in the file, the name, the differences."""
    policy, cases = _files(tmp_path, "cases:\n  - name: a\n    expect: {status: 200}\n  - name: b\n")
    assert main(["policy", "test", policy]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [f"{cases}:2: a", "  status: expected 200, got 418"]
    assert lines[-1].startswith("1 file, 2 cases: 1 failed, ")
    assert main(["policy", "test", policy, "--only", "b"]) == 0


def test_missing_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, cases = _files(tmp_path)
    Path(cases).unlink()
    assert main(["policy", "test", policy]) == 1
    assert "No such file" in capsys.readouterr().out


def test_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file, from standard input, as text and as JSON."""
    policy, cases = _files(tmp_path)
    assert main(["policy", "explain", policy, "--request", cases, "--case", "a"]) == 0
    assert "on_http_request[0] 'no', line 1: always" in capsys.readouterr().out
    wire = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(wire)))
    assert main(["policy", "explain", policy, "--request", "-", "--json"]) == 0
    explanation = json.loads(capsys.readouterr().out)
    assert explanation["request"]["target"] == "/x"
    assert explanation["answer"]["status"] == 418


def test_explain_reads_the_secrets_of_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SV-12: they count, and are masked."""
    policy = tmp_path / "p.yaml"
    rule = "{expressions: [\"secrets.get('v', 'n') == 'of-this-machine'\"], actions: [{type: deny}]}"
    policy.write_text(f"on_http_request: [{rule}]")
    (tmp_path / "r.yaml").write_text("{}")
    monkeypatch.setenv("GATEWAY_SECRET_V__N", "of-this-machine")
    assert main(["policy", "explain", str(policy), "--request", str(tmp_path / "r.yaml")]) == 0
    text = capsys.readouterr().out
    assert "answered with 403" in text
    assert "note: " not in text
    assert text.count("of-this-machine") == 0


def test_explain_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1: the policy is wrong, or has no such case; 2: the request cannot be used."""
    policy, cases = _files(tmp_path)
    assert main(["policy", "explain", policy, "--request", cases, "--case", "none"]) == 1
    bad = tmp_path / "bad.yaml"
    bad.write_text("on_http_request: [{type: denny}]")
    assert main(["policy", "explain", str(bad), "--request", cases]) == 1
    assert main(["policy", "explain", policy, "--request", str(bad)]) == 2
    assert main(["policy", "explain", policy, "--request", "/no/such"]) == 2
    assert "unknown action type" in capsys.readouterr().err
