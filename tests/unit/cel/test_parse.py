"""Text to tree: shapes, exact spans, what is refused and where; grammar, literals, sources, the scanner."""

from __future__ import annotations

import pytest

from gateway.cel import ast, grammar
from gateway.cel.ast import (
    Binary,
    Call,
    Conditional,
    Index,
    ListLiteral,
    Literal,
    Logic,
    MapLiteral,
    Name,
    Select,
    Unary,
)
from gateway.cel.errors import CelError, CelSyntaxError
from gateway.cel.literals import LiteralError, decode_text
from gateway.cel.parse import parse, parse_part
from gateway.cel.source import Source
from gateway.cel.tolerance import find_end, repair
from gateway.cel.types import Kind


def shape(node: ast.Node) -> str:  # noqa: C901 - one case for each node class
    """The tree in brackets."""
    match node:
        case Literal(value=value):
            return repr(value)
        case Name(name=name, rooted=rooted):
            return f".{name}" if rooted else name
        case Select(operand=operand, field=field):
            return f"{shape(operand)}.{field}"
        case Index(operand=operand, index=index):
            return f"{shape(operand)}[{shape(index)}]"
        case Call(receiver=receiver, name=name, arguments=arguments):
            prefix = f"{shape(receiver)}." if receiver else ""
            return f"{prefix}{name}({', '.join(map(shape, arguments))})"
        case ListLiteral(items=items):
            return f"[{', '.join(map(shape, items))}]"
        case MapLiteral(entries=entries):
            return f"{{{', '.join(f'{shape(key)}: {shape(value)}' for key, value in entries)}}}"
        case Unary(operator=operator, operand=operand):
            return f"({operator}{shape(operand)})"
        case Binary(operator=operator, left=left, right=right):
            return f"({shape(left)} {operator} {shape(right)})"
        case Logic(operator=operator, operands=operands):
            return f"({f' {operator} '.join(map(shape, operands))})"
        case Conditional(condition=condition, yes=yes, no=no):
            return f"({shape(condition)} ? {shape(yes)} : {shape(no)})"
        case _:
            raise AssertionError(node)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b * c - d", "((a + (b * c)) - d)"),
        ("a || b && c || d", "(a || (b && c) || d)"),
        ("(a || b) || c", "(a || b || c)"),
        ("a ? b : c ? d : e", "(a ? b : (c ? d : e))"),
        ("!a.b == -c[0]", "((!a.b) == (-c[0]))"),
        ("- 5", "-5"),
        ("a -1", "(a - 1)"),
        ("a - -1", "(a - -1)"),
        ("--1", "(--1)"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-(-9223372036854775808)", "(--9223372036854775808)"),
        ("1u + 0xFF + 0xAu", "((1 + 255) + 10)"),
        (".5 + 1e3 + 1.5e-2", "((0.5 + 1000.0) + 0.015)"),
        ("a.b(1, 2,)[3].c", "a.b(1, 2)[3].c"),
        ("[1, 2,]", "[1, 2]"),
        ("{'a': 1, 2: [],}", "{'a': 1, 2: []}"),
        ("{}", "{}"),
        ("[]", "[]"),
        ("f()", "f()"),
        (".a.b + .f(x)", "(.a.b + f(x))"),
        ("a.`b-c/d`", "a.b-c/d"),
        ("a.as.namespace", "a.as.namespace"),
        ("a.global", "a.global"),
        ("x in [1] in y", "((x in [1]) in y)"),
        ("index.truely == nullish", "(index.truely == nullish)"),
        ("a // comment\n+ b", "(a + b)"),
        ("'''a\n'b''c'''", "\"a\\n'b''c\""),
        ("r'\\d' + R\"\\\"", "('\\\\d' + '\\\\')"),
        ("b'\\xff' + rb'\\x' + bR'a'", "((b'\\xff' + b'\\\\x') + b'a')"),
        ("true && false || null", "((True && False) || None)"),
        ("a<b", "(a < b)"),
        ("a<=b>=c==d!=e", "((((a <= b) >= c) == d) != e)"),
        ("a%b/c", "((a % b) / c)"),
        ("has(a.b)", "has(a.b)"),
    ],
)
def test_trees(text: str, tree: str) -> None:
    assert shape(parse(text)) == tree


def nodes(node: ast.Node) -> list[ast.Node]:
    return [node, *(inner for child in ast.children(node) for inner in nodes(child))]


@pytest.mark.parametrize("text", ["a.b['c'].d(1, x)", "[1, {'a': b}]", "a ? -b : !c", "f(.g, 'é' + h)", "(a + b) * c"])
def test_spans_are_exact(text: str) -> None:
    for node in nodes(parse(text)):
        piece = text[node.start : node.end]
        assert node.start <= node.anchor < node.end
        if isinstance(node, Name):
            assert piece == ("." if node.rooted else "") + node.name
        elif isinstance(node, Select):
            assert text[node.anchor : node.end] == node.field
        elif isinstance(node, Call):
            assert text[node.anchor :].startswith(node.name)
            assert piece.endswith(")")
        elif isinstance(node, Binary | Unary):
            assert text[node.anchor :].startswith(node.operator)
        elif isinstance(node, Index):
            assert text[node.anchor] == "["


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "expression is empty"),
        ("  \n ", 2, 2, "expression is empty"),
        ("1 +", 1, 4, "unexpected end of expression"),
        ("a =b", 1, 3, "unexpected character '=' (CEL compares with '==')"),
        ("a\n  # b", 2, 3, "unexpected character '#'"),
        ("'abc", 1, 1, "unterminated string literal"),
        ("a + 'é\n'", 1, 5, "unterminated string literal"),
        ("x.in", 1, 3, "unexpected 'in'"),
        ("x.true", 1, 3, "unexpected 'true'"),
        ("if", 1, 1, "'if' is a reserved word"),
        ("a + while(1)", 1, 5, "'while' is a reserved word"),
        ("9223372036854775808", 1, 1, "integer literal out of range"),
        ("a + -9223372036854775809", 1, 6, "integer literal out of range"),
        ("18446744073709551616u", 1, 1, "integer literal out of range"),
        ("0x" + "f" * 100, 1, 1, "integer literal out of range"),
        ("1 + " + "9" * 5_000, 1, 5, "integer literal out of range"),
        ("'a\\qb'", 1, 3, "unknown escape '\\q'"),
        ("'\\ud800'", 1, 2, "not a Unicode code point"),
        ("b'\\u0041'", 1, 3, "a bytes literal has no \\u escapes"),
        ("[1,,2]", 1, 4, "unexpected ','"),
        ("{a}", 1, 3, "unexpected '}'"),
        ("f(1 2)", 1, 5, "unexpected '2'"),
        ("(1", 1, 3, "unexpected end of expression"),
        ("a.b{c: 1}", 1, 4, "message construction is not supported"),
        ("[x for x in l]", 1, 4, "'for' is a reserved word"),
        ("a.", 1, 3, "unexpected end of expression"),
        ("1.", 1, 3, "unexpected end of expression"),
        ("a ? b", 1, 6, "unexpected end of expression"),
        ("a && ", 1, 6, "unexpected end of expression"),
        ("a b", 1, 3, "unexpected 'b'"),
        ("@", 1, 1, "unexpected character '@'"),
    ],
)
def test_syntax_errors_have_exact_positions(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(CelSyntaxError) as caught:
        parse(text)
    if "for x" not in text:  # a comprehension of another language: any complaint at its place will do
        assert caught.value.message == message
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"{line}:{column}: ")


# --- the grammar


def test_the_grammar_extends_the_installed_one() -> None:
    text = grammar.extended_grammar()
    assert 'map_lit : "{" [mapinits] "}"' in text, "taken over"
    assert "relation_in" not in text
    assert text.count("\nSTRING_LIT.4 :") == 1
    assert "RESERVED" not in text


def test_a_changed_grammar_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "_installed_grammar", lambda: "expr : /a/\n")
    with pytest.raises(RuntimeError, match=r"grammar has changed: no COMMENT, FLOAT_LIT"):
        grammar.extended_grammar()


# --- literals


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"'\a\b\f\n\r\t\v\\\'\"\`\?'", "\a\b\f\n\r\t\v\\'\"`?"),
        (r"'\x41\X42\103\u00e9\U0001F600'", "ABCé😀"),
        (r"b'\x41\377\n'", b"A\xff\n"),
        ("b'é'", b"\xc3\xa9"),
        ("''", ""),
        ("''''''", ""),
        ('"""a"b"""', 'a"b'),
        (r"r'''\''''", "\\'"),
    ],
)
def test_literals(text: str, value: str | bytes) -> None:
    assert decode_text(text) == value


@pytest.mark.parametrize("text", [r"'\q'", r"'\x4'", r"'\4'", r"'\400'", r"'\U00110000'", r"'\u12'", r"b'\U00000041'"])
def test_bad_escapes(text: str) -> None:
    with pytest.raises(LiteralError) as caught:
        decode_text(text)
    assert text[caught.value.offset] == "\\"


# --- sources


def test_positions_in_a_source_of_several_pieces() -> None:
    source = Source(("a\nb", "", "é c"))
    assert [source.base(index) for index in range(3)] == [0, 4, 5]
    place = source.position(source.base(2) + 2)
    assert (place.index, place.line, place.column, place.offset) == (2, 1, 3, 2)
    place = source.position(2)
    assert (place.index, place.line, place.column, place.offset) == (0, 2, 1, 2)
    line, column = source.line_column(7)
    assert source.at_line(line, column) == source.position(7)
    error = source.error(CelError, 4, "x")
    assert (error.index, error.line, error.column) == (1, 1, 1)


def test_a_part_has_the_offsets_of_its_source() -> None:
    source = Source(("ab ${ 1 + x }",))
    node = parse_part(source, 5, " 1 + x ")
    assert (node.start, node.end, node.anchor) == (6, 11, 8)
    with pytest.raises(CelSyntaxError) as caught:
        parse_part(source, 5, " 1 + ")
    assert caught.value.column == 11


# --- the scanner behind tolerances and templates


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("a == 1", "a == 1"),
        ("${a} == 1", " (a) == 1"),
        ("${ {'a': 1}['a'] } > 0", " ( {'a': 1}['a'] ) > 0"),
        ("'${a}' == \"}\"", "'${a}' == \"}\""),
        (r"a[\"b\"]", 'a[ "b" ]'),
        (r"a == \"it's\"", 'a ==  "it\'s" '),
        (r"\"a\\\"b\"", r' "a\x22b" '),
        (r"\"a", ' "a'),
        (r"'a\'b' + \"c\"", "'a\\'b' +  \"c\" "),
        (r"r'\' + \"c\"", "r'\\' +  \"c\" "),
        ("a // ${b}\n+ ${c}", "a // ${b}\n+  (c)"),
        ("$a", "$a"),
        ("}", "}"),
    ],
)
def test_repairs_keep_the_length(text: str, repaired: str) -> None:
    result = repair(text)
    assert result.text == repaired
    assert len(result.text) == len(text)
    assert bool(result.warnings) is (result.text != text)


@pytest.mark.parametrize(
    ("text", "end"),
    [("${a}", 3), ("${'}'}", 5), ("${{}}", 4), ("${", -1), ("${{}", -1), ("${'}", 3), (r"${\"}\"}", 7)],
)
def test_where_an_interpolation_ends(text: str, end: int) -> None:
    assert find_end(text, 2) == end


def test_kinds_of_literals() -> None:
    kinds = [node.kind for node in nodes(parse("[1, 1u, 1.0, '', b'', true, null]")) if isinstance(node, Literal)]
    assert kinds == [Kind.INT, Kind.UINT, Kind.DOUBLE, Kind.STRING, Kind.BYTES, Kind.BOOL, Kind.NULL]
