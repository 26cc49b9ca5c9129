"""What shapes report, and how: TP-21, TP-24."""

from __future__ import annotations

from gateway.document import Codes, Node, Problems, parse_document
from gateway.schema.reader import INVALID, Reader, nearest
from gateway.schema.shapes import Record, field, integer, record, text


def parsed(source: str) -> Node:
    root = parse_document(source, Problems())
    assert root is not None
    return root


def test_messages_name_the_place() -> None:
    """TP-21."""
    problems = Problems("p.yaml")
    reader = Reader(problems, label="rule 1", root="a[0]")
    node = parsed("a: [{b: {c: x}}]").get("a")
    assert node is not None
    inner = node.items[0].get("b")
    assert inner is not None
    where = inner.get("c")
    assert where is not None
    assert reader.error(where, "E", "is wrong") is INVALID
    reader.warning(node.items[0], "W", "is odd")
    assert [problem.message for problem in problems] == ["rule 1: is odd", "rule 1, b.c: is wrong"]
    assert Reader(Problems()).describe(parsed("x"), "is wrong") == "is wrong"


def test_codes_come_from_the_reader() -> None:
    """AG-3: the same shape, other codes."""
    problems = Problems()
    Reader(problems, codes=Codes(out_of_range="OTHER")).read(integer(1), parsed("0"))
    Reader(problems).read(text(minimum=3), parsed("ab"))
    assert [problem.code for problem in problems] == ["OTHER", "ERR_NGROK_2223"]


def test_a_reader_may_give_scalars_a_meaning() -> None:
    """``resolve`` is asked for every literal scalar, and may refuse it."""

    class Upper(Reader):
        def resolve(self, node: Node) -> Node | None:
            if node.value == "no":
                self.error(node, "E", "refused")
                return None
            return Node(node.kind, node.line, node.column, str(node.value).upper())

    problems = Problems()
    shape: Record[dict[str, str]] = record(dict, a=field(text()), b=field(text()))
    assert Upper(problems).read(shape, parsed("a: x\nb: no")) is INVALID
    assert [problem.message for problem in problems] == ["b: refused"]
    assert Upper(Problems()).read(shape, parsed("a: x\nb: y")) == {"a": "X", "b": "Y"}


def test_nearest_names() -> None:
    assert nearest("capcity", ["capacity", "rate"]) == "; did you mean 'capacity'?"
    assert nearest("xyz", ["capacity", "rate"]) == ""


def test_invalid_is_falsy() -> None:
    assert not INVALID
