"""The PROXY protocol, versions 1 and 2: the addresses that a load balancer in front announces (SV-13).

``end_of`` and ``parse`` are pure. A header is read before anything else of the connection, TLS included, and not one
byte more than it has. What is no header is never taken for a request: the connection closes without an answer.

Source: the specification published with HAProxy, "The PROXY protocol", sections 2.1 and 2.2.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Final

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V1: Final = b"PROXY "
_V1_LONGEST: Final = 107
_V2_HEAD: Final = 16
#: addresses of two Unix sockets are 216 bytes; the rest is for extensions, which are skipped
_V2_LONGEST: Final = 4_096
_INET, _INET6 = 0x1, 0x2


class NotAnnouncedError(Exception):
    """The connection does not begin with a header of this protocol."""


@dataclass(frozen=True, slots=True)
class Announced:
    """Who really connected, and to which address."""

    client_ip: str
    client_port: int
    server_ip: str
    server_port: int


def end_of(begin: bytes) -> int | None:
    """Length of the header that ``begin`` starts with; None: more is needed. Raises NotAnnouncedError."""
    if begin.startswith(_V1[: len(begin)]):
        end = begin.find(b"\r\n", 0, _V1_LONGEST)
        if end < 0 and len(begin) >= _V1_LONGEST:
            raise NotAnnouncedError("no end of the line")
        return end + 2 if end >= 0 else None
    if not begin.startswith(SIGNATURE[: len(begin)]):
        raise NotAnnouncedError("neither version 1 nor 2")
    if len(begin) < _V2_HEAD:
        return None
    if begin[12] >> 4 != 2 or begin[12] & 0xF > 1:
        raise NotAnnouncedError("unknown version or command")
    length = _V2_HEAD + int.from_bytes(begin[14:16])
    if length > _V2_LONGEST:
        raise NotAnnouncedError("the header is too long")
    return length if len(begin) >= length else None


def parse(header: bytes) -> Announced | None:
    """The addresses of a whole header; None: those of the connection itself count. Raises NotAnnouncedError.

    ``PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\\r\\n`` → the client 192.0.2.1, port 56324.
    """
    try:
        return _parse_v2(header) if header.startswith(SIGNATURE) else _parse_v1(header)
    except (ValueError, struct.error):
        raise NotAnnouncedError("malformed addresses") from None


def _parse_v1(header: bytes) -> Announced | None:
    words = header[:-2].decode("ascii").split(" ")
    if words[1] == "UNKNOWN":
        return None
    version = {"TCP4": 4, "TCP6": 6}.get(words[1])
    if version is None or len(words) != 6:
        raise ValueError
    client, server = (ipaddress.ip_address(word) for word in words[2:4])
    if not client.version == server.version == version:
        raise ValueError
    return Announced(_text(client), _port(words[4]), _text(server), _port(words[5]))


def _parse_v2(header: bytes) -> Announced | None:
    if header[12] & 0xF == 0:  # LOCAL: a health check of the proxy itself
        return None
    family = header[13] >> 4
    if family == _INET:
        client, server, client_port, server_port = struct.unpack_from("!4s4sHH", header, _V2_HEAD)
    elif family == _INET6:
        client, server, client_port, server_port = struct.unpack_from("!16s16sHH", header, _V2_HEAD)
    else:
        return None
    return Announced(_text(ipaddress.ip_address(client)), client_port, _text(ipaddress.ip_address(server)), server_port)


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """IPv4-mapped addresses are written as IPv4 (TP-132)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _port(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and int(word) <= 0xFFFF and str(int(word)) == word):
        raise ValueError
    return int(word)


async def read_announced(loop: asyncio.AbstractEventLoop, sock: socket.socket, limit_s: float) -> Announced | None:
    """Reads the header from a new, non-blocking connection and leaves what follows it unread.

    Raises NotAnnouncedError, TimeoutError or OSError.
    """
    begin = b""
    async with asyncio.timeout(limit_s):
        while True:
            await _readable(loop, sock)
            seen = begin + sock.recv(_V2_LONGEST, socket.MSG_PEEK)
            if len(seen) == len(begin):
                raise NotAnnouncedError("the connection ended")
            end = end_of(seen)
            # Without an end all of it belongs to the header.
            taken = (len(seen) if end is None else end) - len(begin)
            begin += sock.recv(taken)
            if end is not None:
                return parse(begin)


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    descriptor = sock.fileno()
    loop.add_reader(descriptor, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
