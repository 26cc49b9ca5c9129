"""``verify-webhook``: requests signed by a known provider (TP 8.16)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from gateway.auth.webhooks import CHECKS, KNOWN_ELSEWHERE, Webhook, challenge_answer
from gateway.cel.env import BOOL, CelType, nullable, object_of
from gateway.document import Node
from gateway.errors import INTERPOLATION_FAILED, INVALID_BODY, REPLACE_TOO_LARGE, WEBHOOK_REFUSED, GatewayError, failure
from gateway.headers import HeaderMap
from gateway.policy.action import ActionError, ActionSpec, CompiledAction, CompileDeps, Outcome, Refuse, Respond, maybe
from gateway.policy.body import keep_body, raw_body
from gateway.policy.fields import Interpolated, interpolated, policy_reader
from gateway.policy.http_views import ContentType, Url
from gateway.policy.model import Phase
from gateway.schema.shapes import Invalid, Reader, boolean, field, nearest, record, text, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Config:
    provider: str
    secret: Interpolated
    enforce: bool
    limit_bytes: int = 32 << 20


class Result:
    """``actions.ngrok.verify_webhook`` (TP-514)."""

    __slots__ = ("error", "verified")
    __cel__: ClassVar[Mapping[str, CelType]] = {"verified": BOOL, "error": nullable(object_of(ActionError))}

    def __init__(self, error: GatewayError | None) -> None:
        self.verified = error is None
        self.error = None if error is None else ActionError.of(error)


def _provider(name: str, node: Node, reader: Reader) -> str | Invalid:
    """TP-513."""
    if name in CHECKS:
        return name
    if name in KNOWN_ELSEWHERE:
        supported = ", ".join(CHECKS)
        return reader.error(node, reader.codes.not_allowed, f"provider not supported here; supported are {supported}")
    return reader.error(node, reader.codes.not_allowed, f"unknown provider{nearest(name, [*CHECKS, *KNOWN_ELSEWHERE])}")


def _with_limit(config: Config, node: Node, reader: Reader) -> Config:
    return replace(config, limit_bytes=policy_reader(reader).options.max_buffered_body_bytes)


def compile_verify_webhook(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-510 to TP-514."""
    return CompiledAction("verify-webhook", _run(config, deps.clock.now), is_async=True)


def _run(config: Config, now: Callable[[], float]) -> Callable[[Exchange], Awaitable[Outcome]]:
    check = CHECKS[config.provider]

    async def run(exchange: Exchange) -> Outcome:
        secret = config.secret.text(exchange)
        if not secret:
            raise GatewayError(INTERPOLATION_FAILED, cause=f"{config.secret.place}: the secret is empty")
        body = await _signed_body(exchange, config.limit_bytes)
        url = Url.of(exchange).raw
        webhook = Webhook(exchange.headers, body, url, ContentType.of(exchange.headers), now())
        error = None if check(webhook, secret) else failure(WEBHOOK_REFUSED)
        exchange.results["verify_webhook"] = Result(error)
        if error is not None:
            return Refuse(error) if config.enforce else None
        answer = challenge_answer(config.provider, body, secret)
        return None if answer is None else _json(answer)

    return run


async def _signed_body(exchange: Exchange, limit_bytes: int) -> bytes:
    """As sent, if nobody has read it yet; it stays there for whoever needs it next (TP-511)."""
    if exchange.body is not None:
        return exchange.body
    try:
        raw = await raw_body(exchange, limit_bytes)
        await keep_body(exchange, raw, limit_bytes)
    except GatewayError as error:
        if error.spec is INVALID_BODY and error.status == REPLACE_TOO_LARGE.status:
            raise GatewayError(REPLACE_TOO_LARGE, {"maximum": limit_bytes}, close=error.close) from None
        raise
    return raw


def _json(body: bytes) -> Respond:
    headers = HeaderMap.of((("content-type", "application/json"), ("content-length", str(len(body)))))
    return Respond(200, headers, body, run_response_phase=False)


SPEC = ActionSpec(
    type="verify-webhook",
    phases=frozenset((Phase.REQUEST,)),
    shape=then(
        record(
            Config,
            provider=field(then(text(minimum=1), _provider), doc=f"one of {', '.join(CHECKS)}"),
            secret=field(interpolated(minimum=1), doc="the provider's signing secret or token"),
            enforce=field(boolean(), True, doc="false: check, but let the request pass"),
        ),
        _with_limit,
    ),
    compile=compile_verify_webhook,
    terminates=maybe,
    result=Result,
    aliases=("webhook-validation",),
    guards=True,
    doc="Lets only webhooks pass that their provider has signed.",
)
