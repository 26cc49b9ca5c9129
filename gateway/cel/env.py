"""What an expression may mention: variables with their types, functions, and names that exist but not here.

An ``Environment`` is immutable and made once per phase. The standard functions (``functions.STANDARD``) are always
there. Sources: TP-78, TP-130, TP-160.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from gateway.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    HEADER_MAP,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    VALUE_LIST,
    VALUE_MAP,
    CelType,
    Faults,
    Kind,
    ai_list_of,
    list_of,
    map_of,
    nullable,
    object_of,
    sensitive,
)

__all__ = [
    "BOOL", "BYTES", "DOUBLE", "DURATION", "DYN", "HEADER_MAP", "INT", "NOT_LITERAL", "NULL", "REFUSED", "STRING",
    "TIMESTAMP", "TYPE", "UINT", "VALUE_LIST", "VALUE_MAP", "CelType", "Environment", "Faults", "Function", "Kind",
    "ai_list_of", "list_of", "map_of", "nullable", "object_of", "sensitive",
]  # fmt: skip


class Marker:
    """A value that no expression can produce."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


#: default of ``Function.absent``: a null receiver is an evaluation error (TP-83)
REFUSED = Marker("REFUSED")
#: stands for an argument that is not a literal, in ``Function.check`` and ``Function.prepare``
NOT_LITERAL = Marker("NOT_LITERAL")

ResultType = CelType | Callable[[Sequence[CelType]], CelType]


@dataclass(frozen=True, slots=True)
class Function:
    """One overload. The compiler guarantees the types of ``params`` before it calls ``implementation``.

    Parameters that may be null or DYN are guarded at run time: a mismatch is a ``NoOverload``. For a method, the first
    parameter is the receiver. A dotted name (``secrets.get``) is a function in a namespace.
    """

    name: str
    params: tuple[CelType, ...]
    #: the result's type, or a function of the argument types
    result: ResultType
    implementation: Callable[..., object]
    method: bool = False
    #: gets the scope as its first argument
    scope: bool = False
    #: the same arguments give the same result (random numbers do not)
    pure: bool = True
    #: cannot fail on arguments of the declared types
    total: bool = False
    #: result of a method whose receiver is null (TP-82)
    absent: object = REFUSED
    #: the result may be large (TP-77): its size is checked
    grows: bool = False
    #: the map that the only argument is a key of; without the key the result is false, null or an empty list
    looks_in: str = ""
    #: looks at every character of its arguments, in Python or worse: dear inside loops (TP-77)
    slow: bool = False
    #: dotted variables that the function reads, for ``Program.reads``
    reads: tuple[str, ...] = ()
    #: looks at the literal arguments at load; returns a message if they are wrong
    check: Callable[[Sequence[object]], str | None] | None = None
    #: given the literal arguments at load, may return a faster function of the remaining ones; raises Failure if they
    #: can never work
    prepare: Callable[[Sequence[object]], Callable[..., object] | None] | None = None
    #: writes the call as Python code instead: ``inline(emitter, node, *argument_codes)``
    inline: Callable[..., ast.expr] | None = None


@dataclass(frozen=True)
class Environment:
    """Declared names. Dotted variable names are allowed; ``unavailable`` maps dotted names to the reason (TP-130)."""

    variables: Mapping[str, CelType]
    functions: Sequence[Function] = ()
    unavailable: Mapping[str, str] = field(default_factory=dict)
    #: False: declared types are ignored and every check happens at run time. Must give the same results (tests)
    checked: bool = True
    #: variables are items of a mapping instead of attributes of the scope (tests, tools)
    items: bool = False
    #: CEL container for name resolution, '' in policies
    container: str = ""
    standard: bool = True

    def extend(self, variables: Mapping[str, CelType] | None = None, functions: Sequence[Function] = ()) -> Environment:
        """A new environment with more names; a variable declared again is replaced."""
        return Environment(
            {**self.variables, **(variables or {})}, (*self.functions, *functions), self.unavailable,
            self.checked, self.items, self.container, self.standard,
        )  # fmt: skip

    @cached_property
    def overloads(self) -> Mapping[tuple[str, bool], Sequence[Function]]:
        """(name, is method) → its overloads, standard ones last."""
        from gateway.cel.functions import STANDARD  # functions are declared with this module's types

        table: dict[tuple[str, bool], list[Function]] = {}
        for function in (*self.functions, *(STANDARD if self.standard else ())):
            table.setdefault((function.name, function.method), []).append(function)
        return table
