"""An ordinary service behind the gateway: answers what a row told it to, else a JSON document of what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast

from gateway.demo.wire import Request, RequestParser

Reply = bytes | Callable[[Request], bytes]


def answer(body: bytes | str = b"", status: int = 200, **headers: str) -> bytes:
    """One answer; ``_`` in header names stands for ``-``."""
    payload = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(payload)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + payload


def described(request: Request) -> bytes:
    """``{"method", "target", "headers": [[name, value], …], "body"}``."""
    document = {
        "method": request.method,
        "target": request.target,
        "headers": [[name.lower(), value] for name, value in request.headers],
        "body": request.body.decode("utf-8", "replace"),
    }
    return answer(json.dumps(document), content_type="application/json")


class _Connection(asyncio.Protocol):
    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = RequestParser()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._service.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.transports.discard(self._transport)

    def data_received(self, received: bytes) -> None:
        for request in self._parser.feed(received):
            self._service.requests.append(request)
            reply = self._service.answers.get(request.path, self._service.otherwise)
            written = reply if isinstance(reply, bytes) else reply(request)
            if written:
                self._transport.write(written)


class Service:
    """``answers``: path → the bytes of its answer (b"": none ever comes), or what makes them of a request.

    ``otherwise`` is the answer of all other paths.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Reply] = {}
        self.otherwise: Reply = described
        self.requests: list[Request] = []
        self.transports: set[asyncio.Transport] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for transport in tuple(self.transports):
            transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"
