"""Shapes of lists, maps and records, and the combinations of shapes."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from gateway.document import Kind, Node
from gateway.schema.reader import INVALID, Invalid, JsonSchema, Reader, Shape, nearest, wrong_type
from gateway.schema.scalars import Duration, duration_text

T = TypeVar("T")
U = TypeVar("U")


class _Required(enum.Enum):
    REQUIRED = "required"


REQUIRED: Final = _Required.REQUIRED


def _present(**limits: int | None) -> JsonSchema:
    return {key: value for key, value in limits.items() if value}


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list of one shape, as a tuple. ``unique``: the value that must not repeat (its message names no value)."""

    shape: Shape[T]
    minimum: int = 0
    maximum: int | None = None
    unique: Callable[[T], Hashable] | None = None
    duplicate_code: str | None = None

    def read(self, node: Node, reader: Reader) -> tuple[T, ...] | Invalid:
        if node.kind is not Kind.SEQUENCE:
            return wrong_type(node, reader, "a list")
        result: list[T] = []
        seen: set[Hashable] = set()
        whole = check_count(len(node.items), self.minimum, self.maximum, node, reader)
        for item in node.items:
            value = self.shape.read(item, reader)
            if value is INVALID:
                whole = False
                continue
            result.append(value)
            if self.unique is not None:
                key = self.unique(result[-1])
                if key in seen:
                    reader.error(item, self.duplicate_code or reader.codes.duplicate, "is listed twice")
                    whole = False
                seen.add(key)
        return tuple(result) if whole else INVALID

    def json_schema(self) -> JsonSchema:
        limits = _present(minItems=self.minimum, maxItems=self.maximum)
        return {"type": "array", "items": self.shape.json_schema()} | limits


def check_count(count: int, minimum: int, maximum: int | None, node: Node, reader: Reader) -> bool:
    """Reports too few or too many entries."""
    if count < minimum:
        words = "must not be empty" if minimum == 1 else f"must have at least {minimum} entries"
        reader.error(node, reader.codes.empty, words)
        return False
    if maximum is not None and count > maximum:
        reader.error(node, reader.codes.too_many, f"must have at most {maximum} entries")
        return False
    return True


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A mapping with free keys, as a tuple of (key, value) in document order."""

    shape: Shape[T]
    key: Shape[str]
    minimum: int = 0
    maximum: int | None = None

    def read(self, node: Node, reader: Reader) -> tuple[tuple[str, T], ...] | Invalid:
        if node.kind is not Kind.MAPPING:
            return wrong_type(node, reader, "a mapping")
        result: list[tuple[str, T]] = []
        whole = check_count(len(node.entries), self.minimum, self.maximum, node, reader)
        for entry in node.entries:
            key = self.key.read(entry.key, reader)
            value = self.shape.read(entry.value, reader)
            if key is INVALID or value is INVALID:
                whole = False
            else:
                result.append((key, value))
        return tuple(result) if whole else INVALID

    def json_schema(self) -> JsonSchema:
        limits = _present(minProperties=self.minimum, maxProperties=self.maximum)
        return {"type": "object", "additionalProperties": self.shape.json_schema()} | limits


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a record. Without a default it is required.

    ``tolerated``: the field is accepted with this warning. ``alias_of``: another name for that field.
    ``null_is_absent``: an explicit null means the default.
    """

    shape: Shape[Any]
    default: Any = REQUIRED
    tolerated: str = ""
    alias_of: str = ""
    null_is_absent: bool = False
    missing_code: str | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Record(Generic[T]):
    """A mapping with fixed keys; the values become keyword arguments of ``build``, usually a frozen dataclass."""

    build: Callable[..., T]
    fields: Mapping[str, Field]

    def read(self, node: Node, reader: Reader) -> T | Invalid:
        if node.kind is not Kind.MAPPING:
            return wrong_type(node, reader, "a mapping")
        values: dict[str, Any] = {}
        whole = self.read_entries(node, reader, values)
        for name, field in self.fields.items():
            if name in values or field.alias_of:
                continue
            if field.default is REQUIRED:
                if not self.given(name, node):
                    reader.error(node, field.missing_code or reader.codes.missing, f"field '{name}' is required")
                whole = False
            else:
                values[name] = field.default
        return self.build(**values) if whole else INVALID

    def given(self, name: str, node: Node) -> bool:
        """True if a field, or another name of it, stands in the document."""
        return any(key == name or (key in self.fields and self.fields[key].alias_of == name) for key in node.names)

    def read_entries(self, node: Node, reader: Reader, values: dict[str, Any]) -> bool:
        """Reads what stands in the document; False if any of it is wrong."""
        whole = True
        for entry in node.entries:
            field = self.fields.get(entry.name)
            if field is None:
                hint = nearest(entry.name, self.fields)
                reader.error(entry.key, reader.codes.unknown_field, f"unknown field '{entry.name}'{hint}")
                whole = False
                continue
            if field.tolerated:
                reader.warning(entry.key, reader.codes.tolerated, field.tolerated)
            if field.null_is_absent and entry.value.kind is Kind.NULL:
                continue
            target = field.alias_of or entry.name
            if target in values:
                reader.error(entry.key, reader.codes.duplicate, f"'{target}' is given twice")
                whole = False
                continue
            value = field.shape.read(entry.value, reader)
            if value is INVALID:
                whole = False
            else:
                values[target] = value
        return whole

    def json_schema(self) -> JsonSchema:
        properties: JsonSchema = {}
        for name, field in self.fields.items():
            schema = field.shape.json_schema()
            if field.doc:
                schema = schema | {"description": field.doc}
            if field.tolerated:
                schema = schema | {"deprecated": True}
            if isinstance(field.default, str | int | float | bool):
                shown = duration_text(float(field.default)) if isinstance(field.shape, Duration) else field.default
                schema = schema | {"default": shown}
            properties[name] = schema
        required = [name for name, field in self.fields.items() if field.default is REQUIRED]
        result: JsonSchema = {"type": "object", "properties": properties, "additionalProperties": False}
        return result | ({"required": required} if required else {})


@dataclass(frozen=True, slots=True)
class OneOf(Generic[T]):
    """Different shapes for different kinds of node: a mapping here, a list there."""

    shapes: Mapping[Kind, Shape[T]]

    def read(self, node: Node, reader: Reader) -> T | Invalid:
        shape = self.shapes.get(node.kind)
        if shape is None:
            return wrong_type(node, reader, " or ".join(kind.value for kind in self.shapes))
        return shape.read(node, reader)

    def json_schema(self) -> JsonSchema:
        return {"anyOf": [shape.json_schema() for shape in self.shapes.values()]}


@dataclass(frozen=True, slots=True)
class Nullable(Generic[T]):
    """The shape, or null for ``default``."""

    shape: Shape[T]
    default: T | None = None

    def read(self, node: Node, reader: Reader) -> T | Invalid | None:
        return self.default if node.kind is Kind.NULL else self.shape.read(node, reader)

    def json_schema(self) -> JsonSchema:
        return {"anyOf": [self.shape.json_schema(), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class Then(Generic[T, U]):
    """A shape followed by a check or conversion, which sees the node and may report."""

    shape: Shape[T]
    step: Callable[[T, Node, Reader], U | Invalid]

    def read(self, node: Node, reader: Reader) -> U | Invalid:
        value = self.shape.read(node, reader)
        if isinstance(value, Invalid):
            return INVALID
        return self.step(value, node, reader)

    def json_schema(self) -> JsonSchema:
        return self.shape.json_schema()


@dataclass(frozen=True, slots=True)
class Also(Generic[T]):
    """A shape and a look at the whole node, which is taken even if parts of it are wrong; False: it reported."""

    shape: Shape[T]
    look: Callable[[Node, Reader], bool]

    def read(self, node: Node, reader: Reader) -> T | Invalid:
        value = self.shape.read(node, reader)
        return value if self.look(node, reader) else INVALID

    def json_schema(self) -> JsonSchema:
        return self.shape.json_schema()


@dataclass(frozen=True, slots=True)
class Anything:
    """Any value, as plain Python data; every string in it is taken literally."""

    def read(self, node: Node, reader: Reader) -> Any:
        if node.kind is Kind.SEQUENCE:
            items = [self.read(item, reader) for item in node.items]
            return INVALID if INVALID in items else items
        if node.kind is Kind.MAPPING:
            entries = {entry.name: self.read(entry.value, reader) for entry in node.entries}
            return INVALID if INVALID in entries.values() else entries
        literal = reader.resolve(node)
        return INVALID if literal is None else literal.value

    def json_schema(self) -> JsonSchema:
        return {}
