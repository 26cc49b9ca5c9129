"""A relay whose body changes on the way: stream rules first, then transforms such as compression (TP-45, TP-530).

A class of its own, so that bodies that go on as they came pay nothing for it. What the relay looks at (usage, end
marks, events) is what the upstream sent; rules may change every byte of it afterwards.

Invariants
    1. The gateway's own pieces (error events, keep-alive comments) meet no rule, but they are compressed, too.
    2. A failed rule ends the stream with one error event; nothing of the failed message is sent (TP-56).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.upstream.codec import RewriteError, Rewriter
from gateway.upstream.relay import Ending, Relay, RelayPlan

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.upstream.attempt import Held


class ShapedRelay(Relay):
    """``rules`` see an event stream's messages, ``transform`` whatever is sent."""

    __slots__ = ("_changes", "_rules", "_transform", "refused")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, plan: RelayPlan,
        done: Callable[[Ending], None], *, rules: Rewriter | None, transform: Rewriter | None,
    ) -> None:  # fmt: skip
        super().__init__(loop, transport, plan, done)
        self._simple = False
        self._rules = rules
        self._transform = transform
        #: the error of a rule that ended the stream
        self.refused: GatewayError | None = None

    def begin(self, held: Held, head: bytes) -> None:
        """See ``Relay.begin``; a rule may end the stream with its first message."""
        first = held.take_held()
        decoder = held.decoder
        if not first:
            super().begin(held, head)
            return
        self._decoder = decoder
        try:
            out = self._convert(first)
        except RewriteError as error:
            self._connection, held.connection = held.connection, None
            self._write(head)
            self._refuse(error)
            return
        super().begin(held, head + out)
        self._sent_bytes += len(out)

    def on_payload(self, payload: bytes) -> None:
        try:
            super().on_payload(payload)
        except RewriteError as error:
            self._refuse(error)

    def on_end(self) -> None:
        try:
            super().on_end()
        except RewriteError as error:
            self._refuse(error)

    def _pack_theirs(self, payload: bytes) -> bytes:
        return self._pack(payload if self._rules is None else self._rules.feed(payload))

    def _pack(self, payload: bytes) -> bytes:
        if self._transform is not None and payload:
            payload = self._transform.feed(payload)
        return super()._pack(payload)

    def _final(self) -> bytes:
        tail, self._tail = self._tail, b""
        if self._rules is not None:
            tail = self._rules.feed(tail)
            try:
                tail += self._rules.finish()
            except RewriteError as error:
                raise RewriteError(tail + error.sent, error.error) from None
        return self._close(tail)

    def _close(self, last: bytes) -> bytes:
        if self._transform is not None:
            last = (self._transform.feed(last) if last else b"") + self._transform.finish()
        return super()._pack(last) + super()._close(b"")

    def _refuse(self, error: RewriteError) -> None:
        """Sends what came before, the error event, and ends (TP-56)."""
        self.refused = error.error
        event = self._plan.codec.error_event(error.error.code, error.error.message, self.last)
        self._write(self._close(error.sent + event))
        self._finish(Ending.REFUSED)
