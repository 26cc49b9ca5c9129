"""What each attempt of a request leaves for the usage record: a note on the path, the event off it (AG-285, AG-286).

Invariants
    1. One note per attempt that was sent, in every ending; none for candidates that failed without one (AG-286).
    2. Making a note computes nothing; names, prices and redacted keys are looked up by the writer.
    3. A note holds no body and no head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.ai.entities import KeySource
from gateway.ai.usage import Usage
from gateway.auth.money import to_units
from gateway.auth.tokens import redact
from gateway.auth.usage import UsageEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.exchange import Attempt, Exchange

CLIENT_GONE: Final = 499
TIMED_OUT: Final = 504
#: sources of credentials that are nobody's own (AG-286)
_OURS: Final = frozenset((KeySource.MANAGED, KeySource.NONE))


class AttemptNote:
    """One attempt of a request that is over."""

    __slots__ = (
        "access_key_id", "attempt", "event_time_ms", "final", "gone", "number", "request_id", "streaming",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, attempt: Attempt, number: int, now_ms: int, final: bool) -> None:
        call: AiCall = exchange.ai
        self.attempt = attempt
        self.request_id = exchange.id
        self.access_key_id = call.gateway_key_id
        self.number = number
        self.final = final
        self.event_time_ms = now_ms
        #: it was under way when its request ended
        self.gone = final and (exchange.client_gone or not attempt.completed)
        self.streaming = exchange.streaming or call.request.stream  # type: ignore[union-attr] # it was sent
        # nobody looks at these any more, and a queue of them would weigh much (invariant 3)
        attempt.head = None
        attempt.body = b""

    def event(self) -> UsageEvent:
        """What the store keeps. Without usage nothing was generated: that costs nothing (AG-240)."""
        attempt = self.attempt
        candidate: Candidate = attempt.candidate
        key: ProviderKey = attempt.key
        usage = spent(attempt)
        generated = usage is not None
        provider, element = candidate.provider, candidate.element
        status, timed_out = self._status()
        pricing = element.pricing
        cost = 0 if usage is None or pricing is None else to_units(usage.cost(pricing))
        if usage is None:
            usage = Usage()
        stored = bool(key.stored_id)
        return UsageEvent(
            self.event_time_ms,
            self.request_id,
            self.access_key_id or "",
            provider.id,
            provider.display_name or provider.id,
            candidate.name,
            element.display_name or candidate.name,
            self.number,
            self.final,
            status,
            timed_out,
            bool(timed_out or attempt.kind or not 0 < status < 400),
            self.streaming,
            "ngrok" if key.source in _OURS else "user",
            usage.stop_reason,
            usage.input,
            usage.output,
            usage.cached,
            usage.reasoning,
            cost,
            key.stored_id if stored else None,
            redact(key.value.reveal()) if stored else None,
            generated and not usage.reported,
            "" if pricing is None or not cost else price_version(pricing.exact),
            usage.cache_write,
        )

    def _status(self) -> tuple[int, bool]:
        """(status, timed out?) of AG-286."""
        kind, status = self.attempt.kind, self.attempt.status
        if kind == "timeout":
            return status or TIMED_OUT, True
        if kind == "connection":
            return 0, False
        if self.gone and not kind:
            return CLIENT_GONE, False
        return status, False


def notes_of(exchange: Exchange, now_s: float, now_ms: int) -> Iterator[AttemptNote]:
    """The notes of a request that is over. ``now_s`` is monotonic, ``now_ms`` the same moment in Unix milliseconds."""
    sent = [attempt for attempt in exchange.attempts if attempt.sent]
    last = len(sent)
    for number, attempt in enumerate(sent, 1):
        ended_ms = now_ms - int((now_s - attempt.completed) * 1_000) if attempt.completed else now_ms
        yield AttemptNote(exchange, attempt, number, ended_ms, number == last)


def spent(attempt: Attempt) -> Usage | None:
    """The usage of an attempt that gave an answer, reported or estimated; None if nothing reached the client."""
    usage: Usage | None = attempt.usage
    return usage if usage is not None and (usage.reported or usage.estimated) else None


def cost_of(usage: Usage, candidate: Candidate, known: Decimal | None) -> int:
    """Units of 0.00001 USD; ``known`` is the cost of a reported usage, where it was computed already."""
    if usage.reported and known is not None:
        return to_units(known)
    pricing = candidate.element.pricing
    return 0 if pricing is None else to_units(usage.cost(pricing))


def price_version(prices: Mapping[str, Decimal]) -> str:
    """The prices themselves, so that stored usage can be priced again (P24): ``input=0.15 output=0.6``."""
    return " ".join(f"{name}={price.normalize():f}" for name, price in prices.items())
