"""Files of cases and requests: what they may say, and how narrower words win over wider ones."""

from __future__ import annotations

import pytest

from gateway.policy_tools.documents import (
    CaseFile,
    RequestPart,
    body_bytes,
    merged_secrets,
    parse_raw,
    read_cases,
    read_request,
)
from gateway.problems import Problems


def read(text: str) -> tuple[CaseFile | None, Problems]:
    problems = Problems("p.test.yaml")
    return read_cases(text.encode(), problems), problems


def test_a_case_without_steps_is_one_step() -> None:
    file, _ = read("cases: [{name: a, request: {path: /x}, expect: {status: 401}}]")
    assert file is not None
    (case,) = file.cases
    assert (case.name, case.line, len(case.steps)) == ("a", 1, 1)
    assert case.steps[0].expect is not None
    assert case.steps[0].expect.status == 401
    assert case.request.path == "/x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cases: []", "1:8: error ERR_NGROK_2223"),
        ("cases: [{name: a, expects: {}}]", "unknown field 'expects'; did you mean 'expect'?"),
        ("cases: [{name: a, steps: [{}], expect: {}}]", "with 'steps', each says its own"),
        ("cases: [{name: a}]\nclock: noon", "2:8: error"),
        ("cases: [{name: a, request: {headers: {x: {}}}}]", "must be a string, a list of strings, or null"),
        ("cases: [{name: a, upstream: [{error: refused}]}]", "error"),
        ("", "the file is empty"),
    ],
)
def test_problems_have_their_places(text: str, words: str) -> None:
    file, problems = read(text)
    assert file is None
    assert words in str(problems)


def test_clock() -> None:
    """Moments are RFC 3339; without a zone they are UTC."""
    for written in ("2026-01-01T00:00:01Z", "2026-01-01T00:00:01", "2026-01-01T01:00:01+01:00"):
        file, _ = read(f"clock: '{written}'\ncases: [{{name: a}}]")
        assert file is not None
        assert file.clock == 1_767_225_601.0


def test_narrower_requests_win() -> None:
    wide = RequestPart(path="/wide", host="h", headers=(("A", ("1",)), ("b", ("2",))))
    narrow = RequestPart(path="/narrow", headers=(("a", None), ("C", ("3",))))
    merged = narrow.over(wide)
    assert (merged.path, merged.host) == ("/narrow", "h")
    assert {name.lower(): values for name, values in merged.headers} == {"a": None, "b": ("2",), "c": ("3",)}


def test_secrets_are_merged_and_taken_away() -> None:
    merged = merged_secrets({"v": {"a": "1", "b": "2"}}, {"v": {"a": None}, "w": {"c": "3"}})
    assert merged == {("v", "b"): "2", ("w", "c"): "3"}


def test_http_message() -> None:
    """A request as it stands on the wire; lengths and hosts are the tool's to write."""
    raw = b"POST /v1/x?y=1 HTTP/1.1\nHost: a.example\nX-A: 1\nX-A: 2\nContent-Length: 9\n\n{}"
    part = parse_raw(raw)
    assert (part.method, part.path, part.host, part.body) == ("POST", "/v1/x?y=1", "a.example", "{}")
    assert part.headers == (("X-A", ("1", "2")),)
    file = read_request(raw, Problems("r"))
    assert file is not None
    assert file.request == part


def test_bodies() -> None:
    assert body_bytes(None) == b""
    assert body_bytes("as it is") == b"as it is"
    assert body_bytes({"a": ["ü"]}) == '{"a": ["ü"]}'.encode()
