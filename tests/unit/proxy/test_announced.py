"""Headers of the PROXY protocol: where they end, what they say, what is none (SV-13)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.announced import SIGNATURE, Announced, NotAnnouncedError, end_of, parse

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
PAST = b"GET / HTTP/1.1\r\n\r\n"


def v2(family: int, addresses: bytes, command: int = 1, extension: bytes = b"") -> bytes:
    rest = addresses + extension
    return SIGNATURE + bytes([0x20 | command, family << 4 | 1]) + len(rest).to_bytes(2, "big") + rest


def inet(client: str, server: str, client_port: int, server_port: int) -> bytes:
    packed = ipaddress.ip_address(client).packed + ipaddress.ip_address(server).packed
    return packed + client_port.to_bytes(2, "big") + server_port.to_bytes(2, "big")


HEADERS = {
    "version 1": (V1, Announced("192.0.2.1", 56324, "198.51.100.7", 443)),
    "version 1, IPv6": (
        b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
        Announced("2001:db8::1", 1, "2001:db8::2", 65535),
    ),
    "version 1, mapped": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", Announced("192.0.2.1", 1, "::1", 2)),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", None),
    "version 1, unknown with addresses": (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    "version 2": (
        v2(1, inet("192.0.2.1", "198.51.100.7", 56324, 443)),
        Announced("192.0.2.1", 56324, "198.51.100.7", 443),
    ),
    "version 2, IPv6": (v2(2, inet("2001:db8::1", "::1", 9, 8)), Announced("2001:db8::1", 9, "::1", 8)),
    "version 2, extension": (
        v2(1, inet("192.0.2.1", "198.51.100.7", 1, 2), extension=b"\x04\x00\x03abc"),
        Announced("192.0.2.1", 1, "198.51.100.7", 2),
    ),
    "version 2, local": (v2(0, b"", command=0), None),
    "version 2, Unix sockets": (v2(3, bytes(216)), None),
}


@pytest.mark.parametrize("name", HEADERS)
def test_sv_13_headers_end_where_they_end_and_say_what_they_say(name: str) -> None:
    header, said = HEADERS[name]
    for cut in range(len(header)):
        assert end_of(header[:cut]) is None
    assert end_of(header + PAST) == end_of(header) == len(header)
    assert parse(header) == said


@pytest.mark.parametrize(
    "begin",
    [
        PAST, b"\x16\x03\x01", b"PROXY TCP4 " + b"1" * 200, b"proxy tcp4", SIGNATURE + b"\x11\x11\x00\x00",
        SIGNATURE + b"\x22\x11\x00\x00", SIGNATURE + b"\x21\x11\xff\xff", b"\r\n\r\nGET",
    ],
)  # fmt: skip
def test_sv_13_what_is_no_header_is_refused_at_once(begin: bytes) -> None:
    with pytest.raises(NotAnnouncedError):
        end_of(begin)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY \r\n", b"PROXY TCP4\r\n", b"PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n",
        b"PROXY TCP9 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 70000 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 \xc3\xa9 192.0.2.2 1 2\r\n", v2(1, b"short"),
    ],
)  # fmt: skip
def test_sv_13_malformed_addresses_are_refused(header: bytes) -> None:
    assert end_of(header) == len(header)
    with pytest.raises(NotAnnouncedError):
        parse(header)


@given(
    st.binary(max_size=200)
    | st.binary(max_size=60).map(lambda rest: SIGNATURE + rest)
    | st.binary().map(b"PROXY ".__add__)
)
def test_no_bytes_raise_anything_else(begin: bytes) -> None:
    try:
        end = end_of(begin)
        if end is not None:
            parse(begin[:end])
    except NotAnnouncedError:
        pass
