"""``response-body-find-replace``: changes the body of an answer that is not streamed (TP 8.13)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.document import Node
from gateway.errors import REPLACE_BUFFER, REPLACE_FAILED, REPLACE_TOO_LARGE, GatewayError
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.fields import policy_reader
from gateway.policy.http_views import ContentType
from gateway.policy.model import Phase
from gateway.policy.replacements import Match, Replacement, Result, apply_to_body, compile_steps, replacements_shape
from gateway.policy.transform import TransformChain
from gateway.policy.variables import response_changed
from gateway.schema.shapes import Reader, field, record, then
from gateway.upstream import decoding

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead

_IDENTITY = frozenset(("", "identity"))
#: TP-442; any other fails closed
_CODINGS = frozenset(("gzip", "x-gzip", "deflate", "br"))
_BODYLESS = frozenset((204, 304))
_INLINE_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class Config:
    replacements: tuple[Replacement, ...]
    limit_bytes: int = 32 << 20


def _with_limit(config: Config, node: Node, reader: Reader) -> Config:
    return replace(config, limit_bytes=policy_reader(reader).options.max_buffered_body_bytes)


def compile_response_body_find_replace(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-440 to TP-442. Event streams pass unchanged, since buffering would end their streaming (TP-444)."""
    return CompiledAction("response-body-find-replace", _run(config, deps.clock.monotonic), is_async=True)


def _run(config: Config, monotonic: Callable[[], float]) -> Callable[[Exchange], Awaitable[None]]:
    steps_of = compile_steps(config.replacements)
    limit_bytes = config.limit_bytes

    async def run(exchange: Exchange) -> None:
        response = exchange.response
        if response is None:
            raise LookupError("the response phase runs without a response")
        steps = steps_of(exchange)
        matches: list[Match] = []
        if _has_body(exchange, response):
            body = await _body(response, limit_bytes)
            if body:
                body, matches = await apply_to_body(steps, body, limit_bytes, monotonic)
                response.body = body
                response.headers.set("content-length", str(len(body)))
                response.headers.pop("transfer-encoding", None)
                response_changed(exchange)
        exchange.results["response_body_find_replace"] = Result(matches)

    return run


def _has_body(exchange: Exchange, response: ResponseHead) -> bool:
    if exchange.method == "HEAD" or response.status in _BODYLESS:
        return False
    return ContentType.of(response.headers) != "text/event-stream"


async def _body(response: ResponseHead, limit_bytes: int) -> bytes:
    """The whole body, decoded; ``content-encoding`` is gone afterwards (TP-442)."""
    body = response.body
    if body is None:
        if response.read is None:
            raise GatewayError(REPLACE_BUFFER, cause="the answer's body cannot be read here")
        body = await response.read(limit_bytes)
    if body is None or len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    if response.transforms:  # an earlier action's, which its headers already speak of
        body = TransformChain(response.transforms).whole(body)
        response.transforms = []
    lines = response.headers.pop("content-encoding", None)
    names = [name.strip().lower() for line in lines or () for name in line.split(",")]
    for name in reversed([name for name in names if name not in _IDENTITY]):
        body = await _decoded(name, body, limit_bytes)
    response.body = body
    return body


async def _decoded(coding: str, body: bytes, limit_bytes: int) -> bytes:
    if coding not in _CODINGS:
        raise GatewayError(REPLACE_FAILED, cause=f"unsupported content-encoding '{coding[:32]}'")
    try:
        if len(body) <= _INLINE_BYTES:
            return decoding.decode(coding, body, limit_bytes)
        return await asyncio.to_thread(decoding.decode, coding, body, limit_bytes)
    except decoding.TooLarge:
        raise _too_large(limit_bytes) from None
    except decoding.DecodeError as error:
        raise GatewayError(REPLACE_FAILED, cause=str(error)) from None


def _too_large(limit_bytes: int) -> GatewayError:
    """The upstream's fault, not the client's: 500 (TP-441)."""
    return GatewayError(REPLACE_TOO_LARGE, {"maximum": limit_bytes}, status=500)


SPEC = ActionSpec(
    type="response-body-find-replace",
    phases=frozenset((Phase.RESPONSE,)),
    shape=then(record(Config, replacements=field(replacements_shape(), doc="made in order")), _with_limit),
    compile=compile_response_body_find_replace,
    result=Result,
    skips_streams=True,
    doc="Replaces text in the body of an answer; event streams are not changed.",
)
