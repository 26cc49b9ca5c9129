"""The forms around a policy: TP-4 to TP-10."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.document import Problems, parse_document
from gateway.policy.unwrap import Unwrapped, unwrap
from tests.unit.policy.world import load, report

PHASE = "on_http_request:\n- type: deny\n"


def unwrapped(text: str) -> tuple[Unwrapped | None, Problems]:
    problems = Problems("p.yaml")
    root = parse_document(text, problems)
    assert root is not None
    return unwrap(root, problems), problems


def indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    "text",
    [
        "traffic_policy:\n" + indented(PHASE),
        "trafficPolicy:\n  policy:\n" + indented(indented(PHASE)),
        "policy:\n" + indented(PHASE),
        "traffic_policy: |\n" + indented(PHASE),
        json.dumps({"traffic_policy": json.dumps({"on_http_request": [{"type": "deny"}]})}),
    ],
)
def test_wrappers_are_taken_off_with_a_warning(text: str) -> None:
    """TP-5, TP-6, TP-9."""
    found, problems = unwrapped(text)
    assert found is not None
    assert found.root.plain() == {"on_http_request": [{"type": "deny"}]}
    assert problems.warnings
    assert not problems.errors


@pytest.mark.parametrize(
    ("text", "enabled"),
    [
        ("enabled: true\nvalue: |\n" + indented(PHASE), True),
        ("enabled: false\nvalue: |\n" + indented(PHASE), False),
        ("value: |\n" + indented(PHASE), True),
        ("enabled: false\n" + PHASE, False),
        ("enabled: true\n" + PHASE, True),
        ("traffic_policy:\n  enabled: false\n" + indented(PHASE), False),
    ],
)
def test_the_old_envelope(text: str, *, enabled: bool) -> None:
    """TP-10."""
    found, problems = unwrapped(text)
    assert found is not None
    assert found.enabled is enabled
    policy, problems = load(text)
    assert policy is not None
    assert policy.enabled is enabled
    assert ("disabled" in str(problems)) is not enabled


def test_positions_of_a_string_are_inside_it() -> None:
    """TP-21."""
    policy, problems = load("enabled: true\nvalue: |\n  on_http_request:\n  - type: dney\n")
    assert policy is None
    error = problems.errors[0]
    assert (error.file, error.line, error.column) == ("<inline>", 2, 9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("traffic_policy:\n", ["1:1 warning 2236", "1:1 error 2206"]),
        ("traffic_policy: ''\n", ["1:1 error 2206", "1:1 warning 2236"]),
        ("traffic_policy: 5\n", ["1:1 warning 2236", "1:17 error 2236"]),
        ("enabled: 5\nvalue: 'on_http_request: [{type: deny}]'\n", ["1:1 warning 2236", "1:10 error 2203"]),
    ],
)
def test_what_is_no_policy(text: str, expected: list[Any]) -> None:
    """TP-7: a truncated document must not open an endpoint."""
    policy, problems = load(text)
    assert policy is None
    assert sorted(report(problems)) == sorted(expected)


def test_wrapper_beside_phases_is_no_wrapper() -> None:
    """TP-1: any other key is an error."""
    policy, problems = load(PHASE + "traffic_policy: {}\n")
    assert policy is None
    assert report(problems) == ["3:1 error 2230"]
