"""Requests that run where their events arrive, until they have to wait for more than the answer of an upstream.

asyncio resumes what waits in the next turn of its loop: a future is set, which calls a task, which resumes. A request
takes two such turns, each with a look at the sockets. ``Eager`` runs a request's coroutine in the turn in which its
bytes came, and resumes it in the turn in which the answer came; as soon as it waits for anything else than a ``Turn``
it becomes a task, and goes on like any other. (asyncio's eager tasks, from Python 3.12, save the first turn only.)

Invariants
    1. The coroutine runs exactly once, start to end; ``ended`` is called exactly once, also if it is cancelled.
    2. Outside of a task nothing may ask for the current one: ``in_task`` stands before every ``asyncio.timeout`` and
       every call of an aiohttp client that such a request can reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Turn:
    """What an eager request waits for, one at a time. Whoever ends the wait calls ``resume``, once."""

    __slots__ = ("resume",)

    def __init__(self) -> None:
        #: goes on with the request; None: nobody waits
        self.resume: Callable[[], None] | None = None

    def __await__(self) -> Generator[Turn, None, None]:
        yield self


class _NeedsTask:
    def __await__(self) -> Generator[_NeedsTask, None, None]:
        yield self


_NEEDS_TASK = _NeedsTask()


async def in_task() -> None:
    """What follows runs in a task."""
    if asyncio.current_task() is None:
        await _NEEDS_TASK


class Eager:
    """One coroutine that has begun outside of a task."""

    __slots__ = ("_coroutine", "_ended", "_loop", "_task", "_turn")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, bool], ended: Callable[[bool], None]
    ) -> None:
        self._loop = loop
        self._coroutine = coroutine
        #: gets the coroutine's result; False if it was cancelled
        self._ended = ended
        self._turn: Turn | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Runs the coroutine until it has to wait."""
        self._advance()

    def resume(self) -> None:
        """Goes on, unless it was cancelled meanwhile."""
        if self._turn is not None:
            self._advance()

    def cancel(self) -> None:
        """What ``Task.cancel`` does."""
        task, turn = self._task, self._turn
        if task is not None:
            # a task that was never resumed would not let its coroutine know
            self._loop.call_soon(task.cancel)
        elif turn is not None:
            turn.resume = _nothing
            self._advance(asyncio.CancelledError())

    def _advance(self, error: BaseException | None = None) -> None:
        self._turn = None
        coroutine, ended = self._coroutine, self._ended
        try:
            waiting = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration as end:
            ended(end.value)
        except asyncio.CancelledError:
            ended(False)
        else:
            if isinstance(waiting, Turn):
                self._turn = waiting
                waiting.resume = self.resume
            else:
                self._task = self._loop.create_task(_rest(self, waiting))


async def _rest(eager: Eager, waiting: Any) -> None:
    """The task that an eager request becomes."""
    result = False
    try:
        result = await _Begun(eager, waiting)
    finally:
        eager._ended(result)


class _Begun:
    """Awaits a coroutine that has begun and waits for ``waiting``."""

    __slots__ = ("_eager", "_waiting")

    def __init__(self, eager: Eager, waiting: Any) -> None:
        self._eager = eager
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, bool]:
        coroutine, waiting = self._eager._coroutine, self._waiting
        while True:
            try:
                value = None if waiting is _NEEDS_TASK else (yield waiting)
            except BaseException as error:  # noqa: BLE001 - whatever a task is resumed with is for the coroutine
                step: Callable[[Any], Any] = coroutine.throw
                value = error
            else:
                step = coroutine.send
            try:
                waiting = step(value)
            except StopIteration as end:
                result: bool = end.value
                return result


def _nothing() -> None:
    """Ends a wait that was cancelled."""
