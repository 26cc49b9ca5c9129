"""What makes client connections, and what they need of the gateway."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from gateway.proxy.downstream import Downstream
from gateway.proxy.payload import HEAD_LIMIT_BYTES, HEADERS_LIMIT, REQUEST_LINE_LIMIT_BYTES

if TYPE_CHECKING:
    import asyncio

    from aiohttp.http_parser import RawRequestMessage

    from gateway.errors import GatewayError
    from gateway.exchange import RequestHead
    from gateway.proxy.heads import HeadTable
    from gateway.proxy.turnstile import Turnstile
    from gateway.upstream.deadlines import Deadlines

#: between two looks for connections that wait too long
_LOOK_S: Final = 5.0


class RequestServer(Protocol):
    """The gateway's side of a connection: ``handler.Handler``."""

    #: heads that were accepted before, and the deadlines of clients that send slowly
    heads: HeadTable
    deadlines: Deadlines
    #: lets few requests begin at once while streams run
    turnstile: Turnstile

    def serve(self, downstream: Downstream, head: RawRequestMessage | RequestHead) -> Coroutine[Any, Any, bool]:
        """Answers one request on ``downstream``; True if the connection may serve another."""
        ...

    def is_eager(self, head: RequestHead) -> bool:
        """Whether a request with this head may begin outside of a task."""
        ...

    def refuse(self, downstream: Downstream, error: GatewayError) -> None:
        """Answers a request whose head could not be read."""
        ...

    def connected(self, downstream: Downstream) -> bool:
        """False to close a new connection at once."""
        ...

    def disconnected(self, downstream: Downstream) -> None: ...


class DownstreamServer(web.Server):
    """Makes a ``Downstream`` per connection, and ends those that wait for a request for too long."""

    def __init__(self, server: RequestServer, *, keepalive_s: float = 75.0) -> None:
        super().__init__(
            _never,
            access_log=None,
            keepalive_timeout=keepalive_s,
            auto_decompress=False,
            max_line_size=REQUEST_LINE_LIMIT_BYTES,
            max_field_size=HEAD_LIMIT_BYTES,
            max_headers=HEADERS_LIMIT,
        )
        self._server = server
        self._look_s = min(_LOOK_S, keepalive_s / 4)
        self._looking = False

    def __call__(self) -> Downstream:
        return Downstream(self._server, self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if not self._looking:
            self._looking = True
            self._loop.call_later(self._look_s, self._look)

    def _look(self) -> None:
        """One timer for all connections; it runs as long as there are any."""
        now = self._loop.time()
        for connection in self.connections:
            connection.close_if_idle(now)  # type: ignore[attr-defined] # made above
        self._looking = bool(self._connections)
        if self._looking:
            self._loop.call_later(self._look_s, self._look)


async def _never(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("requests are served by Downstream")
