"""``request-body-find-replace``: changes the request's body before anything reads it (TP 8.13)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.document import Node
from gateway.errors import INVALID_BODY, REPLACE_FAILED, REPLACE_TOO_LARGE, GatewayError
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.body import request_body
from gateway.policy.fields import policy_reader
from gateway.policy.model import Phase
from gateway.policy.replacements import Match, Replacement, Result, apply_to_body, compile_steps, replacements_shape
from gateway.policy.variables import request_changed
from gateway.schema.shapes import Reader, field, record, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Config:
    replacements: tuple[Replacement, ...]
    limit_bytes: int = 32 << 20


def _with_limit(config: Config, node: Node, reader: Reader) -> Config:
    return replace(config, limit_bytes=policy_reader(reader).options.max_buffered_body_bytes)


def compile_request_body_find_replace(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-440 to TP-443: whoever reads the body next, reads the changed one."""
    return CompiledAction("request-body-find-replace", _run(config, deps.clock.monotonic), is_async=True)


def _run(config: Config, monotonic: Callable[[], float]) -> Callable[[Exchange], Awaitable[None]]:
    steps_of = compile_steps(config.replacements)
    limit_bytes = config.limit_bytes

    async def run(exchange: Exchange) -> None:
        steps = steps_of(exchange)
        body = await _body(exchange, limit_bytes)
        matches: list[Match] = []
        if body:
            body, matches = await apply_to_body(steps, body, limit_bytes, monotonic)
            _replace_body(exchange, body)
        exchange.results["request_body_find_replace"] = Result(matches)

    return run


async def _body(exchange: Exchange, limit_bytes: int) -> bytes:
    """The decoded body, with this action's own error codes (TP-441, TP-442)."""
    try:
        body = await request_body(exchange, limit_bytes)
    except GatewayError as error:
        if error.spec is not INVALID_BODY:
            raise
        if error.status == REPLACE_TOO_LARGE.status:
            raise GatewayError(REPLACE_TOO_LARGE, {"maximum": limit_bytes}, close=error.close) from None
        raise GatewayError(REPLACE_FAILED, cause=error.message, close=error.close) from None
    if len(body) > limit_bytes:
        raise GatewayError(REPLACE_TOO_LARGE, {"maximum": limit_bytes})
    return body


def _replace_body(exchange: Exchange, body: bytes) -> None:
    """A body that came in chunks has a length now (TP-441)."""
    exchange.body = body
    exchange.content_length = len(body)
    exchange.own_headers().set("content-length", str(len(body)))
    exchange.own_headers().pop("transfer-encoding", None)
    request_changed(exchange)


SPEC = ActionSpec(
    type="request-body-find-replace",
    phases=frozenset((Phase.REQUEST,)),
    shape=then(record(Config, replacements=field(replacements_shape(), doc="made in order")), _with_limit),
    compile=compile_request_body_find_replace,
    result=Result,
    doc="Replaces text in the request's body, before the AI gateway or an upstream gets it.",
)
