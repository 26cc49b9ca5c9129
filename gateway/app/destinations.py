"""Events on their way to the operator's services: JSON by POST, one queue and one task per destination.

Nobody waits for a destination: ``send`` puts an event into a queue of ``QUEUE_LIMIT`` and returns. What a full queue
pushes out, and what a destination does not take after the last retry, is counted and logged once per trouble.

    2xx                           taken
    408, 425, 429, 5xx, no answer tried again after 1, 2, 4, 8 and 16 s, or after what retry-after says (at most 60 s)
    anything else, 3xx included   given up at once: repeating cannot help, and events follow no redirects

Order is kept: while an event is retried, the later ones wait behind it. An event may arrive twice (an answer that was
lost); its ``event_id`` tells. Headers and the path of a destination's URL may hold secrets and are never logged.

Source: AG-332, CP-58, CP-116; how to retry is this gateway's own choice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp
import orjson

if TYPE_CHECKING:
    from gateway.settings.model import EventDestination, EventsSettings

QUEUE_LIMIT: Final = 1_000
RETRY_S: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
_LONGEST_WAIT_S: Final = 60.0
_ANSWER_S: Final = 10.0
_AGAIN: Final = frozenset((408, 425, 429))

log = logging.getLogger("gateway.events")
Start = Callable[[Coroutine[Any, Any, None]], None]


class Destination:
    """One service that wants events."""

    def __init__(
        self, settings: EventDestination, session: aiohttp.ClientSession, retry_s: Sequence[float],
        lost: Callable[[], None],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._lost = lost
        self._session = session
        self._retry_s = retry_s
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._troubled = False
        #: no longer configured: ends when its queue is empty
        self.closing = False

    def put(self, event: bytes) -> None:
        """Takes one event; the oldest makes room when there are too many."""
        if len(self._waiting) >= QUEUE_LIMIT:
            self._waiting.popleft()
            self._lose("its queue is full")
        self._waiting.append(event)
        self._changed.set()

    def close(self) -> None:
        """Lets ``run`` end after what is waiting."""
        self.closing = True
        self._changed.set()

    async def run(self) -> None:
        """Delivers until closed."""
        while True:
            while self._waiting:
                await self._deliver(self._waiting.popleft())
            if self.closing:
                return
            self._changed.clear()
            await self._changed.wait()

    async def _deliver(self, event: bytes) -> None:
        reason = ""
        for wait_s in (*self._retry_s, None):
            status, reason, asked_s = await self._post(event)
            if 200 <= status < 300:
                self._troubled = False
                return
            if wait_s is None or (status and status not in _AGAIN and status < 500):
                break
            await asyncio.sleep(wait_s if asked_s is None else asked_s)
        self._lose(reason)

    async def _post(self, event: bytes) -> tuple[int, str, float | None]:
        """(status or 0, what went wrong, seconds to wait if the answer says so)."""
        headers = {"content-type": "application/json", **dict(self._settings.headers)}
        try:
            async with (
                asyncio.timeout(_ANSWER_S),
                self._session.post(self._settings.url, data=event, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status, f"status {answer.status}", _asked_s(answer.headers)
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a host that is no host name
            return 0, type(error).__name__, None

    def _lose(self, reason: str) -> None:
        self._lost()
        if not self._troubled:
            self._troubled = True
            host = urlsplit(self._settings.url).hostname
            log.warning("the event destination at %s does not take events (%s); they are dropped", host, reason)


class Destinations:
    """All configured destinations; follows the configuration."""

    def __init__(self, start: Start, *, retry_s: Sequence[float] = RETRY_S) -> None:
        self._start = start
        self._retry_s = retry_s
        self._session: aiohttp.ClientSession | None = None
        self._running: dict[EventDestination, Destination] = {}
        #: ``aigw_events_dropped_total``
        self.dropped = 0

    def send(self, event: Mapping[str, Any], settings: EventsSettings) -> None:
        """One event to every destination that ``settings`` name now. Never blocks."""
        self._follow(settings)
        if self._running:
            line = orjson.dumps(event, default=str)
            for destination in self._running.values():
                destination.put(line)

    def _follow(self, settings: EventsSettings) -> None:
        wanted = set(settings.destinations)
        for gone in self._running.keys() - wanted:
            self._running.pop(gone).close()
        for new in settings.destinations:
            if new not in self._running:
                if self._session is None:
                    timeout = aiohttp.ClientTimeout(connect=_ANSWER_S)
                    self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
                destination = self._running[new] = Destination(new, self._session, self._retry_s, self._lose)
                self._start(destination.run())

    def _lose(self) -> None:
        self.dropped += 1

    async def stop(self) -> None:
        """Ends the connections; the caller ends the tasks."""
        if self._session is not None:
            await self._session.close()


def _asked_s(headers: Mapping[str, str]) -> float | None:
    """``retry-after`` in seconds, the only form that is worth the trouble here."""
    text = headers.get("retry-after", "")
    return min(float(text), _LONGEST_WAIT_S) if text.isascii() and text.isdigit() and len(text) < 9 else None
