"""Nodes: paths, plain values, positions inside scalars."""

from __future__ import annotations

import pytest

from gateway.document import parse_document
from gateway.node import Kind, Node
from gateway.problems import Problems


def parsed(text: str, file: str = "p.yaml") -> Node:
    problems = Problems(file)
    root = parse_document(text, problems)
    assert root is not None
    assert not problems.failed, str(problems)
    return root


def test_paths() -> None:
    """TP-22."""
    root = parsed("a:\n- b: {c: 1}\n  d.e: [x, [y]]\n")
    paths = [node.path for node in root.walk()]
    assert paths == ["", "a", "a[0]", "a[0].b", "a[0].b.c", "a[0].d.e", "a[0].d.e[0]", "a[0].d.e[1]", "a[0].d.e[1][0]"]
    key = root.key("a")
    assert key is not None
    assert key.path == "a"


def test_plain_values() -> None:
    text = "a: [1, 1.5, true, null, x]\nb: {c: {}}\n"
    assert parsed(text).plain() == {"a": [1, 1.5, True, None, "x"], "b": {"c": {}}}


def test_looking_up_keys() -> None:
    root = parsed("a: 1\nb: 2\n")
    assert root.names == ["a", "b"]
    value, key = root.get("b"), root.key("b")
    assert value is not None
    assert key is not None
    assert (value.line, value.column, key.line, key.column) == (2, 4, 2, 1)
    assert root.get("c") is None
    assert root.key("c") is None


def test_a_copy_has_its_own_path() -> None:
    root = parsed("a: {b: [1]}\n")
    node = root.get("a")
    assert node is not None
    twin = node.copy()
    assert twin.path == ""
    assert twin.plain() == node.plain()
    assert (twin.line, twin.column) == (node.line, node.column)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("a: plain @ text", "plain @ text"),
        ("a: 'it''s @ quoted'", "it's @ quoted"),
        (r'a: "tab\t, \x41, \u0041, \U00000041, \" @ end"', 'tab\t, A, A, A, " @ end'),
        (r'{"a": "\ud83d\ude00 \/ \" @"}', '😀 / " @'),
        ('{"a": "é 😀 @"}', "é 😀 @"),
    ],
)
def test_positions_inside_a_scalar(source: str, value: str) -> None:
    """TP-21: the column of the ``@``, whatever is escaped before it."""
    node = parsed(source, "p.json" if source[0] == "{" else "p.yaml").get("a")
    assert node is not None
    assert node.value == value
    assert node.locate(value.index("@")) == (1, source.index("@") + 1)


@pytest.mark.parametrize(
    "source", ["a: |\n  x\n", "a: >\n  x\n", "a: x\n  y\n", "a: 'x\n  y'\n", "a: !!str x\n", "a: 5\n"]
)
def test_no_position_inside_other_scalars(source: str) -> None:
    """TP-21: then the start of the scalar and an offset are given."""
    node = parsed(source).get("a")
    assert node is not None
    assert node.locate(0) is None


def test_repr_shows_no_value() -> None:
    assert repr(Node(Kind.STRING, 3, 4, "secret")) == "<a string at 3:4>"
