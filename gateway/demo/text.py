"""Deterministic words, ids and token counts: the same seed gives the same text, streamed or not. Pure."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator

_WORDS = (
    "the", "gateway", "chooses", "a", "provider", "and", "every", "token", "passes", "through", "unchanged", "while",
    "policies", "decide", "what", "may", "go", "where", "keys", "fail", "over", "quietly", "streams", "keep", "their",
    "order", "limits", "hold", "under", "load", "answers", "arrive", "on", "time",
)  # fmt: skip
_SCRIPTS = (
    "grüße", "東京", "здравствуй", "🙂", "مرحبا", "naïve", "日本語", "👩‍🚀", "ελληνικά", "한국어", "नमस्ते", "±½",
)  # fmt: skip
_SENTENCE = 11
_BIG_TOKEN = 4_096
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def seed_of(*parts: str) -> int:
    """A number that depends on nothing but the texts."""
    return zlib.crc32("\0".join(parts).encode())


def tokens(seed: int, n: int, *, unicode: bool = False, pad_bytes: int = 0) -> Iterator[str]:
    """``n`` tokens whose concatenation is the text: ``The``, `` gateway``, … each with its leading space."""
    words = _SCRIPTS if unicode else _WORDS
    pad = "x" * pad_bytes
    step = 1 + seed % (len(words) - 1)
    place = seed % len(words)
    for number in range(n):
        place = (place + step + number % 3) % len(words)
        word = words[place]
        if number % _SENTENCE == 0:
            word = word.capitalize()
        end = "." if number % _SENTENCE == _SENTENCE - 1 or number == n - 1 else ""
        yield f"{' ' if number else ''}{word}{pad}{end}"


def big_tokens(size: int) -> Iterator[str]:
    """Tokens of 4 KiB whose concatenation is exactly ``size`` bytes."""
    block = "".join(f"{number:07d} " for number in range(_BIG_TOKEN // 8))
    for start in range(0, size, _BIG_TOKEN):
        yield block[: size - start]


def big_count(size: int) -> int:
    """How many tokens ``big_tokens`` gives."""
    return -(-size // _BIG_TOKEN)


def estimate_tokens(text: str) -> int:
    """A token is four characters here: close enough for a demo, and the same everywhere."""
    return -(-len(text) // 4)


def make_id(prefix: str, number: int, length: int, alphabet: str = _ALPHABET) -> str:
    """``make_id("chatcmpl-", 7, 29)``: looks random, depends only on its arguments."""
    value = int.from_bytes(hashlib.sha256(f"{prefix}{number}".encode()).digest(), "big")
    letters = []
    for _ in range(length):
        value, place = divmod(value, len(alphabet))
        letters.append(alphabet[place])
    return prefix + "".join(letters)


def make_hex_id(prefix: str, number: int, length: int) -> str:
    """``req_`` and hexadecimal digits."""
    return make_id(prefix, number, length, "0123456789abcdef")
