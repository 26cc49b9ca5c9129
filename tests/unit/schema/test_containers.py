"""Shapes of lists, maps and records: TP-15, all problems at once (TP-21)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gateway.document import Node, Problems, parse_document
from gateway.schema.containers import Also, ListOf, MapOf, Nullable, OneOf, Record, Then
from gateway.schema.reader import INVALID, Invalid, Reader, Shape
from gateway.schema.shapes import (
    also,
    anything,
    boolean,
    duration,
    enum,
    field,
    integer,
    list_of,
    map_of,
    nullable,
    one_of,
    record,
    text,
    then,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limit:
    name: str
    capacity: int = 1
    tags: tuple[str, ...] = ()


LIMIT = record(
    Limit,
    name=field(text(minimum=1)),
    capacity=field(integer(1, 100), 1),
    tags=field(list_of(text()), (), null_is_absent=True),
    title=field(text(), alias_of="name", tolerated="'title' is the older name of 'name'"),
)


def read(shape: Shape[Any], source: str) -> tuple[Any, list[str]]:
    problems = Problems()
    root = parse_document(source, problems)
    assert root is not None
    value = Reader(problems).read(shape, root)
    return value, [
        f"{each.line}:{each.column} {each.severity} {each.code.removeprefix('ERR_NGROK_')} {each.message}"
        for each in problems
    ]


def test_records() -> None:
    assert read(LIMIT, "name: a\ncapacity: 5\ntags: [x]\n") == (Limit("a", 5, ("x",)), [])
    assert read(LIMIT, "name: a\ntags:\n") == (Limit("a"), [])


def test_all_problems_of_a_record() -> None:
    """TP-15, TP-21."""
    assert read(LIMIT, "capcity: 1\ncapacity: 0\ntags: [1, a, [b]]\n") == (
        INVALID,
        [
            "1:1 error 2203 capcity: unknown field 'capcity'; did you mean 'capacity'?",
            "1:1 error 2234 field 'name' is required",
            "2:11 error 2215 capacity: must be between 1 and 100",
            "3:8 error 2203 tags[0]: must be a string, is an integer",
            "3:14 error 2203 tags[2]: must be a string, is a list",
        ],
    )


def test_tolerated_names() -> None:
    warning = "1:1 warning 2203 title: 'title' is the older name of 'name'"
    assert read(LIMIT, "title: a\n") == (Limit("a"), [warning])
    assert read(LIMIT, "title: a\nname: b\n") == (INVALID, [warning, "2:1 error 2231 name: 'name' is given twice"])
    assert read(LIMIT, "title: 5\n") == (INVALID, [warning, "1:8 error 2203 title: must be a string, is an integer"])


def test_no_record() -> None:
    assert read(LIMIT, "- a\n") == (INVALID, ["1:1 error 2203 must be a mapping, is a list"])


def test_explicit_null_is_a_wrong_type() -> None:
    """TP-15, unless the field says otherwise."""
    assert read(LIMIT, "name: a\ncapacity:\n") == (INVALID, ["2:1 error 2203 capacity: must be an integer, is null"])


@pytest.mark.parametrize(
    ("shape", "source", "expected"),
    [
        (list_of(integer()), "[1, 2]", (1, 2)),
        (list_of(integer()), "[]", ()),
        (list_of(integer()), "{}", ["1:1 error 2203 must be a list, is a mapping"]),
        (list_of(integer(), minimum=1), "[]", ["1:1 error 2223 must not be empty"]),
        (list_of(integer(), minimum=2), "[1]", ["1:1 error 2223 must have at least 2 entries"]),
        (list_of(integer(), maximum=1), "[1, x]", [
            "1:1 error 2218 must have at most 1 entries", "1:5 error 2203 [1]: must be an integer, is a string",
        ]),
        (list_of(text(), unique=str.lower), "[a, A, b]", ["1:5 error 2231 [1]: is listed twice"]),
        (list_of(text(), unique=str.lower, duplicate_code="E"), "[a, a]", ["1:5 error E [1]: is listed twice"]),
        (map_of(integer()), "a: 1\nb: 2\n", (("a", 1), ("b", 2))),
        (map_of(integer(), maximum=1), "a: 1\nb: 2\n", ["1:1 error 2218 must have at most 1 entries"]),
        (map_of(integer(), minimum=1), "[]", ["1:1 error 2203 must be a mapping, is a list"]),
        (map_of(integer(), key=text(pattern="[a-z]")), "AB: 1\nc: x\n", [
            "1:1 error 2204 AB: has characters that are not allowed",
            "2:4 error 2203 c: must be an integer, is a string",
        ]),
        (one_of(string=text(), sequence=list_of(text())), "a", "a"),
        (one_of(string=text(), sequence=list_of(text())), "[a]", ("a",)),
        (one_of(string=text(), sequence=list_of(text())), "5", [
            "1:1 error 2203 must be a list or a string, is an integer",
        ]),
        (nullable(integer(), 7), "~", 7),
        (nullable(integer()), "~", None),
        (nullable(integer()), "5", 5),
        (anything(), "a: [1, {b: ~}, x, 1.5, true]\n", {"a": [1, {"b": None}, "x", 1.5, True]}),
    ],
)  # fmt: skip
def test_containers(shape: Shape[Any], source: str, expected: Any) -> None:
    value, problems = read(shape, source)
    if isinstance(expected, list) and problems:
        assert (value, problems) == (INVALID, expected)
    else:
        assert (value, problems) == (expected, [])


def even(value: int, node: Node, reader: Reader) -> int | Invalid:
    return value // 2 if value % 2 == 0 else reader.error(node, "E", "must be even")


def test_then_converts_or_reports() -> None:
    assert read(then(integer(), even), "4") == (2, [])
    assert read(then(integer(), even), "3") == (INVALID, ["1:1 error E must be even"])
    assert read(then(integer(), even), "x") == (INVALID, ["1:1 error 2203 must be an integer, is a string"])


def test_also_looks_whatever_is_wrong() -> None:
    """TP-21: a check of the whole runs even if parts are wrong."""

    def no_b(node: Node, reader: Reader) -> bool:
        if node.key("b") is None:
            return True
        reader.error(node, "E", "must not have b")
        return False

    shape = also(map_of(integer()), no_b)
    assert read(shape, "a: 1\n") == ((("a", 1),), [])
    assert read(shape, "b: x\n") == (
        INVALID, ["1:1 error E must not have b", "1:4 error 2203 b: must be an integer, is a string"],
    )  # fmt: skip


def test_json_schema_of_a_record() -> None:
    shape: Record[dict[str, Any]] = record(
        dict, a=field(text(), doc="what it is"), b=field(nullable(boolean()), None), c=field(enum("x"), "x"),
        d=field(list_of(integer(), minimum=1, maximum=3), ()), e=field(map_of(text(), maximum=2), (), tolerated="old"),
    )  # fmt: skip
    assert shape.json_schema() == {
        "type": "object",
        "additionalProperties": False,
        "required": ["a"],
        "properties": {
            "a": {"type": "string", "description": "what it is"},
            "b": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
            "c": {"enum": ["x"], "default": "x"},
            "d": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
            "e": {
                "type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2, "deprecated": True,
            },
        },
    }  # fmt: skip


def test_defaults_are_shown_as_they_are_written() -> None:
    shape: Record[dict[str, Any]] = record(dict, a=field(duration(), 360.0), b=field(integer(), 5))
    assert {name: each["default"] for name, each in shape.json_schema()["properties"].items()} == {"a": "6m", "b": 5}


def test_the_vocabulary_builds_these_shapes() -> None:
    """``gateway.schema.shapes`` is the entry to this module."""
    built = [list_of(text()), map_of(text()), one_of(string=text()), nullable(text()), then(text(), lambda v, n, r: v)]
    assert [type(shape) for shape in built] == [ListOf, MapOf, OneOf, Nullable, Then]
    assert isinstance(also(text(), lambda node, reader: True), Also)
    assert isinstance(LIMIT, Record)
