"""The values inside an expression: each part compiled for itself and evaluated on the scope that the whole one saw.

Parts are what a reader asks about: operands, arguments, receivers, and chains of members as a whole (of
``req.headers['x'][0]`` the value, not every step to it). Literals have no value worth showing, and the inside of a
macro has none: it is another for every element. Evaluating changes nothing (TP-77), so parts that the whole expression
skipped have values, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway.cel import ast
from gateway.cel.compile import Part, Program, build, locate
from gateway.cel.env import Environment
from gateway.cel.errors import CelError
from gateway.cel.macros import macro_for
from gateway.cel.parse import parse_part
from gateway.cel.source import Source
from gateway.cel.tolerance import repair

MAX_PARTS = 200
_CHAINS = (ast.Select, ast.Index)


@dataclass(frozen=True, slots=True)
class Valued:
    """A part: its text, how deep it stands in the whole, and its value or what went wrong."""

    source: str
    depth: int
    value: Any = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Compiled:
    source: str
    depth: int
    program: Program


class Dissected:
    """One expression with its parts, compiled once. The first part is the whole."""

    def __init__(self, source: str, environment: Environment, random: Random) -> None:
        self._random = random
        layout = Source((source,))
        text = repair(source).text
        root = parse_part(layout, 0, text)
        self._parts = [_Compiled(source.strip(), 0, _compiled(layout, text, root, environment))]
        for node, depth in _below(root, 1):
            if len(self._parts) >= MAX_PARTS:
                break
            try:
                program = _compiled(layout, text, node, environment)
            except CelError:  # a namespace, or a name that means something only within the whole
                continue
            self._parts.append(_Compiled(_written(source, node), depth, program))

    def values(self, scope: Any) -> list[Valued]:
        """Every part with its value. Secrets and chance are left as they were."""
        state = self._random.getstate()
        found = []
        with scope.private_secrets():
            for part in self._parts:
                self._random.setstate(state)
                found.append(_valued(part, scope))
        self._random.setstate(state)
        return found


def _valued(part: _Compiled, scope: Any) -> Valued:
    try:
        return Valued(part.source, part.depth, part.program.evaluate(scope))
    except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
        reason = str(error) if isinstance(error, LookupError) and "secret" in str(error) else ""
        return Valued(part.source, part.depth, error=reason or locate(part.program, error).message)


def _compiled(layout: Source, text: str, node: ast.Node, environment: Environment) -> Program:
    return build(layout, [Part(0, text)], environment, lambda generator, roots: generator.generate(node))


def _below(node: ast.Node, depth: int) -> Iterator[tuple[ast.Node, int]]:
    """The parts inside a node, in source order."""
    for child in _inner(node):
        if isinstance(child, ast.Literal):
            continue
        yield child, depth
        yield from _below(child, depth + 1)


def _inner(node: ast.Node) -> Iterator[ast.Node]:
    if isinstance(node, _CHAINS):
        yield from _of_chain(node)
    elif isinstance(node, ast.Call) and macro_for(node) is not None:
        assert node.receiver is not None
        yield node.receiver
    else:
        yield from ast.children(node)


def _of_chain(node: ast.Node) -> Iterator[ast.Node]:
    """What a chain begins with, unless that is a name, and the indexes in it."""
    match node:
        case ast.Select(operand=operand):
            yield from _of_chain(operand)
        case ast.Index(operand=operand, index=index):
            yield from _of_chain(operand)
            yield index
        case ast.Name():
            return
        case _:
            yield node


def _written(source: str, node: ast.Node) -> str:
    """The text of a node, with the parentheses that belong to what begins or ends it."""
    start, end = node.start, node.end
    piece = source[start:end]
    for _ in range(piece.count(")") - piece.count("(")):
        start = source.rfind("(", 0, start)
    for _ in range(piece.count("(") - piece.count(")")):
        end = source.find(")", end) + 1
    return " ".join((source[start:end] if 0 <= start < end else piece).split())
