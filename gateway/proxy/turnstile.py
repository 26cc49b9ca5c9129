"""Streams first: while any run, few requests begin in one turn of the event loop.

To begin a request takes ten times as long as to pass on an event. Clients come in bursts, and without this the events
of all running streams would wait for the whole of one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

#: about a millisecond
BEGIN_AT_ONCE: Final = 4


class Turnstile:
    """Of one listener."""

    __slots__ = ("_begun", "_loop", "_turning", "_waiting", "streams")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._begun = 0
        self._turning = False
        self._waiting: deque[Callable[[], None]] = deque()
        #: streams running now
        self.streams = 0

    def holds(self, begin: Callable[[], None]) -> bool:
        """False: it may begin now. Else ``begin`` is called in one of the next turns, in order."""
        if not self.streams and not self._waiting:
            return False
        if not self._turning:
            self._turning = True
            self._begun = 0
            self._loop.call_soon(self._turn)
        if self._begun < BEGIN_AT_ONCE:
            self._begun += 1
            return False
        self._waiting.append(begin)
        return True

    def _turn(self) -> None:
        waiting = self._waiting
        self._begun = min(len(waiting), BEGIN_AT_ONCE)
        self._turning = bool(waiting)
        if waiting:
            self._loop.call_soon(self._turn)
        for _ in range(self._begun):
            waiting.popleft()()
