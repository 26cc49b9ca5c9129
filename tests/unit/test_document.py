"""What is JSON and what is YAML, encodings, sizes: TP-2, TP-3."""

from __future__ import annotations

import pytest

from gateway.document import MAX_SOURCE_BYTES, parse_document
from gateway.problems import Problems


@pytest.mark.parametrize(
    ("text", "file", "is_json"),
    [
        ("{a: 1}", "p.yaml", True),
        ("  \n{a: 1}", "<inline>", True),
        ("a: 1", "p.json", True),
        ("a: 1", "p.yaml", False),
        ("[a]", "p.yaml", False),
        ("# {\na: 1", "p.yaml", False),
    ],
)
def test_which_notation(text: str, file: str, *, is_json: bool) -> None:
    """TP-2: by the file's name or the first character that is not blank."""
    problems = Problems(file)
    parse_document(text, problems)
    assert ("not valid JSON" in str(problems)) is is_json


def test_the_caller_may_decide() -> None:
    assert parse_document('{"a": 1}', Problems(), is_json=False) is not None
    problems = Problems()
    assert parse_document("a: 1", problems, is_json=True) is None
    assert problems.failed


@pytest.mark.parametrize("text", ["", " \n\t", "\ufeff", "# comment\n", "\n\n"])
def test_nothing_in_it(text: str) -> None:
    """TP-7: for the caller to judge."""
    problems = Problems()
    assert parse_document(text, problems) is None
    assert not problems.failed


@pytest.mark.parametrize("text", ["a: 1", '{"a": 1}'])
def test_byte_order_mark(text: str) -> None:
    """TP-2."""
    for source in ("\ufeff" + text, b"\xef\xbb\xbf" + text.encode()):
        root = parse_document(source, Problems())
        assert root is not None
        assert root.plain() == {"a": 1}


def test_size() -> None:
    """TP-3: at most 1 MiB, in bytes."""
    exact = "#" + "x" * (MAX_SOURCE_BYTES - 6) + "\na: 1"
    assert len(exact) == MAX_SOURCE_BYTES
    assert parse_document(exact, Problems()) is not None
    for source in (exact + " ", (exact + " ").encode(), "é" * (MAX_SOURCE_BYTES // 2 + 1)):
        problems = Problems()
        assert parse_document(source, problems) is None
        assert "larger than 1 MiB" in str(problems)


def test_lines_end_in_any_way() -> None:
    for end in ("\n", "\r\n"):
        root = parse_document(end.join(["a: 1", "b:", "  - c", ""]), Problems())
        assert root is not None
        node = root.get("b")
        assert node is not None
        assert (node.items[0].line, node.items[0].column) == (3, 5)
