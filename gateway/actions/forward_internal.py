"""``forward-internal``: lets another endpoint of this gateway answer (TP 8.18)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from gateway.cel.env import STRING, CelType, nullable, object_of
from gateway.document import Node
from gateway.errors import INTERPOLATION_FAILED, NO_ENDPOINT, ROUTING_LOOP, GatewayError, Source, failure
from gateway.headers import HeaderMap
from gateway.policy.action import ActionError, ActionSpec, CompiledAction, CompileDeps, Outcome, Refuse
from gateway.policy.fields import Interpolated, interpolated
from gateway.policy.internal import MAX_FORWARDS, InternalEndpoints, is_internal
from gateway.policy.model import Phase, Terminates
from gateway.policy.variables import request_changed
from gateway.schema.shapes import Invalid, Reader, enum, field, record, text, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Config:
    url: Interpolated
    on_error: str
    binding: str


class Result:
    """``actions.ngrok.forward_internal``: only after a failure with ``continue`` (TP-543)."""

    __slots__ = ("error", "url")
    __cel__: ClassVar[Mapping[str, CelType]] = {"url": STRING, "error": nullable(object_of(ActionError))}

    def __init__(self, url: str, error: GatewayError) -> None:
        self.url = url
        self.error = ActionError.of(error)


@dataclass(frozen=True, slots=True)
class Target:
    """``http://name.internal:80`` taken apart."""

    scheme: str
    host: str
    port: int | None


def parse_target(url: str) -> Target | None:
    """None unless it is ``http(s)://name.internal[:port]``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not is_internal(host) or parts.username is not None:
        return None
    if parts.path not in ("", "/") or parts.query or parts.fragment or not url.isprintable():
        return None
    return Target(parts.scheme, host, port)


def _url(url: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    if url.literal is not None and parse_target(url.literal) is None:
        words = "must be 'http://name.internal' or 'https://name.internal', with a port if needed"
        return reader.error(node, reader.codes.bad_url, words)
    return url


def _terminates(config: Config) -> Terminates:
    return Terminates.ALWAYS if config.on_error == "halt" else Terminates.MAYBE


def compile_forward_internal(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-540 to TP-544."""
    endpoints: InternalEndpoints | None = deps.services.get(InternalEndpoints)
    return CompiledAction("forward-internal", _run(config, endpoints), is_async=True)


def _run(config: Config, endpoints: InternalEndpoints | None) -> Callable[[Exchange], Awaitable[Outcome]]:
    halt = config.on_error == "halt"

    async def run(exchange: Exchange) -> Outcome:
        url = config.url.text(exchange)
        target = parse_target(url)
        if target is None:
            raise GatewayError(INTERPOLATION_FAILED, cause=f"{config.url.place}: not the URL of an internal endpoint")
        if exchange.forwards >= MAX_FORWARDS:
            return Refuse(failure(ROUTING_LOOP))
        undo = _forwarded(exchange)
        try:
            if endpoints is None:
                raise failure(NO_ENDPOINT, url=url)
            return await endpoints.forward(exchange, target.scheme, target.host, target.port)
        except GatewayError as error:
            if halt or not _is_failure(error):
                return Refuse(error)
            undo()
            exchange.results["forward_internal"] = Result(url, error)
            return None

    return run


def _is_failure(error: GatewayError) -> bool:
    """TP-542: no such endpoint, or no answer of its upstream. Anything else is not for ``on_error`` to hide."""
    return error.spec is NO_ENDPOINT or (error.spec.source is Source.UPSTREAM and error.spec is not ROUTING_LOOP)


def _forwarded(exchange: Exchange) -> Callable[[], None]:
    """Sets what the endpoint behind gets to know (TP-541); gives what takes it back."""
    before: Mapping[str, Any] = {name: exchange.headers.get(name) for name in _FORWARDED}
    headers: HeaderMap = exchange.headers
    headers.set("x-forwarded-for", exchange.conn.client_ip)
    headers.set("x-forwarded-host", exchange.host)
    headers.set("x-forwarded-proto", exchange.scheme)
    exchange.forwards += 1
    request_changed(exchange)

    def undo() -> None:
        for name, values in before.items():
            if values is None:
                headers.pop(name, None)
            else:
                headers[name] = values
        request_changed(exchange)

    return undo


_FORWARDED = ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")

SPEC = ActionSpec(
    type="forward-internal",
    phases=frozenset((Phase.REQUEST,)),
    shape=record(
        Config,
        url=field(then(interpolated(minimum=1), _url), doc="http(s)://name.internal[:port]"),
        on_error=field(enum("halt", "continue"), "halt", doc="what happens when there is no answer"),
        binding=field(text(), "", tolerated="'binding' has no meaning here and is ignored"),
    ),
    compile=compile_forward_internal,
    terminates=_terminates,
    result=Result,
    doc="Forwards the request to another endpoint of this gateway, whose own policy applies.",
)
