"""``deny``: refuses the request; no further rule or phase runs (TP 8.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.document import Node
from gateway.headers import HeaderMap
from gateway.policy.action import ActionSpec, CloseConnection, CompiledAction, CompileDeps, Respond, always
from gateway.policy.fields import Interpolated, PolicyReader, interpolated
from gateway.policy.model import Phase
from gateway.schema.shapes import INVALID, Invalid, Reader, field, integer, record, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange

DEFAULT_STATUS = 403


@dataclass(frozen=True, slots=True)
class Config:
    status_code: int | None
    body: Interpolated | None


def _without_status_on_tcp(config: Config, node: Node, reader: Reader) -> Config | Invalid:
    if isinstance(reader, PolicyReader) and reader.phase is Phase.TCP:
        for name in ("status_code", "body"):
            if (key := node.key(name)) is not None:
                words = f"'{name}' cannot be used in {Phase.TCP}: the connection is closed without an answer"
                reader.error(key, reader.codes.unknown_field, words)
                return INVALID
    return config


def compile_deny(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-360."""
    status = config.status_code or DEFAULT_STATUS
    text = config.body
    if deps.phase is Phase.TCP:
        return CompiledAction("deny", lambda exchange: CloseConnection())

    def run(exchange: Exchange) -> Respond:
        body = text.text(exchange).encode("utf-8", "surrogateescape") if text is not None else b""
        headers = HeaderMap.of((("content-type", "text/plain; charset=utf-8"),) if body else ())
        if status not in (204, 304):
            headers.set("content-length", str(len(body)))
        return Respond(status, headers, b"" if exchange.method == "HEAD" else body, run_response_phase=False)

    return CompiledAction("deny", run)


SPEC = ActionSpec(
    type="deny",
    phases=frozenset((Phase.TCP, Phase.REQUEST)),
    shape=then(
        record(
            Config,
            status_code=field(integer(200, 599), None, doc="403 unless given; not in on_tcp_connect"),
            body=field(interpolated(), None, tolerated="'body' is not documented for deny; it is sent as text/plain"),
        ),
        _without_status_on_tcp,
    ),
    compile=compile_deny,
    terminates=always,
    doc="Refuses the request with a status and no body; closes the connection in on_tcp_connect.",
)
