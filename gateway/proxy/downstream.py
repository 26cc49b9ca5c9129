"""The only file that knows aiohttp's internals (3.14): one client connection.

aiohttp's parser, message queue, keep-alive timer and flow control serve as they are. ``start`` replaces
aiohttp's own loop over requests: the gateway's handler writes its answer to the transport itself, so no
request, response, writer object and no task is made per request (about half of aiohttp's cost of one,
see loadtest/results). What is used of aiohttp 3.14 beyond its public API: ``RequestHandler`` with
``start``, ``_messages``, ``_waiter``, ``_parser.message_consumed``, ``_buffer_paused``,
``_msg_queue_resume_size``, ``_resume_reading_if_drained``, ``_keepalive_handle``,
``_next_keepalive_close_time``, ``_process_keepalive``, ``_task_handler``, ``_force_close``, ``_close``,
``_request_in_progress``, ``_handler_waiter`` and ``web_protocol._ErrInfo``. ``setup.cfg`` pins the minor version.

Invariants
    1. One request at a time per connection; pipelined ones wait in aiohttp's queue.
    2. A client that leaves ends its request within the same turn of the loop: the relay is told, or the
       request's task is cancelled.
    3. A request whose head or framing is refused gets one answer, then the connection closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway import errors
from gateway.errors import GatewayError, failure
from gateway.exchange import Connection, Exchange

if TYPE_CHECKING:
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from gateway.upstream.relay import Relay

HEAD_LIMIT_BYTES = 32_768
REQUEST_LINE_LIMIT_BYTES = 8_192
HEADERS_LIMIT = 128
HEAD_READ_S = 10.0
BODY_STALL_S = 30.0
LINGER_S = 2.0
_LINGER_BYTES = 1_048_576


class RequestServer(Protocol):
    """The gateway's side of a connection: ``handler.Handler``."""

    def serve(self, downstream: Downstream, message: RawRequestMessage) -> Awaitable[bool]:
        """Answers one request on ``downstream``; True if the connection may serve another."""
        ...

    def refuse(self, downstream: Downstream, error: GatewayError) -> None:
        """Answers a request whose head could not be read."""
        ...

    def connected(self, downstream: Downstream) -> bool:
        """False to close a new connection at once."""
        ...

    def disconnected(self, downstream: Downstream) -> None: ...


class Downstream(RequestHandler):
    """One client connection."""

    __slots__ = (
        "_head_timer", "_payload", "_server", "conn", "draining", "exchange", "large_head", "relay", "serving",
    )  # fmt: skip

    def __init__(self, server: RequestServer, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._server = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._payload: StreamReader | None = None
        #: set while an answer is being relayed
        self.relay: Relay | None = None
        #: the request that is being answered, for the view of live requests
        self.exchange: Exchange | None = None
        #: addresses, as expressions see them
        self.conn = Connection("", 0, "", 0, 0.0)
        #: the next head may be longer than allowed: it came in pieces, or in one that is
        self.large_head = False
        #: a request is being answered
        self.serving = False
        #: the gateway is stopping: the next answer closes the connection
        self.draining = False

    # ---- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        if not self._server.connected(self):
            transport.abort()  # type: ignore[attr-defined]
            self.transport = None
            self._force_close = True
            return
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if len(data) > HEAD_LIMIT_BYTES:
            self.large_head = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            # bytes, but no request yet: the head has to be complete within its time
            self.large_head = True
            if self._head_timer is None and not self._close and not self._force_close:
                self._head_timer = self._loop.call_later(HEAD_READ_S, self._head_overdue)
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_overdue(self) -> None:
        self._head_timer = None
        if self.transport is not None and not self.serving:
            self._server.refuse(self, failure(errors.REQUEST_TIMEOUT))
            self.force_close()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.relay is not None:
            self.relay.resume()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._manager is None:
            return
        relay, self.relay = self.relay, None
        task = self._task_handler
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        self._server.disconnected(self)
        super().connection_lost(exc)
        if relay is not None:
            relay.client_gone()
        elif task is not None:  # serving, or reading away what is left of a body
            task.cancel()

    # ---- requests -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serves the requests of this connection, one after the other, until it closes."""
        try:
            while not self._force_close:
                if not self._messages:
                    self._waiter = self._loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                if not await self._serve_next():
                    break
        except asyncio.CancelledError:
            self.force_close()
            raise
        finally:
            self._task_handler = None
        if self.transport is not None and not self._force_close:
            self.transport.close()

    async def _serve_next(self) -> bool:
        message, payload = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        if isinstance(message, _ErrInfo):
            self._server.refuse(self, _refusal(message.exc))
            return False
        self._payload = payload
        self.serving = self._request_in_progress = True
        try:
            keep = await self._server.serve(self, message)
        finally:
            self.serving = self._request_in_progress = False
            self._payload = None
            if self._handler_waiter is not None and not self._handler_waiter.done():
                self._handler_waiter.set_result(None)
        if self.transport is None or self._force_close:
            return False
        if not payload.is_eof() and not await self._discard(payload):
            return False
        if not keep or self._close or self._upgraded:
            return False
        self._await_next()
        return True

    def _await_next(self) -> None:
        close_at = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_at
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_at, self._process_keepalive)

    async def _discard(self, payload: StreamReader) -> bool:
        """Reads away a body that nobody wanted, so that the answer is not lost to a reset. False: it was too much."""
        try:
            async with asyncio.timeout(LINGER_S):
                taken = 0
                while not payload.is_eof() and taken < _LINGER_BYTES:
                    taken += len(await payload.readany())
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - the parser's own errors have no common base; the connection just closes
            return False
        return payload.is_eof()

    # ---- what the handler uses ------------------------------------------------------------------------------------

    @property
    def body_is_here(self) -> bool:
        """The whole request body has arrived."""
        payload = self._payload
        return payload is None or payload.is_eof()

    async def read_body(self, limit_bytes: int) -> bytes:
        """The request body as sent; raises GatewayError when it is too long, stalls or is malformed."""
        payload = self._payload
        if payload is None:
            return b""
        try:
            if payload.is_eof():
                whole = payload.read_nowait()
                if len(whole) > limit_bytes:
                    raise _too_large(limit_bytes)
                return whole
            return await self._collect(payload, limit_bytes)
        except (GatewayError, asyncio.CancelledError):
            raise
        except TimeoutError:
            overdue = failure(errors.REQUEST_TIMEOUT)
            overdue.close = True
            raise overdue from None
        except Exception as error:
            # aiohttp sets whatever its parser raised on the stream: framing errors of many types
            refused = failure(errors.BAD_REQUEST, reason=f"malformed request body ({type(error).__name__})")
            refused.close = True
            raise refused from error

    async def _collect(self, payload: StreamReader, limit_bytes: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while not payload.at_eof():
            async with asyncio.timeout(BODY_STALL_S):
                piece = await payload.readany()
            size += len(piece)
            if size > limit_bytes:
                raise _too_large(limit_bytes)
            pieces.append(piece)
        return b"".join(pieces)

    def write(self, data: bytes) -> None:
        """Sends bytes of an answer; nothing happens when the client has gone."""
        if self.transport is not None:
            self.transport.write(data)

    def abort(self) -> None:
        """Cuts the connection without an answer."""
        if self.transport is not None:
            self.transport.abort()

    def drain(self) -> None:
        """Stops after the request under way, at once if there is none."""
        self.draining = True
        if not self.serving:
            self.force_close()

    def cancel(self) -> None:
        """Ends the request under way: the stream gets its error event, anything else a 503."""
        if self.relay is not None:
            self.relay.stop()
        elif self._task_handler is not None and self.serving:
            self._task_handler.cancel()


class DownstreamServer(web.Server):
    """Makes a ``Downstream`` per connection."""

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

    def __call__(self) -> Downstream:
        return Downstream(self._server, self, loop=self._loop, **self._kwargs)


async def _never(request: web.BaseRequest) -> web.StreamResponse:
    raise AssertionError("requests are served by Downstream.start")


def _too_large(limit_bytes: int) -> GatewayError:
    error = failure(errors.INVALID_BODY, reason=f"the body is larger than {limit_bytes} bytes")
    error.status = 413
    error.close = True
    return error


def _refusal(exc: BaseException) -> GatewayError:
    """The answer to a head that aiohttp's parser refused (SV-26)."""
    if isinstance(exc, LineTooLong):
        error = failure(errors.URI_TOO_LONG, reason="a line of the request head is too long")
        if exc.args[1] == REQUEST_LINE_LIMIT_BYTES:
            error.status = 414
    elif "Too many headers" in str(exc):
        error = failure(errors.URI_TOO_LONG, reason=f"more than {HEADERS_LIMIT} headers")
    else:
        error = failure(errors.BAD_REQUEST, reason="malformed request")
    error.close = True
    return error
