"""A thread that does one piece of work at a time and hands results back to the event loop.

Invariants
    1. The event loop never waits: work is queued, results are futures; a full queue refuses at once.
    2. Work that began runs to its end, whatever became of whoever asked for it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

Result = TypeVar("Result")
_WAITING_MAXIMUM: Final = 1_000


class LaneFullError(Exception):
    """Too much work is waiting, or the lane was closed."""


class Lane:
    """One thread and its queue."""

    def __init__(self, name: str) -> None:
        self._queue: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue(_WAITING_MAXIMUM)
        self._closed = False
        # A daemon: a stuck disk must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Does the work on the lane's thread. Raises LaneFullError, or whatever the work raises."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        if self._closed:
            raise LaneFullError
        try:
            self._queue.put_nowait((work, future))
        except queue.Full:
            raise LaneFullError from None
        return future

    def close(self, last: Callable[[], None], *, timeout_s: float) -> None:
        """Finishes what is queued, then runs ``last`` and ends the thread."""
        self._closed = True
        self._queue.put((last, Future()))
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            work, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever awaits the future
                future.set_exception(error)
            else:
                future.set_result(result)
