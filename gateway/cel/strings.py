"""String functions (TP 7.6) and ``join``. Arguments have the declared types; positions count code points."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from gateway.cel.errors import Failure
from gateway.cel.limits import check_size
from gateway.cel.values import no_overload

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_UPPER = {ord(low): low.upper() for low in "abcdefghijklmnopqrstuvwxyz"}
_LOWER = {ord(up): up.lower() for up in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def _position(value: int, limit: int) -> int:
    if 0 <= value <= limit:
        return value
    raise Failure(f"index out of range: {value}")


def starts_with(text: str, prefix: str) -> bool:
    return text.startswith(prefix)


def ends_with(text: str, suffix: str) -> bool:
    return text.endswith(suffix)


def contains(text: str, part: str) -> bool:
    return part in text


def any_starts_with(values: Sequence[str], prefix: str) -> bool:
    """TP-93"""
    return any(value.startswith(prefix) for value in values)


def any_ends_with(values: Sequence[str], suffix: str) -> bool:
    """TP-93"""
    return any(value.endswith(suffix) for value in values)


def any_contains(values: Sequence[str], part: str) -> bool:
    """TP-93"""
    return any(part in value for value in values)


def char_at(text: str, position: int) -> str:
    """'' at the end."""
    _position(position, len(text))
    return text[position : position + 1]


def index_of(text: str, part: str, start: int = 0) -> int:
    return text.find(part, _position(start, len(text)))


def last_index_of(text: str, part: str, upto: int | None = None) -> int:
    """``upto`` is the last position at which the part may begin."""
    if upto is None:
        return text.rfind(part)
    return text.rfind(part, 0, _position(upto, len(text)) + len(part))


def substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else _position(end, len(text))
    _position(start, len(text))
    if start > stop:
        raise Failure(f"invalid substring range: {start} to {stop}")
    return text[start:stop]


def split(text: str, separator: str = " ", count: int = -1) -> list[str]:
    """``'a,b,c'.split(',', 2)`` → ``['a', 'b']``: the first ``count`` parts, the rest is dropped."""
    if count == 0:
        return []
    parts = text.split(separator) if separator else list(text)
    return parts if count < 0 else parts[:count]


def replace(text: str, old: str, new: str, count: int = -1) -> str:
    limit = count if count >= 0 else -1
    found = text.count(old) if limit < 0 else min(limit, text.count(old))
    check_size(len(text) + found * (len(new) - len(old)))
    return text.replace(old, new, limit)


def trim(text: str) -> str:
    """Unicode white space; zero-width characters are none."""
    return text.strip(_SPACE)


def _simple(character: str, mapped: str) -> str:
    """One-to-one case mapping, as Go does: 'ß' and 'İ' stay as long as they are."""
    return mapped if len(mapped) == 1 else character


def lower(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join([_simple(character, "i" if character == "\u0130" else character.lower()) for character in text])


def upper(text: str) -> str:
    if text.isascii():
        return text.upper()
    return "".join([_simple(character, character.upper()) for character in text])


def lower_ascii(text: str) -> str:
    return text.translate(_LOWER)


def upper_ascii(text: str) -> str:
    return text.translate(_UPPER)


def reverse(text: str) -> str:
    return text[::-1]


def quote(text: str) -> str:
    """``strings.quote``: double quotes, escapes; an invalid character becomes U+FFFD."""
    check_size(2 * len(text))
    return '"' + "".join([_quoted(character) for character in text]) + '"'


def _quoted(character: str) -> str:
    if unicodedata.category(character) == "Cs":
        return "\ufffd"
    return _ESCAPES.get(character, character)


def join(values: Sequence[object], separator: str = "") -> str:
    """Strings only."""
    texts = []
    for value in values:
        if not isinstance(value, str):
            raise no_overload(value)
        texts.append(value)
    check_size(sum(map(len, texts)) + len(separator) * max(0, len(texts) - 1))
    return separator.join(texts)
