"""Networks by prefix: which of many CIDRs holds an address, at a cost that does not grow with their number (P32).

Pure. IPv4-mapped IPv6 addresses and networks are IPv4 (TP-132, TP-303).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED_BITS = 96


@lru_cache(maxsize=4_096)
def parse_address(text: str) -> Address | None:
    """An address without its zone; None for what is none (a Unix socket has no address)."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=4_096)
def parse_cidr(text: str) -> Network | None:
    """``10.1.2.3/8`` → ``10.0.0.0/8``; None without a prefix length."""
    address, slash, length = text.partition("/")
    if not slash or not (length.isascii() and length.isdigit()) or "%" in address:
        return None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network


class CidrSet:
    """Networks in order; ``find`` gives the first that holds an address."""

    __slots__ = ("_lengths",)

    def __init__(self, networks: Iterable[Network]) -> None:
        #: version → prefix length → (network's leading bits → its place and text)
        self._lengths: dict[int, dict[int, dict[int, tuple[int, str]]]] = {4: {}, 6: {}}
        for place, network in enumerate(networks):
            leading = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            found = self._lengths[network.version].setdefault(network.prefixlen, {})
            found.setdefault(leading, (place, str(network)))

    def find(self, address: Address) -> str | None:
        """The first network that holds it, as text."""
        number, bits = int(address), address.max_prefixlen
        best: tuple[int, str] | None = None
        for length, networks in self._lengths[address.version].items():
            found = networks.get(number >> (bits - length))
            if found is not None and (best is None or found < best):
                best = found
        return None if best is None else best[1]

    def __bool__(self) -> bool:
        return any(self._lengths.values())


class IpRules:
    """Allowed and denied networks: of one ``restrict-ips`` action, or of one IP policy."""

    __slots__ = ("allow", "deny")

    def __init__(self, allow: Iterable[Network], deny: Iterable[Network]) -> None:
        self.allow = CidrSet(allow)
        self.deny = CidrSet(deny)


class IpPolicyTable:
    """IP policies by id. Replaced as a whole; actions look their policies up for every request (TP-305)."""

    def __init__(self, policies: Mapping[str, IpRules] | None = None) -> None:
        self._policies: Mapping[str, IpRules] = dict(policies or {})

    def replace(self, policies: Mapping[str, IpRules]) -> None:
        """New policies, at once and for all endpoints."""
        self._policies = dict(policies)

    def get(self, id: str) -> IpRules | None:
        """The policy, or None."""
        return self._policies.get(id)
