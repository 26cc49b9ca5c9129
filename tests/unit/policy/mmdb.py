"""Writes MaxMind databases for tests, by the format's public description: a tree over the bits of addresses, then the
values, then what the file says about itself. Records have 24 bits; values are written once each, without pointers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

_SEPARATOR = bytes(16)
_METADATA = b"\xab\xcd\xefMaxMind.com"
_TEXT, _DOUBLE, _UINT16, _UINT32, _MAP, _UINT64, _LIST, _BOOL = 2, 3, 5, 6, 7, 9, 11, 14
#: numbers of the metadata that are not of 32 bits
_KINDS = {
    "binary_format_major_version": _UINT16, "binary_format_minor_version": _UINT16, "build_epoch": _UINT64,
    "ip_version": _UINT16, "record_size": _UINT16,
}  # fmt: skip


def _head(kind: int, size: int) -> bytes:
    """The control byte, a byte for the kinds above 7, and up to two for sizes above 28."""
    extra = b"" if size < 29 else bytes((size - 29,)) if size < 285 else struct.pack(">H", size - 285)
    shown = min(size, 29 if size < 285 else 30)
    return bytes((shown,)) + bytes((kind - 7,)) + extra if kind > 7 else bytes((kind << 5 | shown,)) + extra


def encoded(value: Any) -> bytes:
    """A value of the format's data section."""
    if isinstance(value, bool):
        return _head(_BOOL, int(value))
    if isinstance(value, int):
        return _number(value, _UINT32)
    if isinstance(value, float):
        return _head(_DOUBLE, 8) + struct.pack(">d", value)
    if isinstance(value, str):
        return _head(_TEXT, len(value.encode())) + value.encode()
    if isinstance(value, Mapping):
        return _head(_MAP, len(value)) + b"".join(_member(key, item) for key, item in value.items())
    return _head(_LIST, len(value)) + b"".join(map(encoded, value))


def _number(value: int, kind: int) -> bytes:
    digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return _head(kind, len(digits)) + digits


def _member(key: str, value: Any) -> bytes:
    return encoded(key) + (_number(value, _KINDS[key]) if key in _KINDS else encoded(value))


def write_database(path: Path, kind: str, entries: Mapping[str, Any], *, ip_version: int = 6) -> Path:
    """A database of type ``kind``: network → value. IPv4 lies in IPv6 where the first 96 bits are zero."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for network, value in entries.items():
        _insert(nodes, network, encoded(value), ip_version)
    values, offsets = b"", {}
    for node in nodes:
        for side in node:
            if isinstance(side, bytes) and side not in offsets:
                offsets[side] = len(values)
                values += side
    count = len(nodes)
    tree = b"".join(
        (count if side is None else side if isinstance(side, int) else count + 16 + offsets[side]).to_bytes(3, "big")
        for node in nodes
        for side in node
    )
    about = {
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_700_000_000,
        "database_type": kind, "description": {"en": "for tests"}, "ip_version": ip_version, "languages": ["en"],
        "node_count": count, "record_size": 24,
    }  # fmt: skip
    path.write_bytes(tree + _SEPARATOR + values + _METADATA + encoded(about))
    return path


def _insert(nodes: list[list[int | bytes | None]], network: str, value: bytes, ip_version: int) -> None:
    place = ip_network(network)
    bits = f"{int(place.network_address):0{place.max_prefixlen}b}"[: place.prefixlen]
    if place.version == 4 and ip_version == 6:
        bits = "0" * 96 + bits
    node = 0
    for bit in map(int, bits[:-1]):
        following = nodes[node][bit]
        if not isinstance(following, int):
            nodes.append([following, following])
            following = nodes[node][bit] = len(nodes) - 1
        node = following
    nodes[node][int(bits[-1])] = value
