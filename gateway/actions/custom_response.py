"""``custom-response``: answers without contacting any upstream (TP 8.2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.headers import HeaderMap
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps, Respond, always
from gateway.policy.fields import Interpolated, interpolated
from gateway.policy.header_fields import HeaderFields, compile_headers, header_map
from gateway.policy.model import Phase
from gateway.schema.shapes import field, integer, record

if TYPE_CHECKING:
    from gateway.exchange import Exchange

_HTML = ("<!doctype html", "<html")
_BODYLESS = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class Config:
    status_code: int
    body: Interpolated
    headers: HeaderFields


def infer_content_type(body: str) -> str:
    """``''`` for an empty body (TP-222)."""
    start = body.lstrip()[:16].lower()
    if not body:
        return ""
    if start.startswith(_HTML):
        return "text/html; charset=utf-8"
    if start[:1] in ("{", "["):
        try:
            json.loads(body)
        except (ValueError, RecursionError):
            return "text/plain; charset=utf-8"
        return "application/json"
    return "text/plain; charset=utf-8"


def compile_custom_response(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-220 to TP-223; a literal body is encoded and judged once."""
    headers = compile_headers(config.headers)
    content = _content(config.body)
    status = config.status_code
    typed = any(name == "content-type" for name, _ in config.headers)

    def run(exchange: Exchange) -> Respond:
        body, content_type = content(exchange)
        answer = HeaderMap.of(headers(exchange))
        if status in _BODYLESS:
            return Respond(status, answer, b"", run_response_phase=True)
        if content_type and not typed:
            answer.set("content-type", content_type)
        answer.set("content-length", str(len(body)))
        return Respond(status, answer, b"" if exchange.method == "HEAD" else body, run_response_phase=True)

    return CompiledAction("custom-response", run)


def _content(body: Interpolated) -> Callable[[Exchange], tuple[bytes, str]]:
    """The body and its inferred media type."""
    if body.literal is not None:
        constant = body.literal.encode(), infer_content_type(body.literal)
        return lambda exchange: constant

    def content(exchange: Exchange) -> tuple[bytes, str]:
        text = body.text(exchange)
        return text.encode("utf-8", "surrogateescape"), infer_content_type(text)

    return content


SPEC = ActionSpec(
    type="custom-response",
    phases=frozenset((Phase.REQUEST, Phase.RESPONSE)),
    shape=record(
        Config,
        status_code=field(integer(200, 599), 200, doc="status of the answer"),
        body=field(interpolated(), Interpolated.constant(""), doc="body of the answer"),
        headers=field(header_map(), (), doc="headers of the answer, at most 10"),
    ),
    compile=compile_custom_response,
    terminates=always,
    doc="Answers with a status, headers and a body; nothing is forwarded.",
)
