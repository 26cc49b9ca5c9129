"""Usage events on their way to the store: the request path puts a note of each attempt here (AG-285 to AG-288)."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple, Protocol

QUEUE_MAXIMUM: Final = 10_000
DAY_MS: Final = 86_400_000


class UsageKind(NamedTuple):
    """What an attempt shares with others of its UTC day, in the order of the store's columns.

    ``key_source`` is ``user`` or ``ngrok`` (AG-286); ``provider_key_id`` and its name are '' unless the key is stored;
    ``estimated``: tokens were counted here (P03); ``price_version`` names the prices of the cost (P24).
    """

    day: int
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
    stop_reason: str
    provider_key_id: str
    provider_key_name: str
    estimated: bool
    price_version: str


#: an attempt as the store keeps it: number, time of completion, request id, gateway key id, number of its kind, tokens
#: (input, output, cache read, cache write, reasoning), cost
UsageColumns = tuple[int, int, str, str, int, int, int, int, int, int, int]


class Kinds(Protocol):
    """The kinds of a batch that is being written. ``known`` is for whoever finds a kind without making it."""

    known: dict[Any, int]

    def kind(self, kind: UsageKind, /) -> int: ...


class UsageEvent(NamedTuple):
    """One attempt in full. Money is whole units of 0.00001 USD; ``event_time_ms`` is the time of completion."""

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

    def columns(self, number: int, kinds: Kinds) -> UsageColumns:
        kind = UsageKind(
            self.event_time_ms // DAY_MS, *self[3:14], self.stop_reason, self.provider_key_id or "",
            self.provider_key_name or "", self.estimated, self.price_version,
        )  # fmt: skip
        return (
            number, *self[:3], kinds.kind(kind), self.input_tokens, self.output_tokens, self.cache_read_tokens,
            self.cache_write_tokens, self.reasoning_tokens, self.cost,
        )  # fmt: skip


class Noted(Protocol):
    """What the request path leaves behind; the writer makes the columns of it, off the event loop."""

    def columns(self, number: int, kinds: Kinds) -> UsageColumns: ...

    def event(self) -> UsageEvent: ...


class Unwritten:
    """``Kinds`` that are kept here: for the events of notes that nobody writes now."""

    __slots__ = ("_kinds", "known")

    def __init__(self) -> None:
        self.known: dict[Any, int] = {}
        self._kinds: list[UsageKind] = []

    def kind(self, kind: UsageKind, /) -> int:
        self._kinds.append(kind)
        return len(self._kinds) - 1

    def event(self, note: Noted) -> UsageEvent:
        """The note in full."""
        _, time_ms, request_id, access_key_id, number, given, made, read, written, reasoning, cost = note.columns(
            0, self
        )
        kind = self._kinds[number]
        return UsageEvent(
            time_ms, request_id, access_key_id, *kind[1:13], given, made, read, reasoning, cost,
            kind.provider_key_id or None, kind.provider_key_name or None, kind.estimated, kind.price_version, written,
        )  # fmt: skip


class UsageQueue:
    """Bounded; when the store is slow or away the oldest events go, and are counted."""

    __slots__ = ("_events", "_maximum", "_told", "dropped")

    def __init__(self, maximum: int = QUEUE_MAXIMUM) -> None:
        self._maximum = maximum
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
        events = self._events
        if len(events) == self._maximum:
            self.dropped += 1
        events.append(event)

    def waiting(self) -> list[Noted]:
        """What was not taken yet, oldest first; any thread may look."""
        return list(self._events.copy())  # copying a deque is one step of the interpreter, iterating is not

    def take(self, maximum: int) -> list[Noted]:
        """The oldest events, removed."""
        return [self._events.popleft() for _ in range(min(maximum, len(self._events)))]

    def put_back(self, events: list[Noted]) -> None:
        """Returns events whose write failed, in front; what does not fit is dropped, oldest first."""
        room = self._maximum - len(self._events)
        kept = events[max(0, len(events) - room) :] if room else []
        self.dropped += len(events) - len(kept)
        self._events.extendleft(reversed(kept))
