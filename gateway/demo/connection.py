"""One client connection of the demo provider: requests in order, one answer at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, cast

from gateway.demo.log import Received, Stats
from gateway.demo.player import Player
from gateway.demo.service import Answer
from gateway.demo.wire import BadRequestError, Request, RequestParser

_MAX_QUEUED = 64
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Host(Protocol):
    """What a connection needs of the provider that it belongs to."""

    stats: Stats

    def opened(self, connection: DemoConnection) -> int:
        """A number for the new connection."""
        ...

    def closed(self, connection: DemoConnection) -> None:
        """It is gone."""
        ...

    def answer(self, request: Request, connection: int) -> tuple[Answer, Received]:
        """The answer, and its entry in the log."""
        ...


class DemoConnection(asyncio.Protocol):
    """See the module."""

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._parser = RequestParser()
        self._queue: deque[Request] = deque()
        self._player: Player | None = None
        self._received: Received | None = None
        self._keep_alive = True
        self._continued: Request | None = None
        self._peer_left = False
        self._paused = False
        self._number = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._number = self._host.opened(self)

    def data_received(self, received: bytes) -> None:
        try:
            self._queue.extend(self._parser.feed(received))
            if len(self._queue) > _MAX_QUEUED:
                raise BadRequestError("too many pipelined requests")
        except BadRequestError:
            self._host.stats.bad_requests += 1
            self.transport.write(_BAD_REQUEST)
            self.transport.close()
            return
        self._answer_continue()
        if self._player is None:
            self._serve_next()

    def _answer_continue(self) -> None:
        """``expect: 100-continue`` of the request whose body is still to come."""
        waiting = self._parser.waits_for_body
        if waiting is not None and waiting is not self._continued:
            self._continued = waiting
            if (waiting.header("expect") or "").lower() == "100-continue" and self._player is None:
                self.transport.write(_CONTINUE)

    def eof_received(self) -> bool:
        """A client that closes its side has left (no SDK half-closes): what comes now is generated in vain."""
        self._peer_left = True
        return self._player is not None and self._received is not None and self._received.behaviour.deaf

    def pause_writing(self) -> None:
        self._paused = True
        if self._player is not None:
            self._player.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._player is not None:
            self._player.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._player is not None:
            self._player.stop()
            self._player = None
            self._settle(completed=False)
        self._queue.clear()
        self._host.closed(self)

    def _serve_next(self) -> None:
        if not self._queue or self.transport.is_closing():
            return
        request = self._queue.popleft()
        self._keep_alive = request.keep_alive
        answer, self._received = self._host.answer(request, self._number)
        self._keep_alive = self._keep_alive and not (answer.behaviour.close or answer.behaviour.no_length)
        self._host.stats.answers_open += 1
        self._player = Player(
            self.transport, answer.steps, wrote=self._count_events, finished=self._finish, loop=self._loop
        )
        if self._paused:
            self._player.pause()
        self._player.start()

    def _count_events(self, events: int) -> None:
        stats, received = self._host.stats, self._received
        stats.events_sent += events
        if received is not None:
            received.events_sent += events
        if self._peer_left:
            stats.events_after_disconnect += events

    def _finish(self) -> None:
        self._player = None
        self._settle(completed=True)
        if not self._keep_alive or self._peer_left:
            self.transport.close()
        elif self._queue:
            # Not from here: a long pipeline of JSON answers would nest as deep as it is long.
            self._loop.call_soon(self._serve_if_idle)

    def _serve_if_idle(self) -> None:
        if self._player is None:
            self._serve_next()

    def _settle(self, *, completed: bool) -> None:
        stats, received = self._host.stats, self._received
        stats.answers_open -= 1
        if completed:
            stats.answers_completed += 1
        else:
            stats.answers_aborted += 1
        if received is not None:
            received.completed = completed
            received.aborted = not completed
        self._received = None
