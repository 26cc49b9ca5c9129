"""A listener behind a load balancer that speaks the PROXY protocol (SV-13): connections first say who they are.

It accepts by itself, because the header comes before TLS and before anything that a protocol may read.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Final

from gateway.proxy.announced import NotAnnouncedError, read_announced
from gateway.proxy.server import HttpListener

if TYPE_CHECKING:
    from gateway.proxy.downstream import Downstream

#: how long a new connection may take to announce itself (SV-26: header read time)
ANNOUNCE_S: Final = 10.0
#: after an error of accepting, such as too many open files
_PAUSE_S: Final = 0.1

log = logging.getLogger("gateway.connections")


class AnnouncingListener(HttpListener):
    """``HttpListener`` whose connections begin with a PROXY header."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        #: connections that have not announced themselves yet; they count for the limit
        self._waiting = 0
        self._accepting = False

    async def start(self) -> None:
        """Begins accepting."""
        self._accept_more()

    def close(self) -> None:
        self._accept_none()
        super().close()

    def _make_room(self) -> None:
        self._accept_more()

    def _accept_more(self) -> None:
        if not (self._accepting or self.handler.stopping):
            self._accepting = True
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _accept_none(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._sock.fileno())

    def _accept(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # too many open files, for one: trying at once would only spin
            log.warning("accepting failed: %s", error)
            self._accept_none()
            self._loop.call_later(_PAUSE_S, self._accept_more)
            return
        connection.setblocking(False)
        self._waiting += 1
        if len(self.handler.connections) + self._waiting >= self._options.max_connections:
            self._accept_none()
        self._options.spawn(self._announced(connection))

    async def _announced(self, connection: socket.socket) -> None:
        """Reads one header and hands the connection on; whatever is wrong ends this connection only."""
        downstream: Downstream = self._factory()
        try:
            found = await read_announced(self._loop, connection, ANNOUNCE_S)
            if found is not None:
                self.handler.announced[downstream] = found
            await self._loop.connect_accepted_socket(lambda: downstream, connection, ssl=self._tls)
        except (NotAnnouncedError, OSError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            log.info("connection closed: %s", error if str(error) else "no PROXY header in time")
            connection.close()
        finally:
            self.handler.announced.pop(downstream, None)
            self._waiting -= 1
            if len(self.handler.connections) + self._waiting < self._options.max_connections:
                self._accept_more()
