"""Errors of this package: what a load reports, what a compiled expression raises, and the report made of the latter.

1. Everything that loading can raise is a ``CelError`` with an exact position.
2. A compiled expression raises ``Failure`` or whatever Python raises (``KeyError`` …); ``compile.locate`` turns either
   into an ``EvaluationError``. Messages name types and keys of the policy, never values of the request (TP-57).
"""

from __future__ import annotations


class CelError(Exception):
    """A fault in one expression. Line and column count from 1 (code points), ``offset`` from 0.

    ``index`` is the number of the expression in a conjunction (``compile_conjunction``), else 0.
    """

    def __init__(self, message: str, line: int = 1, column: int = 1, offset: int = 0, index: int = 0) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message = message
        self.line = line
        self.column = column
        self.offset = offset
        self.index = index


class CelSyntaxError(CelError):
    """The text is not CEL, or exceeds a bound."""


class CelTypeError(CelError):
    """An unknown name, a wrong number of arguments, or types that can never fit."""


class EvaluationError(CelError):
    """An expression failed at run time. ``limit`` tells that TP-77 stopped it."""

    limit = False


class Failure(Exception):  # noqa: N818 - a regular outcome of evaluation, named as the documents do
    """Raised by operators and functions of a compiled expression; carries no position."""


class NoOverload(Failure):
    """The operator or function is not defined for these types."""

    def __init__(self, *type_names: str) -> None:
        super().__init__("no such overload" + (f": {', '.join(type_names)}" if type_names else ""))


class LimitExceeded(Failure):
    """TP-77: too many steps, or too much produced data. Never absorbed by ``&&``, ``||`` or a macro."""
