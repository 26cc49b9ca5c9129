"""Single requests that the gateway makes for itself: for ``http-request``, and for signing keys (TP-325, TP-470 … 475).

The address that is dialled is the one that was checked: names are resolved here and the connection is made to the
resulting address, so that a name cannot mean something else a moment later (P19).

Invariants
    1. An address that is not public is dialled only for hosts that the operator named.
    2. Every redirect is checked like the first URL; credentials do not follow to another origin.
    3. An answer is bounded while it is read, before and after decoding.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from yarl import URL

from gateway.headers import HeaderMap
from gateway.upstream import decoding

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
#: (host, port) → addresses, best first
Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CREDENTIALS = frozenset(("authorization", "cookie", "proxy-authorization", "x-api-key", "api-key"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_AUTO_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class FetchError(Exception):
    """No answer. The text says why, for logs and results; it quotes no credentials."""


@dataclass(frozen=True, slots=True)
class FetchRules:
    """``external``: hosts that may be asked, ``*`` for any with a public address."""

    external: frozenset[str] = frozenset()
    max_redirects: int = 0
    max_bytes: int = 262_144
    https_only: bool = False
    #: hosts may have private addresses: their URLs come from the operator alone
    private: bool = False
    #: whether a redirect beyond the maximum is the answer, rather than a failure
    redirects_are_answers: bool = True

    def admits(self, host: str) -> bool:
        """The host may be asked at all."""
        return host in self.external or "*" in self.external

    def may_dial(self, host: str, address: Address) -> bool:
        """A host that the operator listed by name may have any address (TP-471)."""
        return host in self.external or may_be_dialled(address, private=self.private)


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A request. ``headers`` does not contain ``host`` or ``content-length``."""

    method: str
    url: str
    headers: HeaderMap = field(default_factory=HeaderMap)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class FetchAnswer:
    """An answer; ``body`` is decoded."""

    status: int
    headers: HeaderMap
    body: bytes
    resolved_ip: str


def is_public(address: Address) -> bool:
    """Neither loopback, private, link-local (metadata services), shared, reserved nor multicast, nor hidden in IPv6."""
    address = unwrapped(address)
    if isinstance(address, ipaddress.IPv6Address) and (address.teredo is not None or address.is_site_local):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def may_be_dialled(address: Address, *, private: bool) -> bool:
    """Public, or, with ``private``, of this machine or network; never the address of a metadata service."""
    inner = unwrapped(address)
    return is_public(inner) or (private and not (inner.is_link_local or inner.is_multicast or inner.is_unspecified))


async def resolve_system(host: str, port: int) -> list[str]:
    """By the system's resolver, off the event loop."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Makes requests with one ``ClientSession``, which must not follow redirects or decode by itself."""

    def __init__(self, session: aiohttp.ClientSession, *, resolve: Resolve = resolve_system) -> None:
        self._session = session
        self._resolve = resolve

    async def send(self, request: FetchRequest, rules: FetchRules) -> FetchAnswer:
        """One request and its redirects; raises FetchError. The caller limits the time."""
        for followed in range(rules.max_redirects + 1):
            answer = await self._once(request, rules)
            location = answer.headers.first("location")
            if answer.status not in REDIRECTS or location is None:
                return answer
            if followed == rules.max_redirects:
                if rules.max_redirects == 0 and rules.redirects_are_answers:
                    return answer
                raise FetchError("too many redirects")
            request = redirected(request, answer.status, location)
        raise AssertionError("unreachable")

    async def get(self, url: str, rules: FetchRules) -> bytes:
        """The body of a 200 answer; raises FetchError."""
        answer = await self.send(FetchRequest("GET", url), rules)
        if answer.status != 200:
            raise FetchError(f"status {answer.status}")
        return answer.body

    async def _once(self, request: FetchRequest, rules: FetchRules) -> FetchAnswer:
        parts, host, port = split_url(request.url)
        if rules.https_only and parts.scheme != "https" and not _may_be_plain(host):
            raise FetchError("only https is allowed")
        if not rules.admits(host):
            raise FetchError(f"host '{host}' is not in policy.http_request_allow_external")
        address = await self._address(host, port, rules)
        return await self._exchange(request, parts, host, address, rules)

    async def _address(self, host: str, port: int, rules: FetchRules) -> str:
        """The address to dial: the first that may be dialled."""
        try:
            found = await self._resolve(host, port)
        except OSError:
            raise FetchError(f"host '{host}' cannot be resolved") from None
        for text in found:
            if rules.may_dial(host, ipaddress.ip_address(text.partition("%")[0])):
                return text
        raise FetchError(f"host '{host}' has no address that may be used" if found else f"host '{host}' has no address")

    async def _exchange(
        self, request: FetchRequest, parts: SplitResult, host: str, address: str, rules: FetchRules
    ) -> FetchAnswer:
        literal = f"[{address}]" if ":" in address else address
        port = f":{parts.port}" if parts.port is not None else ""
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        url = URL(f"{parts.scheme}://{literal}{port}{target}", encoded=True)
        headers = [("host", parts.netloc), *request.headers.lines()]
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=request.body or None, allow_redirects=False,
                server_hostname=host if parts.scheme == "https" else None, skip_auto_headers=_AUTO_HEADERS,
            ) as response:  # fmt: skip
                answer_headers = HeaderMap.from_raw(response.raw_headers)
                body = await _read(response, rules.max_bytes)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise FetchError(f"request to '{host}' failed: {type(error).__name__}") from None
        body = await decoded_body(body, answer_headers, rules.max_bytes)
        return FetchAnswer(response.status, answer_headers, body, address)


def split_url(url: str) -> tuple[SplitResult, str, int]:
    """(parts, lower-case host, port); raises FetchError for what is not an http or https URL without credentials."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise FetchError("not a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or not url.isprintable():
        raise FetchError("not an http or https URL")
    return parts, host, port


def _may_be_plain(host: str) -> bool:
    """TP-325: ``http`` will do for loopback and ``.internal`` hosts."""
    return host in ("localhost", "127.0.0.1", "::1") or host.endswith(".internal")


def redirected(request: FetchRequest, status: int, location: str) -> FetchRequest:
    """The request that a redirect asks for (RFC 9110, 15.4)."""
    url = urljoin(request.url, location)
    before, after = urlsplit(request.url), urlsplit(url)
    headers = request.headers.copy()
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        for name in _CREDENTIALS:
            headers.pop(name, None)
    becomes_get = status == 303 or (status in (301, 302) and request.method == "POST")
    if becomes_get and request.method != "HEAD":
        for name in ("content-type", "content-encoding", "content-language"):
            headers.pop(name, None)
        return FetchRequest("GET", url, headers)
    return replace(request, url=url, headers=headers)


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > max_bytes:
            raise FetchError("response size exceeded")
        pieces.append(piece)
    return b"".join(pieces)


async def decoded_body(body: bytes, headers: HeaderMap, max_bytes: int) -> bytes:
    names = [name.strip().lower() for line in headers.get("content-encoding", ()) for name in line.split(",")]
    for name in reversed([name for name in names if name not in ("", "identity")]):
        if name not in decoding.CODINGS:
            raise FetchError("unsupported content-encoding")
        try:
            body = await asyncio.to_thread(decoding.decode, name, body, max_bytes) if body else body
        except decoding.TooLarge:
            raise FetchError("response size exceeded") from None
        except decoding.DecodeError:
            raise FetchError("broken content-encoding") from None
    return body
