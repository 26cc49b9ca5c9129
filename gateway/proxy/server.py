"""Listening sockets of the data plane: opening or inheriting them, the connection limit, draining.

Invariants
    1. Sockets handed over by the service manager are used before new ones are opened, so that a restart refuses
       no connection (SV-22).
    2. At the connection limit accepting pauses; connections wait in the kernel's queue (SV-26).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.proxy.downstream import Downstream, DownstreamServer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.proxy.handler import Handler

BACKLOG = 4_096


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: TCP ``host`` and ``port`` (0: any free one), or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """``HOST:PORT``, ``[V6]:PORT`` or ``unix:PATH``; raises ValueError."""
        if text.startswith("unix:"):
            path = text.removeprefix("unix:")
            if not path:
                raise ValueError("unix: needs a path")
            return cls(path=path)
        host, separator, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not separator or not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError(f"not an address: {text!r} (HOST:PORT or unix:PATH)")
        return cls(host, int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def open_socket(address: Address) -> socket.socket:
    """A bound, non-blocking socket; a left-over Unix socket that nobody answers on is replaced."""
    if address.path:
        _remove_stale(address.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(address.path)
    else:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _remove_stale(path: str) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(f"{path} exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
            return
    raise FileExistsError(f"{path} is in use")


def inherited_sockets(count: int) -> list[socket.socket]:
    """The sockets that systemd passed, from file descriptor 3 on (``LISTEN_FDS``)."""
    sockets = []
    for descriptor in range(3, 3 + count):
        os.set_inheritable(descriptor, False)
        sock = socket.socket(fileno=descriptor)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def real_address(sock: socket.socket) -> Address:
    """The address a socket is bound to."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Address(path=name if isinstance(name, str) else name.decode())
    return Address(name[0], name[1])


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """``spawn`` runs a coroutine in the application's task group."""

    loop: asyncio.AbstractEventLoop
    spawn: Callable[[Coroutine[None, None, None]], object]
    max_connections: int = 20_000
    keepalive_s: float = 75.0


class DataListener:
    """One listening socket with its connections."""

    def __init__(self, *, sock: socket.socket, handler: Handler, tls: ssl.SSLContext | None, options: ListenerOptions) -> None:
        self._loop = options.loop
        self._sock = sock
        self.handler = handler
        self._tls = tls
        self._options = options
        self._factory = DownstreamServer(handler, keepalive_s=options.keepalive_s)
        self._server: asyncio.Server | None = None
        self._paused = False
        self.address = real_address(sock)
        handler.on_room = self._make_room

    async def start(self) -> None:
        """Begins accepting."""
        self._server = await self._listen()

    async def _listen(self) -> asyncio.Server:
        # the server closes the socket it is given: a duplicate keeps ours open while accepting pauses
        sock = self._sock.dup()
        if sock.family == socket.AF_UNIX:
            return await self._loop.create_unix_server(self._connection, sock=sock, ssl=self._tls, backlog=BACKLOG)
        return await self._loop.create_server(self._connection, sock=sock, ssl=self._tls, backlog=BACKLOG)

    def _connection(self) -> Downstream:
        if len(self.handler.connections) >= self._options.max_connections - 1 and not self._paused and self._server is not None:
            self._paused = True
            self._server.close()
        return self._factory()

    def _make_room(self) -> None:
        if self._paused and not self.handler.stopping:
            self._paused = False
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if not self.handler.stopping:
            self._options.spawn(self._restart())

    async def _restart(self) -> None:
        self._server = await self._listen()

    async def stop(self, drain_s: float) -> None:
        """Stops accepting, lets requests finish for ``drain_s``, then ends the rest (SV-21)."""
        handler = self.handler
        handler.stopping = True
        if self._server is not None:
            self._server.close()
        self._sock.close()
        for downstream in list(handler.connections):
            downstream.drain()
        deadline = self._loop.time() + drain_s
        while handler.inflight and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        for downstream in list(handler.connections):
            downstream.cancel()
        deadline = self._loop.time() + 1.0
        while handler.inflight and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        for downstream in list(handler.connections):
            downstream.force_close()
        if self.address.path:
            try:
                os.unlink(self.address.path)
            except FileNotFoundError:
                pass

