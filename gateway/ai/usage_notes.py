"""What each attempt of a request leaves for the usage record: a note on the path, the event off it (AG-285, AG-286).

Invariants
    1. One note per attempt that was sent, in every ending; none for candidates that failed without one (AG-286).
    2. Making a note computes nothing; names, prices and redacted keys are looked up by the writer.
    3. A note holds no body and no head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.ai.entities import KeySource
from gateway.ai.usage import Usage
from gateway.auth.tokens import redact
from gateway.auth.usage import DAY_MS, Unwritten, UsageKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

    from gateway.ai.call import AiCall
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.auth.usage import Kinds, UsageColumns, UsageEvent
    from gateway.exchange import Attempt, Exchange

CLIENT_GONE: Final = 499
TIMED_OUT: Final = 504
#: sources of credentials that are nobody's own (AG-286)
_OURS: Final = frozenset((KeySource.MANAGED, KeySource.NONE))
_NOTHING: Final = Usage()
#: what the constructor of a named tuple does, without its frame
_make: Final = tuple.__new__


class AttemptNote(NamedTuple):
    """One attempt of a request that is over."""

    attempt: Attempt
    request_id: str
    access_key_id: str
    number: int
    final: bool
    event_time_ms: int
    #: it was under way when its request ended
    gone: bool
    streaming: bool

    def columns(self, number: int, kinds: Kinds) -> UsageColumns:
        """What the store keeps. Without usage nothing was generated: that costs nothing (AG-240)."""
        attempt, event_time_ms = self.attempt, self.event_time_ms
        candidate = attempt.candidate
        usage = attempt.usage
        if usage is None or not (usage.reported or usage.estimated):
            usage, cost = _NOTHING, 0
        else:
            cost = usage.units(candidate.element.pricing)
        # everything that _kind looks at; the notes of a batch keep its candidates and keys alive
        seen = (
            id(candidate), id(attempt.key), event_time_ms // DAY_MS, attempt.status, attempt.kind, usage.stop_reason,
            usage.reported, usage.estimated, cost > 0, self.number, self.final, self.gone, self.streaming,
        )  # fmt: skip
        kind = kinds.known.get(seen)
        if kind is None:
            kind = kinds.known[seen] = kinds.kind(self._kind(usage, cost))
        return (
            number, event_time_ms, self.request_id, self.access_key_id, kind, usage.input, usage.output, usage.cached,
            usage.cache_write, usage.reasoning, cost,
        )  # fmt: skip

    def event(self) -> UsageEvent:
        """All of it."""
        return Unwritten().event(self)

    def _kind(self, usage: Usage, cost: int) -> UsageKind:
        attempt = self.attempt
        candidate: Candidate = attempt.candidate
        key: ProviderKey = attempt.key
        provider, element = candidate.provider, candidate.element
        status, timed_out = self._status()
        stored = bool(key.stored_id)
        return UsageKind(
            day=self.event_time_ms // DAY_MS,
            provider=provider.id,
            provider_name=provider.display_name or provider.id,
            model=candidate.name,
            model_name=element.display_name or candidate.name,
            attempt=self.number,
            is_final=self.final,
            status=status,
            timed_out=timed_out,
            is_error=bool(timed_out or attempt.kind or not 0 < status < 400),
            is_streaming=self.streaming,
            key_source="ngrok" if key.source in _OURS else "user",
            stop_reason=usage.stop_reason,
            provider_key_id=key.stored_id,
            provider_key_name=redact(key.value.reveal()) if stored else "",
            estimated=usage.estimated and not usage.reported,
            price_version="" if not cost else price_version(element.pricing.exact),  # type: ignore[union-attr] # it costs
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


def note_of(exchange: Exchange, attempt: Attempt, number: int, now_ms: int, final: bool) -> AttemptNote:
    """The note of one attempt that ended then."""
    call: AiCall = exchange.ai
    # nobody looks at these any more, and a queue of them would weigh much (invariant 3)
    attempt.head = None
    attempt.body = b""
    return _make(AttemptNote, (
        attempt, exchange.id, call.gateway_key_id or "", number, final, now_ms,
        final and (exchange.client_gone or not attempt.completed),
        exchange.streaming or call.request.stream,  # type: ignore[union-attr] # it was sent
    ))  # fmt: skip


def notes_of(exchange: Exchange, now_s: float, now_ms: int) -> Iterator[AttemptNote]:
    """The notes of a request that is over. ``now_s`` is monotonic, ``now_ms`` the same moment in Unix milliseconds."""
    sent = [attempt for attempt in exchange.attempts if attempt.sent]
    last = len(sent)
    for number, attempt in enumerate(sent, 1):
        ended_ms = now_ms - int((now_s - attempt.completed) * 1_000) if attempt.completed else now_ms
        yield note_of(exchange, attempt, number, ended_ms, number == last)


def spent(attempt: Attempt) -> Usage | None:
    """The usage of an attempt that gave an answer, reported or estimated; None if nothing reached the client."""
    usage: Usage | None = attempt.usage
    return usage if usage is not None and (usage.reported or usage.estimated) else None


def price_version(prices: Mapping[str, Decimal]) -> str:
    """The prices themselves, so that stored usage can be priced again (P24): ``input=0.15 output=0.6``."""
    return " ".join(f"{name}={price.normalize():f}" for name, price in prices.items())
