"""What a scenario is, what was seen of it, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.log import Received

HEALTHY = "demo-fast"
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
#: USD per million tokens: a token costs 0.001, so that every sum is exact in five places
PRICE = "1000"


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of the run, in seconds."""

    #: ``per_request_timeout``
    attempt_s: float = 2.0
    #: ``ai.stream_idle_timeout``
    idle_s: float = 2.0

    @property
    def late_s(self) -> float:
        """Later than an attempt may be."""
        return 1.5 * self.attempt_s

    @property
    def slow_s(self) -> float:
        """Slow, but in time."""
        return 0.5 * self.attempt_s


FAST = Limits(attempt_s=0.6, idle_s=0.6)


@dataclass(slots=True)
class Seen:
    """One answer, as its client saw it. ``status`` 0: there was none."""

    request_id: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    #: the body broke off
    broken: bool = False
    seconds: float = 0.0
    #: of a stream: texts, the error event, the end mark, the reason why it stopped
    texts: list[str] = field(default_factory=list)
    error: Any = None
    done: bool = False
    finish: str = ""
    #: this client hung up
    left: bool = False

    @property
    def code(self) -> str:
        """The gateway's error code."""
        return self.headers.get("ngrok-error-code", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of a scenario. ``leave_after``: the client hangs up after so many texts, or seconds before any."""

    stream: bool = False
    times: int = 1
    leave_after: int | None = None
    leave_after_s: float | None = None
    path: str = CHAT


@dataclass(slots=True)
class Run:
    """Everything that came of a scenario."""

    seen: list[Seen]
    #: what reached the provider, in order
    upstream: list[Received]
    #: usage events of these requests, oldest first
    usage: list[dict[str, Any]]
    limits: Limits

    @property
    def last(self) -> Seen:
        return self.seen[-1]


class Card:
    """Findings of one scenario."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.lacking: list[str] = []

    def must(self, holds: object, reason: str) -> None:
        """What the client was promised."""
        if not holds:
            self.failed.append(reason)

    def should(self, holds: object, reason: str) -> None:
        """What goes with it: attempts, books, headers."""
        if not holds:
            self.lacking.append(reason)

    @property
    def verdict(self) -> str:
        return "fail" if self.failed else "partial" if self.lacking else "pass"

    @property
    def reason(self) -> str:
        return "; ".join((*self.failed, *self.lacking))


Judge = Callable[[Run, Card], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """``keys``: faults behind ``demo-key`` for the two keys; ``models``: asked for, in order."""

    name: str
    promise: str
    judge: Judge
    models: Sequence[str]
    keys: tuple[str, str] = ("", "")
    requests: Sequence[Request] = (Request(),)
    #: requests that may reach the provider twice within one attempt: on an idle connection, and on a fresh one
    replaced: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the scorecard."""

    name: str
    promise: str
    verdict: str
    reason: str
    requests: int
    attempts: int
    seconds: float
