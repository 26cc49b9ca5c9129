"""Ids of resources: prefix + 27 base-62 characters that sort by creation (CP-10).

Eleven characters hold the creation time in nanoseconds, sixteen are random. The alphabet is in ASCII order, so that
text order is numeric order in every database and client.
"""

from __future__ import annotations

import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TIME_DIGITS: Final = 11
RANDOM_DIGITS: Final = 16


def random_text(length: int) -> str:
    """Base-62 characters from the system's random source."""
    # 8 bytes more than the characters hold: the remainder favours none of them by more than 2^-60.
    number = int.from_bytes(secrets.token_bytes(length + 8))
    characters = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        characters.append(ALPHABET[digit])
    return "".join(characters)


class IdSource:
    """Draws increasing ids; ``last`` is the highest time used, kept across restarts by the store."""

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def draw(self, prefix: str, now_ns: int) -> str:
        """A new id, above every earlier one even if the clock went back."""
        self.last = max(self.last + 1, now_ns)
        number, digits = self.last, []
        for _ in range(TIME_DIGITS):
            number, digit = divmod(number, 62)
            digits.append(ALPHABET[digit])
        return prefix + "".join(reversed(digits)) + random_text(RANDOM_DIGITS)
