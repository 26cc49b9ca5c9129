"""Checks a document against a JSON Schema, as far as schemas of policies go; an unknown keyword is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip
_WORDS = frozenset(("$schema", "title", "description", "default", "deprecated", "$defs"))
_LIMITS = {
    "minimum": lambda value, limit: isinstance(value, str) or value >= limit,
    "maximum": lambda value, limit: isinstance(value, str) or value <= limit,
    "exclusiveMinimum": lambda value, limit: isinstance(value, str) or value > limit,
    "minItems": lambda value, limit: not isinstance(value, list) or len(value) >= limit,
    "maxItems": lambda value, limit: not isinstance(value, list) or len(value) <= limit,
    "minLength": lambda value, limit: not isinstance(value, str) or len(value) >= limit,
    "maxLength": lambda value, limit: not isinstance(value, str) or len(value) <= limit,
    "minProperties": lambda value, limit: not isinstance(value, dict) or len(value) >= limit,
    "maxProperties": lambda value, limit: not isinstance(value, dict) or len(value) <= limit,
    "pattern": lambda value, limit: not isinstance(value, str) or re.search(limit, value) is not None,
    "enum": lambda value, limit: value in limit,
    "const": lambda value, limit: value == limit,
}


class Checker:
    """One schema."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema

    def errors(self, document: Any) -> list[str]:
        """What is wrong, with its place."""
        return list(self._errors(document, self.schema, "$"))

    def _errors(self, value: Any, schema: Any, place: str) -> Iterator[str]:
        if isinstance(schema, bool):
            if not schema:
                yield f"{place}: nothing is allowed"
            return
        for keyword, wanted in schema.items():
            if keyword in _WORDS or keyword == "additionalProperties":
                continue
            if keyword in _LIMITS:
                if not isinstance(value, bool) and value is not None and not _LIMITS[keyword](value, wanted):
                    yield f"{place}: {keyword}"
                continue
            yield from getattr(self, f"_{keyword.removeprefix('$')}")(value, wanted, place)
        yield from self._additional(value, schema, place)

    def _type(self, value: Any, wanted: Any, place: str) -> Iterator[str]:
        names = wanted if isinstance(wanted, list) else [wanted]
        boolean = isinstance(value, bool)
        if not any(isinstance(value, _TYPES[name]) and (not boolean or name == "boolean") for name in names):
            yield f"{place}: type"

    def _ref(self, value: Any, wanted: str, place: str) -> Iterator[str]:
        yield from self._errors(value, self.schema["$defs"][wanted.removeprefix("#/$defs/")], place)

    def _anyOf(self, value: Any, wanted: Any, place: str) -> Iterator[str]:  # noqa: N802 - the keyword
        if all(list(self._errors(value, each, place)) for each in wanted):
            yield f"{place}: anyOf"

    def _oneOf(self, value: Any, wanted: Any, place: str) -> Iterator[str]:  # noqa: N802 - the keyword
        if sum(not list(self._errors(value, each, place)) for each in wanted) != 1:
            yield f"{place}: oneOf"

    def _items(self, value: Any, wanted: Any, place: str) -> Iterator[str]:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from self._errors(item, wanted, f"{place}[{index}]")

    def _properties(self, value: Any, wanted: Any, place: str) -> Iterator[str]:
        for name in wanted if isinstance(value, dict) else ():
            if name in value:
                yield from self._errors(value[name], wanted[name], f"{place}.{name}")

    def _propertyNames(self, value: Any, wanted: Any, place: str) -> Iterator[str]:  # noqa: N802 - the keyword
        for name in value if isinstance(value, dict) else ():
            yield from self._errors(name, wanted, f"{place} key {name}")

    def _required(self, value: Any, wanted: Any, place: str) -> Iterator[str]:
        for name in wanted if isinstance(value, dict) else ():
            if name not in value:
                yield f"{place}: {name} is required"

    def _additional(self, value: Any, schema: Any, place: str) -> Iterator[str]:
        for name in value if isinstance(value, dict) and "additionalProperties" in schema else ():
            if name not in schema.get("properties", ()):
                yield from self._errors(value[name], schema["additionalProperties"], f"{place}.{name}")
