"""The JSON and YAML readers: TP-2, TP-3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.document import parse_document
from gateway.notations import MAX_DEPTH, MAX_NODES
from gateway.problems import Problems


def plain(text: str | bytes, file: str = "p.yaml") -> Any:
    problems = Problems(file)
    root = parse_document(text, problems)
    assert root is not None, str(problems)
    assert not problems.failed, str(problems)
    return root.plain()


def complaint(text: str | bytes, file: str = "p.yaml") -> str:
    """The one problem, ``line:column: message``."""
    problems = Problems(file)
    parse_document(text, problems)
    (found,) = problems
    assert found.code == "ERR_NGROK_2236"
    return f"{found.line}:{found.column}: {found.message}"


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nULL", "nULL"),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("tRUE", "tRUE"),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"),
        ("0", 0), ("-5", -5), ("+5", 5), ("007", 7), ("0o17", 15), ("0x1F", 31), ("0b1", "0b1"), ("1_000", "1_000"),
        ("10:30", "10:30"), ("190:20:30", "190:20:30"), ("2001-12-14", "2001-12-14"),
        ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-1.5E-2", -0.015), ("1.2.3", "1.2.3"), ("e3", "e3"),
        ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("!!int '5'", 5), ("!!bool true", True),
        ("!!null ''", None),
        ("<<", "<<"), ("=", "="), ("a b", "a b"), ("9223372036854775807", 2**63 - 1), ("9223372036854775808", 2.0**63),
    ],
)  # fmt: skip
def test_the_core_schema(scalar: str, value: Any) -> None:
    """TP-3: YAML 1.2, no words of 1.1, no sexagesimals, no dates."""
    found = plain(f"a: {scalar}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_strings() -> None:
    """TP-3: a plain key is taken as written."""
    assert plain("yes: 1\n200: 2\ntrue: 3\n1.50: 4\n'': 5\n") == {"yes": 1, "200": 2, "true": 3, "1.50": 4, "": 5}
    assert "a key must be a string" in complaint("? [a]\n: b\n")


def test_merge_keys_are_plain_keys() -> None:
    """TP-3: plain data only."""
    assert plain("a: &a {x: 1}\nb: {<<: *a}\n") == {"a": {"x": 1}, "b": {"<<": {"x": 1}}}


@pytest.mark.parametrize("value", [{}, [], {"a": []}, [[[1]]], 'é😀\n\t"\\', 1.5, -0.0, True, None, 2**62])
def test_json_is_read_like_the_standard_library(value: Any) -> None:
    """TP-2."""
    for text in (
        json.dumps({"v": value}),
        json.dumps({"v": value}, indent="\t", ensure_ascii=False),
        json.dumps({"v": value}) + "\r\n",
    ):
        assert plain(text) == {"v": value}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,}', "1:9: not valid JSON: expected a key in double quotes"),
        ('{"a" 1}', "1:6: not valid JSON: expected ':'"),
        ('{"a": 1 "b"}', "1:9: not valid JSON: expected ',' or '}'"),
        ('{"a": [1 2]}', "1:10: not valid JSON: expected ',' or ']'"),
        ('{"a": [1,]}', "1:10: not valid JSON: unexpected ']'"),
        ('{"a":\n  tru}', "2:3: not valid JSON: unexpected 't'"),
        ('{"a": 01}', "1:8: not valid JSON: expected ',' or '}'"),
        ('{"a": .5}', "1:7: not valid JSON: unexpected '.'"),
        ('{"a": NaN}', "1:7: not valid JSON: unexpected 'N'"),
        ('{"a": "x\ny"}', "1:9: not valid JSON: invalid control character at"),
        ('{"a": "x', "1:7: not valid JSON: unterminated string starting at"),
        ('{"a": "\\q"}', "1:8: not valid JSON: invalid \\escape"),
        ("{'a': 1}", "1:2: not valid JSON: expected a key in double quotes"),
        ('{"a": 1} {}', "1:10: not valid JSON: text after the end of the document"),
        ('{"a": ', "1:7: not valid JSON: a value is missing"),
        ('{"a": 1, "a": 2}', "1:10: duplicate key 'a'"),
        ('{"a": "\\ud800"}', "1:7: half a surrogate pair is no character"),
        ('{"a": 1e999}', "1:7: a number must be finite and fit 64 bits"),
        ('{"a": 1' + "0" * 500 + "}", "1:7: a number must be finite and fit 64 bits"),
    ],
)
def test_wrong_json(text: str, expected: str) -> None:
    """TP-2, TP-3."""
    assert complaint(text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "2:1: duplicate key 'a'"),
        ("{}\n---\na: 1\n", "2:1: more than one document"),
        ("a: !custom x\n", "1:4: custom tag '!custom'"),
        ("a: !!python/object:os.system x\n", "1:4: custom tag '!!python/object:os.system'"),
        ("a: !!binary aGk=\n", "1:4: custom tag '!!binary'"),
        ("a: !!set {x}\n", "1:4: custom tag '!!set'"),
        ("a: !!int x\n", "1:4: the value does not fit its tag '!!int'"),
        ("a: !t [x]\n", "1:4: custom tag '!t'"),
        ("a: *nope\n", "1:4: alias '*nope' refers to nothing"),
        ("a: &x [*x]\n", "1:8: alias '*x' refers to nothing"),
        ("a: .inf\n", "1:4: a number must be finite"),
        ("a: .NaN\n", "1:4: a number must be finite"),
        ("a: [1\nb: 2\n", "2:2: not valid YAML"),
        ("a: 'x\n", "2:1: not valid YAML"),
        ("a: \x01\n", "1:4: not valid YAML: a control character"),
        ("a: @x\n", "1:4: not valid YAML"),
        ("\ta: 1\n", "1:1: not valid YAML"),
        (b"a: b\nc: \xff\n", "2:4: the source is not valid UTF-8"),
        ("a: \ud800\n", "1:4: the source is not valid UTF-8"),
    ],
)
def test_wrong_yaml(text: str | bytes, expected: str) -> None:
    """TP-3."""
    document = text if isinstance(text, bytes) or not text.startswith("{}") else text.replace("{}", "x: 1", 1)
    assert complaint(document).startswith(expected)


def test_reading_goes_on_after_what_can_be_skipped() -> None:
    """TP-21."""
    problems = Problems()
    parse_document("a: !x 1\nb: 1\nb: 2\nc: .inf\n? {}\n: 1\n", problems)
    assert [(problem.line, problem.column) for problem in problems] == [(1, 4), (3, 1), (4, 4), (5, 3)]


def test_number_of_nodes() -> None:
    """TP-3: counted after expanding aliases."""
    items = "x" + ",x" * 996
    head = f"a: &a [{items}]\nb: ["
    assert len(plain(head + "*a,*a]\n")["b"]) == 2
    assert complaint(head + ",".join(["*a"] * 101) + "]\n").endswith(f"has more than {MAX_NODES} nodes")
    assert complaint("[" + ",".join("1" * 100_001) + "]", "p.json").endswith(f"has more than {MAX_NODES} nodes")
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
    )
    assert complaint(bomb).endswith(f"has more than {MAX_NODES} nodes")


def test_depth() -> None:
    """No document exhausts the stack."""
    assert plain("[" * MAX_DEPTH + "]" * MAX_DEPTH, "p.json") is not None
    for file in ("p.json", "p.yaml"):
        assert "nested more than 100 deep" in complaint("[" * 50_000, file)
    assert "nested more than 100 deep" in complaint("".join(" " * i + "-\n" for i in range(200)))
    deep = "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60 + "\n"
    assert "nested more than 100 deep" in complaint(deep)


def test_nothing_written_is_where_its_key_is() -> None:
    """TP-21."""
    root = parse_document("a:\n\nb: 1\n", Problems())
    assert root is not None
    node = root.get("a")
    assert node is not None
    assert (node.line, node.column) == (1, 1)
