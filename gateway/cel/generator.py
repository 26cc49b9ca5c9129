"""The state of one compilation, and what every part of the code generator shares.

A ``Fragment`` is the Python expression for a CEL node together with what is known about it. Statements that must run
before it (loops, absorbed errors) are collected in ``Generator.statements``. The handlers for the node classes live in
``names``, ``operations``, ``logic``, ``macros`` and ``calls``; ``compile.py`` puts them together.

Rules for handlers
1. ``total`` is set only if evaluating the code cannot raise, given values of the declared types.
2. Operands of ``&&``, ``||``, ``?:`` and bodies of macros are generated with ``block``, which keeps their statements
   apart, since those must run only when the operand does.
3. Code that may raise ``TypeError`` other than by comparing with a null quota value must not be emitted (AG-128).
"""

from __future__ import annotations

import ast as python
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NoReturn

from gateway.cel import ast
from gateway.cel.emit import Emitter, Statements
from gateway.cel.env import Environment
from gateway.cel.errors import CelTypeError
from gateway.cel.operators import refuse, truth
from gateway.cel.source import Source
from gateway.cel.types import BOOL, DYN, CelType, Faults, Kind

#: CPython allows 20 nested blocks; a level of ours takes two or three
_MAX_BLOCKS = 6


@dataclass(frozen=True, slots=True)
class Fragment:
    """Python code for a CEL expression."""

    code: python.expr
    type: CelType
    #: cannot fail
    total: bool = False

    @property
    def total_bool(self) -> bool:
        """Usable as a condition without any check."""
        return self.total and self.type.is_exactly(Kind.BOOL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fragment with the statements that must run before it, and only if it is needed."""

    statements: Statements
    fragment: Fragment


@dataclass(frozen=True, slots=True)
class Local:
    """A macro's variable."""

    identifier: str
    type: CelType


Handler = Callable[["Generator", ast.Node], Fragment]


class Generator:
    """Generates the code of one program."""

    def __init__(self, source: Source, environment: Environment, handlers: Mapping[type[ast.Node], Handler]) -> None:
        self.source = source
        self.environment = environment
        self.emit = Emitter(source)
        self._handlers = handlers
        self.statements: Statements = []
        self.locals: list[dict[str, Local]] = []
        self.reads: set[str] = set()
        self.warnings: list[tuple[int, str]] = []
        self.pure = True
        #: how many loops surround the code being generated
        self.loops = 0
        #: what the innermost predicate's collection does with failing elements; also: is a member of null an error
        self.faults = Faults.RAISE
        #: values, as they are written, that conditions around the code being generated prove not to be null
        self.proven: frozenset[str] = frozenset()
        self.needs_budget = False
        self._blocks = 0

    def generate(self, node: ast.Node) -> Fragment:
        """The code for a node. Unchecked, every result counts as unknown, and load errors wait for the run time."""
        handler = self._handlers[type(node)]
        if self.environment.checked:
            return handler(self, node)
        try:
            code = handler(self, node).code
        except CelTypeError as error:
            code = self.emit.call(node, refuse, self.emit.constant(node, error.message))
        return Fragment(code, DYN)

    # --- problems

    def fail(self, at: ast.Node, message: str) -> NoReturn:
        """A load error at that node."""
        raise self.source.error(CelTypeError, at.anchor, message)

    def warn(self, at: ast.Node, message: str) -> None:
        """A finding that does not prevent loading."""
        self.warnings.append((at.anchor, message))

    def mismatch(self, at: ast.Node, *types: CelType, operation: str) -> None:
        """Types that can never fit: a load error; unchecked, left to the run time."""
        if self.environment.checked:
            shown = ", ".join(str(kind) for kind in types)
            self.fail(at, f"no such overload: {operation} of {shown}")

    # --- blocks

    @contextmanager
    def separate(self) -> Iterator[Statements]:
        """Collects the statements of what is generated meanwhile."""
        outer = self.statements
        self.statements = []
        try:
            yield self.statements
        finally:
            self.statements = outer

    def block(self, node: ast.Node) -> Block:
        """A node generated with its own statements."""
        with self.separate() as statements:
            fragment = self.generate(node)
        return Block(statements, fragment)

    def outlined(self, at: ast.Node, generate: Callable[[], Fragment]) -> Fragment:
        """What ``generate`` makes, in a function of its own if too many blocks surround it."""
        if self._blocks < _MAX_BLOCKS:
            self._blocks += 1
            try:
                return generate()
            finally:
                self._blocks -= 1
        blocks, self._blocks = self._blocks, 1
        try:
            with self.separate() as body:
                fragment = generate()
        finally:
            self._blocks = blocks
        if not body:
            return fragment
        name = self.emit.fresh("part")
        body.append(self.emit.return_(at, fragment.code))
        self.statements.append(self.emit.function(at, name, (), body))
        return replace(fragment, code=self.emit.invoke(at, name))

    @contextmanager
    def proving(self, values: frozenset[str]) -> Iterator[None]:
        """For code that only counts where these values are not null."""
        before = self.proven
        self.proven = before | values
        try:
            yield
        finally:
            self.proven = before

    # --- common pieces

    def condition(self, at: ast.Node, fragment: Fragment) -> python.expr:
        """The code, certain to give a bool or raise."""
        if fragment.type.is_exactly(Kind.BOOL):
            return fragment.code
        if self.environment.checked and fragment.type.kind not in (Kind.BOOL, Kind.DYN):
            self.fail(at, f"expected bool, found {fragment.type}")
        return self.emit.call(at, truth, fragment.code)

    def budget(self, at: ast.Node, method: str, value: python.expr) -> python.expr:
        """``budget.method(value)``: a charge against the evaluation's limits (TP-77)."""
        self.needs_budget = True
        return self.emit.method(at, self.emit.name(at, "budget"), method, value)

    def boolean(self, code: python.expr, *, total: bool) -> Fragment:
        return Fragment(code, BOOL, total)


def hint(word: str, candidates: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` or nothing."""
    near = difflib.get_close_matches(word, list(candidates), 1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def joined(types: Iterable[CelType]) -> CelType:
    """One type for values of all these; DYN if they have nothing in common."""
    result: CelType | None = None
    null = False
    for kind in types:
        if kind.kind is Kind.NULL:
            null = True
        elif result is None or result == kind:
            result = kind
        elif (result.kind, result.host, result.element) == (kind.kind, kind.host, kind.element):
            result = replace(
                result, nullable=result.nullable or kind.nullable, sensitive=result.sensitive or kind.sensitive,
                lookup=result.lookup and kind.lookup, any_element=result.any_element and kind.any_element,
            )  # fmt: skip
        else:
            return DYN
    if result is None:
        return DYN
    return replace(result, nullable=True) if null else result
