"""Many deadlines, one timer: for waits that begin and end with every request, and limits of thousands of streams.

A timer of the event loop per wait costs more than the rest of the wait. Here a wait is an entry in a dictionary, and
one timer looks through all of them every ``TICK_S``, so that a deadline is noticed up to that much late. Short limits
(``EXACT_BELOW_S``) deserve a timer of their own; that is the caller's choice.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Protocol

TICK_S: Final = 0.25
EXACT_BELOW_S: Final = 10.0


class Waiter(Protocol):
    """Something that waits, hashed by identity."""

    def overdue(self) -> None:
        """Its time is over; it has been forgotten already."""
        ...


class Deadlines:
    """The waits of one event loop."""

    __slots__ = ("_loop", "_timer", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        #: who waits → loop time at which it is overdue; ``pop`` an entry to forget it
        self.waiting: dict[Waiter, float] = {}

    def watch(self, waiter: Waiter, due_at: float) -> None:
        """Calls ``waiter.overdue`` soon after the loop time ``due_at``, unless it is forgotten before."""
        self.waiting[waiter] = due_at
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._look)

    def forget(self, waiter: Waiter) -> None:
        """The wait ended; nothing happens if it is not known."""
        self.waiting.pop(waiter, None)

    def close(self) -> None:
        """Forgets everything."""
        self.waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        waiting = self.waiting
        self._timer = self._loop.call_later(TICK_S, self._look) if waiting else None
        now = self._loop.time()
        for waiter in [waiter for waiter, due_at in waiting.items() if due_at <= now]:
            if waiting.pop(waiter, None) is not None:
                waiter.overdue()


class Timers(ABC):
    """The timers of one object, by name; nothing is made for those that are never set."""

    __slots__ = ("_loop", "_timers")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timers: dict[str, asyncio.TimerHandle] | None = None

    @abstractmethod
    def overdue(self) -> None:
        """``Waiter``."""

    def _watch(self, deadlines: Deadlines | None, seconds: float, *, exact_below_s: float = 0.0) -> None:
        """Calls ``overdue`` then, and no earlier watch's; without a timer of its own if that is possible."""
        if deadlines is not None and seconds >= exact_below_s:
            deadlines.watch(self, self._loop.time() + seconds)
        else:
            self._call_later("overdue", seconds, self.overdue)

    def _call_later(self, name: str, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        if self._timers is None:
            self._timers = {}
        else:
            self._cancel(name)
        self._timers[name] = self._loop.call_later(seconds, callback, *args)

    def _cancel(self, name: str) -> None:
        if self._timers is not None and (timer := self._timers.pop(name, None)):
            timer.cancel()

    def _cancel_all(self) -> None:
        for timer in (self._timers or {}).values():
            timer.cancel()
        self._timers = None
