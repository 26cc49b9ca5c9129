"""``${ENV:NAME}`` and relative paths (SV-10)."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.document import parse_document
from gateway.node import Kind, Node
from gateway.problems import Problems
from gateway.settings.environment import Environment
from gateway.settings.reader import CODES, SettingsReader


@pytest.fixture
def reader() -> SettingsReader:
    return SettingsReader(Problems("c.yaml", codes=CODES), Environment({"A": "one", "EMPTY": ""}), Path("/etc/gateway"))


def _string(text: str) -> Node:
    return Node(Kind.STRING, 1, 1, text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${ENV:A}", "one"),
        ("<${ENV:A}-${ENV:A}>", "<one-one>"),
        ("${ENV:EMPTY}", ""),
        ("${env:A} $ENV:A ${A}", "${env:A} $ENV:A ${A}"),
    ],
)
def test_resolve(reader: SettingsReader, text: str, value: str) -> None:
    """A set but empty variable is a value."""
    resolved = reader.resolve(_string(text))
    assert resolved is not None
    assert resolved.value == value


def test_every_missing_variable_is_named(reader: SettingsReader) -> None:
    assert reader.resolve(_string("${ENV:B} ${ENV:C}")) is None
    assert [problem.message for problem in reader.problems] == [
        "environment variable 'B' is not set",
        "environment variable 'C' is not set",
    ]


def test_other_scalars_are_left(reader: SettingsReader) -> None:
    node = Node(Kind.INTEGER, 1, 1, 3)
    assert reader.resolve(node) is node


def test_tree_keeps_positions_and_the_original(reader: SettingsReader) -> None:
    """A copy: a reload reads the document anew, but nothing else may see a secret in it."""
    root = parse_document("a:\n  - '${ENV:A}'\n  - plain\n", reader.problems)
    assert root is not None
    inner = root.get("a")
    assert inner is not None
    tree = reader.resolve_tree(inner)
    assert tree is not None
    assert tree.plain() == ["one", "plain"]
    assert inner.plain() == ["${ENV:A}", "plain"]
    first, second = tree.items
    assert (first.path, first.line, first.column, first.raw) == ("a[0]", 2, 5, None)
    assert second.raw == "plain"


def test_paths(reader: SettingsReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert reader.path("tls/cert.pem") == Path("/etc/gateway/tls/cert.pem")
    assert reader.path("/abs") == Path("/abs")
    assert reader.path("~/x") == Path("/home/x/x")
