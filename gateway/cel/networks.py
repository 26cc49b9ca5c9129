"""Addresses and CIDR ranges (TP 7.7). Nothing here fails: what is no address or range is in no range."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.cel.env import NOT_LITERAL

_CIDR = re.compile(r"[0-9a-fA-F:.]+/[0-9]{1,3}")
_PRIVATE = tuple(IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


@lru_cache(maxsize=1_024)
def address(text: str) -> IPv4Address | IPv6Address | None:
    """The address; None if it is none. IPv4-mapped IPv6 counts as IPv4."""
    if "%" in text or not text.isascii():
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


@lru_cache(maxsize=1_024)
def network(text: str) -> IPv4Network | IPv6Network | None:
    """The range, host bits ignored; None if it is none."""
    if not _CIDR.fullmatch(text):
        return None
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def in_range(text: str, cidr: str) -> bool:
    """``inCidrRange``"""
    return in_ranges(text, (cidr,))


def in_ranges(text: str, cidrs: Sequence[object]) -> bool:
    """``inCidrRanges``: in any of them."""
    found = address(str(text))
    if found is None:
        return False
    networks = [network(cidr) for cidr in cidrs if isinstance(cidr, str)]
    return any(found in place for place in networks if place is not None and place.version == found.version)


def prepare_ranges(literals: Sequence[object]) -> Callable[..., object] | None:
    """Constant ranges are parsed at load."""
    text, cidrs = literals
    if text is not NOT_LITERAL or cidrs is NOT_LITERAL:
        return None
    listed = cidrs if isinstance(cidrs, list) else [cidrs]
    networks = [place for cidr in listed if isinstance(cidr, str) and (place := network(cidr)) is not None]

    def test(candidate: str) -> bool:
        found = address(str(candidate))
        return found is not None and any(place.version == found.version and found in place for place in networks)

    return test


def is_private(text: str) -> bool:
    """RFC 1918, IPv4 only."""
    found = address(str(text))
    return isinstance(found, IPv4Address) and any(found in place for place in _PRIVATE)
