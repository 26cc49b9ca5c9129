"""YAML and JSON carry the same model (TP-2), and positions lead back to what is written (TP-21)."""

from __future__ import annotations

import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gateway.document import Kind, Node, Problems, parse_document

#: ruamel.yaml writes what it can read back; NEL and line separators are line breaks to it
CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\x85\u2028\u2029\ufeff\ufffe\uffff"
)
TEXT = st.text(CHARACTERS | st.sampled_from("\n\t'\"\\#:-!&*{}[],%@`|>?"), max_size=12)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def parsed(text: str, file: str) -> Node:
    problems = Problems(file)
    root = parse_document(text, problems)
    assert root is not None, str(problems)
    assert not problems.failed, str(problems)
    return root


def yaml_of(value: Any) -> str:
    """Block style: in flow style ruamel.yaml writes ``{:0: a}``, which it does not read."""
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    out = io.StringIO()
    writer.dump(value, out)
    return out.getvalue()


@given(VALUES, st.booleans(), st.booleans())
@settings(max_examples=100)
def test_json_reads_back(value: Any, pretty: bool, ascii_only: bool) -> None:
    text = json.dumps({"v": value}, indent=2 if pretty else None, ensure_ascii=ascii_only)
    assert parsed(text, "p.json").plain() == {"v": value}


@given(VALUES)
@settings(max_examples=100)
def test_yaml_and_json_are_equal(value: Any) -> None:
    yaml = parsed("# yaml\n" + yaml_of({"v": value}), "p.yaml")
    assert yaml.plain() == {"v": value} == parsed(json.dumps({"v": value}), "p.json").plain()


@given(VALUES)
@settings(max_examples=100)
def test_json_is_yaml(value: Any) -> None:
    """What the JSON reader accepts, the YAML reader reads alike, with the same positions."""
    text = json.dumps({"v": value}, indent=1)
    one, other = parsed(text, "p.json"), parse_document("#\n" + text, Problems("p.yaml"))
    if "\\ud" in text or other is None:  # YAML has no surrogate pairs
        return
    assert [(node.path, node.kind, node.line + 1, node.column) for node in one.walk()] == [
        (node.path, node.kind, node.line, node.column) for node in other.walk()
    ]


@given(st.lists(TEXT.filter(lambda text: "\n" not in text), min_size=1, max_size=4), st.sampled_from(["json", "yaml"]))
@settings(max_examples=100)
def test_every_character_is_found_where_it_is_written(texts: list[str], notation: str) -> None:
    """TP-21: for plain characters, the position is that of the character itself."""
    source = (
        json.dumps(texts)
        if notation == "json"
        else "".join(f"- '{text.replace(chr(39), chr(39) * 2)}'\n" for text in texts)
    )
    if notation == "yaml" and "\t" in source:
        return
    lines = source.split("\n")
    for node in parsed(source, f"p.{notation}").items:
        assert node.kind is Kind.STRING
        for offset, character in enumerate(node.value):
            place = node.locate(offset)
            assert place is not None
            written = lines[place[0] - 1][place[1] - 1]
            assert written == character or written in "\\'"
