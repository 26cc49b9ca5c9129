"""Streams first: while any run, few requests begin and few streams are settled in one turn of the event loop.

Either takes ten times as long as to pass on an event. Clients come in bursts, and without this the events of all
running streams would wait for the whole of one. Who is settled has its answer already, and lets others begin.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

#: Works in a turn. Where many streams run, one: a turn is hardly longer than that then. Where few do, turns would cost
#: other requests more than delays cost those. Where none does any more, all that wait.
AT_ONCE: Final = 4
FEW_STREAMS: Final = 16
#: how many pass one that is patient
PASSING: Final = 3


class Turnstile:
    """Of one listener."""

    __slots__ = ("_done", "_loop", "_passed", "_patient", "_turning", "_waiting", "streams")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._done = 0
        self._passed = 0
        self._turning = False
        self._waiting: deque[Callable[[], None]] = deque()
        self._patient: deque[Callable[[], None]] = deque()
        #: streams running now
        self.streams = 0

    def holds(self, work: Callable[[], None], *, patient: bool = False) -> bool:
        """False: it may be done now. Else ``work`` is called in one of the next turns.

        Order of arrival, but ``PASSING`` others pass what is ``patient``.
        """
        if not (self.streams or self._waiting or self._patient):
            return False
        if not self._turning:
            self._turning = True
            self._done = 0
            self._loop.call_soon(self._turn)
        if self._done < self._at_once():
            self._done += 1
            return False
        (self._patient if patient else self._waiting).append(work)
        return True

    def settle(self, work: Callable[[], None]) -> None:
        """Calls it now, or in one of the next turns as what is patient."""
        if not self.holds(work, patient=True):
            work()

    def _at_once(self) -> int:
        return AT_ONCE if self.streams <= FEW_STREAMS else 1

    def _turn(self) -> None:
        waiting, patient = self._waiting, self._patient
        self._turning = bool(waiting or patient)
        if self._turning:
            self._loop.call_soon(self._turn)
        called: list[Callable[[], None]] = []
        most = self._at_once() if self.streams else len(waiting) + len(patient)
        while (waiting or patient) and len(called) < most:
            if patient and (self._passed >= PASSING or not waiting):
                self._passed = 0
                called.append(patient.popleft())
            else:
                self._passed += 1
                called.append(waiting.popleft())
        self._done = len(called)
        for work in called:
            work()
