"""Shapes of single values: TP-15, durations of TP section 1."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.document import Problems, parse_document
from gateway.schema.reader import INVALID, Reader, Shape
from gateway.schema.scalars import duration_text, parse_duration
from gateway.schema.shapes import boolean, duration, enum, integer, number, size, text

MISSING = object()


def read(shape: Shape[Any], source: str) -> Any:
    """The value, or the code and message of the one problem."""
    problems = Problems()
    root = parse_document(f"v: {source}\n", problems)
    assert root is not None
    node = root.get("v")
    assert node is not None
    value = Reader(problems).read(shape, node)
    if value is INVALID:
        (problem,) = problems
        return problem.code.removeprefix("ERR_NGROK_"), problem.message.removeprefix("v: ")
    assert not len(problems)
    return value


@pytest.mark.parametrize(
    ("shape", "source", "result"),
    [
        (text(), "a", "a"),
        (text(), "''", ""),
        (text(), "5", ("2203", "must be a string, is an integer")),
        (text(), "true", ("2203", "must be a string, is a boolean")),
        (text(), "", ("2203", "must be a string, is null")),
        (text(), "[a]", ("2203", "must be a string, is a list")),
        (text(), "{a: b}", ("2203", "must be a string, is a mapping")),
        (text(minimum=1), "''", ("2223", "must not be empty")),
        (text(minimum=3), "ab", ("2223", "must have at least 3 characters")),
        (text(maximum=2), "ab", "ab"),
        (text(maximum=2), "abc", ("2255", "must have at most 2 characters")),
        (text(pattern="[a-z]+", hint="must be letters"), "abc", "abc"),
        (text(pattern="[a-z]+", hint="must be letters"), "ab1", ("2204", "must be letters")),
        (text(coerce=True), "true", "true"),
        (text(coerce=True), "False", "false"),
        (text(coerce=True), "12", "12"),
        (text(coerce=True), "1.50", "1.5"),
        (text(coerce=True), "2.0", "2"),
        (text(coerce=True), "1e300", "1e+300"),
        (text(coerce=True), "", ("2203", "must be a string, is null")),
        (text(coerce=True), "[1]", ("2203", "must be a string, is a list")),
        (integer(), "5", 5),
        (integer(), "'5'", 5),
        (integer(), "'-5'", -5),
        (integer(), "5.0", 5),
        (integer(), "5.5", ("2203", "must be an integer, is a number")),
        (integer(), "'5.5'", ("2203", "must be an integer, is a string")),
        (integer(), "'5 '", ("2203", "must be an integer, is a string")),
        (integer(), "''", ("2203", "must be an integer, is a string")),
        (integer(), "true", ("2203", "must be an integer, is a boolean")),
        (integer(1, 3), "1", 1),
        (integer(1, 3), "3", 3),
        (integer(1, 3), "0", ("2215", "must be between 1 and 3")),
        (integer(1, 3), "4", ("2215", "must be between 1 and 3")),
        (integer(minimum=1), "0", ("2215", "must be at least 1")),
        (integer(maximum=1), "2", ("2215", "must be at most 1")),
        (number(), "5", 5.0),
        (number(), "0.5", 0.5),
        (number(), "'0.5'", 0.5),
        (number(), "'.5'", ("2203", "must be a number, is a string")),
        (number(0, 1), "1.1", ("2215", "must be between 0 and 1")),
        (boolean(), "true", True),
        (boolean(), "false", False),
        (boolean(), "yes", ("2203", "must be a boolean, is a string")),
        (boolean(), "1", ("2203", "must be a boolean, is an integer")),
        (enum("halt", "continue"), "halt", "halt"),
        (enum("halt", "continue"), "Halt", ("2222", "must be one of 'halt', 'continue'; did you mean 'halt'?")),
        (enum("halt", "continue"), "1", ("2203", "must be a string, is an integer")),
        (duration(), "90s", 90.0),
        (duration(), "90", ("2203", "must be a duration such as '90s' or '1h30m', is an integer")),
        (duration(), "'90'", ("2228", "must be a duration such as '90s' or '1h30m'")),
        (duration(minimum_s=1), "999ms", ("2225", "must be at least 1s")),
        (duration(maximum_s=60), "61s", ("2221", "must be at most 1m")),
        (duration(above_s=0), "0s", ("2225", "must be more than 0s")),
        (size(), "5", 5),
        (size(), "32 MiB", 32 << 20),
        (size(), "1KB", 1000),
        (size(), "1XB", ("2203", "must be a size such as '32 MiB', is a string")),
        (size(1), "0", ("2215", "must be at least 1 bytes")),
        (size(1, 10), "11", ("2215", "must be between 1 and 10 bytes")),
    ],
)
def test_scalars(shape: Shape[Any], source: str, result: Any) -> None:
    found = read(shape, source)
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("source", "seconds"),
    [
        ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("1m1s1ms", 61.001), (".5s", 0.5), ("1.s", 1),
        ("0s", 0), ("", None), ("90", None), ("s", None), ("1 s", None), ("-1s", None), ("1d", None), ("1H", None),
        ("1s ", None), ("1us", None), ("1e3s", None), ("1s" * 40, None),
    ],
)  # fmt: skip
def test_durations(source: str, seconds: float | None) -> None:
    """TP section 1: Go-style sums; a bare number is none."""
    assert parse_duration(source) == seconds


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (90, "1m30s"), (3600, "1h"), (0.25, "250ms"), (86_400, "24h")]
)
def test_durations_as_text(seconds: float, shown: str) -> None:
    assert duration_text(seconds) == shown
    assert parse_duration(shown) == seconds


def test_messages_hold_no_value() -> None:
    """TP-24."""
    secret = "sk-live-0123456789"
    for shape in (integer(), boolean(), enum("a"), duration(), size(), text(maximum=3), text(pattern="x"), number()):
        assert secret not in str(read(shape, secret))


@pytest.mark.parametrize(
    ("shape", "schema"),
    [
        (
            text(minimum=1, maximum=5, pattern="a|b"),
            {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^(?:a|b)$"},
        ),
        (text(coerce=True), {"type": ["string", "number", "boolean"]}),
        (integer(1, 5), {"type": "integer", "minimum": 1, "maximum": 5}),
        (number(minimum=0.5), {"type": "number", "minimum": 0.5}),
        (boolean(), {"type": "boolean"}),
        (enum("a", "b"), {"enum": ["a", "b"]}),
    ],
)
def test_json_schemas(shape: Shape[Any], schema: dict[str, Any]) -> None:
    assert shape.json_schema() == schema
