"""Static types of expressions.

A type says more than CEL's own do, because absence is typed (TP-80): ``lookup`` marks lists and maps in which a missing
key or index gives null instead of an error, ``nullable`` marks values that may be null. ``DYN`` is checked at run time.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol


class Kind(enum.Enum):
    """What a value is; the text is what ``type()`` and messages show."""

    DYN = "dyn"
    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    NULL = "null_type"
    TYPE = "type"
    TIMESTAMP = "google.protobuf.Timestamp"
    DURATION = "google.protobuf.Duration"
    LIST = "list"
    MAP = "map"
    OBJECT = "object"


NUMERIC = frozenset((Kind.INT, Kind.UINT, Kind.DOUBLE))


class Faults(enum.Enum):
    """What ``filter`` and the predicate macros do with an element whose predicate fails."""

    #: CEL: the error stands
    RAISE = "raise"
    #: AG-107: the element is dropped
    DROP = "drop"
    #: AG-128: dropped, but an ordering comparison with null makes it undecided
    UNDECIDED = "undecided"


class HostClass(Protocol):
    """A host class that expressions may look into: only members named here can be read."""

    __cel__: ClassVar[Mapping[str, CelType]]


@dataclass(frozen=True, slots=True)
class CelType:
    """One static type. Build with the constants and functions of this module."""

    kind: Kind
    #: element type of a list, value type of a map
    element: CelType | None = None
    #: class with ``__cel__``; with kind STRING: a string that also has members (TP-94)
    host: type[HostClass] | None = None
    nullable: bool = False
    #: a missing key or index gives null (TP-80 a, b)
    lookup: bool = False
    #: keys are lower case and looked up ignoring case (TP-90)
    ignore_case: bool = False
    #: contents may be confidential: compared in constant time (TP-95)
    sensitive: bool = False
    #: strings of this list answer contains, startsWith, endsWith, matches, includes (TP-93)
    any_element: bool = False
    faults: Faults = Faults.RAISE

    def __str__(self) -> str:
        if self.host is not None and self.kind is Kind.OBJECT:
            name = self.host.__name__
        elif self.kind in (Kind.LIST, Kind.MAP) and self.element is not None and self.element.kind is not Kind.DYN:
            name = f"{self.kind.value}({self.element})"
        else:
            name = self.kind.value
        return name + ("?" if self.nullable and self.kind not in (Kind.NULL, Kind.DYN) else "")

    @property
    def item(self) -> CelType:
        """The element or value type; DYN if unknown. What a confidential container holds is confidential."""
        inner = self.element or DYN
        return replace(inner, sensitive=True) if self.sensitive and not inner.sensitive else inner

    @property
    def may_be_null(self) -> bool:
        """False only if the value is certainly not null."""
        return self.nullable or self.kind in (Kind.DYN, Kind.NULL)

    def is_exactly(self, *kinds: Kind) -> bool:
        """Of one of these kinds and never null."""
        return self.kind in kinds and not self.nullable


DYN = CelType(Kind.DYN, sensitive=True)
BOOL = CelType(Kind.BOOL)
INT = CelType(Kind.INT)
UINT = CelType(Kind.UINT)
DOUBLE = CelType(Kind.DOUBLE)
STRING = CelType(Kind.STRING)
BYTES = CelType(Kind.BYTES)
NULL = CelType(Kind.NULL, nullable=True)
TYPE = CelType(Kind.TYPE)
TIMESTAMP = CelType(Kind.TIMESTAMP)
DURATION = CelType(Kind.DURATION)


def list_of(element: CelType, *, lookup: bool = False) -> CelType:
    """A list. ``lookup``: an index out of range gives null (lists inside VALUE_MAPs)."""
    return CelType(Kind.LIST, element, lookup=lookup, sensitive=element.sensitive)


def map_of(value: CelType, *, lookup: bool = False, ignore_case: bool = False) -> CelType:
    """A map with string keys (other keys work, too). ``lookup``: a missing key gives null."""
    return CelType(Kind.MAP, value, lookup=lookup, ignore_case=ignore_case, sensitive=value.sensitive)


def nullable(inner: CelType) -> CelType:
    """The same, or null."""
    return replace(inner, nullable=True)


def sensitive(inner: CelType) -> CelType:
    """The same; texts read from it are compared in constant time."""
    return replace(inner, sensitive=True)


def object_of(host: type[HostClass]) -> CelType:
    """A host object; a string with members if the class is a ``str``. Members are the attributes in ``__cel__``."""
    return CelType(Kind.STRING if issubclass(host, str) else Kind.OBJECT, host=host)


def ai_list_of(host: type[HostClass], *, undecided: bool = False) -> CelType:
    """A collection of AI elements (AG-107); ``undecided`` for keys (AG-128)."""
    faults = Faults.UNDECIDED if undecided else Faults.DROP
    return CelType(Kind.LIST, object_of(host), faults=faults)


#: values of one header or query name (TP-93)
VALUE_LIST = CelType(Kind.LIST, STRING, lookup=True, sensitive=True, any_element=True)
#: name → its values; missing names give null (TP-80 a). Case-sensitive: query parameters
VALUE_MAP = CelType(Kind.MAP, VALUE_LIST, lookup=True, sensitive=True)
#: the same for header and trailer names (TP-90)
HEADER_MAP = CelType(Kind.MAP, VALUE_LIST, lookup=True, ignore_case=True, sensitive=True)
