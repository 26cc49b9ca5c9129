"""Header names and values in configurations (TP-204, TP-121), for every action that sets or removes headers.

Codes: 2208 bad name, 2209 name too long, 2210 bad value, 2211 value too long, 2218 too many, 2219 may not be set.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from gateway.document import Node
from gateway.errors import INTERPOLATION_FAILED, GatewayError
from gateway.policy.fields import Interpolated, InterpolatedShape
from gateway.schema.containers import Also, MapOf, Then
from gateway.schema.reader import Invalid, JsonSchema, Reader, wrong_type

if TYPE_CHECKING:
    from gateway.exchange import Exchange

MAX_NAME_BYTES = 256
MAX_VALUE_BYTES = 8_192
#: headers that frame the message, which only the gateway may do
NOT_SETTABLE = frozenset(("connection", "content-length", "transfer-encoding", "upgrade"))
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = re.compile("[\r\n\0]")

HeaderFields: TypeAlias = tuple[tuple[str, Interpolated], ...]
#: gives the (name, value) pairs for an exchange
HeaderLines: TypeAlias = "Callable[[Exchange], tuple[tuple[str, str], ...]]"


@dataclass(frozen=True, slots=True)
class HeaderName:
    """A token, read as lower case. ``refused``: names, or beginnings of names, that may not be used (2219)."""

    refused: frozenset[str] = NOT_SETTABLE
    refused_prefixes: tuple[str, ...] = ()

    def read(self, node: Node, reader: Reader) -> str | Invalid:
        if not isinstance(node.value, str):
            return wrong_type(node, reader, "a header name")
        name = node.value.lower()
        if not _TOKEN.fullmatch(name):
            return reader.error(node, "ERR_NGROK_2208", "is not a valid header name")
        if len(name) > MAX_NAME_BYTES:
            return reader.error(node, "ERR_NGROK_2209", f"a header name must have at most {MAX_NAME_BYTES} bytes")
        if name in self.refused or name.startswith(self.refused_prefixes):
            return reader.error(node, "ERR_NGROK_2219", f"header '{name}' cannot be set or removed")
        return name

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^{_TOKEN.pattern}$"}


def header_map(
    *,
    minimum: int = 0,
    maximum: int = 10,
    refused: frozenset[str] = NOT_SETTABLE,
    refused_prefixes: tuple[str, ...] = (),
) -> Also[HeaderFields]:
    """A map of names to interpolated values; a name may stand once, whatever its case."""
    values = Then(InterpolatedShape(coerce=True), _sound_value)
    return Also(MapOf(values, HeaderName(refused, refused_prefixes), minimum, maximum), _once)


def _sound_value(value: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    wrong = _wrong_value(value.literal) if value.literal is not None else None
    return value if wrong is None else reader.error(node, *wrong)


def _once(node: Node, reader: Reader) -> bool:
    seen: set[str] = set()
    for entry in node.entries:
        name = entry.name.lower()
        if name in seen:
            reader.error(entry.key, reader.codes.duplicate, f"header '{name}' is listed twice")
        seen.add(name)
    return len(seen) == len(node.entries)


def _wrong_value(text: str) -> tuple[str, str] | None:
    """(code, message) if a text cannot be a header's value."""
    if _FORBIDDEN.search(text) is not None:
        return "ERR_NGROK_2210", "a header value must not contain CR, LF or NUL"
    if len(text.encode("utf-8", "surrogateescape")) > MAX_VALUE_BYTES:
        return "ERR_NGROK_2211", f"a header value must have at most {MAX_VALUE_BYTES} bytes"
    return None


def header_text(value: Interpolated, exchange: Exchange) -> str:
    """A header's value at run time; raises 2238 if it cannot be one (TP-121, TP-204)."""
    text = value.text(exchange)
    if value.literal is None and (wrong := _wrong_value(text)) is not None:
        raise GatewayError(INTERPOLATION_FAILED, cause=f"{value.place}: {wrong[1]}")
    return text


def compile_headers(headers: HeaderFields) -> HeaderLines:
    """A function that gives the (name, value) pairs; constant if none of them is interpolated."""
    if all(value.literal is not None for _, value in headers):
        constant = tuple((name, value.literal or "") for name, value in headers)
        return lambda exchange: constant
    return lambda exchange: tuple([(name, header_text(value, exchange)) for name, value in headers])
