"""Find and replace with RE2 over bytes (TP-390 … TP-392, TP-440 … TP-442). Pure.

Subjects are bytes, so that what cannot be decoded stays as it is; patterns match UTF-8 characters in them.

Invariants
    1. Time is linear in the subject for each match (RE2), and ``deadline`` bounds the sum over all matches.
    2. A result never grows beyond ``limit_bytes``; every failure raises and nothing is replaced in part.
    3. Backslashes in ``to`` are plain text; the result is not searched again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import re2

#: bytes of automaton; a pattern that needs more is refused
_MAX_MEMORY = 1 << 22
#: matches between two looks at the clock
_STRIDE = 64

#: what stands in ``to``: text, or the number of a capture group
Part = bytes | int


class PatternError(ValueError):
    """The text is not a regular expression that RE2 accepts. The message says why and quotes nothing."""


class ReplaceError(ValueError):
    """The replacement would take too long or become too large."""


class Pattern(NamedTuple):
    """A compiled expression. ``compiled`` is RE2's."""

    compiled: Any
    groups: int
    names: dict[bytes, int]


class Replaced(NamedTuple):
    """``matches`` holds the first matched texts, as many as were asked for; ``found`` is how many there were."""

    result: bytes
    matches: list[bytes]
    found: int


def compile_pattern(source: str) -> Pattern:
    """Compiles; RE2's wrapper keeps the last 128, so that patterns out of interpolation are not compiled each time."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        compiled = re2.compile(source.encode(), options)
    except re2.error as error:
        reason = error.args[0] if error.args else b""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        # RE2 appends the offending part after a colon: policies may hold secrets (TP-24)
        raise PatternError(text.partition(":")[0]) from None
    except UnicodeEncodeError:
        raise PatternError("not UTF-8") from None
    return Pattern(compiled, compiled.groups, dict(compiled.groupindex))


_REFERENCE = re.compile(rb"\$(?:(\$)|([0-9]+)|([A-Za-z_][A-Za-z0-9_]*))")


def compile_target(to: str, pattern: Pattern) -> tuple[Part, ...]:
    """``$n`` is a group, empty when there is none; ``$$`` is ``$``; ``$name`` a named group, else literal (TP-392).

    ``a$1b$$`` → ``(b'a', 1, b'b', b'$')``.
    """
    source = to.encode("utf-8", "surrogateescape")
    parts: list[Part] = []
    end = 0
    for reference in _REFERENCE.finditer(source):
        parts.append(source[end : reference.start()])
        end = reference.end()
        dollar, digits, name = reference.groups()
        if dollar:
            parts.append(b"$")
        elif digits:
            number = int(digits) if len(digits) < 6 else pattern.groups + 1
            if number <= pattern.groups:
                parts.append(number)
        else:
            parts.append(pattern.names.get(name, reference.group()))
    parts.append(source[end:])
    return tuple(part for part in parts if part != b"")


def _expand(parts: Sequence[Part], match: Any) -> bytes:
    return b"".join([(match.group(part) or b"") if isinstance(part, int) else part for part in parts])


def _inside_character(subject: bytes, position: int) -> bool:
    return position < len(subject) and subject[position] & 0xC0 == 0x80


def replace_all(
    pattern: Pattern, target: Sequence[Part], subject: bytes, *, limit_bytes: int, keep: int = 1,
    expired: Callable[[], bool] | None = None,
) -> Replaced:  # fmt: skip
    """All matches replaced, from left to right; the first ``keep`` matched texts come along.

    ``target`` is from ``compile_target``. ``expired``: asked now and then, True when the time is over.
    """
    pieces: list[bytes] = []
    matches: list[bytes] = []
    found = end = 0
    size = len(subject)
    for match in pattern.compiled.finditer(subject):
        start, stop = match.span()
        if start == stop and ((found and start == end) or _inside_character(subject, start)):
            continue  # nothing right behind a match is no second match, as in RE2's own replacing
        found += 1
        if len(matches) < keep:
            matches.append(subject[start:stop])
        piece = _expand(target, match)
        size += len(piece) - (stop - start)
        if size > limit_bytes:
            raise ReplaceError(f"the result is larger than {limit_bytes} bytes")
        if expired is not None and found % _STRIDE == 1 and expired():
            raise ReplaceError("the replacement took too long")
        pieces += (subject[end:start], piece)
        end = stop
    if not found:
        return Replaced(subject, matches, 0)
    pieces.append(subject[end:])
    return Replaced(b"".join(pieces), matches, found)
