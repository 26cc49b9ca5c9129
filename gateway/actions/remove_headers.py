"""``remove-headers``: removes all lines of the named headers (TP 8.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gateway.cel.env import STRING, CelType, list_of
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.header_fields import HeaderName
from gateway.policy.model import Phase
from gateway.policy.variables import request_changed, response_changed
from gateway.schema import shapes
from gateway.schema.shapes import field, record

if TYPE_CHECKING:
    from gateway.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Config:
    headers: tuple[str, ...]


class Result:
    """``actions.ngrok.remove_headers``: the names that were really there."""

    __slots__ = ("headers_removed",)
    __cel__: ClassVar[Mapping[str, CelType]] = {"headers_removed": list_of(STRING)}

    def __init__(self, headers_removed: list[str]) -> None:
        self.headers_removed = headers_removed


def compile_remove_headers(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-372: a name that is not there is no error."""
    names = config.headers

    def on_request(exchange: Exchange) -> None:
        headers = exchange.own_headers()
        removed = [name for name in names if headers.pop(name, None) is not None]
        exchange.results["remove_headers"] = Result(removed)
        request_changed(exchange)

    def on_response(exchange: Exchange) -> None:
        if exchange.response is None:
            raise LookupError("the response phase runs without a response")
        headers = exchange.response.headers
        removed = [name for name in names if headers.pop(name, None) is not None]
        exchange.results["remove_headers"] = Result(removed)
        response_changed(exchange)

    return CompiledAction("remove-headers", on_response if deps.phase is Phase.RESPONSE else on_request)


SPEC = ActionSpec(
    type="remove-headers",
    phases=frozenset((Phase.REQUEST, Phase.RESPONSE)),
    shape=record(
        Config,
        headers=field(
            shapes.list_of(HeaderName(frozenset(("user-agent",))), minimum=1, maximum=10),
            doc="names to remove, 1 to 10",
        ),
    ),
    compile=compile_remove_headers,
    result=Result,
    doc="Removes all lines of the named headers from the request or the response.",
)
