"""``add-headers``: adds lines to the request or to the answer (TP 8.9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gateway.cel.env import STRING, CelType, map_of
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.header_fields import NOT_SETTABLE, HeaderFields, HeaderLines, compile_headers, header_map
from gateway.policy.model import Phase
from gateway.policy.variables import request_changed, response_changed
from gateway.schema.shapes import field, record

if TYPE_CHECKING:
    from gateway.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Config:
    headers: HeaderFields


class Result:
    """``actions.ngrok.add_headers``."""

    __slots__ = ("headers_added",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"headers_added": map_of(STRING)}

    def __init__(self, headers_added: dict[str, str]) -> None:
        self.headers_added = headers_added


def compile_add_headers(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-371: appends a line; ``host`` is replaced. Everything is evaluated before anything changes (TP-111)."""
    headers = compile_headers(config.headers)
    on_request, on_response = _on_request(headers), _on_response(headers)
    return CompiledAction("add-headers", on_response if deps.phase is Phase.RESPONSE else on_request)


def _on_request(headers: HeaderLines) -> Callable[[Exchange], None]:
    def run(exchange: Exchange) -> None:
        pairs = headers(exchange)
        changed = exchange.own_headers()
        for name, value in pairs:
            if name == "host":
                changed.set(name, value)
                exchange.host = value
            else:
                changed.add(name, value)
        exchange.results["add_headers"] = Result(dict(pairs))
        request_changed(exchange)

    return run


def _on_response(headers: HeaderLines) -> Callable[[Exchange], None]:
    def run(exchange: Exchange) -> None:
        pairs = headers(exchange)
        if exchange.response is None:
            raise LookupError("the response phase runs without a response")
        for name, value in pairs:
            exchange.response.headers.add(name, value)
        exchange.results["add_headers"] = Result(dict(pairs))
        response_changed(exchange)

    return run


SPEC = ActionSpec(
    type="add-headers",
    phases=frozenset((Phase.REQUEST, Phase.RESPONSE)),
    shape=record(
        Config,
        headers=field(
            header_map(minimum=1, refused=NOT_SETTABLE | {"user-agent"}), doc="names and values to add, 1 to 10"
        ),
    ),
    compile=compile_add_headers,
    result=Result,
    doc="Adds header lines to the request towards the upstream, or to the response towards the client.",
)
