"""Reads the rest of a held answer into memory, for rules that need the whole body before anything is sent (TP-441)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.upstream import decoding
from gateway.upstream.framing import Source

if TYPE_CHECKING:
    from gateway.upstream.attempt import Held


class BodyBrokenError(Exception):
    """The upstream did not send the rest. ``timeout``: it fell silent."""

    def __init__(self, reason: str, *, timeout: bool = False) -> None:
        super().__init__(reason)
        self.timeout = timeout


class _Collector:
    """The receiver of the rest (``connection.Response``)."""

    def __init__(self, held: Held, limit_bytes: int, done: asyncio.Future[bool]) -> None:
        self._decoder = held.decoder
        self._limit_bytes = limit_bytes
        self._done = done
        self.pieces = [held.take_held()]
        self.size = len(self.pieces[0])
        self.reason = ""
        self._connection: Source | None = held.connection
        held.connection = None

    def start(self) -> None:
        """Reads on; what is held already may be too much."""
        connection = self._connection
        if connection is None:
            self.on_broken("gone")
            return
        connection.response = self
        connection.want_frames(None)
        connection.resume()
        self._check_size()

    def on_frames(self, frames: bytes, payload_end: bytes) -> None:
        raise AssertionError("frames were not asked for")

    def on_event(self, frames: bytes) -> None:
        raise AssertionError("frames were not asked for")

    def on_payload(self, payload: bytes) -> None:
        if self._decoder is not None:
            try:
                payload = self._decoder.feed(payload)
            except (decoding.DecodeError, decoding.TooLarge) as error:
                self.on_broken(str(error))
                return
        self.pieces.append(payload)
        self.size += len(payload)
        self._check_size()

    def on_end(self) -> None:
        self._connection = None
        self._settle(True)

    def on_broken(self, reason: str) -> None:
        self.reason = reason
        self.abandon()
        self._settle(False)

    def abandon(self) -> None:
        """Nothing more is wanted."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()

    def _check_size(self) -> None:
        if self.size > self._limit_bytes:
            self.abandon()
            self._settle(False)

    def _settle(self, complete: bool) -> None:
        if not self._done.done():
            self._done.set_result(complete)


async def collect(held: Held, limit_bytes: int, idle_s: float) -> bytes | None:
    """The whole body, or None when there is more than the limit; raises BodyBrokenError.

    ``idle_s``: how long the upstream may be silent; 0 for any time.
    """
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    collector = _Collector(held, limit_bytes, done)
    try:
        collector.start()
        size = -1
        while not done.done():
            if size == collector.size:
                raise BodyBrokenError("the upstream fell silent", timeout=True)
            size = collector.size
            await asyncio.wait((done,), timeout=idle_s or None)
    finally:
        collector.abandon()
    if collector.reason:
        raise BodyBrokenError(collector.reason)
    return b"".join(collector.pieces) if done.result() else None
