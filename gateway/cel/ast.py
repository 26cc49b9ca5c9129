"""Syntax tree of one expression: frozen nodes with exact source positions (code-point offsets).

``start``/``end`` span the whole node; ``anchor`` is where an error in it is reported: the operator of a binary, the
name of a member or a call, the bracket of an index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.cel.types import Kind

LiteralValue = None | bool | int | float | str | bytes


@dataclass(frozen=True, slots=True)
class Node:
    """Any expression."""

    start: int
    end: int
    anchor: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """``kind`` tells 1 from 1u."""

    value: LiteralValue
    kind: Kind


@dataclass(frozen=True, slots=True)
class Name(Node):
    """``a`` or, ``rooted``, ``.a``."""

    name: str
    rooted: bool = False


@dataclass(frozen=True, slots=True)
class Select(Node):
    """``operand.field``."""

    operand: Node
    field: str


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``operand[index]``."""

    operand: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Call(Node):
    """``name(arguments)`` or ``receiver.name(arguments)``."""

    receiver: Node | None
    name: str
    arguments: tuple[Node, ...]
    rooted: bool = False


@dataclass(frozen=True, slots=True)
class ListLiteral(Node):
    """``[items]``."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapLiteral(Node):
    """``{key: value}``."""

    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``!operand`` or ``-operand``."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Arithmetic, comparison, ``in``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """``&&`` or ``||`` over any number of operands."""

    operator: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """``condition ? yes : no``."""

    condition: Node
    yes: Node
    no: Node


def children(node: Node) -> Iterator[Node]:
    """Direct sub-expressions, in source order."""
    match node:
        case Select(operand=operand) | Unary(operand=operand):
            yield operand
        case Index(operand=operand, index=index):
            yield operand
            yield index
        case Call(receiver=receiver, arguments=arguments):
            if receiver is not None:
                yield receiver
            yield from arguments
        case ListLiteral(items=items) | Logic(operands=items):
            yield from items
        case MapLiteral(entries=entries):
            for key, value in entries:
                yield key
                yield value
        case Binary(left=left, right=right):
            yield left
            yield right
        case Conditional(condition=condition, yes=yes, no=no):
            yield condition
            yield yes
            yield no
        case _:  # Literal, Name
            return
