"""Sends one attempt over the pool; gives back its answer, held or failed. The fast path; ``session`` is the other."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.upstream.attempt import Expectations, Failure, Held
from gateway.upstream.deadlines import Deadlines
from gateway.upstream.origin import Origin
from gateway.upstream.pool import ConnectFailed, Pool


class Transport(Protocol):
    """Something that can make one attempt."""

    def begin(self, origin: Origin, request: bytes, expect: Expectations) -> Held | None:
        """Sends ``request`` (head and body) at once, if there is a connection for it; else None, and ``send`` does."""
        ...

    async def send(
        self, origin: Origin, request: bytes, expect: Expectations, attempt_s: float, total_s: float, *,
        pooled: bool = True,
    ) -> Held:  # fmt: skip
        """The answer to ``request``: ``ready``, or with a ``failure``; never raises for I/O.

        ``attempt_s``: limit of this attempt; ``total_s``: what is left of the client call. Both in seconds.
        ``pooled`` False: on a new connection.
        """
        ...


class PoolTransport:
    """Over pooled connections."""

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._deadlines = Deadlines(loop)

    def begin(self, origin: Origin, request: bytes, expect: Expectations) -> Held | None:
        """See ``Transport``."""
        connection = self._pool.take(origin)
        if connection is None:
            return None
        held = Held(self._loop, expect, self._deadlines)
        held.connection = connection
        connection.start(held, request)
        return held

    async def send(
        self, origin: Origin, request: bytes, expect: Expectations, attempt_s: float, total_s: float, *,
        pooled: bool = True,
    ) -> Held:  # fmt: skip
        """See ``Transport``. A pooled connection that turns out closed is replaced once (AG-157)."""
        held = self.begin(origin, request, expect) if pooled else None
        if held is not None:
            await held.wait(attempt_s, total_s)
            failure = held.failure
            if failure is None or not failure.stale:
                return held
        held = Held(self._loop, expect, self._deadlines)
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
        held.connection = connection
        connection.start(held, request)
        await held.wait(attempt_s - spent, total_s - spent)
        return held
