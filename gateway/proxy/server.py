"""Listening sockets of the data plane: opening or inheriting them, the connection limit, draining.

Invariants
    1. Sockets handed over by the service manager are used before new ones are opened, so that a restart refuses
       no connection (SV-22).
    2. At the connection limit accepting pauses; connections wait in the kernel's queue (SV-26).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.proxy.downstream import Downstream
from gateway.proxy.request_server import DownstreamServer
from gateway.settings.address import Listen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.proxy.handler import Handler

BACKLOG = 4_096
#: how long cancelled requests may take to end
_CANCEL_S = 1.0


def open_socket(address: Listen) -> socket.socket:
    """A bound, non-blocking socket; a left-over Unix socket that nobody answers on is replaced."""
    if address.path:
        _remove_stale(address.path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(address.path)
    else:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(where)
        except OSError as error:
            sock.close()
            error.filename = str(address)  # the message names what could not be had
            raise
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


def inherited_socket(descriptor: int) -> socket.socket:
    """A socket that systemd passed (``LISTEN_FDS``)."""
    os.set_inheritable(descriptor, False)
    sock = socket.socket(fileno=descriptor)
    sock.setblocking(False)
    return sock


def real_address(sock: socket.socket) -> Listen:
    """The address a socket is bound to."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Listen(path=name if isinstance(name, str) else name.decode())
    return Listen(name[0], name[1])


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """``spawn`` runs a coroutine in the application's task group."""

    loop: asyncio.AbstractEventLoop
    spawn: Callable[[Coroutine[None, None, None]], object]
    max_connections: int = 20_000
    keepalive_s: float = 75.0


class HttpListener:
    """One listening socket with its connections."""

    def __init__(
        self, *, sock: socket.socket, handler: Handler, tls: ssl.SSLContext | None, options: ListenerOptions
    ) -> None:
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
        if (
            len(self.handler.connections) >= self._options.max_connections - 1
            and not self._paused
            and self._server is not None
        ):
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
        if self.handler.stopping:
            return
        self._server = await self._listen()
        if self.handler.stopping:
            self._server.close()

    def close(self) -> None:
        """Stops accepting, at once."""
        if self.handler.stopping:
            return
        self.handler.stopping = True
        if self._server is not None:
            self._server.close()
        self._sock.close()

    async def stop(self, drain_s: float) -> None:
        """Stops accepting, lets requests finish for ``drain_s``, then ends the rest (SV-21)."""
        handler = self.handler
        self.close()
        for downstream in list(handler.connections):
            downstream.drain()
        await handler.drain(drain_s)
        for downstream in list(handler.connections):
            downstream.cancel()
        await handler.drain(_CANCEL_S)
        for downstream in list(handler.connections):
            downstream.force_close()
        if self.address.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address.path)
