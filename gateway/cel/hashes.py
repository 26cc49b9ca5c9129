"""Hashes of a string's UTF-8 (TP 7.3), as lower-case hex or base64 of the big-endian bytes."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from gateway.cel.conversions import utf8
from gateway.cel.encoding import encode_base64
from gateway.cel.errors import Failure

_MASK = 2**64 - 1
#: ISO 3309, reversed
_CRC64 = 0xD800000000000000
_PRIMES = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
)  # fmt: skip


@lru_cache(maxsize=1)
def _crc64_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (_CRC64 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def crc64(content: bytes) -> bytes:
    """As Go's ``hash/crc64`` with the ISO polynomial."""
    table = _crc64_table()
    value = _MASK
    for byte in content:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return (value ^ _MASK).to_bytes(8, "big")


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> 64 - bits) & _MASK


def _round(lane: int, word: int) -> int:
    return _rotate((lane + word * _PRIMES[1]) & _MASK, 31) * _PRIMES[0] & _MASK


def _stripes(content: bytes, end: int) -> int:
    """The four lanes over all whole 32-byte stripes, merged."""
    first, second = _PRIMES[0], _PRIMES[1]
    lanes = [(first + second) & _MASK, second, 0, -first & _MASK]
    for start in range(0, end, 32):
        for index in range(4):
            offset = start + 8 * index
            lanes[index] = _round(lanes[index], int.from_bytes(content[offset : offset + 8], "little"))
    value = sum(_rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
    for lane in lanes:
        value = ((value ^ _round(0, lane)) * first + _PRIMES[3]) & _MASK
    return value


def xxhash64(content: bytes) -> bytes:
    """XXH64, seed 0."""
    first, second, third, fourth, fifth = _PRIMES
    position = len(content) // 32 * 32
    value = _stripes(content, position) if position else fifth
    value = (value + len(content)) & _MASK
    while position + 8 <= len(content):
        word = int.from_bytes(content[position : position + 8], "little")
        value = (_rotate(value ^ _round(0, word), 27) * first + fourth) & _MASK
        position += 8
    if position + 4 <= len(content):
        word = int.from_bytes(content[position : position + 4], "little")
        value = (_rotate(value ^ word * first & _MASK, 23) * second + third) & _MASK
        position += 4
    for byte in content[position:]:
        value = _rotate(value ^ byte * fifth & _MASK, 11) * first & _MASK
    value = (value ^ value >> 33) * second & _MASK
    value = (value ^ value >> 29) * third & _MASK
    return (value ^ value >> 32).to_bytes(8, "big")


#: no library of ours has them
IN_PYTHON = frozenset(("crc64", "xxhash64"))
HASHES: Mapping[str, Callable[[bytes], bytes]] = {
    "crc32": lambda content: zlib.crc32(content).to_bytes(4, "big"),
    "crc64": crc64,
    "md5": lambda content: hashlib.md5(content, usedforsecurity=False).digest(),
    "sha1": lambda content: hashlib.sha1(content, usedforsecurity=False).digest(),
    "sha256": lambda content: hashlib.sha256(content).digest(),
    "sha512": lambda content: hashlib.sha512(content).digest(),
    "xxhash64": xxhash64,
}


def digest_function(name: str) -> Callable[..., str]:
    """``f(text)`` and ``f(text, format)``."""
    compute = HASHES[name]

    def digest(text: str, form: str = "hex") -> str:
        content = compute(utf8(text))
        if form == "hex":
            return content.hex()
        if form == "base64":
            return encode_base64(content)
        raise Failure("hash format must be 'hex' or 'base64'")

    return digest


def check_format(literals: Sequence[object]) -> str | None:
    """A literal format other than the two is found at load."""
    form = literals[-1] if len(literals) == 2 else "hex"
    return "hash format must be 'hex' or 'base64'" if isinstance(form, str) and form not in ("hex", "base64") else None
