"""One upstream connection: HTTP/1.1 framing over an ``asyncio.Protocol``, with no task, queue or future of its own.

Lives here: finding a response's head, walking its framing, telling its end. Not here: what a response means.

Invariants
    1. ``response`` is set from ``start`` until the response ended, failed or was abandoned; bytes that arrive
       without it spoil the connection.
    2. A connection goes back to the pool only at the exact end of a response that allows it.
    3. Whatever is not HTTP/1.1 as RFC 9112 has it is a failure of the attempt, never an exception in the loop.
    4. A body delivered as *frames* is always whole chunk frames, so that the reader may add a frame of its own
       after any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from gateway.upstream.framing import (
    HEAD_LIMIT_BYTES,
    NO_BODY,
    SIZED,
    BadResponse,
    Framing,
    ParseHead,
    Receiver,
    Response,
    begun_head,
    frame_size,
    known_size,
    known_status,
    require_line_end,
    status_of,
)

if TYPE_CHECKING:
    from gateway.upstream.codec import Head
    from gateway.upstream.origin import Origin


def _lost(data: bytes) -> None:
    """Nothing comes by a connection that is gone."""


class UpstreamConnection(asyncio.Protocol):
    """A connection to one origin; made by the pool, given back to it by itself."""

    __slots__ = (
        "_body_left", "_buffer", "_feed", "_first", "_framing", "_keep_alive", "_parse_head",
        "_reading_paused", "_release", "idle_since_s", "origin", "received", "response", "reused",
        "transport",
    )  # fmt: skip

    def __init__(
        self, origin: Origin, parse_head: ParseHead, release: Callable[[UpstreamConnection, bool], None]
    ) -> None:
        self.origin = origin
        self._parse_head = parse_head
        #: called with (self, reusable) once the connection is free or gone
        self._release = release
        self.transport: asyncio.Transport | None = None
        self.response: Response | None = None
        self.reused = False
        #: bytes of the current response were seen
        self.received = False
        self.idle_since_s = 0.0
        #: who sees blocks first that begin with a frame, if whole frames are wanted
        self._first: Callable[[bytes], None] | None = None
        self._feed: Callable[[bytes], None] = self._feed_head
        self._reset()

    def _reset(self) -> None:
        self._buffer = b""
        self._body_left = 0
        self._keep_alive = False
        self._framing = NO_BODY

    # ---- requests -------------------------------------------------------------------------------------------------

    def start(self, response: Receiver, request: bytes) -> None:
        """Sends a request; what comes back goes to ``response``."""
        assert self.transport is not None
        self._reset()
        self.received = False
        self._first = None
        self._reading_paused = False
        self.response = response
        self.transport.write(request)

    def write(self, data: bytes) -> None:
        """Sends more of the request."""
        assert self.transport is not None
        self.transport.write(data)

    def want_frames(self, first: Callable[[bytes], None] | None) -> None:
        """Whole chunk frames where the body has them, or payload only (None).

        ``first`` gets every block that begins with a frame, and gives to ``feed_frames`` what it does not pass on.
        """
        self._first = first
        if self._framing is Framing.CHUNKED:
            self._feed = self._feed_chunked
            self._after_frames(False)

    def pause(self) -> None:
        """Stops reading until ``resume``: the receiver has enough."""
        if not self._reading_paused and self.transport is not None and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Reads on."""
        if self._reading_paused and self.transport is not None and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    def _let_go(self) -> Response | None:
        """Keeps nothing of the receiver, which it gives."""
        response, self.response = self.response, None
        self._first = None
        self._feed = self._feed_head
        return response

    def abandon(self) -> None:
        """Ends the connection at once, TLS included: the provider must stop generating (performance.md, traps)."""
        self._let_go()
        if self.transport is not None:
            self.transport.abort()

    # ---- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._reading_paused = False

    def data_received(self, data: bytes) -> None:
        if self.response is None:
            self.abandon()
            return
        self.received = True
        feed = self._feed
        try:
            feed(data)
        except BadResponse as error:
            self._break(str(error))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        response = self._let_go()
        self._feed = _lost  # no cycle is left for the collector
        self._release(self, False)
        if response is None:
            return
        if self._framing is Framing.CLOSE and exc is None:
            response.on_end()
        elif self.received:
            response.on_broken("connection closed before the response was complete")
        else:
            response.on_broken("connection closed before any byte of a response")

    # ---- head -----------------------------------------------------------------------------------------------------

    def _feed_head(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = begun_head(data)
            return
        line = data[: data.find(b"\r\n")]
        status, minor = known_status(line) or status_of(line)
        self._buffer = b""
        rest = data[end + 4 :]
        if status < 200:
            self._skip_informational(status, rest)
            return
        parse_head = self._parse_head
        head = parse_head(data[: end + 2], minor)
        response: Receiver = self.response  # type: ignore[assignment] # what ``start`` was given
        if rest and len(rest) == head.content_length and response.on_whole(status, head, rest):
            self._keep_alive = head.keep_alive
            self._framing = SIZED
            self._finish()
            return
        self._begin_body(status, head)
        response.on_head(status, head, self._framing)
        if self.response is not response:
            return  # the receiver gave the connection up
        if self._framing is Framing.NONE:
            if rest:
                self._keep_alive = False
            self._finish()
        elif rest:
            self._feed(rest)

    def _skip_informational(self, status: int, rest: bytes) -> None:
        if status == 101:
            raise BadResponse("unasked-for protocol switch")
        if rest:
            self._feed_head(rest)

    def _begin_body(self, status: int, head: Head) -> None:
        self._keep_alive = head.keep_alive
        if status in (204, 304):
            self._framing = Framing.NONE
        elif head.chunked:
            self._framing = Framing.CHUNKED
            self._feed = self._feed_chunked
        elif head.content_length is not None:
            self._body_left = head.content_length
            self._framing = Framing.SIZED if head.content_length else Framing.NONE
            self._feed = self._feed_sized
        else:
            self._framing = Framing.CLOSE
            self._keep_alive = False
            self._feed = self._feed_until_close

    # ---- bodies ---------------------------------------------------------------------------------------------------

    def _feed_sized(self, data: bytes) -> None:
        response = self.response
        assert response is not None
        left = self._body_left - len(data)
        if left < 0:  # more than announced: the rest answers nothing we asked
            data = data[: self._body_left]
            self._keep_alive = False
            left = 0
        self._body_left = left
        response.on_payload(data)
        if not left and self.response is response:
            self._finish()

    def _feed_until_close(self, data: bytes) -> None:
        assert self.response is not None
        self.response.on_payload(data)

    def _feed_chunked(self, data: bytes) -> None:
        """Payload of chunk frames, as it comes; ``_buffer`` holds an incomplete size line or trailer."""
        response = self.response
        assert response is not None
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        try:
            finished = self._unframe(data, pieces)
        finally:  # what stands before a frame that is malformed is as good as if it had come alone
            if pieces:
                response.on_payload(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self.response is response:
            self._after_frames(finished)

    def _unframe(self, data: bytes, pieces: list[bytes]) -> bool:
        """Adds the payload to ``pieces``; True: that was all of it."""
        position, end = 0, len(data)
        left = self._body_left  # payload bytes left of the current frame, then 2 for its CRLF
        finished = False
        while position < end:
            if left > 2:
                take = min(left - 2, end - position)
                pieces.append(data[position : position + take])
                position += take
                left -= take
                continue
            if left:
                if end - position < left:
                    self._buffer = data[position:]
                    break
                require_line_end(data, position)
                position += 2
                left = 0
                continue
            size, after = self._size_at(data, position)
            if after < 0:
                break
            if size == 0:
                finished = self._trailer_ends(data, position, after)
                break
            position, left = after, size + 2
        self._body_left = left
        return finished

    def _after_frames(self, finished: bool) -> None:
        if finished:
            self._finish()
        elif self._first is not None:
            self._feed = self.feed_frames if self._body_left or self._buffer else self._first

    def _size_at(self, data: bytes, position: int) -> tuple[int, int]:
        """Size of the frame that begins at ``position`` and where its payload begins; (0, -1): not complete yet."""
        line_end = data.find(b"\r\n", position, position + 1_100)
        if line_end < 0:
            if len(data) - position > 1_050:
                raise BadResponse("chunk size line too long")
            self._buffer = data[position:]
            return 0, -1
        line = data[position:line_end]
        size = known_size(line)
        if size is None:
            size = frame_size(line)
        return size, line_end + 2

    def _trailer_ends(self, data: bytes, position: int, after: int) -> bool:
        """After the last frame: an empty line, or trailer lines (dropped) and an empty line."""
        close = after if data.startswith(b"\r\n", after) else data.find(b"\r\n\r\n", after)
        if close < 0 or len(data) < after + 2:
            if len(data) - position > HEAD_LIMIT_BYTES:
                raise BadResponse("trailer too large")
            self._buffer = data[position:]
            return False
        finish = close + (2 if close == after else 4)
        if finish != len(data):
            self._keep_alive = False
        return True

    def feed_frames(self, data: bytes) -> None:
        """Relays whole frames untouched where the block allows it; anything else goes the payload way.

        The common block is exactly one frame with whole events: one find, one look-up, two comparisons.
        """
        if self._body_left or self._buffer:
            self._feed_chunked(data)
            return
        response = self.response
        assert response is not None
        line_end = data.find(b"\r\n")
        if known_size(data[:line_end], 0) + line_end + 4 == len(data) and data[-4:] == b"\n\n\r\n":
            response.on_event(data)
        else:
            self._walk_frames(data, response)

    def _walk_frames(self, data: bytes, response: Response) -> None:
        position, end = 0, len(data)
        while True:
            line_end = data.find(b"\r\n", position, position + 20)
            if line_end < 0:
                break
            line = data[position:line_end]
            size = known_size(line)
            if size is None:
                try:
                    size = frame_size(line)
                except BadResponse:  # the other way says so, behind what is good
                    break
            following = line_end + size + 4
            if following > end or not size or data[following - 2 : following] != b"\r\n":
                break
            position = following
            if following == end:
                response.on_frames(data, data[-6:-2])
                return
        if position:
            response.on_frames(data[:position], data[position - 6 : position - 2])
            if self.response is not response:
                return
            data = data[position:]
        self._feed_chunked(data)

    # ---- endings --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        response = self._let_go()
        transport = self.transport
        assert response is not None
        assert transport is not None
        reusable = self._keep_alive and not transport.is_closing()
        if reusable:
            self.resume()
        release = self._release
        release(self, reusable)
        if not reusable:
            transport.close()
        response.on_end()

    def _break(self, reason: str) -> None:
        response = self._let_go()
        self._release(self, False)
        if self.transport is not None:
            self.transport.abort()
        if response is not None:
            response.on_broken(reason)
