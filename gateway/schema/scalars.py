"""Shapes of single values: text, numbers, words, durations, sizes.

Messages name limits and allowed words, never the value found (TP-24).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from gateway.document import Kind, Node
from gateway.schema.reader import INVALID, Invalid, JsonSchema, Reader, nearest, wrong_type


@dataclass(frozen=True, slots=True)
class Text:
    """A string. ``coerce``: booleans and numbers are taken as written in JSON (TP-15, header values)."""

    minimum: int = 0
    maximum: int | None = None
    pattern: str | None = None
    hint: str = "has characters that are not allowed"
    coerce: bool = False

    def read(self, node: Node, reader: Reader) -> str | Invalid:
        literal = reader.resolve(node)
        if literal is None:
            return INVALID
        value = scalar_text(literal) if self.coerce else literal.value if literal.kind is Kind.STRING else None
        if value is None:
            return wrong_type(node, reader, "a string")
        return self.check(cast("str", value), node, reader)

    def check(self, value: str, node: Node, reader: Reader) -> str | Invalid:
        """Length and pattern of a text."""
        if len(value) < self.minimum:
            what = "must not be empty" if self.minimum == 1 else f"must have at least {self.minimum} characters"
            return reader.error(node, reader.codes.empty, what)
        if self.maximum is not None and len(value) > self.maximum:
            return reader.error(node, reader.codes.too_long, f"must have at most {self.maximum} characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return reader.error(node, reader.codes.bad_value, self.hint)
        return value

    def json_schema(self) -> JsonSchema:
        schema: JsonSchema = {"type": ["string", "number", "boolean"] if self.coerce else "string"}
        limits = {"minLength": self.minimum or None, "maxLength": self.maximum}
        pattern = {"pattern": f"^(?:{self.pattern})$" if self.pattern is not None else None}
        return schema | {key: value for key, value in (limits | pattern).items() if value is not None}


def scalar_text(node: Node) -> str | None:
    """A string, number or boolean as text (``true``, ``3``, ``1.5``); None for anything else."""
    if node.kind is Kind.STRING:
        return str(node.value)
    if node.kind is Kind.BOOLEAN:
        return "true" if node.value else "false"
    if node.kind is Kind.INTEGER:
        return str(node.value)
    if node.kind is Kind.NUMBER:
        return str(int(node.value)) if node.value.is_integer() and abs(node.value) < 2**63 else repr(node.value)
    return None


_DECIMAL = re.compile(r"[-+]?[0-9]{1,30}(\.[0-9]{1,30})?")
N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True)
class Number(Generic[N]):
    """An integer or a number between two bounds; a string with a decimal number will do (TP-15)."""

    kind: Callable[[str], N]
    minimum: N | None = None
    maximum: N | None = None

    @property
    def words(self) -> str:
        return Kind.INTEGER.value if self.kind is int else Kind.NUMBER.value

    def read(self, node: Node, reader: Reader) -> N | Invalid:
        literal = reader.resolve(node)
        if literal is None:
            return INVALID
        value = self.value_of(literal)
        if value is None:
            return wrong_type(node, reader, self.words)
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            return reader.error(node, reader.codes.out_of_range, self.range_words())
        return value

    def value_of(self, node: Node) -> N | None:
        """The number that a node holds, if it holds one of this kind."""
        if node.kind is Kind.INTEGER or (node.kind is Kind.NUMBER and (self.kind is float or node.value.is_integer())):
            return self.kind(node.value)
        if node.kind is Kind.STRING and (match := _DECIMAL.fullmatch(node.value)) is not None:
            return None if match[1] and self.kind is int else self.kind(node.value)
        return None

    def range_words(self) -> str:
        """``must be between 1 and 5``."""
        if self.minimum is not None and self.maximum is not None:
            return f"must be between {self.minimum} and {self.maximum}"
        return f"must be at least {self.minimum}" if self.minimum is not None else f"must be at most {self.maximum}"

    def json_schema(self) -> JsonSchema:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        kind = {"type": "integer" if self.kind is int else "number"}
        return kind | {key: value for key, value in limits.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Boolean:
    """``true`` or ``false``."""

    def read(self, node: Node, reader: Reader) -> bool | Invalid:
        literal = reader.resolve(node)
        if literal is None:
            return INVALID
        return bool(literal.value) if literal.kind is Kind.BOOLEAN else wrong_type(node, reader, "a boolean")

    def json_schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Words:
    """One of some words."""

    words: tuple[str, ...]

    def read(self, node: Node, reader: Reader) -> str | Invalid:
        literal = reader.resolve(node)
        if literal is None:
            return INVALID
        if literal.kind is not Kind.STRING:
            return wrong_type(node, reader, "a string")
        if literal.value not in self.words:
            allowed = ", ".join(f"'{word}'" for word in self.words)
            return reader.error(
                node, reader.codes.not_allowed, f"must be one of {allowed}{nearest(literal.value, self.words)}"
            )
        return str(literal.value)

    def json_schema(self) -> JsonSchema:
        return {"enum": list(self.words)}


_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float | None:
    """Go-style duration to seconds: ``90s`` → 90.0, ``1h30m`` → 5400.0; None for anything else, bare numbers too."""
    if len(text) > 64:
        return None
    parts = _DURATION.findall(text)
    if not parts or "".join(parts) != text:
        return None
    total = 0.0
    for part in parts:
        unit = "ms" if part.endswith("ms") else part[-1]
        total += float(part.removesuffix(unit)) * _SECONDS[unit]
    return round(total, 9)


def duration_text(seconds: float) -> str:
    """``90.0`` → ``1m30s``: for messages and defaults."""
    if seconds != int(seconds):
        return f"{round(seconds * 1000, 3):g}ms"
    whole = int(seconds)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


@dataclass(frozen=True, slots=True)
class Duration:
    """A Go-style duration, as seconds."""

    minimum_s: float | None = None
    maximum_s: float | None = None
    above_s: float | None = None

    def read(self, node: Node, reader: Reader) -> float | Invalid:
        literal = reader.resolve(node)
        if literal is None:
            return INVALID
        if literal.kind is not Kind.STRING:
            return wrong_type(node, reader, "a duration such as '90s' or '1h30m'")
        seconds = parse_duration(literal.value)
        if seconds is None:
            return reader.error(node, reader.codes.unparsable, "must be a duration such as '90s' or '1h30m'")
        if self.minimum_s is not None and seconds < self.minimum_s:
            code = reader.codes.duration_too_short
            return reader.error(node, code, f"must be at least {duration_text(self.minimum_s)}")
        if self.above_s is not None and seconds <= self.above_s:
            code = reader.codes.duration_too_short
            return reader.error(node, code, f"must be more than {duration_text(self.above_s)}")
        if self.maximum_s is not None and seconds > self.maximum_s:
            code = reader.codes.duration_too_long
            return reader.error(node, code, f"must be at most {duration_text(self.maximum_s)}")
        return seconds

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": r"^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ms|s|m|h))+$"}


_SIZE = re.compile(r"([0-9]{1,15})\s*(B|KB|KiB|MB|MiB|GB|GiB)?")
_BYTES = {"B": 1, "KB": 1000, "KiB": 1 << 10, "MB": 10**6, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes: an integer, or ``32 MiB``."""

    minimum: int = 0
    maximum: int | None = None

    def read(self, node: Node, reader: Reader) -> int | Invalid:
        literal = reader.resolve(node)
        if literal is None:
            return INVALID
        if literal.kind is Kind.INTEGER:
            value = int(literal.value)
        elif literal.kind is Kind.STRING and (match := _SIZE.fullmatch(literal.value)) is not None:
            value = int(match[1]) * _BYTES[match[2] or "B"]
        else:
            return wrong_type(node, reader, "a size such as '32 MiB'")
        if value < self.minimum or (self.maximum is not None and value > self.maximum):
            upper = f" and {self.maximum}" if self.maximum is not None else ""
            words = (
                f"must be between {self.minimum}{upper} bytes" if upper else f"must be at least {self.minimum} bytes"
            )
            return reader.error(node, reader.codes.out_of_range, words)
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": ["integer", "string"], "pattern": r"^[0-9]+\s*(B|KB|KiB|MB|MiB|GB|GiB)?$"}
