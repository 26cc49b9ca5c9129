"""``custom-response``: TP-220 to TP-224."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.actions.custom_response import infer_content_type
from gateway.policy.model import Phase
from tests.unit.policy.world import answer, compiled, load, report, request, responded, run

BARE = "on_http_request:\n- type: custom-response\n"


def answered(config: str, method: str = "GET", phase: Phase = Phase.REQUEST) -> Any:
    text = f"{phase}:\n- type: custom-response\n  config: {config}\n"
    return responded(run(compiled(text, phase), request(method=method, response=answer())))


def test_defaults() -> None:
    """TP 8.2: 200 without a body."""
    response = responded(run(compiled(BARE), request()))
    assert (response.status, response.body, dict(response.headers)) == (200, b"", {"content-length": ["0"]})


def test_the_response_phase_still_runs() -> None:
    """TP-42, TP-43."""
    assert answered("{}").run_response_phase


@pytest.mark.parametrize("phase", [Phase.REQUEST, Phase.RESPONSE])
def test_everything(phase: Phase) -> None:
    """TP-221, TP-223: names in lower case, values interpolated."""
    response = answered(
        """{status_code: 503, body: "${req.method} é", headers: {X-A: "${req.id}", retry-after: 5}}""", phase=phase
    )
    assert (response.status, response.body) == (503, "GET é".encode())
    assert dict(response.headers) == {
        "x-a": ["req_1"], "retry-after": ["5"], "content-type": ["text/plain; charset=utf-8"], "content-length": ["6"],
    }  # fmt: skip


def test_a_given_content_type_stands() -> None:
    response = answered("{body: '{}', headers: {Content-Type: text/x}}")
    assert response.headers["content-type"] == ["text/x"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("", ""),
        ('{"a": 1}', "application/json"),
        (" \n[1, 2]", "application/json"),
        ("{not json}", "text/plain; charset=utf-8"),
        ("[1", "text/plain; charset=utf-8"),
        ("5", "text/plain; charset=utf-8"),
        ('"text"', "text/plain; charset=utf-8"),
        ("<!DOCTYPE html><p>", "text/html; charset=utf-8"),
        ("\n  <HTML>", "text/html; charset=utf-8"),
        ("<svg>", "text/plain; charset=utf-8"),
        ("hello", "text/plain; charset=utf-8"),
        ("[" * 100_000, "text/plain; charset=utf-8"),
    ],
)
def test_inferred_content_type(body: str, content_type: str) -> None:
    """TP-222."""
    assert infer_content_type(body) == content_type


def test_content_type_of_an_interpolated_body() -> None:
    """TP-222: judged on the result."""
    assert answered("""{body: "${['a']}"}""").headers["content-type"] == ["application/json"]
    assert answered("""{body: "${'<html>'}"}""").headers["content-type"] == ["text/html; charset=utf-8"]
    assert "content-type" not in answered("""{body: "${''}"}""").headers


def test_head_and_bodyless_statuses() -> None:
    """TP-223."""
    head = answered("{body: hello}", "HEAD")
    assert (head.body, head.headers["content-length"]) == (b"", ["5"])
    for status in (204, 304):
        response = answered(f"{{status_code: {status}, body: hello}}")
        assert (response.body, dict(response.headers)) == (b"", {})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{status_code: 199}", ["3:25 error 2215"]),
        ("{status_code: 600}", ["3:25 error 2215"]),
        ("{status_code: '${200}'}", ["3:25 error 2224"]),
        ("{body: 5}", ["3:18 error 2203"]),
        ("{headers: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1}}", ["3:21 error 2218"]),
        ("{headers: {Content-Length: 5}}", ["3:22 error 2219"]),
        (
            "{headers: {Transfer-Encoding: x, connection: x, upgrade: x}}",
            ["3:22 error 2219", "3:44 error 2219", "3:59 error 2219"],
        ),
        ("{content: x}", ["3:12 error 2203"]),
    ],
)
def test_wrong_configurations(config: str, expected: list[str]) -> None:
    assert report(load(f"{BARE}  config: {config}\n")[1]) == expected
