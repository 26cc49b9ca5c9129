"""Shapes of request and response bodies: they check what arrives and describe themselves for the OpenAPI document.

    Object(Member("name", Text(longest=255, long=NAME_LONG)), …).read(body)  →  {"name": "…"} with members present only

Malformed input (unknown members, wrong JSON types) is refused before anything else, with status 400; lengths and words
after that, with the code the member names (CP-7). Lengths count Unicode code points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.control.errors import BAD_VALUE, MEMBER_MISSING, UNKNOWN_MEMBER, WRONG_TYPE, ApiError, Code

JsonSchema = dict[str, Any]
DESCRIPTION_LONGEST: Final = 255
METADATA_LONGEST: Final = 4_096


class Findings:
    """Collects what is wrong; the one to answer with is the first of the lowest status."""

    def __init__(self) -> None:
        self._found: list[ApiError] = []

    def add(self, code: Code, field: str, **arguments: Any) -> None:
        self._found.append(ApiError(code, field=field, **arguments))

    def raise_first(self) -> None:
        if self._found:
            raise min(self._found, key=lambda error: error.status)


class Shape(Protocol):
    """Checks one JSON value at a dotted path and gives it back, and describes what it takes."""

    def read(self, value: Any, field: str, findings: Findings) -> Any: ...
    def json_schema(self) -> JsonSchema: ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string; ``long`` is the code for both length limits unless ``short`` differs."""

    longest: int | None = None
    long: Code = BAD_VALUE
    shortest: int = 0
    short: Code | None = None
    format: str | None = None

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        if not isinstance(value, str):
            findings.add(WRONG_TYPE, field, wanted="a string")
        elif len(value) < self.shortest:
            findings.add(self.short or self.long, field, maximum=self.longest, reason="it is empty")
        elif self.longest is not None and len(value) > self.longest:
            reason = f"it has more than {self.longest} characters"
            findings.add(self.long, field, maximum=self.longest, reason=reason)
        return value

    def json_schema(self) -> JsonSchema:
        limits = {"minLength": self.shortest or None, "maxLength": self.longest, "format": self.format}
        return {"type": "string", **{name: limit for name, limit in limits.items() if limit is not None}}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            findings.add(WRONG_TYPE, field, wanted="a whole number")
        elif not self.least <= value <= self.most:
            findings.add(BAD_VALUE, field, reason=f"it must be from {self.least} to {self.most}")
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "integer", "format": "int64", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        if not isinstance(value, bool):
            findings.add(WRONG_TYPE, field, wanted="true or false")
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Words:
    """One of a few strings."""

    allowed: Sequence[str]
    wrong: Code = BAD_VALUE

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        if not isinstance(value, str):
            findings.add(WRONG_TYPE, field, wanted="a string")
        elif value not in self.allowed:
            findings.add(self.wrong, field, reason=f"{field} must be one of: {', '.join(self.allowed)}")
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "enum": list(self.allowed)}


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array."""

    item: Shape
    most: int | None = None
    many: Code = BAD_VALUE
    least: int = 0

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        if not isinstance(value, list):
            findings.add(WRONG_TYPE, field, wanted="an array")
            return value
        if not self.least <= len(value) or (self.most is not None and len(value) > self.most):
            bounds = f"{field} must have {self.least} to {self.most} entries"
            findings.add(self.many, field, maximum=self.most, reason=bounds)
            return value
        return [self.item.read(item, f"{field}[{index}]", findings) for index, item in enumerate(value)]

    def json_schema(self) -> JsonSchema:
        limits = {"minItems": self.least or None, "maxItems": self.most}
        found = {name: limit for name, limit in limits.items() if limit is not None}
        return {"type": "array", "items": self.item.json_schema(), **found}


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object. ``missing`` is the code when a required one is not there."""

    name: str
    shape: Shape
    required: bool = False
    nullable: bool = False
    missing: Code = MEMBER_MISSING

    def json_schema(self) -> JsonSchema:
        schema = self.shape.json_schema()
        if not self.nullable:
            return schema
        if "type" in schema and "enum" not in schema:
            return {**schema, "type": [schema["type"], "null"]}
        return {"anyOf": [schema, {"type": "null"}]}


class Object:
    """An object with exactly these members. ``title`` names it in the OpenAPI document."""

    __slots__ = ("members", "title")

    def __init__(self, *members: Member, title: str = "") -> None:
        self.title = title
        self.members: Mapping[str, Member] = {member.name: member for member in members}

    def parse(self, body: Any) -> dict[str, Any]:
        """The members of a request body; ApiError for the first thing that is wrong."""
        findings = Findings()
        parsed = self.read(body, "", findings)
        findings.raise_first()
        return parsed if isinstance(parsed, dict) else {}

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        if not isinstance(value, dict):
            findings.add(WRONG_TYPE, field, wanted="an object")
            return value
        prefix = f"{field}." if field else ""
        unknown = [prefix + name for name in value if name not in self.members]
        if unknown:
            findings.add(UNKNOWN_MEMBER, unknown[0], names=", ".join(unknown))
        return {
            name: self._read_member(member, value[name], prefix + name, findings)
            for name, member in self.members.items()
            if self._given(member, value, prefix + name, findings)
        }

    def json_schema(self) -> JsonSchema:
        required = [member.name for member in self.members.values() if member.required]
        schema: JsonSchema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: member.json_schema() for name, member in self.members.items()},
        }
        return {**schema, "required": required} if required else schema

    @staticmethod
    def _given(member: Member, value: Mapping[str, Any], field: str, findings: Findings) -> bool:
        if member.name in value:
            return True
        if member.required:
            findings.add(member.missing, field)
        return False

    @staticmethod
    def _read_member(member: Member, value: Any, field: str, findings: Findings) -> Any:
        if value is None and member.nullable:
            return None
        return member.shape.read(value, field, findings)


@dataclass(frozen=True, slots=True)
class Reference:
    """A shape that the OpenAPI document writes once, under its title, and refers to."""

    target: Object

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        return self.target.read(value, field, findings)

    def json_schema(self) -> JsonSchema:
        return {"$ref": f"#/components/schemas/{self.target.title}"}


@dataclass(frozen=True, slots=True)
class StringMap:
    """An object of strings."""

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            findings.add(WRONG_TYPE, field, wanted="an object of strings")
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value, of the server's own making."""

    schema: Callable[[], JsonSchema] = dict

    def read(self, value: Any, field: str, findings: Findings) -> Any:
        return value

    def json_schema(self) -> JsonSchema:
        return self.schema()
