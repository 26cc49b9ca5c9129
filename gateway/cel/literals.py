"""The text of literals → their values. Source: cel-spec, "Values" and the escape table of its lexis."""

from __future__ import annotations

import re

_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\\"'`?])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8})|(?P<bad>[\s\S]?))"
)
_PREFIX = re.compile("[rRbB]*")


class LiteralError(ValueError):
    """``offset`` is relative to the literal's first character."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


def decode_text(text: str) -> str | bytes:
    """``r'\\d'`` → the string ``\\d``; ``b'\\xff'`` → one byte. A ``b`` prefix decides the result's type."""
    prefix = _PREFIX.match(text)
    start = prefix.end() if prefix else 0
    marks = text[:start].lower()
    quote = 3 if text[start : start + 3] in ('"""', "'''") and len(text) >= start + 6 else 1
    body = text[start + quote : len(text) - quote]
    raw = "r" in marks
    if "b" in marks:
        if raw or "\\" not in body:
            return body.encode("utf-8", "surrogatepass")
        return _decode_bytes(body, start + quote)
    if raw or "\\" not in body:
        return body
    return _decode_string(body, start + quote)


def _decode_string(body: str, base: int) -> str:
    pieces: list[str] = []
    end = 0
    for match in _ESCAPE.finditer(body):
        pieces.append(body[end : match.start()])
        end = match.end()
        pieces.append(_character(match, base))
    pieces.append(body[end:])
    return "".join(pieces)


def _decode_bytes(body: str, base: int) -> bytes:
    pieces: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(body):
        pieces.append(body[end : match.start()].encode("utf-8", "surrogatepass"))
        end = match.end()
        if match["u4"] or match["u8"]:
            raise LiteralError("a bytes literal has no \\u escapes", base + match.start())
        character = _character(match, base)
        pieces.append(character.encode("ascii") if match["simple"] else bytes((ord(character),)))
    pieces.append(body[end:].encode("utf-8", "surrogatepass"))
    return b"".join(pieces)


def _character(match: re.Match[str], base: int) -> str:
    if match["simple"]:
        return _SIMPLE[match["simple"]]
    if match["octal"]:
        return chr(int(match["octal"], 8))
    digits = match["hex"] or match["u4"] or match["u8"]
    if not digits:
        raise LiteralError(f"unknown escape '\\{match['bad']}'", base + match.start())
    code = int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise LiteralError("not a Unicode code point", base + match.start())
    return chr(code)
