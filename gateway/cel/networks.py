"""Addresses and CIDR ranges (TP 7.7). Nothing here fails: what is no address or range is in no range.

An address is a number: IPv4 as it is, IPv6 above all of IPv4, IPv4-mapped IPv6 as IPv4. A range is the numbers from its
first address up to, not including, the one behind its last. A list of ranges is a sorted tuple of such bounds, merged,
so that one bisection answers for all of them: a number is inside where it stands behind an odd count of bounds.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from gateway.cel.env import NOT_LITERAL

Number = TypeVar("Number", int, float)
_CIDR = re.compile(r"[0-9a-fA-F:.]+/[0-9]{1,3}")
#: where IPv6 begins
_SIXTH = 1 << 32


@lru_cache(maxsize=4_096)
def number_of(text: str) -> float:
    """The address as a number; NaN, which lies before and behind nothing, if it is none."""
    if "%" in text or not text.isascii():
        return math.nan
    try:
        found = ip_address(text)
    except ValueError:
        return math.nan
    return _number(found)


def _number(address: IPv4Address | IPv6Address) -> int:
    if isinstance(address, IPv4Address):
        return int(address)
    mapped = address.ipv4_mapped
    return int(mapped) if mapped is not None else int(address) + _SIXTH


@lru_cache(maxsize=1_024)
def range_of(cidr: str) -> tuple[int, int] | None:
    """First address and the one behind the last, host bits ignored; None if it is no range."""
    if not _CIDR.fullmatch(cidr):
        return None
    try:
        network = ip_network(cidr, strict=False)
    except ValueError:
        return None
    first = int(network.network_address) + (_SIXTH if isinstance(network, IPv6Network) else 0)
    return first, first + network.num_addresses


def bounds_of(cidrs: Iterable[object]) -> tuple[int, ...]:
    """The bounds of all ranges in a list; what is no range is left out."""
    return merged(found for cidr in cidrs if isinstance(cidr, str) and (found := range_of(cidr)))


def merged(ranges: Iterable[tuple[Number, Number]]) -> tuple[Number, ...]:
    """Bounds in order, where no two ranges touch."""
    bounds: list[Number] = []
    for first, behind in sorted(ranges):
        if bounds and first <= bounds[-1]:
            bounds[-1] = max(bounds[-1], behind)
        else:
            bounds += (first, behind)
    return tuple(bounds)


def in_range(text: str, cidr: str) -> bool:
    """``inCidrRange``"""
    found = range_of(str(cidr))
    return found is not None and found[0] <= number_of(str(text)) < found[1]


def in_ranges(text: str, cidrs: Sequence[object]) -> bool:
    """``inCidrRanges``: in any of them."""
    number = number_of(str(text))
    found = [range_of(str(cidr)) for cidr in cidrs if isinstance(cidr, str)]
    return any(place[0] <= number < place[1] for place in found if place is not None)


def literal_ranges(literals: object) -> list[object]:
    """The second argument of both functions as a list."""
    return literals if isinstance(literals, list) else [literals]


def prepare_ranges(literals: Sequence[object]) -> Callable[..., object] | None:
    """Constant ranges are parsed at load."""
    text, cidrs = literals
    if text is not NOT_LITERAL or cidrs is NOT_LITERAL:
        return None
    bounds = bounds_of(literal_ranges(cidrs))

    def inside(candidate: str) -> bool:
        return bisect_right(bounds, number_of(candidate)) & 1 == 1

    return inside


_PRIVATE = bounds_of(("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def is_private(text: str) -> bool:
    """RFC 1918, IPv4 only."""
    return bisect_right(_PRIVATE, number_of(str(text))) & 1 == 1
