"""A successful attempt's answer on its way to the client: its head by AG-220/221, its settlement when it has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.ai.dialects import codec_for
from gateway.ai.measure import Measure
from gateway.ai.measure import Outcome as Measured
from gateway.headers import HeaderMap
from gateway.upstream.blocks import last_events, usage_events
from gateway.upstream.relay import Ending

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.credentials import UpstreamCredential
    from gateway.ai.dialects.dialect import SurfaceCodec
    from gateway.ai.inbound import InboundHead
    from gateway.ai.usage import Usage
    from gateway.exchange import Attempt, Exchange
    from gateway.upstream.attempt import Held
    from gateway.upstream.relay import Relay, RelayLimits


@dataclass(frozen=True, slots=True)
class Sent:
    """What of the upstream request the answer has to know."""

    credential: UpstreamCredential | None
    #: constant start of the ``x-gateway-…`` lines (AG-221)
    served: bytes
    injects_usage: bool


class Answer:
    """What ``proxy.commit`` shows to the client. Owns the held upstream answer until it is relayed or abandoned."""

    __slots__ = (
        "_call", "_credential", "_last", "_settled", "attempt", "codec", "event_stream", "head", "held", "served",
        "strip_usage", "tap",
    )  # fmt: skip

    def __init__(self, call: AiCall, attempt: Attempt, held: Held, sent: Sent) -> None:
        assert call.surface_of is not None
        self._call = call
        self._credential = sent.credential
        self._settled = False
        #: the end of a stream that was here whole
        self._last = b""
        self.attempt = attempt
        self.held = held
        self.head: InboundHead = held.head  # type: ignore[assignment] # parsed by the same function that the pool was given
        self.served = sent.served
        self.codec: SurfaceCodec = codec_for(call.surface_of)
        self.event_stream = self.head.is_event_stream and 200 <= held.status < 300
        self.tap = self.codec.usage_tap()
        #: the client did not ask for the usage chunk (AG-244)
        self.strip_usage = sent.injects_usage and self.event_stream

    @property
    def status(self) -> int:
        return self.held.status

    @property
    def limits(self) -> RelayLimits:
        return self._call.gateway.limits

    @property
    def decoded(self) -> bool:
        """The upstream compressed the body and the gateway took that off."""
        return self.held.is_decoded

    # ---- head -----------------------------------------------------------------------------------------------------

    def header_block(self, exchange: Exchange) -> bytes:
        """Header lines for the client, without framing (AG-220, AG-221)."""
        credential = self._credential
        return self.head.client_block(
            request_id=exchange.id,
            served=self.served if self._call.gateway.options.response_headers else b"",
            attempts=len(exchange.attempts),
            secret=None if credential is None else credential.secret,
            server_side=credential is not None and credential.server_side,
            decoded=self.decoded,
        )

    def header_map(self, exchange: Exchange) -> HeaderMap:
        """The same, for response rules to change."""
        block = self.header_block(exchange)
        return HeaderMap.from_raw(
            (name, value) for name, _, value in (line.partition(b":") for line in block.splitlines())
        )

    # ---- body -----------------------------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """All of it is here, and a stream came to its end: it can be sent at once."""
        held = self.held
        return held.ended and (not self.event_stream or self.codec.has_ended(held.peek() + b"\n"))

    def take_body(self) -> bytes:
        """The whole body of an answer that is complete; its usage is read on the way."""
        body = self.held.take_held()
        if self.event_stream:
            for event in usage_events(body, framed=False):
                self.tap.feed(event)
            self._last = last_events(body, framed=False)
            if self.strip_usage:
                body = self.codec.strip_usage(body)
        else:
            self.tap.feed_body(body)
        return body

    def abandon(self) -> None:
        """The answer does not reach the client: the policy replaced it, or the client left."""
        self.held.abandon()
        if not self._settled:
            self._finish(Ending.REFUSED, None)

    # ---- settlement -----------------------------------------------------------------------------------------------

    def settle(self, exchange: Exchange, ending: Ending, relay: Relay | None = None) -> None:
        """The answer has ended: usage, cost, metrics, result."""
        if not self._settled:
            self._finish(ending, relay)

    def _finish(self, ending: Ending, relay: Relay | None) -> None:
        self._settled = True
        call, attempt = self._call, self.attempt
        attempt.completed = call.gateway.clock.monotonic()
        if ending not in (Ending.COMPLETE, Ending.CLIENT_GONE, Ending.REFUSED) and not attempt.kind:
            attempt.kind = "timeout" if ending is Ending.IDLE else "stream_error"
            attempt.message = ending.value
        last = relay.last_events() if relay is not None else self._last
        if last and not self.event_stream:
            self.tap.feed_tail(last)
        usage = attempt.usage = call.usage = self.tap.usage(last)
        problem = self.codec.stream_problem(last) if self.event_stream else None
        if problem is not None and not attempt.kind:
            attempt.kind = "stream_error"
            attempt.message = problem.message
        pricing = attempt.candidate.element.pricing
        if pricing is not None:
            call.cost = usage.cost(pricing)
        self._book(usage)
        call.exchange.upstream_wait_s += attempt.completed - (attempt.first_byte or attempt.completed)
        if ending is Ending.CLIENT_GONE:
            return
        measure = Measure(
            _measured(ending, self.held.status, attempt),
            gateway_s=max(0.0, attempt.sent - call.exchange.started),
            upstream_s=attempt.completed - attempt.sent,
        )
        if self.event_stream and attempt.first_byte:
            measure.stream(
                first_s=attempt.first_byte - attempt.sent,
                last_s=attempt.completed - attempt.sent,
                output_tokens=usage.output,
            )
        measure.tokens((usage.input, usage.output), (call.estimated_input, 0))
        call.gateway.record_attempt(attempt, measure)

    def _book(self, usage: Usage) -> None:
        """Counts for ``aigw_tokens_total`` and ``aigw_cost_usd_total``, whoever ended the answer (P02)."""
        call = self._call
        booked = self.attempt.candidate.metrics.series.booked
        if usage.reported:
            booked.input += usage.input
            booked.output += usage.output
        else:
            booked.estimated_input += call.estimated_input
            booked.estimated_output += call.estimated_output
        if call.cost:
            booked.cost_usd += call.cost


def _measured(ending: Ending, status: int, attempt: Attempt) -> Measured:
    if ending is Ending.IDLE:
        return Measured.TIMEOUT
    if ending is Ending.BROKEN:
        return Measured.CONNECTION
    return Measured.of_status(status)
