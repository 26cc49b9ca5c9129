"""A value that must not be seen: provider keys, vault secrets, tokens.

Invariants
    1. ``reveal`` is the only way to the value; ``repr``, ``str``, ``format``, ``json`` and pickling never give it.
    2. Comparison takes the same time wherever two values differ.
Source: ai-gateway.md AG-208; package docstring, rule 1.
"""

from __future__ import annotations

import hmac
from typing import Final, NoReturn

MASK: Final = "***"
_TRIMMED_LEAST = 16


class Secret:
    """Holds one secret string. Equal to another Secret, or to a plain string, with the same value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The plain value; the caller keeps it out of logs, errors, events and results."""
        return self._value

    def trimmed(self) -> str:
        """``sk-proj...f3Qx``: enough to tell keys apart; shorter than 16 characters gives ``***`` (AG-208)."""
        value = self._value
        return f"{value[:7]}...{value[-4:]}" if len(value) >= _TRIMMED_LEAST else MASK

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Secret):
            other = other._value
        elif not isinstance(other, str):
            return NotImplemented
        return hmac.compare_digest(_encoded(self._value), _encoded(other))

    def __hash__(self) -> int:
        return hash(self._value)

    def __bool__(self) -> bool:
        """False for the empty value, as for a string."""
        return bool(self._value)

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")


def _encoded(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")
