"""Regular expressions: RE2 syntax and linear time (TP-74). Constant patterns are compiled at load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import re2

from gateway.cel.env import NOT_LITERAL
from gateway.cel.errors import Failure, LimitExceeded

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
#: bytes of automaton; patterns that need more are refused
_OPTIONS.max_mem = 1 << 22
#: instructions of a pattern times characters of a text, tens of nanoseconds each at worst: linear may be long, too
_MOST_WORK = 1 << 26


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Any:
    """The compiled pattern. Dynamic patterns share this cache, which forgets the least recently used."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise Failure(f"invalid regular expression: {text}") from None
    except UnicodeEncodeError:
        raise Failure("invalid regular expression: not UTF-8") from None


def _dynamic_pattern(pattern: str) -> Any:
    """A pattern made at run time: RE2's message quotes it, and it may come from a client (TP-57)."""
    try:
        return compile_pattern(pattern)
    except Failure:
        raise Failure("invalid regular expression") from None


def _clean(text: str) -> str:
    """RE2 reads UTF-8; a lone surrogate (an undecodable byte of a header) counts as one replacement character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def matches(text: str, pattern: str) -> bool:
    """True if the pattern occurs anywhere in the text."""
    return _searcher(_dynamic_pattern(pattern))(text)


def any_matches(values: Sequence[str], pattern: str) -> bool:
    """TP-93"""
    return any(map(_searcher(_dynamic_pattern(pattern)), values))


def _searcher(compiled: Any) -> Callable[[str], bool]:
    search = compiled.search
    longest = _MOST_WORK // max(compiled.programsize, 1)

    def found(text: str) -> bool:
        if len(text) > longest:
            raise LimitExceeded("the text is too long for so large a regular expression")
        # bytes: in a str the wrapper would look up the match's positions, which nobody asks for, for twice the time
        try:
            return search(text.encode()) is not None
        except UnicodeEncodeError:
            return search(_clean(text)) is not None

    return found


def prepare_matches(literals: Sequence[object]) -> Callable[..., object] | None:
    """``matches`` with a constant pattern."""
    text, pattern = literals
    if not isinstance(pattern, str):
        return None
    found = _searcher(compile_pattern(pattern))
    if text is NOT_LITERAL:
        return found
    return (lambda: found(text)) if isinstance(text, str) else None


def prepare_any_matches(literals: Sequence[object]) -> Callable[..., object] | None:
    """The same for a value list."""
    if not isinstance(literals[1], str):
        return None
    found = _searcher(compile_pattern(literals[1]))
    return lambda values: any(map(found, values))
