"""Upstream connections: idle ones kept by origin, new ones dialled with every address checked.

Invariants
    1. A pooled connection carries no credential and no state of the request before (AG-55).
    2. An address that ``refused`` names is never dialled, whatever the host name resolved to (AG-46).
    3. Nothing here limits how many connections are open; limits belong to the listener.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.eager import in_task
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.framing import ParseHead
from gateway.upstream.tls_transport import TlsTransport

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.upstream.origin import Origin

IDLE_LIMIT_S = 60.0
IDLE_PER_ORIGIN = 1_024
DNS_TTL_S = 15.0
_DNS_LIMIT = 1_024


class ConnectFailed(OSError):  # noqa: N818 - reads as what it is
    """No connection could be made; the text is safe to show (no credential can be in it)."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How to dial: trust roots (``tls`` allows no renegotiation), the address check, the connect limit in seconds."""

    tls: ssl.SSLContext
    connect_timeout_s: float
    #: True for an address that must never be dialled (AG-46)
    refused: Callable[[str], bool]


class Pool:
    """``take`` an idle connection or ``dial`` a new one; connections return by themselves."""

    def __init__(
        self, *, loop: asyncio.AbstractEventLoop, clock: Clock, parse_head: ParseHead, options: PoolOptions
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._parse_head = parse_head
        self.options = options
        # dicts as ordered sets: newest out first, any one removed in constant time
        self._idle: dict[Origin, dict[UpstreamConnection, None]] = {}
        self._open: set[UpstreamConnection] = set()
        self._addresses: dict[tuple[str, int], tuple[float, list[tuple[int, str]]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def open_count(self) -> int:
        """Connections open, idle ones included."""
        return len(self._open)

    @property
    def idle_count(self) -> int:
        return sum(len(idle) for idle in self._idle.values())

    def take(self, origin: Origin) -> UpstreamConnection | None:
        """The idle connection used last, or None."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.reused = True
                return connection
        return None

    async def dial(self, origin: Origin, limit_s: float) -> UpstreamConnection:
        """A new connection; raises ConnectFailed after ``connect_timeout_s``, TimeoutError after a shorter limit."""
        connect_s = self.options.connect_timeout_s
        await in_task()
        try:
            async with asyncio.timeout(min(connect_s, limit_s)):
                return await self._dial(origin)
        except TimeoutError:
            if limit_s < connect_s:
                raise
            raise ConnectFailed(
                f"connecting to {origin} took longer than {self.options.connect_timeout_s:g} s"
            ) from None

    async def _dial(self, origin: Origin) -> UpstreamConnection:
        failure: Exception | None = None
        for _, address in await self._resolve(origin):
            try:
                return await self._open_one(origin, address)
            except (OSError, ssl.SSLError) as error:
                failure = error
        raise ConnectFailed(_explain(origin, failure))

    async def _open_one(self, origin: Origin, address: str) -> UpstreamConnection:
        connection = UpstreamConnection(origin, self._parse_head, self._released)
        loop, port = self._loop, origin.port
        if origin.scheme == "https":
            tls = TlsTransport(connection, self.options.tls, origin.host, loop.create_future())
            plain, _ = await loop.create_connection(lambda: tls, address, port)
            try:
                await tls.established
            except BaseException:
                plain.abort()
                raise
        else:
            await loop.create_connection(lambda: connection, address, port)
        self._open.add(connection)
        return connection

    async def _resolve(self, origin: Origin) -> list[tuple[int, str]]:
        """(family, address) pairs that may be dialled; remembered for ``DNS_TTL_S``, the cache is bounded."""
        key = (origin.host, origin.port)
        known = self._addresses.get(key)
        now = self._clock.monotonic()
        if known is not None and known[0] > now:
            return known[1]
        try:
            found = await self._loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ConnectFailed(f"cannot resolve {origin.host}: {error.strerror or error}") from None
        addresses = [(int(family), str(where[0])) for family, _, _, _, where in found]
        allowed = [(family, address) for family, address in addresses if not self.options.refused(address)]
        if not allowed:
            raise ConnectFailed(f"the address of {origin.host} is not allowed")
        if len(self._addresses) >= _DNS_LIMIT:
            self._addresses.clear()
        self._addresses[key] = (now + DNS_TTL_S, allowed)
        return allowed

    def _released(self, connection: UpstreamConnection, reusable: bool) -> None:
        if not reusable:
            self._open.discard(connection)
            idle = self._idle.get(connection.origin)
            if idle is not None:
                idle.pop(connection, None)
            return
        idle = self._idle.setdefault(connection.origin, {})
        if len(idle) >= IDLE_PER_ORIGIN:
            connection.abandon()
            return
        connection.idle_since_s = self._loop.time()
        idle[connection] = None
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(IDLE_LIMIT_S / 4, self._sweep)

    def _sweep(self) -> None:
        """Closes what was idle too long; the oldest stand first, so that the walk ends early."""
        limit = self._loop.time() - IDLE_LIMIT_S
        for origin, idle in list(self._idle.items()):
            for connection in list(idle):
                if connection.idle_since_s > limit:
                    break
                del idle[connection]
                connection.abandon()
            if not idle:
                del self._idle[origin]
        self._sweeper = self._loop.call_later(IDLE_LIMIT_S / 4, self._sweep) if self._idle else None

    def close(self) -> None:
        """Ends every connection, used ones included."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._open):
            connection.abandon()
        self._idle.clear()
        self._open.clear()


def _explain(origin: Origin, failure: Exception | None) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"the certificate of {origin} is not valid: {failure.verify_message}"
    if isinstance(failure, ssl.SSLError):
        return f"TLS with {origin} failed: {failure.reason or 'handshake error'}"
    if isinstance(failure, OSError):
        return f"cannot connect to {origin}: {failure.strerror or failure.__class__.__name__}"
    return f"cannot connect to {origin}: no address"
