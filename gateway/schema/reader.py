"""What every shape needs: the protocol, the reader that shapes report to, and INVALID."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable
from typing import Any, Final, Literal, Protocol, TypeVar

from gateway.document import Codes, Node, Problems

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Invalid(enum.Enum):
    """What reading returns when there is no value; the reason has been reported."""

    INVALID = "invalid"

    def __bool__(self) -> Literal[False]:
        return False


INVALID: Final = Invalid.INVALID
JsonSchema = dict[str, Any]


class Reader:
    """Where shapes report to. Subclasses give scalars a meaning (``resolve``) or carry what special shapes need.

    ``label`` opens every message, ``root`` is the path that field names are relative to (TP-21).
    """

    def __init__(self, problems: Problems, *, label: str = "", root: str = "", codes: Codes | None = None) -> None:
        self.problems = problems
        self.label = label
        self.root = root
        self.codes = codes or problems.codes

    def read(self, shape: Shape[T], node: Node) -> T | Invalid:
        """The value of ``node`` as ``shape`` sees it."""
        return shape.read(node, self)

    def resolve(self, node: Node) -> Node | None:
        """Called for every scalar that is taken literally: the node to use, or None after reporting a problem."""
        return node

    def error(self, node: Node, code: str, message: str) -> Invalid:
        """Reports and gives INVALID, so that a check can return it."""
        self.problems.error(node, code, self.describe(node, message))
        return INVALID

    def warning(self, node: Node, code: str, message: str) -> None:
        """Reports something that does not stop the document from being used."""
        self.problems.warning(node, code, self.describe(node, message))

    def describe(self, node: Node, message: str) -> str:
        """The message with the place in words: ``on_http_request[1] 'auth', deny, config.status_code: …``."""
        where = node.path.removeprefix(self.root).removeprefix(".")
        place = ", ".join(part for part in (self.label, where) if part)
        return f"{place}: {message}" if place else message


class Shape(Protocol[T_co]):
    """What a node must look like."""

    def read(self, node: Node, reader: Reader) -> T_co | Invalid:
        """The value, or INVALID after reporting why not."""
        ...

    def json_schema(self) -> JsonSchema:
        """The shape as JSON Schema (2020-12)."""
        ...


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'capacity'?`` or nothing."""
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def wrong_type(node: Node, reader: Reader, wanted: str) -> Invalid:
    return reader.error(node, reader.codes.wrong_type, f"must be {wanted}, is {node.kind.value}")
