"""A successful attempt's answer on its way to the client: its head by AG-220/221, its settlement when it has ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.ai.delivered import Delivered
from gateway.ai.estimates import Counted, Output, Unreported, add_estimate, count_roughly
from gateway.ai.measure import SUCCESS, Measure
from gateway.ai.measure import Outcome as Measured
from gateway.ai.surfaces import MESSAGES
from gateway.ai.usage import stop_reason_of_stream
from gateway.headers import HeaderMap
from gateway.upstream.blocks import last_events, usage_events
from gateway.upstream.codec import NOTHING_KEPT
from gateway.upstream.relay import Ending

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.ai.call import AiCall
    from gateway.ai.credentials import UpstreamCredential
    from gateway.ai.dialects.dialect import SurfaceCodec
    from gateway.ai.gateway import Route
    from gateway.ai.inbound import InboundHead
    from gateway.ai.usage import Usage
    from gateway.exchange import Attempt, Exchange
    from gateway.upstream.attempt import Held
    from gateway.upstream.codec import Kept
    from gateway.upstream.relay import Relay, RelayLimits


# a name of the module is read in a tenth of the time that a member of an enumeration takes
_COMPLETE, _CLIENT_GONE = Ending.COMPLETE, Ending.CLIENT_GONE


class Answer:
    """What ``proxy.commit`` shows to the client. Owns the held upstream answer until it is relayed or abandoned."""

    __slots__ = (
        "_call", "_credential", "_settled", "_stream", "attempt", "codec", "event_stream", "head", "held", "kept",
        "served", "status", "strip_usage", "tap",
    )  # fmt: skip

    def __init__(
        self, call: AiCall, attempt: Attempt, held: Held, credential: UpstreamCredential | None, injects_usage: bool
    ) -> None:
        assert call.surface_of is not None
        self._call = call
        self._credential = credential
        self._settled = False
        #: a stream that was here whole
        self._stream = b""
        self.attempt = attempt
        self.held = held
        self.head: InboundHead = held.head  # type: ignore[assignment] # parsed by the same function that the pool was given
        route: Route = attempt.route
        self.served = route.served
        self.codec: SurfaceCodec = route.codec
        self.status = held.status
        self.event_stream = self.head.is_event_stream and 200 <= held.status < 300
        self.tap = self.codec.usage_tap()
        #: what the client of a stream got, for estimates (AG-230)
        self.kept: Kept = NOTHING_KEPT
        if self.event_stream:
            self.kept = Delivered(call.surface_of, call.gateway.estimator.retention)
            if call.request is not None:
                call.request.forget_document()
        #: the client did not ask for the usage chunk (AG-244)
        self.strip_usage = injects_usage and self.event_stream

    @property
    def limits(self) -> RelayLimits:
        return self._call.gateway.limits

    @property
    def decoded(self) -> bool:
        """The upstream compressed the body and the gateway took that off."""
        return self.held.decoder is not None

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
            decoded=self.held.decoder is not None,
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
            self._stream = body
            if self.strip_usage:
                body = self.codec.strip_usage(body)
        else:
            self.tap.feed_body(body)
        return body

    def abandon(self) -> None:
        """The answer does not reach the client: the policy replaced it, or the client left."""
        self.held.abandon()
        if not self._settled:
            usage = self._end(Ending.REFUSED, None)
            unreported = self._unreported(usage, None)
            if unreported is not None:  # a rule read the body before it was replaced
                estimator = self._call.gateway.estimator
                counted = estimator.count_now(unreported) or count_roughly(unreported)
                self._add(usage, counted, beside=unreported.beside)
            self._book(usage, Ending.REFUSED)

    # ---- settlement -----------------------------------------------------------------------------------------------

    def settle(self, exchange: Exchange, ending: Ending, relay: Relay | None = None) -> Awaitable[None] | None:
        """The answer has ended: usage, cost, metrics, result. To be awaited where tokens are counted in a thread."""
        if self._settled:
            return None
        usage = self._end(ending, relay)
        unreported = self._unreported(usage, relay)
        if unreported is not None:
            counted = self._call.gateway.estimator.count_now(unreported)
            if counted is None:
                return self._count(usage, unreported, ending)
            self._add(usage, counted, beside=unreported.beside)
        self._book(usage, ending)
        return None

    async def _count(self, usage: Usage, unreported: Unreported, ending: Ending) -> None:
        counted = None
        try:
            counted = await self._call.gateway.estimator.count_later(unreported)
        except asyncio.CancelledError:  # the client has what it gets: that it leaves now ends nothing
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        finally:  # a task that is cancelled meanwhile books something, too
            self._add(usage, counted or count_roughly(unreported), beside=unreported.beside)
            self._book(usage, ending)

    def _end(self, ending: Ending, relay: Relay | None) -> Usage:
        """When and how it ended, and what was reported."""
        self._settled = True
        attempt = self.attempt
        monotonic = self._call.gateway.clock.monotonic
        attempt.completed = monotonic()
        if relay is None and not self.event_stream:
            usage = attempt.usage = self._call.usage = self.tap.usage(b"")
            return usage
        if ending not in (Ending.COMPLETE, Ending.CLIENT_GONE, Ending.REFUSED) and not attempt.kind:
            attempt.kind = "timeout" if ending is Ending.IDLE else "stream_error"
            attempt.message = ending.value
        last = relay.last_events() if relay is not None else last_events(self._stream, framed=False)
        if last and not self.event_stream:
            self.tap.feed_tail(last)
        usage = attempt.usage = self._call.usage = self.tap.usage(last)
        if not usage.stop_reason and isinstance(self.kept, Delivered):
            usage.stop_reason = stop_reason_of_stream(self.codec.surface, self.kept.tail())
        problem = self.codec.stream_problem(last) if self.event_stream else None
        if problem is not None and not attempt.kind:
            attempt.kind = "stream_error"
            attempt.message = problem.message
        return usage

    def _unreported(self, usage: Usage, relay: Relay | None) -> Unreported | None:
        """What has to be counted, if anything: what the client got of an answer that did not say all (AG-230, P02).

        A message reports its input at its beginning and its output at its end, together with why it stopped.
        """
        call = self._call
        if usage.reported and not self.event_stream and not call.gateway.estimator.always:
            return None
        surface, request = call.surface_of, call.request
        assert surface is not None
        kept = self.kept
        generated, blocks = kept.take() if isinstance(kept, Delivered) else (None, [])
        whole = usage.reported and (surface is not MESSAGES or bool(usage.stop_reason) or not self.event_stream)
        if whole and not call.gateway.estimator.always:
            return None
        if request is None or not surface.counts_usage or not 200 <= self.held.status < 300:
            return None
        if relay is None:
            if not self._stream and not self.tap.body:
                return None
            output = Output(None, [self._stream] if self._stream else None, self.tap.body, len(self._stream))
        elif not relay.sent_bytes:
            return None
        else:
            output = Output(generated, blocks if self.event_stream else None, b"", relay.sent_bytes)
        needs_input = not call.estimated_input and (whole or not usage.reported)
        return Unreported(request, self.attempt.candidate.tokenizer, output, needs_input, whole)

    def _add(self, usage: Usage, counted: Counted, *, beside: bool) -> None:
        call = self._call
        given = call.estimated_input = call.estimated_input or counted.input
        call.estimated_output = counted.output
        if not beside:
            add_estimate(usage, Counted(given, counted.output), failed=bool(self.attempt.kind))

    def _book(self, usage: Usage, ending: Ending) -> None:
        """Cost, counters and metrics, whoever ended the answer (P02)."""
        call, attempt = self._call, self.attempt
        exchange, completed, sent = call.exchange, attempt.completed, attempt.sent
        pricing = attempt.candidate.element.pricing
        if pricing is not None:
            call.cost_units = usage.units(pricing)
        self._tally(usage)
        if attempt.first_byte:
            exchange.upstream_wait_s += completed - attempt.first_byte
        if ending is _CLIENT_GONE:
            return
        measure = Measure(
            SUCCESS if ending is _COMPLETE and self.status < 400 else _measured(ending, self.status),
            max(0.0, sent - exchange.started),
            completed - sent,
        )
        if self.event_stream and attempt.first_byte:
            measure.stream(
                # the loop's clock counts whole milliseconds: a fast answer may seem to come before its request
                first_s=max(0.0, attempt.first_byte - sent),
                last_s=completed - sent,
                output_tokens=usage.output,
            )
        reported = (usage.input, usage.output) if usage.reported else (0, 0)
        measure.tokens(reported, (call.estimated_input, call.estimated_output))
        call.gateway.record_attempt(attempt, measure)

    def _tally(self, usage: Usage) -> None:
        """Counts for ``aigw_tokens_total`` and ``aigw_cost_usd_total``."""
        call = self._call
        booked = self.attempt.candidate.metrics.series.booked
        if usage.reported:
            booked.input += usage.input
            booked.output += usage.output
        else:
            booked.estimated_input += usage.input
            booked.estimated_output += usage.output
        if call.cost_units:
            booked.cost_units += call.cost_units


def _measured(ending: Ending, status: int) -> Measured:
    if ending is Ending.IDLE:
        return Measured.TIMEOUT
    if ending is Ending.BROKEN:
        return Measured.CONNECTION
    return Measured.of_status(status)
