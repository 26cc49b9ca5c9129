"""The relay: bytes of a committed answer, from the upstream's protocol straight to the client's transport.

No task, queue, future or timer per chunk: ``data_received`` of the upstream connection ends in ``write`` of the
client's transport. A stream's block goes on as it came when it is whole frames that end with an event; otherwise
the unfinished event is held until it is complete, so that what the client has seen always ends between two
events and an error event can be added when the upstream breaks (AG-172).

Events that differ from those before only in their text pass without any other look at them (``usual``).

Flow control both ways: the client's ``pause_writing`` stops reading from the upstream.

Invariants
    1. ``done`` is called exactly once.
    2. For streams the client's bytes always end at an event boundary.
    3. The end mark is never made up: it reaches the client only if the upstream sent it (P09).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.upstream import decoding, sse
from gateway.upstream.blocks import frame, last_events, payload_of, usage_events
from gateway.upstream.codec import NOTHING_KEPT, common_part
from gateway.upstream.deadlines import EXACT_BELOW_S, Timers
from gateway.upstream.framing import Source
from gateway.upstream.relay_plan import Ending, RelayLimits, RelayPlan
from gateway.upstream.usual import UsualEvents, usual_events

if TYPE_CHECKING:
    from gateway.upstream.attempt import Held

__all__ = ["Ending", "Relay", "RelayLimits", "RelayPlan"]

_EVENT_ENDS = (b"\n\n", b"\n\r\n", b"\r\r")
_USAGE = b'"usage":'
# many providers say ``"usage":null`` in every chunk but the last
_USAGE_OBJECT, _USAGE_SPACED = b'"usage":{', b'"usage": {'
_LAST_FRAME = b"0\r\n\r\n"
_SMALL_BLOCK_BYTES = 96
#: blocks between one look for the usual event and the next
_LEARN_AT: Final = 2
#: usual events in a row below which looking for others was not worth it
_RUN: Final = 16
GRACE_AFTER_END_S = 1.0
#: an event longer than this is passed on in pieces rather than held
HOLD_EVENT_BYTES = 1_048_576


class Relay(Timers):
    """The receiver of a committed answer (``connection.Response``)."""

    __slots__ = (
        "_connection", "_decoder", "_framed", "_keep", "_keep_until", "_learn_at", "_mark", "_marks",
        "_paused", "_plan", "_progress", "_quiet_s", "_seen", "_seen_progress", "_sent_bytes", "_simple", "_tail",
        "_transport", "_usual", "_write", "blocks", "done", "ending", "last", "last_at", "marked",
    )  # fmt: skip

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, plan: RelayPlan,
        done: Callable[[Ending], None],
    ) -> None:  # fmt: skip
        super().__init__(loop)
        self._transport = transport
        self._write = transport.write
        self._plan = plan
        self.done = done
        self._connection: Source | None = None
        self._decoder: decoding.Decoder | None = None
        self._tail = b""
        self._paused = False
        #: blocks relayed that had to be looked at
        self.blocks = 0
        #: passes on all others
        self._usual: UsualEvents | None = None
        self._learn_at = _LEARN_AT
        self._seen = 0
        self._progress = 0
        self._seen_progress = 0
        self._quiet_s = 0.0
        #: the block relayed last
        self.last = b""
        #: one append per block of a stream whose output may have to be counted
        self._keep = plan.kept.blocks.append
        self._keep_until = 0
        self._framed = False
        self.last_at = 0.0
        self._sent_bytes = 0
        #: the format's end mark went by
        self.marked = False
        self.ending: Ending | None = None
        self._marks = plan.codec.end_marks if plan.event_stream else ()
        self._mark = common_part(self._marks)
        # whole blocks may go on untouched
        self._simple = plan.chunked and plan.event_stream

    @property
    def sent_bytes(self) -> int:
        """Body bytes handed to the client's transport, framing included."""
        return self._sent_bytes + (self._usual.passed_bytes if self._usual is not None else 0)

    # ---- the handler's side ---------------------------------------------------------------------------------------

    def begin(self, held: Held, head: bytes) -> None:
        """Commits: the head and what was held leave in one write; the rest follows as it comes."""
        payload = held.take_held()
        self._decoder = held.decoder
        self._connection = held.connection
        out = self._convert(payload) if payload else b""
        self._sent_bytes = len(out)
        self._write(head + out)
        if held.ended:
            self.on_end()
            return
        if held.failure is not None or self._connection is None:
            self.on_broken(held.failure.reason if held.failure else "gone")
            return
        held.connection = None
        connection = self._connection
        connection.response = self
        self._want_frames()
        limits = self._plan.limits
        if limits.idle_s and not self.marked:  # else the grace runs
            self._watch(self._plan.deadlines, limits.idle_s / 4, exact_below_s=EXACT_BELOW_S)
        if limits.keepalive_s and self._plan.event_stream:
            self._call_later("keepalive", limits.keepalive_s, self._keep_alive, 0)
        if not self._paused:
            connection.resume()

    def pause(self) -> None:
        """The client's transport is full."""
        if self.ending is not None:  # by its last bytes: nobody would tell when it has room again
            return
        self._paused = True
        if self._connection is not None:
            self._connection.pause()
        if self._plan.limits.client_write_s:
            self._call_later("write", self._plan.limits.client_write_s, self._client_stuck)

    def resume(self) -> None:
        self._paused = False
        self._cancel("write")
        if self._connection is not None:
            self._connection.resume()

    def last_events(self) -> bytes:
        """The end of what was relayed, for the books."""
        return last_events(self.last, framed=self._framed) if self._plan.event_stream else self.last

    def client_gone(self) -> None:
        """The client left: the upstream is stopped at once (AG-265)."""
        self._finish(Ending.CLIENT_GONE)

    def stop(self) -> None:
        """The drain time is over (AG-267)."""
        if self.ending is None:
            self._end_broken(Ending.SHUTDOWN)

    # ---- connection.Response --------------------------------------------------------------------------------------

    def on_event(self, frames: bytes) -> None:
        self._end_run()
        self.blocks += 1
        if self.blocks >= self._learn_at:
            self._learn(frames)
        self.last = frames
        self._framed = True
        self._keep(frames)
        if self._sent_bytes > self._keep_until:
            self._keep_until = self._plan.kept.make_room(self._sent_bytes)
        if len(frames) > _SMALL_BLOCK_BYTES:
            self._progress += 1
        else:
            self._note_small(frames)
        at = frames.rfind(_USAGE)  # it stands near the end, and is null in every chunk but the last
        if at >= 0 and (frames[at + 8 : at + 12] != b"null" or _USAGE_OBJECT in frames or _USAGE_SPACED in frames):
            self._note_usage(frames, framed=True)
            if self._plan.strip_usage:
                frames = self._stripped(payload_of(frames))
        self._sent_bytes += len(frames)
        self._write(frames)
        if frames.find(self._mark) >= 0:  # ``in`` raises and catches an error inside
            self._look_for_mark(frames)

    def on_frames(self, frames: bytes, payload_end: bytes) -> None:
        if payload_end.endswith(_EVENT_ENDS):
            self.on_event(frames)
        else:
            assert self._connection is not None
            self._connection.want_frames(None)
            self.on_payload(payload_of(frames))

    def on_payload(self, payload: bytes) -> None:
        if self._decoder is not None:
            try:
                payload = self._decoder.feed(payload)
            except (decoding.DecodeError, decoding.TooLarge):
                self._end_broken(Ending.BROKEN)
                return
        out = self._convert(payload)
        if out:
            self._sent_bytes += len(out)
            self._write(out)
        self._want_frames()

    def _want_frames(self) -> None:
        """Whole frames are wanted where events begin and end with them."""
        connection, usual = self._connection, self._usual
        if self._simple and not self._tail and self._decoder is None and connection is not None:
            connection.want_frames(connection.feed_frames if usual is None else usual.feed)

    def on_end(self) -> None:
        self._end_run()
        self._connection = None
        if self.ending is not None:
            return
        if self._plan.event_stream and not self.marked and not self._has_ended():
            self._end_broken(Ending.BROKEN)
        else:
            self._write(self._final())
            self._finish(Ending.COMPLETE)

    def on_broken(self, reason: str) -> None:
        self._connection = None
        if self.ending is None:
            self._end_broken(Ending.BROKEN)

    # ---- events that differ only in their text -------------------------------------------------------------------

    def _learn(self, frames: bytes) -> None:
        """Looks for what this event and the last one have in common; seldom where that was of little use."""
        connection, last = self._connection, self._usual
        if connection is None or not self._simple or not self._framed:
            return
        self._learn_at = 2 * self.blocks + 1
        keeps = self._plan.kept is not NOTHING_KEPT
        usual = usual_events(self.last, frames, self._write, connection.feed_frames, keeps=keeps)
        if usual is not None:
            if last is None or last.passed_bytes >= _RUN * len(frames):
                self._learn_at = self.blocks + _LEARN_AT
            self._progress += self.sent_bytes - self._sent_bytes
            self._sent_bytes = self.sent_bytes
            self._usual = usual
            connection.want_frames(usual.feed)

    def _end_run(self) -> None:
        """Something else follows usual events, or nothing: keeps their text and one of them."""
        taken = self._usual.take() if self._usual is not None else None
        if taken is not None:
            whole, self.last = taken
            self._framed = False
            self._keep(whole)

    # ---- converting -----------------------------------------------------------------------------------------------

    def _convert(self, payload: bytes) -> bytes:
        """Payload as it goes to the client: whole events for streams, framed as the client expects."""
        plan = self._plan
        self._end_run()
        self.blocks += 1
        if not plan.event_stream:
            self._progress += 1
            self.last = payload
            return self._pack_theirs(payload)
        if self._tail:
            payload = self._tail + payload
        end = sse.boundary(payload)
        if not end and len(payload) > HOLD_EVENT_BYTES:
            end = len(payload)
        self._tail = payload[end:] if end < len(payload) else b""
        if not end:
            return b""
        events = payload if end == len(payload) else payload[:end]
        self.last = events
        self._keep(events)
        if self._sent_bytes > self._keep_until:
            self._keep_until = self._plan.kept.make_room(self._sent_bytes)
        self._framed = False
        if len(events) > _SMALL_BLOCK_BYTES:
            self._progress += 1
        else:
            self._note_small(events)
        if _USAGE in events and (_USAGE_OBJECT in events or _USAGE_SPACED in events):
            self._note_usage(events, framed=False)
            if plan.strip_usage:
                events = plan.codec.strip_usage(events)
        self._look_for_mark(events)
        return self._pack_theirs(events)

    # What ``shaped.ShapedRelay`` replaces: where payload becomes what the client gets.

    def _pack(self, payload: bytes) -> bytes:
        """Payload as it is written."""
        return frame(payload) if self._plan.chunked and payload else payload

    #: the same for the upstream's payload, which rules may change
    _pack_theirs = _pack

    def _close(self, last: bytes) -> bytes:
        """The end of the body, behind a last piece or b""."""
        return self._pack(last) + _LAST_FRAME if self._plan.chunked else last

    def _final(self) -> bytes:
        """What ends a body that came to its end: the unfinished tail and the last frame."""
        tail, self._tail = self._tail, b""
        return self._close(tail)

    def _stripped(self, events: bytes) -> bytes:
        return frame(kept) if (kept := self._plan.codec.strip_usage(events)) else b""

    def _note_usage(self, block: bytes, *, framed: bool) -> None:
        tap = self._plan.tap
        if tap is not None:
            for event in usage_events(block, framed=framed):
                tap.feed(event)

    def _note_small(self, block: bytes) -> None:
        """Comments and pings are no progress (P10)."""
        if not sse.is_ping(block.partition(b"\r\n")[2] if self._plan.chunked and block[:1] not in b":e" else block):
            self._progress += 1

    def _look_for_mark(self, block: bytes) -> None:
        if not self.marked and any(mark in block for mark in self._marks):
            self.marked = True
            self._watch(self._plan.deadlines, GRACE_AFTER_END_S)

    # ---- time -----------------------------------------------------------------------------------------------------

    def overdue(self) -> None:
        """``deadlines.Waiter``: four times per idle limit; compares counters that the data path only increments."""
        if self.marked:
            self._end_clean()
            return
        limits = self._plan.limits
        step_s, now = limits.idle_s / 4, self._loop.time()
        moved = self.sent_bytes + self.blocks
        is_quiet = moved == self._seen and not self._paused
        self._quiet_s, self._seen = self._quiet_s + step_s if is_quiet else 0.0, moved
        progress = self._progress + self.sent_bytes - self._sent_bytes
        if self._paused or progress != self._seen_progress or not self.last_at:
            self.last_at = now
            self._seen_progress = progress
        if self._quiet_s >= limits.idle_s or (limits.progress_s and now - self.last_at >= limits.progress_s):
            self._end_broken(Ending.IDLE)
            return
        self._watch(self._plan.deadlines, step_s, exact_below_s=EXACT_BELOW_S)

    def _keep_alive(self, seen: int) -> None:
        moved = self.sent_bytes + self.blocks
        if moved == seen and not self._paused and not self.marked:
            self._write(self._pack(b":\n\n"))
        self._call_later("keepalive", self._plan.limits.keepalive_s, self._keep_alive, moved)

    def _client_stuck(self) -> None:
        self._transport.abort()
        self._finish(Ending.CLIENT_GONE)

    # ---- endings --------------------------------------------------------------------------------------------------

    def _end_clean(self) -> None:
        """The end mark went by: whatever the upstream does now, the client's stream ends properly."""
        if self.ending is None:
            self._tail = b""
            self._write(self._close(b""))
            self._finish(Ending.COMPLETE)

    def _has_ended(self) -> bool:
        """A body may end in order and the stream in it may not (P09): a proxy's restart, a body without length."""
        return self._plan.codec.has_ended(self.last_events() + self._tail + b"\n")

    def _end_broken(self, ending: Ending) -> None:
        """Streams get the format's error event; other bodies are cut, so that the client sees it (AG-172)."""
        if self.marked:
            self._end_clean()
            return
        self._end_run()
        if not self._plan.event_stream:
            self._transport.abort()
        elif self._plan.errors is not None:
            event = self._plan.codec.error_event(*self._plan.errors(ending), self.last)
            self._write(self._close(event))
        self._finish(ending)

    def _finish(self, ending: Ending) -> None:
        if self.ending is not None:
            return
        self._end_run()
        self.ending = ending
        self.last_at = self._loop.time()
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None
        if self._plan.deadlines is not None:
            self._plan.deadlines.forget(self)
        self._cancel_all()
        self.done(ending)
