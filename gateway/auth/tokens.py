"""The form of tokens, how they are made, hashed and shown (CP-100 to CP-103)."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final, NamedTuple

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PUBLIC_LENGTH: Final = 12
SECRET_LENGTH: Final = 43
LONGEST: Final = 330
GATEWAY_MARK: Final = "g1"
ADMIN_MARK: Final = "a1"

_FORM: Final = re.compile(r"ng-([0-9A-Za-z]{1,64})-(g1|a1)-([0-9A-Za-z]{32,256})")
_BLOCK: Final = 64
_SHOWN_LEAST: Final = 20


class Token(NamedTuple):
    """A well-formed token, taken apart."""

    public: str
    mark: str
    text: str


def new_token(mark: str) -> Token:
    """A token with 256 random bits (CP-100)."""
    public, secret = _random(PUBLIC_LENGTH), _random(SECRET_LENGTH)
    return Token(public, mark, f"ng-{public}-{mark}-{secret}")


def parse_token(text: str) -> Token | None:
    """The parts of a gateway or admin token; None for any other text."""
    found = _FORM.fullmatch(text)
    return Token(found[1], found[2], text) if found else None


def looks_like_gateway_key(text: str) -> bool:
    """AG-186: such a token is always validated, never passed on, even when it is malformed."""
    return text.startswith("ng-") and "-g1-" in text


def looks_like_admin_key(text: str) -> bool:
    """AG-195 (a): such a token never goes upstream."""
    return text.startswith("ng-") and "-a1-" in text


def redact(text: str) -> str:
    """``ng-4f6Ar0a***x9Qz``: the form that lists show (CP-103)."""
    if len(text) >= _SHOWN_LEAST:
        return f"{text[:10]}***{text[-4:]}"
    shown = min(len(text) // 4, 4)
    return f"***{text[-shown:]}" if shown else "***"


class Hasher:
    """HMAC-SHA-256 under the server's pepper (CP-101).

    The two padded blocks are hashed once and copied for each token: 1.3 µs instead of 3.8 µs with ``hmac.digest``
    (CPython 3.11, OpenSSL 3, one core).
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, pepper: bytes) -> None:
        block = (pepper if len(pepper) <= _BLOCK else hashlib.sha256(pepper).digest()).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, token: str) -> bytes:
        inner = self._inner.copy()
        # header bytes that are no UTF-8 arrive as lone surrogates
        inner.update(token.encode(errors="surrogatepass"))
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def __repr__(self) -> str:
        return "Hasher(***)"


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
