"""What the demo provider remembers: counters since the start, and the last requests within a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from gateway.demo.behaviour import PLAIN, Behaviour
from gateway.demo.wire import Request


@dataclass(slots=True)
class Stats:
    """Counters; they only grow, but for ``connections_open`` and ``answers_open``."""

    connections_opened: int = 0
    connections_closed: int = 0
    connections_open: int = 0
    requests: int = 0
    answers_open: int = 0
    #: the script was played to its end
    answers_completed: int = 0
    #: the peer left, or the script broke off
    answers_aborted: int = 0
    events_sent: int = 0
    #: events written although the peer had already closed its side (only ``deaf`` behaviours go on then)
    events_after_disconnect: int = 0
    bad_requests: int = 0
    by_status: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For ``GET /demo/stats``."""
        return asdict(self)


@dataclass(slots=True)
class Received:
    """One request and what became of its answer."""

    number: int
    connection: int
    request: Request
    key: str = ""
    model: str = ""
    behaviour: Behaviour = PLAIN
    status: int = 0
    streamed: bool = False
    events_sent: int = 0
    completed: bool = False
    aborted: bool = False

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def body(self) -> bytes:
        return self.request.body

    def header(self, name: str) -> str | None:
        """The first value of a request header, given in lower case."""
        return self.request.header(name)


class RequestLog:
    """The last requests: at most ``entries`` of them, and at most ``body_bytes`` of bodies together."""

    def __init__(self, *, entries: int, body_bytes: int) -> None:
        self._received: deque[Received] = deque()
        self._entries = entries
        self._body_bytes = body_bytes
        self._held_bytes = 0

    def add(self, received: Received) -> None:
        """Appends one; the oldest leave."""
        self._received.append(received)
        self._held_bytes += len(received.body)
        while len(self._received) > self._entries or (self._held_bytes > self._body_bytes and len(self._received) > 1):
            self._held_bytes -= len(self._received.popleft().body)

    def clear(self) -> None:
        self._received.clear()
        self._held_bytes = 0

    def __iter__(self) -> Iterator[Received]:
        return iter(tuple(self._received))

    def __len__(self) -> int:
        return len(self._received)

    def __getitem__(self, index: int) -> Received:
        return self._received[index]
