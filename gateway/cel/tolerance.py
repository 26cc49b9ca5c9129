"""Tolerant reading of what people paste (TP-79, TP-118), and where a ``${…}`` ends (TP-112).

Both need no more of CEL than string literals, comments and braces, so one small scanner serves them. Repairs keep the
length of the text: positions stay those of what the author wrote.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# In order: string literals (raw ones first), comments, backslash-quote, ${, braces, anything else.
_TOKEN = re.compile(
    r"""(?P<string>
      (?:[bB]?[rR]|[rR][bB])(?:'''[\s\S]*?'''|\"\"\"[\s\S]*?\"\"\"|'[^'\r\n]*'|"[^"\r\n]*")
    | [bB]?(?:'''(?:\\[\s\S]|[^\\])*?'''|\"\"\"(?:\\[\s\S]|[^\\])*?\"\"\"|'(?:\\.|[^'\\\r\n])*'|"(?:\\.|[^"\\\r\n])*"))
    | (?P<comment>//[^\n]*)
    | (?P<escaped>\\['"])
    | (?P<dollar>\$\{)
    | (?P<open>\{)
    | (?P<close>\})
    | (?P<word>\w+)
    | (?P<other>[\s\S])""",
    re.X,
)

_ESCAPED_ESCAPE = re.compile(r"\\\\\\(['\"])|\\(['\"])|[^\\]|\\")


class Repaired(NamedTuple):
    """``text`` has the length of the original; one warning with its offset per kind of repair."""

    text: str
    warnings: tuple[tuple[int, str], ...]


def repair(text: str) -> Repaired:
    """``${E}`` → ``(E)``, ``\\"x\\"`` → ``"x"``, both outside string literals."""
    if "\\" not in text and "${" not in text:
        return Repaired(text, ())
    pieces: list[str] = []
    warnings: dict[str, int] = {}
    braces: list[bool] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            break
        piece = match.group()
        kind = match.lastgroup
        end = match.end()
        if kind == "escaped":
            warnings.setdefault("a backslash before a quote is ignored here", position)
            end, piece = _escaped_literal(text, position)
        elif kind == "dollar":
            warnings.setdefault("'${…}' inside an expression is read as '(…)'", position)
            braces.append(True)
            piece = " ("
        elif kind == "open":
            braces.append(False)
        elif kind == "close" and braces and braces.pop():
            piece = ")"
        pieces.append(piece)
        position = end
    return Repaired("".join(pieces), tuple((offset, message) for message, offset in warnings.items()))


def _escaped_literal(text: str, start: int) -> tuple[int, str]:
    """``\\"it\\"`` at ``start`` → (its end, ``"it"`` padded to the same length).

    A literal that opens with an escaped quote ends with the same one; an escaped quote inside it was escaped twice.
    """
    quote = text[start + 1]
    inner: list[str] = []
    position = start + 2
    while match := _ESCAPED_ESCAPE.match(text, position):
        position = match.end()
        if match[2] == quote:
            return position, f" {quote}{''.join(inner)}{quote} "
        if match[1]:
            inner.append(f"\\x{ord(match[1]):02x}")
        elif match.group() == quote:
            inner.append(quote)
        else:
            inner.append(match.group())
    return start + 2, f" {quote}"


def find_end(text: str, start: int) -> int:
    """Offset of the ``}`` that closes a ``${`` whose content begins at ``start``; -1 if there is none."""
    depth = 0
    position = start
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return -1
        kind = match.lastgroup
        position = match.end()
        if kind == "escaped":
            position, _ = _escaped_literal(text, match.start())
        elif kind in ("open", "dollar"):
            depth += 1
        elif kind == "close":
            if depth == 0:
                return match.start()
            depth -= 1
    return -1
