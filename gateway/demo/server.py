"""DemoProvider: the demo provider on a listener, in the process that starts it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from gateway.clock import Clock, SystemClock
from gateway.demo.connection import DemoConnection
from gateway.demo.log import Received, RequestLog, Stats
from gateway.demo.service import Answer, DemoService
from gateway.demo.tls import SelfSigned
from gateway.demo.wire import Request

_BACKLOG = 4_096


class DemoProvider:
    """``start``, ``stop``; in between ``url``, ``stats`` and ``requests``. Also an async context manager.

    ``async with DemoProvider() as provider: …`` listens on a free port of 127.0.0.1.
    """

    def __init__(
        self, *, keys: Iterable[str] = (), clock: Clock | None = None, log_entries: int = 256,
        log_body_bytes: int = 32 * 1024 * 1024,
    ) -> None:  # fmt: skip
        self.stats = Stats()
        self.requests = RequestLog(entries=log_entries, body_bytes=log_body_bytes)
        self._service = DemoService(
            clock=clock or SystemClock(), listed_keys=frozenset(keys), read_stats=self._read_stats
        )
        self._connections: set[DemoConnection] = set()
        self._listener: asyncio.Server | None = None
        self._tls = False
        self.host = ""
        self.port = 0

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, tls: SelfSigned | ssl.SSLContext | None = None
    ) -> Self:
        """Listens; port 0 picks a free one."""
        loop = asyncio.get_running_loop()
        context = await asyncio.to_thread(tls.server_context) if isinstance(tls, SelfSigned) else tls
        self._listener = await loop.create_server(
            lambda: DemoConnection(self, loop), host, port, ssl=context, backlog=_BACKLOG
        )
        self._tls = context is not None
        self.host = host
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Closes the listener and drops every connection."""
        if self._listener is None:
            return
        self._listener.close()
        for connection in tuple(self._connections):
            connection.transport.abort()
        await self._listener.wait_closed()
        self._listener = None
        # Connections report their end in callbacks of their own.
        for _ in range(100):
            if not self._connections:
                return
            await asyncio.sleep(0.01)

    async def __aenter__(self) -> Self:
        return self if self._listener is not None else await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:40123``, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def base_url(self) -> str:
        """``…/v1``: what a provider's ``base_url`` and an OpenAI client are given."""
        return f"{self.url}/v1"

    @property
    def last(self) -> Received:
        """The newest request; IndexError if there was none."""
        return self.requests[-1]

    # For connections.

    def opened(self, connection: DemoConnection) -> int:
        self._connections.add(connection)
        self.stats.connections_opened += 1
        self.stats.connections_open += 1
        return self.stats.connections_opened

    def closed(self, connection: DemoConnection) -> None:
        self._connections.discard(connection)
        self.stats.connections_closed += 1
        self.stats.connections_open -= 1

    def answer(self, request: Request, connection: int) -> tuple[Answer, Received]:
        answer = self._service.answer(request)
        stats = self.stats
        received = Received(
            stats.requests + 1, connection, request, answer.key, answer.model, answer.behaviour, answer.status,
            answer.streamed,
        )  # fmt: skip
        if not request.path.startswith("/demo/"):
            stats.requests += 1
            status = str(answer.status)
            stats.by_status[status] = stats.by_status.get(status, 0) + 1
            self.requests.add(received)
        return answer, received

    def _read_stats(self) -> dict[str, Any]:
        return self.stats.as_dict()
