"""An answer that has been through the policy of one endpoint and is handed to the next (TP-540).

Its head is the one that the first endpoint's rules left. What they do to the body is still to be done: stream rules
work one after the other, transforms such as compression after all of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from gateway.ai.inbound import header_block
from gateway.policy.stream import StreamRules
from gateway.upstream.codec import RewriteError, Rewriter

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead
    from gateway.headers import HeaderMap
    from gateway.policy.transform import BodyTransform
    from gateway.proxy.bodies import BodyTap, HeldAnswer
    from gateway.upstream.attempt import Held
    from gateway.upstream.codec import Codec, Kept
    from gateway.upstream.relay import Ending, Relay, RelayLimits


class Handed:
    """``bodies.HeldAnswer`` around another one."""

    __slots__ = ("_answer", "_head", "rules")

    def __init__(self, answer: HeldAnswer, head: ResponseHead, rules: Rewriter | None) -> None:
        self._answer = answer
        self._head = head
        #: of the endpoints that it came through
        self.rules = rules

    @property
    def transforms(self) -> list[BodyTransform]:
        return self._head.transforms

    @property
    def held(self) -> Held:
        return self._answer.held

    @property
    def event_stream(self) -> bool:
        return self._answer.event_stream

    @property
    def strip_usage(self) -> bool:
        return self._answer.strip_usage

    @property
    def codec(self) -> Codec:
        return self._answer.codec

    @property
    def tap(self) -> BodyTap | None:
        return self._answer.tap

    @property
    def kept(self) -> Kept:
        return self._answer.kept

    @property
    def status(self) -> int:
        return self._head.status

    @property
    def limits(self) -> RelayLimits:
        return self._answer.limits

    @property
    def decoded(self) -> bool:
        return self._answer.decoded

    @property
    def is_complete(self) -> bool:
        return self._answer.is_complete

    def header_block(self, exchange: Exchange) -> bytes:
        return header_block(self._head.headers)

    def header_map(self, exchange: Exchange) -> HeaderMap:
        return self._head.headers

    def take_body(self) -> bytes:
        return self._answer.take_body()

    def abandon(self) -> None:
        self._answer.abandon()

    def settle(self, exchange: Exchange, ending: Ending, relay: Relay | None = None) -> Awaitable[None] | None:
        return self._answer.settle(exchange, ending, relay)


class RuleChain:
    """Stream rules of several endpoints, in the order in which the answer comes through."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Sequence[Rewriter | StreamRules]) -> None:
        self._rules = tuple(rules)

    def feed(self, payload: bytes) -> bytes:
        return self._feed(payload, 0)

    def finish(self) -> bytes:
        payload = b""
        for place, rules in enumerate(self._rules):
            try:
                payload += rules.finish()
            except RewriteError as error:
                raise RewriteError(self._feed(payload + error.sent, place + 1), error.error) from None
            if place + 1 < len(self._rules):
                payload = self._rules[place + 1].feed(payload)
        return payload

    def _feed(self, payload: bytes, first: int) -> bytes:
        for place, rules in enumerate(self._rules[first:], first):
            try:
                payload = rules.feed(payload)
            except RewriteError as error:
                raise RewriteError(self._feed(error.sent, place + 1), error.error) from None
        return payload
