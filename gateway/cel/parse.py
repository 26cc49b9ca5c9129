"""Text → syntax tree, by cel-python's grammar (``grammar.py``).

Bounds, so that no expression can hang a load (cel.md 5): 32 KiB, 4,000 nodes, 64 members in a chain, 64 levels (TP-77).
Chains of binary operators are loops everywhere and count as one level.
"""

from __future__ import annotations

from typing import Any

from lark import Token, Transformer
from lark.exceptions import LarkError, UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from gateway.cel import ast, grammar
from gateway.cel.errors import CelSyntaxError
from gateway.cel.literals import LiteralError, decode_text
from gateway.cel.source import Source
from gateway.cel.types import Kind

MAX_BYTES = 32 * 1024
MAX_NODES = 4_000
MAX_DEPTH = 64
MAX_CHAIN = 64

_INT_LIMIT = 2**63
_UINT_LIMIT = 2**64
_RESERVED = frozenset((
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
))  # fmt: skip


class _ParseError(Exception):
    """A syntax error found while the tree is built; ``offset`` is relative to the expression."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


def parse(text: str) -> ast.Node:
    """The tree of one expression; its offsets count from the beginning of ``text``."""
    return parse_part(Source((text,)), 0, text)


def parse_part(source: Source, base: int, text: str) -> ast.Node:
    """The tree of the expression that begins at offset ``base`` of a source, read from ``text`` (after repairs).

    Offsets in the tree count from the beginning of the *source*: the text is parsed behind ``base`` spaces.
    """
    try:
        return _parse(text, base)
    except _ParseError as error:
        offset = min(error.offset, base + len(text))
        raise source.error(CelSyntaxError, offset, error.message) from None
    except RecursionError:
        raise source.error(CelSyntaxError, base, "expression is nested too deeply") from None


def _parse(text: str, base: int) -> ast.Node:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _ParseError(f"expression is longer than {MAX_BYTES} bytes", base)
    parser = grammar.parser(_Builder)
    padded = " " * base + text
    try:
        node = parser.parse(padded)
    except UnexpectedInput as error:
        raise _unexpected(error, padded) from None
    except LarkError as error:
        raise _ParseError(str(error).partition("\n")[0], base) from None
    assert isinstance(node, ast.Node)
    _measure(node)
    return node


def _unexpected(error: UnexpectedInput, text: str) -> _ParseError:
    offset = error.pos_in_stream or 0  # type: ignore[redundant-expr]  # lark declares it as None
    if isinstance(error, UnexpectedCharacters):
        character = text[offset : offset + 1]
        if character in "\"'":
            return _ParseError("unterminated string literal", offset)
        hint = " (CEL compares with '==')" if character == "=" else ""
        return _ParseError(f"unexpected character {character!r}{hint}", offset)
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        return _ParseError(f"unexpected '{error.token}'", offset)
    if not text.strip():
        return _ParseError("expression is empty", len(text))
    return _ParseError("unexpected end of expression", len(text))


def _measure(root: ast.Node) -> None:
    """Enforces the bounds without recursion, and that 9223372036854775808 only occurs negated."""
    count = 0
    stack: list[tuple[ast.Node, int, int]] = [(root, 1, 0)]
    while stack:
        node, depth, chain = stack.pop()
        count += 1
        if count > MAX_NODES:
            raise _ParseError(f"expression has more than {MAX_NODES:,} parts", root.start)
        if depth > MAX_DEPTH:
            raise _ParseError("expression is nested too deeply", node.start)
        match node:
            case ast.Literal(value=value, kind=Kind.INT) if isinstance(value, int) and value >= _INT_LIMIT:
                raise _ParseError("integer literal out of range", node.start)
            case ast.Select(operand=operand) | ast.Index(operand=operand) | ast.Call(receiver=ast.Node() as operand):
                if chain >= MAX_CHAIN:
                    raise _ParseError(f"more than {MAX_CHAIN} members in a chain", node.anchor)
                stack.append((operand, depth, chain + 1))
                stack.extend((child, depth + 1, 0) for child in ast.children(node) if child is not operand)
            case ast.Binary(left=left, right=right):
                stack.append((left, depth, 0))
                stack.append((right, depth + 1, 0))
            case _:
                stack.extend((child, depth + 1, 0) for child in ast.children(node))


def _start(token: Token) -> int:
    return token.start_pos or 0


def _end(token: Token) -> int:
    return token.end_pos or 0


def _name(token: Token) -> str:
    if token in _RESERVED:
        raise _ParseError(f"'{token}' is a reserved word", _start(token))
    return str(token)


def _nodes(children: list[Any]) -> tuple[ast.Node, ...]:
    """The arguments between two brackets; ``exprlist`` gives a list."""
    return tuple(children[0]) if children and isinstance(children[0], list) else ()


class _Builder(Transformer[Any, Any]):
    """Called by the parser, bottom-up, once per rule; every token is among the children."""

    def expr(self, children: list[Any]) -> ast.Node:
        condition, question, yes, _, no = children
        return ast.Conditional(condition.start, no.end, _start(question), condition, yes, no)

    def conditionalor(self, children: list[Any]) -> ast.Node:
        left, operator, right = children
        operands = left.operands if isinstance(left, ast.Logic) and left.operator == operator else (left,)
        return ast.Logic(left.start, right.end, _start(operator), str(operator), (*operands, right))

    conditionaland = conditionalor

    def relation(self, children: list[Any]) -> ast.Node:
        left, operator, right = children
        return ast.Binary(left.start, right.end, _start(operator), str(operator), left, right)

    addition = multiplication = relation

    def unary(self, children: list[Any]) -> ast.Node:
        operator, operand = children
        start = _start(operator)
        if operator == "-" and isinstance(operand, ast.Literal) and operand.kind in (Kind.INT, Kind.DOUBLE):
            value = operand.value
            assert isinstance(value, int | float)
            if value >= 0:  # the negation of the smallest int overflows, but only when it is evaluated
                return ast.Literal(start, operand.end, start, -value, operand.kind)
        return ast.Unary(start, operand.end, start, str(operator), operand)

    def member_dot(self, children: list[Any]) -> ast.Node:
        operand, _, field = children
        name = str(field)[1:-1] if field.type == "QUOTED" else str(field)
        return ast.Select(operand.start, _end(field), _start(field), operand, name)

    def member_dot_arg(self, children: list[Any]) -> ast.Node:
        receiver, _, name, _, *rest = children
        return ast.Call(receiver.start, _end(rest[-1]), _start(name), receiver, str(name), _nodes(rest))

    def member_index(self, children: list[Any]) -> ast.Node:
        operand, bracket, index, close = children
        return ast.Index(operand.start, _end(close), _start(bracket), operand, index)

    def member_object(self, children: list[Any]) -> ast.Node:
        raise _ParseError("message construction is not supported", _start(children[1]))

    def ident(self, children: list[Any]) -> ast.Node:
        (token,) = children
        return ast.Name(_start(token), _end(token), _start(token), _name(token))

    def dot_ident(self, children: list[Any]) -> ast.Node:
        dot, token = children
        return ast.Name(_start(dot), _end(token), _start(token), _name(token), True)

    def ident_arg(self, children: list[Any]) -> ast.Node:
        name, _, *rest = children
        return ast.Call(_start(name), _end(rest[-1]), _start(name), None, _name(name), _nodes(rest))

    def dot_ident_arg(self, children: list[Any]) -> ast.Node:
        dot, name, _, *rest = children
        return ast.Call(_start(dot), _end(rest[-1]), _start(name), None, _name(name), _nodes(rest), True)

    def paren_expr(self, children: list[Any]) -> ast.Node:
        node: ast.Node = children[1]
        return node

    def exprlist(self, children: list[Any]) -> list[ast.Node]:
        return [child for child in children if isinstance(child, ast.Node)]

    mapinits = fieldinits = exprlist

    def list_lit(self, children: list[Any]) -> ast.Node:
        opening, *rest = children
        return ast.ListLiteral(_start(opening), _end(rest[-1]), _start(opening), _nodes(rest))

    def map_lit(self, children: list[Any]) -> ast.Node:
        opening, *rest = children
        flat = _nodes(rest)
        entries = tuple(zip(flat[::2], flat[1::2], strict=True))
        return ast.MapLiteral(_start(opening), _end(rest[-1]), _start(opening), entries)

    def literal(self, children: list[Any]) -> ast.Node:
        (token,) = children
        start = _start(token)
        value, kind = _literal(token.type, str(token), start)
        return ast.Literal(start, _end(token), start, value, kind)


def _literal(terminal: str, text: str, start: int) -> tuple[ast.LiteralValue, Kind]:
    match terminal:
        case "INT_LIT":
            number = _integer(text)
            if number > _INT_LIMIT:
                raise _ParseError("integer literal out of range", start)
            return number, Kind.INT
        case "UINT_LIT":
            number = _integer(text[:-1])
            if number >= _UINT_LIMIT:
                raise _ParseError("integer literal out of range", start)
            return number, Kind.UINT
        case "FLOAT_LIT":
            return float(text), Kind.DOUBLE
        case "STRING_LIT":
            try:
                value = decode_text(text)
            except LiteralError as error:
                raise _ParseError(str(error), start + error.offset) from None
            return value, Kind.BYTES if isinstance(value, bytes) else Kind.STRING
        case "NULL":
            return None, Kind.NULL
        case _:  # TRUE, FALSE
            return text == "true", Kind.BOOL


def _integer(digits: str) -> int:
    if len(digits) > 40:
        return _UINT_LIMIT
    return int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits)
