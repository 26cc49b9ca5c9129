"""Expression text → ``Program``: parse, check, generate Python, compile. All of it at load; a request only calls.

``program.evaluate(scope)`` is the compiled function itself. Whatever it raises, ``locate`` turns into a message with
the position in the expression, by the code positions of the traceback.
"""

from __future__ import annotations

import ast as python
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import CodeType, TracebackType
from typing import Any, NamedTuple

from gateway.cel import ast, logic, names, operations
from gateway.cel.calls import generate_call
from gateway.cel.demands import demands
from gateway.cel.env import Environment
from gateway.cel.errors import CelSyntaxError, CelTypeError, EvaluationError, Failure, LimitExceeded
from gateway.cel.facts import Demands, Fact, Place
from gateway.cel.generator import Fragment, Generator, Handler
from gateway.cel.limits import Budget
from gateway.cel.parse import parse_part
from gateway.cel.source import Position, Source
from gateway.cel.tolerance import repair
from gateway.cel.types import BOOL, CelType, Kind
from gateway.cel.values import type_name

_FILE = "<cel>"

_HANDLERS: Mapping[type[ast.Node], Handler] = {
    ast.Literal: operations.generate_literal,
    ast.ListLiteral: operations.generate_list,
    ast.MapLiteral: operations.generate_map,
    ast.Unary: operations.generate_unary,
    ast.Binary: operations.generate_binary,
    ast.Logic: logic.generate_logic,
    ast.Conditional: logic.generate_conditional,
    ast.Name: names.generate_name,
    ast.Select: names.generate_select,
    ast.Index: names.generate_index,
    ast.Call: generate_call,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something worth saying that does not prevent loading (TP-79, lint)."""

    message: str
    line: int
    column: int
    offset: int
    #: number of the expression in a conjunction
    index: int = 0

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression, or a conjunction of several."""

    #: call it with a scope; raises anything, see ``locate``
    evaluate: Callable[[Any], Any]
    type: CelType
    #: dotted variables it mentions, and namespaces such as 'secrets'
    reads: frozenset[str]
    #: the same scope gives the same result
    pure: bool
    source: str
    warnings: tuple[Finding, ...]
    layout: Source
    #: what has to hold for a condition to be anything but false
    demands: Demands = field(default_factory=dict)


def compile_expression(source: str, environment: Environment, *, expect: CelType | None = None) -> Program:
    """One expression. With ``expect``, its static type must be that type or DYN."""
    return _compile(Source((source,)), environment, expect)


def compile_conjunction(sources: Sequence[str], environment: Environment) -> Program:
    """The expressions of one rule (TP-75): any false one decides, otherwise any error stands. None at all is true."""
    return _compile(Source(sources or ("true",)), environment, BOOL)


def _compile(layout: Source, environment: Environment, expect: CelType | None) -> Program:
    parts = [Part(layout.base(index), piece) for index, piece in enumerate(layout.pieces)]
    found: dict[Place, frozenset[Fact]] = {}

    def generate(generator: Generator, roots: Sequence[ast.Node]) -> Fragment:
        first = roots[0]
        node = first if len(roots) == 1 else ast.Logic(first.start, first.end, first.anchor, "&&", tuple(roots))
        fragment = generator.generate(node)
        if expect is None:
            return fragment
        _check_type(generator, node, fragment.type, expect)
        if expect.kind is Kind.BOOL:
            found.update(demands(node, environment))
            return generator.boolean(generator.condition(node, fragment), total=fragment.total_bool)
        return fragment

    return replace(build(layout, parts, environment, generate), demands=found)


class Part(NamedTuple):
    """An expression within a source."""

    offset: int
    text: str


def build(
    layout: Source, parts: Sequence[Part], environment: Environment,
    generate: Callable[[Generator, Sequence[ast.Node]], Fragment],
) -> Program:  # fmt: skip
    """Parses the parts, lets ``generate`` make one fragment of their trees, compiles it to a function."""
    warnings: list[tuple[int, str]] = []
    roots = []
    for part in parts:
        repaired = repair(part.text)
        warnings += [(part.offset + offset, message) for offset, message in repaired.warnings]
        roots.append(parse_part(layout, part.offset, repaired.text))
    generator = Generator(layout, environment, _HANDLERS)
    try:
        fragment = generate(generator, roots)
        function = _function(generator, roots[0], fragment)
    except RecursionError:
        raise layout.error(CelSyntaxError, 0, "expression is nested too deeply") from None
    warnings += generator.warnings
    return Program(
        evaluate=function,
        type=fragment.type,
        reads=frozenset(generator.reads),
        pure=generator.pure,
        source=layout.text,
        warnings=tuple(_finding(layout, offset, message) for offset, message in sorted(set(warnings))),
        layout=layout,
    )


def _finding(layout: Source, offset: int, message: str) -> Finding:
    place = layout.position(offset)
    return Finding(message, place.line, place.column, place.offset, place.index)


def _function(generator: Generator, node: ast.Node, fragment: Fragment) -> Callable[[Any], Any]:
    emit = generator.emit
    body = [*generator.statements, emit.return_(node, fragment.code)]
    if generator.needs_budget:
        body.insert(0, emit.assign(node, "budget", emit.call(node, Budget)))
    module = python.Module([emit.function(node, "expression", ("scope",), body)], [])
    exec(compile(module, _FILE, "exec"), emit.namespace)  # noqa: S102 - the code is what emit.py wrote, no policy text
    function: Callable[[Any], Any] = emit.namespace.pop("expression")
    return function


def _check_type(generator: Generator, node: ast.Node, actual: CelType, expect: CelType) -> None:
    fits = actual.kind in (expect.kind, Kind.DYN)
    if fits and expect.host is not None and actual.host is not None:
        fits = issubclass(actual.host, expect.host)
    if not fits and generator.environment.checked:
        raise generator.source.error(CelTypeError, node.start, f"expression must be {expect}, but is {actual}")


# --- run-time errors


def locate(program: Program, error: BaseException) -> EvaluationError:
    """What happened and where, without any value of the request (TP-57)."""
    message = _explain(program, error)
    place = _place(program, error.__traceback__)
    located = EvaluationError(message, place.line, place.column, place.offset, place.index)
    located.limit = isinstance(error, LimitExceeded)
    return located


def _place(program: Program, traceback: TracebackType | None) -> Position:
    found: tuple[CodeType, int] | None = None
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename == _FILE:
            found = code, traceback.tb_lasti
        traceback = traceback.tb_next
    if found is not None:
        line, _, column, _ = list(found[0].co_positions())[found[1] // 2]
        if line is not None and column is not None:
            return program.layout.at_line(line, column)
    return Position(1, 1, 0)


def _explain(program: Program, error: BaseException) -> str:
    if isinstance(error, Failure):
        return str(error)
    if isinstance(error, KeyError):
        key = error.args[0] if error.args else None
        shown = f": '{key}'" if isinstance(key, str) and key in program.source else ""
        return f"no such key{shown}"
    if isinstance(error, IndexError):
        return "index out of bounds"
    if isinstance(error, AttributeError):
        return "no such field"
    if isinstance(error, TypeError):
        return "no such overload"
    if isinstance(error, RecursionError):
        return "evaluation is nested too deeply"
    return f"internal error: {type_name(error)}"
