"""Where a request carries a token: a header, or a field of its body (TP-322). Pure; never the query string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
METHODS_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_MAX_FIELDS = 1_000


class AmbiguousTokenError(ValueError):
    """There is more than one, or what is there is no text."""


def token_in_header(values: list[str] | None, prefix: str) -> str | None:
    """The header's value without the prefix; None if it is missing, empty or has another prefix."""
    if not values:
        return None
    if len(values) > 1:
        raise AmbiguousTokenError("two header lines")
    return _without_prefix(values[0], prefix)


def token_in_body(body: bytes, media_type: str, name: str, prefix: str) -> str | None:
    """A top-level field of a JSON or form body; None if there is none."""
    fields = body_fields(body, media_type)
    found = [value for key, value in fields if key.lower() == name.lower()]
    if not found:
        return None
    if len(found) > 1 or not isinstance(found[0], str):
        raise AmbiguousTokenError("the field is not one text")
    return _without_prefix(found[0], prefix)


def body_fields(body: bytes, media_type: str) -> list[tuple[str, Any]]:
    """Names and values of a body's top level; none if it is malformed."""
    try:
        if media_type == FORM:
            return list(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS))
        parsed = orjson.loads(body) if media_type == JSON else None
    except ValueError:
        return []
    return list(parsed.items()) if isinstance(parsed, Mapping) else []


def _without_prefix(value: str, prefix: str) -> str | None:
    head = value[: len(prefix)]
    if head != prefix and not (head.isascii() and prefix.isascii() and head.lower() == prefix.lower()):
        return None
    return value[len(prefix) :].strip() or None
