"""Networks and addresses (TP-132, TP-303, P32), against the standard library."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.addresses import CidrSet, parse_address, parse_cidr

NETWORKS = st.one_of(
    st.builds(
        lambda number, length: ip_network((number, length), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
    ),
    st.builds(
        lambda number, length: IPv6Network((number, length), strict=False),
        st.integers(0x2001 << 112, (0x2002 << 112) - 1),
        st.integers(0, 128),
    ),
)


@given(networks=st.lists(NETWORKS, max_size=12), data=st.data())
def test_the_first_network_that_holds_an_address(
    networks: list[IPv4Network | IPv6Network], data: st.DataObject
) -> None:
    address: IPv4Address | IPv6Address = data.draw(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
    inside: int = data.draw(st.integers(0, 2**32))
    if networks and inside:
        chosen = networks[inside % len(networks)]
        address = chosen[inside % chosen.num_addresses]
    expected = next((str(network) for network in networks if address in network), None)
    assert CidrSet(networks).find(address) == expected


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", IPv4Address("203.0.113.7")),
        ("::ffff:203.0.113.7", IPv4Address("203.0.113.7")),
        ("fe80::1%eth0", IPv6Address("fe80::1")),
        ("", None),
        ("0x7f000001", None),
        ("203.0.113.007", None),
        ("host", None),
    ],
)
def test_addresses(text: str, address: object) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::/0", "::/0"),
        ("::ffff:0:0/95", "::fffe:0:0/95"),
        ("10.0.0.0", None),
        ("10.0.0.0/", None),
        ("10.0.0.0/+8", None),
        ("10.0.0.0/33", None),
        ("fe80::%eth0/64", None),
    ],
)
def test_networks(text: str, network: str | None) -> None:
    parsed = parse_cidr(text)
    assert (None if parsed is None else str(parsed)) == network


def test_an_empty_set_is_false() -> None:
    assert not CidrSet([])
    assert CidrSet([ip_network("0.0.0.0/0")])
    assert CidrSet([]).find(ip_address("10.0.0.1")) is None
