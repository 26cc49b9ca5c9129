"""The HTTP layer of the management listener: aiohttp's low-level server, with our answer to what is no HTTP.

aiohttp logs such a request with the line that it could not read and repeats that line in its answer. The line may hold
an admin key, and whoever can connect can send it, so here it goes nowhere (CP-2, CP-107).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Refusal = Callable[[web.BaseRequest, bool], web.Response]

log = logging.getLogger("gateway.control")


class HttpServer(web.Server):
    """``refuse`` makes the answer to a request that never reached ``handler``; True: by a fault of our own."""

    def __init__(self, handler: Handler, refuse: Refusal) -> None:
        super().__init__(handler, access_log=None, auto_decompress=False)
        self._own_loop = asyncio.get_running_loop()
        self._refuse = refuse

    def __call__(self) -> RequestHandler:
        return _Connection(self, self._own_loop, self._refuse)


class _Connection(RequestHandler):
    """One client."""

    def __init__(self, server: HttpServer, loop: asyncio.AbstractEventLoop, refuse: Refusal) -> None:
        super().__init__(server, loop=loop, access_log=None, auto_decompress=False)  # type: ignore[arg-type] # None: off
        self._refuse = refuse

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Also closes the connection: where the next request begins is not known."""
        ours = status >= 500
        if ours:
            log.error("internal error of the management listener: %s", type(exc).__name__)
        else:
            log.debug("a request from %s was no HTTP: %s", request.remote, type(exc).__name__)
        response = self._refuse(request, ours)
        response.force_close()
        return response
