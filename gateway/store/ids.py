"""Ids of resources: prefix + 27 base-62 characters that sort by creation (CP-10).

Eleven characters hold the creation time in nanoseconds, sixteen are random. The alphabet is in ASCII order, so that
text order is numeric order in every database and client. What is written many times a second (usage events) is kept by
the number of its time alone; its other sixteen characters follow from what it says.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TIME_DIGITS: Final = 11
RANDOM_DIGITS: Final = 16


def random_text(length: int) -> str:
    """Base-62 characters from the system's random source."""
    # 8 bytes more than the characters hold: the remainder favours none of them by more than 2^-60.
    return _digits(int.from_bytes(secrets.token_bytes(length + 8)), length)


def derived_id(prefix: str, number: int, seed: str) -> str:
    """The id of what is kept under a number that ``IdSource.reserve`` gave; the same at every call."""
    rest = int.from_bytes(hashlib.blake2b(seed.encode(errors="surrogatepass"), digest_size=RANDOM_DIGITS + 8).digest())
    return prefix + _digits(number, TIME_DIGITS) + _digits(rest, RANDOM_DIGITS)


def _digits(number: int, length: int) -> str:
    """The last ``length`` base-62 digits."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


class IdSource:
    """Draws increasing ids; ``last`` is the highest time used, kept across restarts by the store."""

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def draw(self, prefix: str, now_ns: int) -> str:
        """A new id, above every earlier one even if the clock went back."""
        return prefix + _digits(self.reserve(1, now_ns), TIME_DIGITS) + random_text(RANDOM_DIGITS)

    def reserve(self, count: int, now_ns: int) -> int:
        """The first of ``count`` numbers in a row, above all earlier ones."""
        first = max(self.last + 1, now_ns)
        self.last = first + count - 1
        return first
