"""One attempt: a request sent upstream, and its answer held until it is worth showing to the client.

Before *commit* nothing has reached the client, so the caller may still turn to the next key or model. What is
held (AG-153, AG-262, AG-264): a stream up to its first complete event; any other answer until it is complete
or longer than ``HOLD_LIMIT_BYTES``; an error answer up to ``ERROR_LIMIT_BYTES``.

Invariants
    1. The outcome is set exactly once: the attempt is ``ready`` or has ``failed``.
    2. A failed or abandoned attempt has no connection any more.
    3. One future per attempt, and a timer only for a limit below ``EXACT_BELOW_S``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.eager import Turn
from gateway.upstream import decoding, sse
from gateway.upstream.deadlines import EXACT_BELOW_S, Deadlines
from gateway.upstream.framing import NO_BODY, SIZED, Framing, Source

if TYPE_CHECKING:
    from gateway.upstream.codec import Codec, Head

HOLD_LIMIT_BYTES = 4 * 1_048_576
EVENT_LIMIT_BYTES = 65_536
ERROR_LIMIT_BYTES = 65_536
PING_HOLD_S = 15.0
_DECODED_LIMIT_BYTES = 64 * 1_048_576


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. ``kind``: http, timeout, connection or stream_error (AG-180)."""

    kind: str
    reason: str
    status: int = 0
    body: bytes = b""
    #: nothing of an answer was seen on a reused connection: a fresh one may replace it (AG-157)
    stale: bool = False


@dataclass(slots=True)
class Expectations:
    """What the answer has to be like."""

    codec: Codec
    streaming: bool
    #: a 2xx answer without a body is a failure (AG-262)
    needs_body: bool = True
    #: any status and any body will do: ready with the head (TP-50 (1)); only event streams are decoded, for their rules
    as_is: bool = False
    #: sending the request again does no harm
    repeatable: bool = True
    #: the attempt's limit is for the first event, pings do not end it
    limits_first_event: bool = False


class Held(Turn):
    """The receiver of one answer before commit (``connection.Response``)."""

    __slots__ = (
        "_deadlines", "_expect", "_held", "_held_bytes", "_loop", "_pinged", "_step", "_timer", "_total_at",
        "_waiter", "connection", "decoder", "ended", "failure", "first_byte_at", "framing", "head", "ready", "status",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, expect: Expectations, deadlines: Deadlines | None = None
    ) -> None:
        self.resume = None
        self._loop = loop
        self._expect = expect
        #: for long limits; None: a timer for each
        self._deadlines = deadlines
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._total_at = 0.0
        #: takes off what the body is compressed with; it is held, and relayed, without that
        self.decoder: decoding.Decoder | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._pinged = False
        self.connection: Source | None = None
        self.status = 0
        self.head: Head | None = None
        self.framing = NO_BODY
        self.failure: Failure | None = None
        #: the answer may be committed
        self.ready = False
        #: all of it is here
        self.ended = False
        #: loop time of the first body byte (first head byte for an empty body)
        self.first_byte_at = 0.0

    # ---- the caller's side ----------------------------------------------------------------------------------------

    async def wait(self, attempt_s: float, total_s: float) -> None:
        """Until ready or failed. ``attempt_s``, ``total_s``: seconds left for this attempt and for the client call."""
        waiter = self.outcome(attempt_s, total_s)
        if waiter is not None:
            try:
                await waiter
            except asyncio.CancelledError:
                self.abandon()
                raise

    def outcome(self, attempt_s: float, total_s: float) -> Awaitable[None] | None:
        """The same without a coroutine: what to await, None if it is there; who is cancelled then abandons it."""
        if self.ready or self.failure is not None:
            return None
        now = self._loop.time()
        self._total_at = now + total_s
        limit_s = attempt_s if attempt_s < total_s else total_s
        if self._deadlines is not None and limit_s >= EXACT_BELOW_S:
            self._deadlines.watch(self, now + limit_s)
        else:
            self._timer = self._loop.call_later(max(0.0, limit_s), self._expire)
        if asyncio.current_task(self._loop) is None:
            return self
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def take_held(self) -> bytes:
        """What is held so far, decoded; the caller owns it from now on."""
        held = self._held
        self._held = []
        self._held_bytes = 0
        return held[0] if len(held) == 1 else b"".join(held)

    def peek(self) -> bytes:
        """What is held so far, which stays here."""
        return b"".join(self._held)

    def age_s(self) -> float:
        """Seconds since the first byte of the body."""
        return max(0.0, self._loop.time() - self.first_byte_at)

    def abandon(self) -> None:
        """The answer is not wanted any more: the client left, or the policy answers itself."""
        if self.failure is None and not self.ready:
            self._fail(Failure("connection", "abandoned"))
            return
        connection, self.connection = self.connection, None
        if connection is not None and not self.ended:
            connection.abandon()

    # ---- connection.Response --------------------------------------------------------------------------------------

    def on_whole(self, status: int, head: Head, body: bytes) -> bool:
        expect = self._expect
        if expect.streaming or expect.as_is or status != 200 or head.content_encoding or head.is_event_stream:
            return False
        self.status = status
        self.head = head
        self.framing = SIZED
        self.first_byte_at = self._loop.time()
        self._held.append(body)
        self._held_bytes = len(body)
        return True

    def on_head(self, status: int, head: Head, framing: Framing) -> None:
        self.status = status
        self.head = head
        self.framing = framing
        expect = self._expect
        if expect.as_is:
            if head.is_event_stream and head.content_encoding in decoding.CODINGS:
                self.decoder = decoding.decoder(head.content_encoding, _DECODED_LIMIT_BYTES)
            self._set_ready()
            return
        if status >= 400:
            return
        if 200 <= status < 300 and expect.streaming and not head.is_event_stream:
            if framing is not Framing.NONE:
                self._fail(Failure("stream_error", head.media_type, status))
            return
        coding = head.content_encoding
        if coding in decoding.CODINGS:
            self.decoder = decoding.decoder(coding, _DECODED_LIMIT_BYTES)

    def on_payload(self, payload: bytes) -> None:
        if not self.first_byte_at:
            self.first_byte_at = self._loop.time()
        if self.decoder is not None:
            payload = self._decoded(self.decoder, payload)
            if not payload:
                return
        self._held.append(payload)
        self._held_bytes += len(payload)
        if self.ready:
            if self._held_bytes > EVENT_LIMIT_BYTES and self.connection is not None:
                self.connection.pause()
        elif self.status >= 400:
            if self._held_bytes > ERROR_LIMIT_BYTES:
                self._fail_http()
        elif self.head is not None and self.head.is_event_stream and self.status < 300:
            self._look_at_first_event()
        elif self._held_bytes > HOLD_LIMIT_BYTES:
            self._set_ready()

    def _decoded(self, decoder: decoding.Decoder, payload: bytes) -> bytes:
        """Nothing if there is nothing yet, or if it failed."""
        try:
            return decoder.feed(payload)
        except (decoding.DecodeError, decoding.TooLarge) as error:
            self._fail(Failure("connection", str(error) or "decoded answer too large", self.status))
            return b""

    def on_frames(self, frames: bytes, payload_end: bytes) -> None:
        raise AssertionError("frames are not asked for before commit")

    def on_event(self, frames: bytes) -> None:
        raise AssertionError("frames are not asked for before commit")

    def on_end(self) -> None:
        self.ended = True
        self.connection = None
        if self.ready or self.failure is not None:
            self._wake()
            return
        if self.status >= 400:
            self._fail_http()
        elif self.decoder is not None and not self.decoder.finished:
            self._fail(Failure("connection", "compressed answer ends too early", self.status))
        elif self.status < 300 and self._expect.streaming:
            self._end_of_stream()
        elif self.status < 300 and self._expect.needs_body and not self._held_bytes:
            self._fail(Failure("connection", "empty answer", self.status))
        else:
            self._set_ready()

    def on_broken(self, reason: str) -> None:
        connection, self.connection = self.connection, None
        if self.ready:
            self.failure = Failure("connection", reason, self.status)
            return
        if self.status >= 400:  # the head says enough
            self._fail_http()
            return
        stale = connection is not None and connection.reused and not connection.received
        self._fail(Failure("connection", reason, self.status, stale=stale and self._expect.repeatable))

    # ---- deciding -------------------------------------------------------------------------------------------------

    def _look_at_first_event(self) -> None:
        """Ready at the first event that is no ping; failed if that event is an error (AG-262)."""
        held = self._held[0] if len(self._held) == 1 else b"".join(self._held)
        self._held = [held]
        end = sse.boundary(held)
        event = next((event for event in sse.events_of(held[:end]) if not event.is_ping), None)
        if event is not None:
            message = self._expect.codec.first_event_error(event)
            if message is None:
                self._set_ready()
            else:
                self._fail(Failure("stream_error", message, self.status, event.data or b""))
        elif self._held_bytes > EVENT_LIMIT_BYTES:
            self._set_ready()
        elif not self._pinged:
            # the attempt's own limit ends with the first body byte (AG-163); pings are held for a while only
            self._pinged = True
            if self._expect.limits_first_event:
                return
            self._disarm()
            left_s = max(0.0, self._total_at - self._loop.time())
            if end and left_s > PING_HOLD_S:
                self._timer = self._loop.call_later(PING_HOLD_S, self._show_pings)
            else:
                self._timer = self._loop.call_later(left_s, self._expire)

    def _show_pings(self) -> None:
        if sse.boundary(self._held[0]):
            self._set_ready()
        else:
            self._timer = self._loop.call_later(max(0.0, self._total_at - self._loop.time()), self._expire)

    def _end_of_stream(self) -> None:
        if self._held_bytes and self.head is not None and self.head.is_event_stream:
            self._fail(Failure("stream_error", "the stream ended within its first event", self.status))
        else:
            self._fail(Failure("stream_error", "the stream ended without any event", self.status))

    def _fail_http(self) -> None:
        body = self.take_held()[:ERROR_LIMIT_BYTES]
        self._fail(Failure("http", f"status {self.status}", self.status, body))

    def _expire(self) -> None:
        self._timer = None
        self._fail(Failure("timeout", "no answer in time", 0))

    def _set_ready(self) -> None:
        self.ready = True
        if not self.ended and self._held_bytes > EVENT_LIMIT_BYTES and self.connection is not None:
            self.connection.pause()
        self._wake()

    def _fail(self, failure: Failure) -> None:
        if self.failure is None:
            self.failure = failure
        connection, self.connection = self.connection, None
        if connection is not None and not self.ended:
            connection.abandon()
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            self._disarm()
            if not waiter.done():
                waiter.set_result(None)
            return
        resume = self.resume
        if resume is not None:
            self.resume = None
            self._disarm()
            if self.ended and asyncio.current_task(self._loop) is None:  # the connection is done with this answer
                resume()
            else:
                self._loop.call_soon(resume)

    def overdue(self) -> None:
        """``deadlines.Waiter``."""
        self._expire()

    def _disarm(self) -> None:
        if self._deadlines is not None:
            self._deadlines.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
