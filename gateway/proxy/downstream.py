"""One client connection: its requests one after the other, each where its bytes come if that is possible.

A request whose head was seen before (``heads``) needs no parser, and one that waits for nothing but the model's answer
no task (``eager``). All others go through aiohttp's parser (``parsed``) and a task that ends with them. The gateway's
handler writes its answer to the transport itself.

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

from gateway import errors
from gateway.eager import Eager
from gateway.errors import failure
from gateway.exchange import Connection, Exchange, RequestHead
from gateway.proxy.heads import recognise, scan, states_size
from gateway.proxy.parsed import ParsedConnection
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


class Downstream(ParsedConnection):
    """One client connection."""

    __slots__ = (
        "_ahead", "_eager", "_early", "_head_timer", "_known", "_missing", "_payload", "_pieces", "_server", "_task",
        "_usual", "body_at_hand", "conn", "draining", "exchange", "large_head", "learning", "length", "relay",
        "serving",
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
        #: the remembered head that came last
        self._usual: RequestHead | None = None
        #: a request that went past the parser: its head, its body once that is complete, else the pieces so far
        self._known: RequestHead | None = None
        self.body_at_hand: bytes | None = None
        self._pieces: list[bytes] = []
        self._missing = 0
        #: the request under way, if it was begun where its bytes came
        self._eager: Eager | None = None
        #: serves all others
        self._task: asyncio.Task[None] | None = None
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
        self.connect(transport)  # type: ignore[arg-type]

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
        head = self._usual
        length, end = recognise(head, data) if head is not None else (-1, 0)
        if head is None or not end:
            key, length, end = scan(data)
            head = self._usual = self._server.heads.find(key)
            if head is None:
                # once this message is over, the parser stands between two again
                sized = end and states_size(data, end, length)
                self._ahead = max(-1, end + max(length, 0) - len(data)) if sized else -1
                self.learning = key
                return False
        if length > DIRECT_BODY_BYTES or self._force_close or self._close:
            self._ahead = max(-1, end + length - len(data))
            return False
        self._known = head
        self.drop_parser()
        self.length = length
        missing = end + length - len(data)
        if missing > 0:
            self._missing = missing
            self._pieces.append(data[end:])
            self.await_next()
            self._server.deadlines.watch(self, self._loop.time() + BODY_STALL_S)
            return True
        self.body_at_hand = data[end : end + length]
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
        self.body_at_hand = b"".join(pieces)
        pieces.clear()
        self._early = data[missing:]
        assert self._known is not None
        self._go(self._known)

    def _go(self, head: RequestHead) -> None:
        """A request with a known head is complete."""
        if self._task is not None:  # reads away a body; takes this one next
            return
        server = self._server
        if not server.is_eager(head):
            self._serve_queue()
        elif not server.turnstile.streams or not server.turnstile.holds(self._begin_eagerly):
            self._begin_eagerly()

    def _begin_eagerly(self) -> None:
        head = self._known
        # while others began, its client may have left, or sent so much that a task serves it
        if head is None or self.transport is None or self.serving or self._task is not None:
            return
        self.serving = True
        eager = self._eager = Eager(self._loop, self._server.serve(self, head), self._went)
        eager.begin()

    def _went(self, keep: bool) -> None:
        """The request that ``_go`` began is over."""
        self._eager = None
        self._served()
        if self.transport is None or self._force_close:
            return
        if not keep or self.is_closing():
            self.hang_up()
            return
        self.await_next()
        if self._messages:
            self._serve_queue()
        elif self._early:
            self._loop.call_soon(self._take_early)

    def _take_early(self) -> None:
        data, self._early = self._early, b""
        if data and self.transport is not None:
            self.data_received(data)

    def overdue(self) -> None:
        """A body stalled (``deadlines.Waiter``)."""
        self._head_overdue()

    def _parse(self, data: bytes) -> None:
        """aiohttp's way: parser, queue, flow control."""
        self.feed_parser(data)
        if len(data) > HEAD_LIMIT_BYTES:
            self.large_head = True
        if self._task is None and not self.serving:
            if self._messages:
                self._serve_queue()
            else:  # bytes, but no request yet: the head has to be complete within its time
                self.large_head = True
                if self._head_timer is None and not self.is_closing():
                    self._head_timer = self._loop.call_later(HEAD_READ_S, self._head_overdue)
                return
        if self._head_timer is not None:
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
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._missing:
            self._server.deadlines.forget(self)
        self._server.disconnected(self)
        super().connection_lost(exc)
        if relay is not None:
            relay.client_gone()
        elif self._eager is not None:
            self._eager.cancel()
        elif self._task is not None:  # serving, or reading away what is left of a body
            self._task.cancel()

    # ---- requests -------------------------------------------------------------------------------------------------

    def _serve_queue(self) -> None:
        self._task = self._loop.create_task(self._serve_all())

    async def _serve_all(self) -> None:
        """Serves the requests that are here, one after the other."""
        try:
            while (self.body_at_hand is not None or self._messages) and not self._force_close:
                if not await self._serve_next():
                    self.hang_up()
                    return
        except asyncio.CancelledError:
            self.force_close()
            raise
        finally:
            self._task = None
        if self._early:
            self._loop.call_soon(self._take_early)

    async def _serve_next(self) -> bool:
        """One request; False: it was the last of this connection."""
        head = self._next_head()
        if head is None:
            return False
        self.serving = True
        try:
            keep = await self._server.serve(self, head)
        finally:
            payload = self._served()
        if self.transport is None or self._force_close:
            return False
        if payload is not None and not payload.is_eof() and not await discard(payload):
            return False
        self.await_next()
        return keep and not self.is_closing()

    def _next_head(self) -> RawRequestMessage | RequestHead | None:
        """The head of the next request; None after refusing one that could not be parsed."""
        if self.body_at_hand is not None:
            return self._known
        message, payload = self.next_parsed()
        if isinstance(message, BaseException):
            self._server.refuse(self, refusal(message))
            return None
        self._payload = payload
        self.length = None
        return message

    def _served(self) -> StreamReader | None:
        """Ends a request; gives the stream that its body came by."""
        self.serving = False
        payload, self._payload = self._payload, None
        self._known = self.body_at_hand = None
        return payload

    def close_if_idle(self, now: float) -> None:
        """Closes a connection whose next request has not begun by its time."""
        if self.is_late(now) and not self.serving and self._task is None and self._known is None:
            self.force_close()

    # ---- what the handler uses ------------------------------------------------------------------------------------

    @property
    def server(self) -> RequestServer:
        """The listener's side of this connection."""
        return self._server

    @property
    def body_is_here(self) -> bool:
        """The whole request body has arrived."""
        payload = self._payload
        return payload is None or payload.is_eof()

    async def read_body(self, limit_bytes: int) -> bytes:
        """The request body as sent; raises GatewayError when it is too long, stalls or is malformed."""
        payload = self._payload
        if payload is None:
            body = self.body_at_hand or b""
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
        if not self.serving and self._task is None and self._known is None:
            self.force_close()

    def cancel(self) -> None:
        """Ends the request under way: the stream gets its error event, anything else a 503."""
        if self.relay is not None:
            self.relay.stop()
        elif self._eager is not None:
            self._eager.cancel()
        elif self._task is not None and self.serving:
            self._task.cancel()
