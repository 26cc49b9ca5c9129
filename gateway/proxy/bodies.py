"""What response and stream rules do to the body of an answer: read it whole, change its messages, change its bytes.

Each is made only for answers whose policy asks for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway import errors
from gateway.ai.dialects import codec_for
from gateway.ai.surfaces import CHAT, SURFACES
from gateway.errors import failure
from gateway.policy.http_views import ContentType
from gateway.policy.stream import StreamRules
from gateway.policy.transform import BodyTransform, TransformChain
from gateway.proxy.handed import Handed, RuleChain
from gateway.upstream.codec import RewriteError, Rewriter
from gateway.upstream.collect import BodyBrokenError, collect
from gateway.upstream.fetch import FetchError, decoded_body

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead
    from gateway.headers import HeaderMap
    from gateway.upstream.attempt import Held
    from gateway.upstream.codec import Codec, Kept
    from gateway.upstream.relay import Ending, Relay, RelayLimits

#: longer bodies are changed in a thread
_INLINE_BYTES = 16_384


class BodyTap(Protocol):
    """A ``UsageTap`` that takes whole bodies, too."""

    def feed(self, block: bytes) -> None: ...
    def feed_body(self, body: bytes) -> None: ...


class HeldAnswer(Protocol):
    """An upstream's answer before commit: of a model provider, or of an endpoint's own upstream."""

    @property
    def held(self) -> Held: ...
    @property
    def event_stream(self) -> bool: ...
    @property
    def strip_usage(self) -> bool: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def tap(self) -> BodyTap | None: ...
    @property
    def kept(self) -> Kept: ...
    @property
    def status(self) -> int: ...
    @property
    def limits(self) -> RelayLimits: ...
    @property
    def decoded(self) -> bool: ...
    @property
    def is_complete(self) -> bool: ...
    def header_block(self, exchange: Exchange) -> bytes: ...
    def header_map(self, exchange: Exchange) -> HeaderMap: ...
    def take_body(self) -> bytes: ...
    def abandon(self) -> None: ...
    def settle(self, exchange: Exchange, ending: Ending, relay: Relay | None = None) -> Awaitable[None] | None: ...


class BodyReader:
    """``ResponseHead.read`` of a held answer."""

    __slots__ = ("_answer", "_head")

    def __init__(self, answer: HeldAnswer, head: ResponseHead) -> None:
        self._answer = answer
        self._head = head

    async def __call__(self, limit_bytes: int) -> bytes | None:
        """The whole body; None when it is longer than the limit. Raises GatewayError when the upstream breaks."""
        answer, head = self._answer, self._head
        if head.body is not None:
            body: bytes | None = head.body
        elif answer.held.ended:
            body = answer.take_body()
        else:
            body = await self._rest(limit_bytes)
        if body is None or len(body) > limit_bytes:
            return None
        head.body = body
        return body

    async def _rest(self, limit_bytes: int) -> bytes | None:
        answer = self._answer
        try:
            body = await collect(answer.held, limit_bytes, answer.limits.idle_s)
        except BodyBrokenError as error:
            raise failure(errors.UPSTREAM_TIMEOUT if error.timeout else errors.UPSTREAM_UNREACHABLE) from error
        if body is not None and answer.tap is not None:
            answer.tap.feed_body(body)
        return body


def stream_rules(exchange: Exchange, answer: HeldAnswer) -> Rewriter | None:
    """The rules for the messages of this answer, if the endpoints that it comes through have any (TP-45, TP-540)."""
    phase = exchange.endpoint.stream_phase
    before = answer.rules if isinstance(answer, Handed) else None
    if phase is None:
        return before
    rules = StreamRules(exchange, phase, limit_bytes=exchange.snapshot.settings.policy.max_sse_message_bytes)
    return rules if before is None else RuleChain((before, rules))


def whole_stream(rules: Rewriter, exchange: Exchange, codec: Codec, body: bytes) -> bytes:
    """A stream that is here whole, through the rules; ends with an error event where they failed (TP-56)."""
    sent = b""
    try:
        sent = rules.feed(body)
        return sent + rules.finish()
    except RewriteError as error:
        exchange.error = error.error
        exchange.keep_alive = False
        return sent + error.sent + codec.error_event(error.error.code, error.error.message, body)


async def finish_own(exchange: Exchange) -> None:
    """The body of an answer that a policy made: event streams meet their rules (TP-45), transforms come last."""
    head = exchange.response
    if head is None or not head.body:
        return
    phase = exchange.endpoint.stream_phase
    if phase is not None and ContentType.of(head.headers) == "text/event-stream":
        limits = exchange.snapshot.settings.policy
        body = await _readable(head, limits.max_buffered_body_bytes)
        rules = StreamRules(exchange, phase, limit_bytes=limits.max_sse_message_bytes)
        head.body = whole_stream(rules, exchange, codec_for(SURFACES.get(exchange.path, CHAT)), body)
    if head.transforms:
        head.body = await transformed(head.transforms, head.body)
        head.transforms = []


async def _readable(head: ResponseHead, limit_bytes: int) -> bytes:
    """The body decoded: rules must not be passed by a ``content-encoding``."""
    body: bytes = head.body or b""
    if "content-encoding" not in head.headers or head.transforms:
        return body
    try:
        body = await decoded_body(body, head.headers, limit_bytes)
    except FetchError:
        raise failure(errors.ACTION_FAILED) from None
    del head.headers["content-encoding"]
    return body


async def transformed(transforms: Sequence[BodyTransform], body: bytes) -> bytes:
    """A whole body as the transforms change it."""
    chain = TransformChain(transforms)
    return chain.whole(body) if len(body) <= _INLINE_BYTES else await asyncio.to_thread(chain.whole, body)
