"""Base64, ``basic_auth.encode``, URL escaping, URLs, query strings (TP 7.2)."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus, unquote_to_bytes

from gateway.cel.conversions import bytes_text, to_string, utf8
from gateway.cel.errors import Failure
from gateway.cel.values import BoolKey, no_overload
from gateway.cel.work import Work

_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_URL = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(//([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.S)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]<>\"^`{|}\\%@]*)(?::([0-9]*))?")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


# --- base64


def encode_base64(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def decode_base64(text: str) -> bytes:
    """Standard alphabet, padded; anything else is a Failure."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Failure("invalid base64") from None


def encode_text_base64(text: str) -> str:
    return encode_base64(utf8(text))


def decode_text_base64(text: str) -> str:
    return bytes_text(decode_base64(text))


def basic_credentials(user: str, password: str) -> str:
    """``Basic dXNlcjpwYXNz``"""
    return f"Basic {encode_text_base64(f'{user}:{password}')}"


# --- percent encoding


def escape_url(text: str) -> str:
    """Everything but ``A-Za-z0-9-._~`` as ``%XX``."""
    return quote(utf8(text), safe="")


def unescape_url(text: str) -> str:
    """``+`` stays."""
    if _BAD_ESCAPE.search(text):
        raise Failure("invalid URL escape")
    return unquote_to_bytes(utf8(text)).decode("utf-8", "surrogateescape")


# --- URLs


def parse_url(text: str) -> dict[str, str]:
    """Its parts, '' where missing; ``path`` decoded, ``raw_path`` as written, ``user`` as ``name:password``."""
    match = _URL.fullmatch(text)
    if match is None or _CONTROL.search(text) or _BAD_ESCAPE.search(text.partition("?")[0]):
        raise Failure("invalid URL")
    scheme, slashes, authority, path, query, fragment = match.groups(default="")
    if not scheme and not slashes and ":" in path.partition("/")[0]:
        raise Failure("invalid URL")
    opaque = ""
    if scheme and not slashes and path and not path.startswith("/"):
        opaque, path = path, ""
    user, _, host = authority.rpartition("@")
    place = _HOST.fullmatch(host)
    if place is None:
        raise Failure("invalid URL")
    return {
        "scheme": scheme.lower(), "opaque": opaque, "user": unescape_url(user), "host": host,
        "hostname": place[1].strip("[]"), "port": place[2] or "", "path": unescape_url(path), "raw_path": path,
        "raw_query": query, "query": query, "fragment": _unescape_leniently(fragment),
    }  # fmt: skip


def _unescape_leniently(text: str) -> str:
    return text if _BAD_ESCAPE.search(text) else unescape_url(text)


def is_url(text: str) -> bool:
    """Absolute, with scheme and host."""
    try:
        parts = parse_url(text)
    except Failure:
        return False
    return bool(parts["scheme"] and parts["hostname"])


# --- query strings


def decode_query(text: str) -> dict[str, str]:
    """Form decoding; the first value of a repeated name."""
    if _BAD_ESCAPE.search(text):
        raise Failure("invalid escape in query string")
    result: dict[str, str] = {}
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            result.setdefault(_form(name), _form(value))
    return result


def _form(text: str) -> str:
    return unquote_plus(text, errors="surrogateescape")


def encode_query(values: Mapping[Any, Any]) -> str:
    """Sorted names; the values of a list repeat the name."""
    pairs: list[tuple[str, str]] = []
    work = Work()
    for key, value in values.items():
        name = to_string(key.value if isinstance(key, BoolKey) else key)
        if isinstance(value, dict) or value is None:
            raise no_overload(value)
        items = value if isinstance(value, list | tuple) else (value,)
        work.done(len(items))
        pairs += [(name, to_string(item)) for item in items]
    pairs.sort(key=lambda pair: pair[0])
    return "&".join([f"{quote_plus(utf8(name))}={quote_plus(utf8(value))}" for name, value in pairs])


def is_query(text: str) -> bool:
    """Not empty; every part is ``name=value`` with valid escapes."""
    if _BAD_ESCAPE.search(text):
        return False
    return all(part.find("=") > 0 for part in text.split("&"))
