"""Usage events on their way to the store: the request path puts a note of each attempt here (AG-285 to AG-288)."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple, Protocol

QUEUE_MAXIMUM: Final = 10_000


class UsageEvent(NamedTuple):
    """One attempt, in the order of the store's columns. Money is whole units of 0.00001 USD.

    ``event_time_ms`` is the time of completion; ``key_source`` is ``user`` or ``ngrok`` (AG-286); ``estimated``: tokens
    were counted here (P03); ``price_version`` names the prices that ``cost`` was computed with (P24).
    """

    event_time_ms: int
    request_id: str
    access_key_id: str
    provider: str
    provider_name: str
    model: str
    model_name: str
    attempt: int
    is_final: bool
    status: int
    timed_out: bool
    is_error: bool
    is_streaming: bool
    key_source: str
    stop_reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int = 0
    provider_key_id: str | None = None
    provider_key_name: str | None = None
    estimated: bool = False
    price_version: str = ""
    cache_write_tokens: int = 0

    def event(self) -> UsageEvent:
        """An event is a note of itself."""
        return self


class Noted(Protocol):
    """What the request path leaves behind; the writer makes the event of it, off the event loop."""

    def event(self) -> UsageEvent: ...


class UsageQueue:
    """Bounded; when the store is slow or away the oldest events go, and are counted."""

    __slots__ = ("_events", "_told", "dropped")

    def __init__(self, maximum: int = QUEUE_MAXIMUM) -> None:
        self._events: deque[Noted] = deque(maxlen=maximum)
        #: ``aigw_usage_dropped_total``
        self.dropped = 0
        self._told = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def losing(self) -> bool:
        """Events were dropped since the last ``take_dropped``."""
        return self.dropped > self._told

    def take_dropped(self) -> int:
        """How many were dropped since the last call, for the log."""
        dropped, self._told = self.dropped - self._told, self.dropped
        return dropped

    def put(self, event: Noted) -> None:
        """Never blocks, never fails."""
        if len(self._events) == self._events.maxlen:
            self.dropped += 1
        self._events.append(event)

    def waiting(self) -> list[Noted]:
        """What was not taken yet, oldest first; any thread may look."""
        return list(self._events.copy())  # copying a deque is one step of the interpreter, iterating is not

    def take(self, maximum: int) -> list[Noted]:
        """The oldest events, removed."""
        return [self._events.popleft() for _ in range(min(maximum, len(self._events)))]

    def put_back(self, events: list[Noted]) -> None:
        """Returns events whose write failed, in front; what does not fit is dropped, oldest first."""
        room = (self._events.maxlen or 0) - len(self._events)
        kept = events[max(0, len(events) - room) :] if room else []
        self.dropped += len(events) - len(kept)
        self._events.extendleft(reversed(kept))
