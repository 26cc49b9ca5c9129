"""Python syntax with CEL positions: the alphabet that the code generator writes with.

Every emitted node carries the line and column of the CEL node it comes from, so that a traceback's ``co_positions``
lead back to the expression at no cost at run time. Names in generated code never come from policy text: members are
attribute *nodes* (so ``m.metrics.global`` works), everything else is numbered.
"""

from __future__ import annotations

import ast as python
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict

from gateway.cel.ast import Node
from gateway.cel.source import Source

_LOAD, _STORE = python.Load(), python.Store()
_COMPARISONS: dict[str, type[python.cmpop]] = {
    "==": python.Eq, "!=": python.NotEq, "<": python.Lt, "<=": python.LtE, ">": python.Gt, ">=": python.GtE,
    "in": python.In, "is": python.Is, "is not": python.IsNot,
}  # fmt: skip
_ARITHMETIC: dict[str, type[python.operator]] = {"+": python.Add, "-": python.Sub, "*": python.Mult}

Statements = list[python.stmt]


class _Location(TypedDict):
    lineno: int
    col_offset: int
    end_lineno: int
    end_col_offset: int


class Emitter:
    """Builds Python nodes. ``at`` is always the CEL node that the Python node stands for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        #: globals of the generated code: only what it uses
        self.namespace: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._count = 0

    def _place(self, at: Node) -> _Location:
        line, column = self._source.line_column(at.anchor)
        end_line, end_column = self._source.line_column(max(at.end, at.anchor + 1))
        return {"lineno": line, "col_offset": column, "end_lineno": end_line, "end_col_offset": end_column}

    # --- names

    def fresh(self, prefix: str) -> str:
        """A name that is used nowhere else."""
        self._count += 1
        return f"{prefix}{self._count}"

    def name(self, at: Node, identifier: str) -> python.expr:
        return python.Name(identifier, _LOAD, **self._place(at))

    def target(self, at: Node, identifier: str) -> python.expr:
        return python.Name(identifier, _STORE, **self._place(at))

    def held(self, at: Node, value: object) -> python.expr:
        """A Python object, as a global of the generated code."""
        name = self._names.get(id(value))
        if name is None:
            name = self.fresh(getattr(value, "__name__", "k").strip("<>_") or "k")
            self._names[id(value)] = name
            self.namespace[name] = value
        return self.name(at, name)

    # --- expressions

    def constant(self, at: Node, value: object) -> python.expr:
        """A constant; what Python cannot write as one is held."""
        plain = value is None or value.__class__ in (bool, int, str, bytes)
        if plain or (isinstance(value, float) and math.isfinite(value)):
            return python.Constant(value, **self._place(at))  # type: ignore[arg-type]
        return self.held(at, value)

    def call(self, at: Node, function: Callable[..., object], *arguments: python.expr) -> python.expr:
        return python.Call(self.held(at, function), list(arguments), [], **self._place(at))

    def sole_argument(self, code: python.expr, function: Callable[..., object]) -> python.expr | None:
        """The argument, if the code is a call of this function of one argument."""
        if not isinstance(code, python.Call) or not isinstance(code.func, python.Name):
            return None
        return code.args[0] if self.namespace.get(code.func.id) is function else None

    def method(self, at: Node, value: python.expr, name: str, *arguments: python.expr) -> python.expr:
        return python.Call(self.attribute(at, value, name), list(arguments), [], **self._place(at))

    def invoke(self, at: Node, identifier: str) -> python.expr:
        """A call of a function of the generated code."""
        return python.Call(self.name(at, identifier), [], [], **self._place(at))

    def attribute(self, at: Node, value: python.expr, name: str) -> python.expr:
        return python.Attribute(value, name, _LOAD, **self._place(at))

    def item(self, at: Node, value: python.expr, key: python.expr) -> python.expr:
        return python.Subscript(value, key, _LOAD, **self._place(at))

    def compare(self, at: Node, left: python.expr, operator: str, right: python.expr) -> python.expr:
        return python.Compare(left, [_COMPARISONS[operator]()], [right], **self._place(at))

    def is_none(self, at: Node, value: python.expr, *, negated: bool = False) -> python.expr:
        return self.compare(at, value, "is not" if negated else "is", self.constant(at, None))

    def arithmetic(self, at: Node, left: python.expr, operator: str, right: python.expr) -> python.expr:
        return python.BinOp(left, _ARITHMETIC[operator](), right, **self._place(at))

    def inverse(self, at: Node, value: python.expr) -> python.expr:
        return python.UnaryOp(python.Not(), value, **self._place(at))

    def negative(self, at: Node, value: python.expr) -> python.expr:
        return python.UnaryOp(python.USub(), value, **self._place(at))

    def logic(self, at: Node, operator: str, values: Sequence[python.expr]) -> python.expr:
        if len(values) == 1:
            return values[0]
        kind = python.And() if operator == "&&" else python.Or()
        return python.BoolOp(kind, list(values), **self._place(at))

    def choice(self, at: Node, condition: python.expr, yes: python.expr, no: python.expr) -> python.expr:
        return python.IfExp(condition, yes, no, **self._place(at))

    def list_of(self, at: Node, items: Iterable[python.expr]) -> python.expr:
        return python.List([*items], _LOAD, **self._place(at))

    def tuple_of(self, at: Node, items: Iterable[python.expr]) -> python.expr:
        return python.Tuple([*items], _LOAD, **self._place(at))

    def dict_of(self, at: Node, keys: Iterable[python.expr], values: Iterable[python.expr]) -> python.expr:
        return python.Dict([*keys], [*values], **self._place(at))

    def comprehension(
        self, at: Node, value: python.expr, variable: str, iterable: python.expr, test: python.expr | None
    ) -> python.expr:
        """``[value for variable in iterable if test]``"""
        loop = python.comprehension(self.target(at, variable), iterable, [test] if test else [], 0)
        return python.ListComp(value, [loop], **self._place(at))

    def function_of(self, at: Node, parameters: Sequence[str], body: python.expr) -> python.expr:
        """``lambda parameters: body``"""
        return python.Lambda(self._parameters(parameters), body, **self._place(at))

    def _parameters(self, names: Sequence[str]) -> python.arguments:
        return python.arguments(
            [], [python.arg(name, lineno=1, col_offset=0) for name in names], None, [], [], None, []
        )

    # --- statements

    def assign(self, at: Node, identifier: str, value: python.expr) -> python.stmt:
        return python.Assign([self.target(at, identifier)], value, None, **self._place(at))

    def do(self, at: Node, value: python.expr) -> python.stmt:
        return python.Expr(value, **self._place(at))

    def when(self, at: Node, condition: python.expr, yes: Statements, no: Statements | None = None) -> python.stmt:
        return python.If(condition, self.block(at, yes), no or [], **self._place(at))

    def loop(self, at: Node, variable: str, iterable: python.expr, body: Statements) -> python.stmt:
        return python.For(self.target(at, variable), iterable, body, [], None, **self._place(at))

    def once(self, at: Node, body: Statements) -> python.stmt:
        """``while True``, to be left by ``stop``."""
        return python.While(self.constant(at, True), body, [], **self._place(at))

    def stop(self, at: Node) -> python.stmt:
        return python.Break(**self._place(at))

    def skip(self, at: Node) -> python.stmt:
        return python.Continue(**self._place(at))

    def raise_(self, at: Node, value: python.expr | None = None) -> python.stmt:
        return python.Raise(value, None, **self._place(at))

    def return_(self, at: Node, value: python.expr) -> python.stmt:
        return python.Return(value, **self._place(at))

    def block(self, at: Node, statements: Statements) -> Statements:
        """The statements; ``pass`` if there are none."""
        return statements or [python.Pass(**self._place(at))]

    def handler(
        self,
        at: Node,
        kind: type[BaseException] | tuple[type[BaseException], ...],
        body: Statements,
        bound: str | None = None,
    ) -> python.ExceptHandler:
        return python.ExceptHandler(self.held(at, kind), bound, self.block(at, body), **self._place(at))

    def attempt(
        self,
        at: Node,
        body: Statements,
        handlers: list[python.ExceptHandler],
        otherwise: Statements,
        final: Statements | None = None,
    ) -> python.stmt:
        """``try`` … ``except`` … ``else`` … ``finally``"""
        return python.Try(self.block(at, body), handlers, otherwise, final or [], **self._place(at))

    def function(self, at: Node, identifier: str, parameters: Sequence[str], body: Statements) -> python.stmt:
        return python.FunctionDef(identifier, self._parameters(parameters), body, [], None, None, **self._place(at))
