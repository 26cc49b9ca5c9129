"""The only file that knows aiohttp's internals (3.14): one client connection.

aiohttp's parser, message queue, keep-alive timer and flow control serve as they are, but for requests with a head that
was seen before (``heads``): those need no parser. ``start`` replaces aiohttp's own loop over requests: the gateway's
handler writes its answer to the transport itself, so no request, response, writer object and no task is made per
request (about half of aiohttp's cost of one, see loadtest/results). What is used of aiohttp 3.14 beyond its public
API: ``RequestHandler`` with ``start``, ``_messages``, ``_waiter``, ``_parser.message_consumed``, ``_buffer_paused``,
``_msg_queue_resume_size``, ``_resume_reading_if_drained``, ``_keepalive_handle``, ``_keepalive_timeout``,
``_next_keepalive_close_time``, ``_process_keepalive``, ``_task_handler``, ``_force_close``, ``_close``,
``_request_in_progress``, ``_handler_waiter`` and ``web_protocol._ErrInfo``. ``setup.cfg`` pins the minor version.

Invariants
    1. One request at a time per connection; pipelined ones wait in aiohttp's queue.
    2. A client that leaves ends its request within the same turn of the loop: the relay is told, or the
       request's task is cancelled.
    3. A request whose head or framing is refused gets one answer, then the connection closes.
    4. A head is looked up only where aiohttp's parser stands between two messages and no request is before it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp.web_protocol import RequestHandler, _ErrInfo

from gateway import errors
from gateway.eager import Eager
from gateway.errors import failure
from gateway.exchange import Connection, Exchange, RequestHead
from gateway.proxy.heads import scan, states_size
from gateway.proxy.payload import (
    BODY_STALL_S,
    HEAD_LIMIT_BYTES,
    discard,
    read_payload,
    refusal,
    too_large,
)

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from gateway.proxy.request_server import RequestServer
    from gateway.upstream.relay import Relay

HEAD_READ_S = 10.0
#: bodies up to this size are collected here if their head is known
DIRECT_BODY_BYTES = 262_144
EARLY_BYTES = 65_536


class Downstream(RequestHandler):
    """One client connection."""

    __slots__ = (
        "_ahead", "_body", "_eager", "_early", "_head_timer", "_idle", "_known", "_missing", "_payload", "_pieces",
        "_server", "conn", "draining", "exchange", "large_head", "learning", "length", "relay", "serving",
    )  # fmt: skip

    def __init__(self, server: RequestServer, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._server = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._payload: StreamReader | None = None
        #: bytes until aiohttp's parser stands between two messages; -1: nobody knows
        self._ahead = 0
        #: bytes that came while a request was being answered, where the parser stands between two messages
        self._early = b""
        #: a request that went past the parser: its head, its body once that is complete, else the pieces so far
        self._known: RequestHead | None = None
        self._body: bytes | None = None
        self._pieces: list[bytes] = []
        self._missing = 0
        #: the request under way if it was begun outside of ``start``, and what ``start`` waits for meanwhile
        self._eager: Eager | None = None
        self._idle: asyncio.Future[None] | None = None
        #: key of the head that is being parsed, if it may be remembered
        self.learning = b""
        #: body size of a request with a known head; None: the head's own
        self.length: int | None = None
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
        if self._missing:
            self._collect_piece(data)
        elif self._ahead:
            if self._ahead > 0:
                self._ahead = max(-1, self._ahead - len(data))
            self._parse(data)
        elif self.serving or self._known is not None or self._messages or self._early:
            self._keep_early(data)
        elif not self._begin(data):
            self._parse(data)

    def _keep_early(self, data: bytes) -> None:
        """What comes before the request at hand is answered waits for its end; a lot of it goes to aiohttp's queue."""
        self._early += data
        if len(self._early) > EARLY_BYTES:
            data, self._early = self._early, b""
            self._ahead = -1
            self._parse(data)

    def _begin(self, data: bytes) -> bool:
        """Starts a request whose head is known; False: the parser has to see it."""
        key, length, end = scan(data)
        head = self._server.heads.find(key)
        if head is None:
            # once this message is over, the parser stands between two again
            self._ahead = max(-1, end + max(length, 0) - len(data)) if end and states_size(data, end, length) else -1
            self.learning = key
            return False
        if length > DIRECT_BODY_BYTES or self._close or self._force_close:
            self._ahead = max(-1, end + length - len(data))
            return False
        self._known = head
        self.length = length
        missing = end + length - len(data)
        if missing > 0:
            self._missing = missing
            self._pieces.append(data[end:])
            now = self._loop.time()
            self._next_keepalive_close_time = now + self._keepalive_timeout
            self._server.deadlines.watch(self, now + BODY_STALL_S)
            return True
        self._body = data[end : end + length]
        if missing:
            self._early = data[end + length :]
        self._go(head)
        return True

    def _collect_piece(self, data: bytes) -> None:
        """More of the body of a request with a known head."""
        missing = self._missing
        if len(data) < missing:
            self._missing = missing - len(data)
            self._pieces.append(data)
            self._server.deadlines.watch(self, self._loop.time() + BODY_STALL_S)
            return
        self._missing = 0
        self._server.deadlines.forget(self)
        pieces = self._pieces
        pieces.append(data[:missing])
        self._body = b"".join(pieces)
        pieces.clear()
        self._early = data[missing:]
        assert self._known is not None
        self._go(self._known)

    def _go(self, head: RequestHead) -> None:
        """A request with a known head is complete: serves it at once where ``start`` is waiting for it."""
        waiter = self._waiter
        if waiter is None or waiter.done() or not self._server.is_eager(head):
            self._wake()
            return
        self._idle, self._waiter = waiter, None
        self.serving = self._request_in_progress = True
        eager = self._eager = Eager(self._loop, self._server.serve(self, head), self._went)
        eager.begin()

    def _went(self, keep: bool) -> None:
        """The request that ``_go`` began is over."""
        self._eager = None
        self._waiter, self._idle = self._idle, None
        self._served()
        if self.transport is None or self._force_close:
            return
        if not keep or self._close or self._upgraded:
            self._force_close = True
            self.transport.close()
            return
        self._await_next()
        if self._messages:
            self._wake()
        elif self._early:
            self._loop.call_soon(self._take_early)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _take_early(self) -> None:
        data, self._early = self._early, b""
        if data and self.transport is not None:
            self.data_received(data)

    def overdue(self) -> None:
        """A body stalled (``deadlines.Waiter``)."""
        self._head_overdue()

    def _parse(self, data: bytes) -> None:
        """aiohttp's way: parser, queue, flow control."""
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
        if self._missing:
            self._server.deadlines.forget(self)
        self._server.disconnected(self)
        eager, idle = self._eager, self._idle
        super().connection_lost(exc)
        if relay is not None:
            relay.client_gone()
        elif eager is not None:
            eager.cancel()
        elif task is not None:  # serving, or reading away what is left of a body
            task.cancel()
        if idle is not None:
            idle.cancel()

    # ---- requests -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serves the requests of this connection, one after the other, until it closes."""
        try:
            while not self._force_close:
                if self._body is None and not self._messages:
                    await self._next_request()
                head = self._next_head()
                if head is None:
                    break
                self.serving = self._request_in_progress = True
                try:
                    keep = await self._server.serve(self, head)
                finally:
                    payload = self._served()
                if self.transport is None or self._force_close:
                    break
                if payload is not None and not payload.is_eof() and not await discard(payload):
                    break
                if not keep or self._close or self._upgraded:
                    break
                self._await_next()
        except asyncio.CancelledError:
            self.force_close()
            raise
        finally:
            self._task_handler = None
        if self.transport is not None and not self._force_close:
            self.transport.close()

    async def _next_request(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        if self._early:
            self._loop.call_soon(self._take_early)
        try:
            await waiter
        finally:
            self._waiter = None

    def _next_head(self) -> RawRequestMessage | RequestHead | None:
        """The head of the next request; None after refusing one that could not be parsed."""
        if self._body is not None:
            return self._known
        message, payload = self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        if self._buffer_paused and len(self._messages) <= self._msg_queue_resume_size:
            self._resume_reading_if_drained()
        if isinstance(message, _ErrInfo):
            self._server.refuse(self, refusal(message.exc))
            return None
        self._payload = payload
        self.length = None
        return message

    def _served(self) -> StreamReader | None:
        """Ends a request; gives the stream that its body came by."""
        self.serving = self._request_in_progress = False
        payload, self._payload = self._payload, None
        self._known = self._body = None
        if self._handler_waiter is not None and not self._handler_waiter.done():
            self._handler_waiter.set_result(None)
        return payload

    def _await_next(self) -> None:
        close_at = self._loop.time() + self._keepalive_timeout
        self._next_keepalive_close_time = close_at
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(close_at, self._process_keepalive)

    # ---- what the handler uses ------------------------------------------------------------------------------------

    @property
    def body_at_hand(self) -> bytes | None:
        """The body of a request that went past the parser."""
        return self._body

    @property
    def body_is_here(self) -> bool:
        """The whole request body has arrived."""
        payload = self._payload
        return payload is None or payload.is_eof()

    async def read_body(self, limit_bytes: int) -> bytes:
        """The request body as sent; raises GatewayError when it is too long, stalls or is malformed."""
        payload = self._payload
        if payload is None:
            body = self._body or b""
            if len(body) > limit_bytes:
                raise too_large(limit_bytes)
            return body
        return await read_payload(payload, limit_bytes)

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
        if not self.serving and self._known is None:
            self.force_close()

    def cancel(self) -> None:
        """Ends the request under way: the stream gets its error event, anything else a 503."""
        if self.relay is not None:
            self.relay.stop()
        elif self._eager is not None:
            self._eager.cancel()
        elif self._task_handler is not None and self.serving:
            self._task_handler.cancel()
