"""Problems and how they are shown: TP-21, TP-22."""

from __future__ import annotations

from gateway.node import Kind, Node
from gateway.problems import Codes, Problems, Severity


def test_report_is_ordered_by_position() -> None:
    problems = Problems("p.yaml")
    problems.add_error("E3", "third", line=10, column=1)
    problems.add_warning("E2", "second", line=2, column=9)
    problems.add_error("E1", "first", line=2, column=1)
    assert str(problems) == "p.yaml:2:1: error E1: first\np.yaml:2:9: warning E2: second\np.yaml:10:1: error E3: third"
    assert [problem.code for problem in problems.errors] == ["E1", "E3"]
    assert [problem.code for problem in problems.warnings] == ["E2"]


def test_the_same_problem_is_kept_once() -> None:
    problems = Problems()
    for _ in range(2):
        problems.error(Node(Kind.NULL, 1, 2), "E", "message")
    assert len(problems) == 1
    problems.error(Node(Kind.NULL, 1, 3), "E", "message")
    assert len(problems) == 2


def test_warnings_do_not_fail() -> None:
    problems = Problems()
    assert not problems.failed
    problems.warning(Node(Kind.NULL, 1, 1), "W", "message")
    assert not problems.failed
    problems.error(Node(Kind.NULL, 1, 1), "E", "message")
    assert problems.failed


def test_problems_of_another_source_keep_their_file() -> None:
    inner = Problems("<inline>")
    inner.add(Severity.ERROR, "E", "inside", line=3, column=1)
    outer = Problems("config.yaml")
    outer.extend(inner)
    assert str(outer) == "<inline>:3:1: error E: inside"


def test_details_of_an_api_answer() -> None:
    """TP-22."""
    problems = Problems("p.yaml")
    problems.add_error("E", "message", line=1, column=2, path="on_http_request[0].name")
    assert problems.details() == [
        {
            "file": "p.yaml", "line": 1, "column": 2, "path": "on_http_request[0].name", "code": "E",
            "severity": "error", "message": "message",
        }
    ]  # fmt: skip


def test_codes_may_be_replaced() -> None:
    """AG-3."""
    assert Problems().codes.too_long == "ERR_NGROK_2255"
    assert Problems(codes=Codes(too_long="ERR_NGROK_2221")).codes.too_long == "ERR_NGROK_2221"


def test_what_cannot_be_read_is_reported_once() -> None:
    """TP-3: an unquoted ``!`` is one mistake, though its value makes no sense either; other places are untouched."""
    problems = Problems("p.yaml")
    syntax = problems.codes.syntax
    problems.add_error(syntax, "a tag", line=3, column=5)
    problems.add_error(syntax, "another", line=3, column=5)
    problems.add_error("ERR_NGROK_2200", "no expression", line=3, column=5)
    problems.add_warning("ERR_NGROK_2207", "never runs", line=3, column=5)
    problems.add_error("ERR_NGROK_2200", "no expression", line=3, column=6)
    assert [(problem.message, problem.column) for problem in problems] == [
        ("a tag", 5), ("another", 5), ("no expression", 6),
    ]  # fmt: skip
