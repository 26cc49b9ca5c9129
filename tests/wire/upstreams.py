"""A raw TCP server that plays scripts: exactly these bytes, in these pieces, and then whatever goes wrong.

A script is a list of moves, and reads like a transcript of the wire::

    async with ScriptedUpstream([request(), send(HEAD), send(b"data: 1\n\n", size=1), reset()]) as upstream:
        …  # upstream.url, upstream.peers[0].requests

The first connection plays the first script, the second the second, and so on; the last one serves all that follow.
Every wait is bounded; a script that fails makes leaving the context fail, so a test cannot pass over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self, cast

from gateway.demo.player import reset as reset_transport
from gateway.demo.tls import SelfSigned
from gateway.demo.wire import BadRequestError, Request, RequestParser

PATIENCE_S = 10.0

Move = Callable[["Peer"], Awaitable[None]]
Script = Sequence[Move]


class Peer(asyncio.Protocol):
    """One accepted connection, seen from the server."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._changed = asyncio.Event()
        self._parser = RequestParser()
        self._writable = asyncio.Event()
        self._writable.set()
        #: every byte that arrived
        self.received = bytearray()
        #: complete requests among them, until something is no HTTP
        self.requests: list[Request] = []
        #: the client closed its side / the connection is gone, and with what error
        self.ended = False
        self.lost = False
        self.error: Exception | None = None
        #: bytes handed to the transport
        self.sent = 0
        self._taken = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._upstream.play_on(self)

    def data_received(self, received: bytes) -> None:
        self.received += received
        try:
            self.requests.extend(self._parser.feed(received))
        except BadRequestError:
            self._parser = RequestParser()
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._changed.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.error = True, exc
        self._writable.set()
        self._changed.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Until something that arrives makes the condition true; TimeoutError after a while."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def flushed(self) -> None:
        """Until the transport holds nothing more."""
        low, high = self.transport.get_write_buffer_limits()
        self.transport.set_write_buffer_limits(0)
        async with asyncio.timeout(PATIENCE_S):
            await self._writable.wait()
        self.transport.set_write_buffer_limits(high, low)

    async def next_request(self) -> Request:
        """For scripts: the next complete request; ConnectionError if the client leaves before it is complete.

        Tests look at ``requests`` instead, since each request is handed out once.
        """
        number = self._taken
        self._taken += 1
        await self.wait_until(lambda: len(self.requests) > number or self.lost or self.ended)
        if len(self.requests) <= number:
            raise ConnectionError("the client left before its request was complete")
        return self.requests[number]

    async def write(self, data: bytes) -> None:
        """One write, and until the transport takes more."""
        if self.lost or self.transport.is_closing():
            return
        self.transport.write(data)
        self.sent += len(data)
        async with asyncio.timeout(PATIENCE_S):
            await self._writable.wait()


class ScriptedUpstream:
    """See the module. ``stay=True`` keeps a connection open after its script; otherwise it is closed."""

    def __init__(self, *scripts: Script, tls: SelfSigned | None = None) -> None:
        if not scripts:
            raise ValueError("at least one script")
        self._scripts = scripts
        self._tls = tls
        self._plays: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._accepted = asyncio.Event()
        self.peers: list[Peer] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(self._tls.server_context) if self._tls else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Peer(self), "127.0.0.1", 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for play in self._plays:
            play.cancel()
        results = await asyncio.gather(*self._plays, return_exceptions=True)
        for peer in self.peers:
            peer.transport.abort()
            await peer.wait_until(lambda peer=peer: peer.lost)  # type: ignore[misc]
        if self._server is not None:
            await self._server.wait_closed()
        failures = [r for r in results if isinstance(r, Exception)]
        if failures and error is None:
            raise failures[0]

    @property
    def url(self) -> str:
        """Without a path."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Of all connections, in the order of the connections."""
        return [request for peer in self.peers for request in peer.requests]

    async def peer(self, number: int = 0) -> Peer:
        """A connection, once it was accepted."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.peers) <= number:
                self._accepted.clear()
                await self._accepted.wait()
        return self.peers[number]

    def play_on(self, peer: Peer) -> None:
        """Starts the script of a new connection."""
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        self._plays.append(asyncio.get_running_loop().create_task(self._play(script, peer)))
        self._accepted.set()

    @staticmethod
    async def _play(script: Script, peer: Peer) -> None:
        for move in script:
            await move(peer)
        if not peer.lost:
            peer.transport.close()


# Moves


def request(count: int = 1) -> Move:
    """Waits for complete requests."""

    async def play(peer: Peer) -> None:
        for _ in range(count):
            await peer.next_request()

    return play


def received(count: int) -> Move:
    """Waits for so many bytes, whatever they are."""

    async def play(peer: Peer) -> None:
        await peer.wait_until(lambda: len(peer.received) >= count or peer.lost)

    return play


def send(data: bytes, *, size: int = 0, gap_s: float = 0.0) -> Move:
    """Writes the bytes, ``size`` at a time (0: at once), each piece in a loop turn of its own or ``gap_s`` apart."""

    async def play(peer: Peer) -> None:
        step = size or max(len(data), 1)
        for start in range(0, len(data), step):
            await peer.write(data[start : start + step])
            await asyncio.sleep(gap_s)

    return play


def until(event: asyncio.Event) -> Move:
    """Stalls until the test sets the event."""

    async def play(peer: Peer) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await event.wait()

    return play


def told(event: asyncio.Event) -> Move:
    """Tells the test that the script has come here."""

    async def play(peer: Peer) -> None:
        event.set()

    return play


def stall() -> Move:
    """Does nothing until the client has closed its side or is gone."""

    async def play(peer: Peer) -> None:
        await peer.wait_until(lambda: peer.ended or peer.lost)

    return play


def stop_reading() -> Move:
    """Takes no more bytes, so that the client's writes fill up."""

    async def play(peer: Peer) -> None:
        peer.transport.pause_reading()

    return play


def half_close() -> Move:
    """Sends FIN and goes on reading (plain TCP only)."""

    async def play(peer: Peer) -> None:
        peer.transport.write_eof()

    return play


def close() -> Move:
    """Closes after what was written has left."""

    async def play(peer: Peer) -> None:
        peer.transport.close()
        await peer.wait_until(lambda: peer.lost)

    return play


def reset() -> Move:
    """Resets the connection (RST)."""

    async def play(peer: Peer) -> None:
        await peer.flushed()
        reset_transport(peer.transport)
        await peer.wait_until(lambda: peer.lost)

    return play


def json_answer(body: bytes, *, status: str = "200 OK", headers: str = "") -> Move:
    """A complete answer with ``content-length``; ``headers`` are lines that end in CRLF."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return send(head.encode("latin-1") + body)


#: the head of a chunked event stream
SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


LAST_CHUNK = b"0\r\n\r\n"


def events(*payloads: str) -> bytes:
    """``events("1", "2")``: two ``data:`` events, each in a chunk of its own."""
    return b"".join(chunk(f"data: {payload}\n\n".encode()) for payload in payloads)
