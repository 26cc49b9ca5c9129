"""The vocabulary for declaring shapes; everything a module that declares some has to import.

``text integer number boolean enum duration size anything`` are scalars, ``list_of map_of record field`` containers,
``one_of nullable then`` combinations.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from gateway.document import Kind, Node
from gateway.schema.containers import REQUIRED, Also, Anything, Field, ListOf, MapOf, Nullable, OneOf, Record, Then
from gateway.schema.reader import INVALID, Invalid, JsonSchema, Reader, Shape, nearest, wrong_type
from gateway.schema.scalars import Boolean, Duration, Number, Size, Text, Words, duration_text, parse_duration

__all__ = [
    "INVALID", "REQUIRED", "Field", "Invalid", "JsonSchema", "Reader", "Record", "Shape", "also", "anything", "boolean",
    "duration", "duration_text", "enum", "field", "integer", "list_of", "map_of", "nearest", "nullable", "number",
    "one_of", "parse_duration", "record", "size", "text", "then", "wrong_type",
]  # fmt: skip

T = TypeVar("T")
U = TypeVar("U")


def text(
    *, minimum: int = 0, maximum: int | None = None, pattern: str | None = None,
    hint: str = "has characters that are not allowed", coerce: bool = False,
) -> Text:  # fmt: skip
    """A string; ``pattern`` must match all of it, ``hint`` is the message when it does not."""
    return Text(minimum, maximum, pattern, hint, coerce)


def integer(minimum: int | None = None, maximum: int | None = None) -> Number[int]:
    """An integer, bounds included."""
    return Number(int, minimum, maximum)


def number(minimum: float | None = None, maximum: float | None = None) -> Number[float]:
    """A number, bounds included."""
    return Number(float, minimum, maximum)


def boolean() -> Boolean:
    """``true`` or ``false``."""
    return Boolean()


def enum(*words: str) -> Words:
    """One of the words."""
    return Words(words)


def duration(
    *, minimum_s: float | None = None, maximum_s: float | None = None, above_s: float | None = None
) -> Duration:
    """A Go-style duration such as ``1h30m``, read as seconds; bare numbers are errors."""
    return Duration(minimum_s, maximum_s, above_s)


def size(minimum: int = 0, maximum: int | None = None) -> Size:
    """Bytes: an integer or ``32 MiB``."""
    return Size(minimum, maximum)


def list_of(
    shape: Shape[T], *, minimum: int = 0, maximum: int | None = None,
    unique: Callable[[T], Hashable] | None = None, duplicate_code: str | None = None,
) -> ListOf[T]:  # fmt: skip
    """A list, read as a tuple; ``unique`` gives what must not repeat."""
    return ListOf(shape, minimum, maximum, unique, duplicate_code)


def map_of(shape: Shape[T], *, key: Shape[str] | None = None, minimum: int = 0, maximum: int | None = None) -> MapOf[T]:
    """A mapping with free keys, read as a tuple of pairs in document order."""
    return MapOf(shape, key or Text(), minimum, maximum)


def record(build: Callable[..., T], **fields: Field) -> Record[T]:
    """A mapping with these keys and no others, read as ``build(**values)``."""
    return Record(build, fields)


def field(
    shape: Shape[Any], default: Any = REQUIRED, *, tolerated: str = "", alias_of: str = "",
    null_is_absent: bool = False, missing_code: str | None = None, doc: str = "",
) -> Field:  # fmt: skip
    """A key of a record; required unless it has a default. See ``Field``."""
    return Field(shape, default, tolerated, alias_of, null_is_absent, missing_code, doc)


def one_of(
    *, mapping: Shape[T] | None = None, sequence: Shape[T] | None = None, string: Shape[T] | None = None
) -> OneOf[T]:
    """A shape per kind of node."""
    named = {Kind.MAPPING: mapping, Kind.SEQUENCE: sequence, Kind.STRING: string}
    return OneOf({kind: shape for kind, shape in named.items() if shape is not None})


def nullable(shape: Shape[T], default: T | None = None) -> Nullable[T]:
    """The shape, or null, which is read as ``default``."""
    return Nullable(shape, default)


def then(shape: Shape[T], step: Callable[[T, Node, Reader], U | Invalid]) -> Then[T, U]:
    """A shape, then a conversion that may report and return INVALID."""
    return Then(shape, step)


def also(shape: Shape[T], look: Callable[[Node, Reader], bool]) -> Also[T]:
    """A shape, and a look at the whole node whatever is wrong inside; ``look`` returns False after reporting."""
    return Also(shape, look)


def anything() -> Anything:
    """Any value, as plain Python data."""
    return Anything()
