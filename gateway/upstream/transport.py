"""Sends one attempt over the pool; gives back its answer, held or failed. The fast path; ``session`` is the other."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.upstream.attempt import Expectations, Failure, Held
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.origin import Origin
from gateway.upstream.pool import ConnectFailed, Pool


class Transport(Protocol):
    """Something that can make one attempt."""

    async def send(
        self, origin: Origin, request: bytes, expect: Expectations, attempt_s: float, total_s: float
    ) -> Held:
        """The answer to ``request`` (head and body as bytes): ``ready``, or with a ``failure``; never raises for I/O.

        ``attempt_s``: limit of this attempt; ``total_s``: what is left of the client call. Both in seconds.
        """
        ...


class PoolTransport:
    """Over pooled connections."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop

    async def send(
        self, origin: Origin, request: bytes, expect: Expectations, attempt_s: float, total_s: float
    ) -> Held:
        """See ``Transport``. A pooled connection that turns out closed is replaced once (AG-157)."""
        held = Held(self._loop, expect)
        connection = self._pool.take(origin)
        if connection is not None:
            await _exchange(held, connection, request, attempt_s, total_s)
            failure = held.failure
            if failure is None or not failure.stale:
                return held
            held = Held(self._loop, expect)
        began = self._loop.time()
        try:
            connection = await self._pool.dial(origin, min(attempt_s, total_s))
        except ConnectFailed as error:
            held.failure = Failure("connection", str(error))
            return held
        except TimeoutError:
            held.failure = Failure("timeout", "no connection in time")
            return held
        spent = self._loop.time() - began
        await _exchange(held, connection, request, attempt_s - spent, total_s - spent)
        return held


async def _exchange(
    held: Held, connection: UpstreamConnection, request: bytes, attempt_s: float, total_s: float
) -> None:
    held.connection = connection
    connection.start(held, request)
    try:
        await held.wait(attempt_s, total_s)
    except asyncio.CancelledError:
        held.abandon()
        raise
