"""``compress-response``: compresses answers for clients that want it (TP 8.17)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gateway.cel.env import BOOL, STRING, CelType
from gateway.document import Node
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.http_views import ContentType
from gateway.policy.model import Phase
from gateway.policy.variables import response_changed
from gateway.schema.shapes import Invalid, Reader, field, list_of, nearest, record, text, then
from gateway.upstream.encoding import Compressor, negotiate

if TYPE_CHECKING:
    from gateway.exchange import Exchange, ResponseHead
    from gateway.headers import HeaderMap

ALGORITHMS = ("gzip", "deflate", "br", "compress")
_NEVER = frozenset((204, 206, 304))
#: longer bodies are compressed in a thread
_INLINE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Config:
    algorithms: tuple[str, ...]


class Result:
    """``actions.ngrok.compress`` (TP-532)."""

    __slots__ = ("already_compressed", "negotiated_algorithm")
    __cel__: ClassVar[Mapping[str, CelType]] = {"already_compressed": BOOL, "negotiated_algorithm": STRING}

    def __init__(self, negotiated_algorithm: str, *, already_compressed: bool) -> None:
        self.negotiated_algorithm = negotiated_algorithm
        self.already_compressed = already_compressed


def _algorithm(name: str, node: Node, reader: Reader) -> str | Invalid:
    if name not in ALGORITHMS:
        words = f"must be one of {', '.join(ALGORITHMS)}{nearest(name, ALGORITHMS)}"
        return reader.error(node, "ERR_NGROK_2214", words)
    return name


def compile_compress_response(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-530 to TP-532. A body that streams is compressed by the relay (``ResponseHead.transforms``)."""
    return CompiledAction("compress-response", _run(config.algorithms), is_async=True)


def _run(algorithms: tuple[str, ...]) -> Callable[[Exchange], Awaitable[None]]:
    async def run(exchange: Exchange) -> None:
        response = exchange.response
        if response is None:
            raise LookupError("the response phase runs without a response")
        encoded = _is_encoded(response.headers)
        coding = "" if encoded or not _may_change(exchange, response) else _wanted(exchange, algorithms)
        exchange.results["compress"] = Result(coding, already_compressed=encoded)
        if coding:
            await _compress(response, coding)
            response_changed(exchange)

    return run


def _wanted(exchange: Exchange, algorithms: tuple[str, ...]) -> str:
    return negotiate(exchange.headers.get("accept-encoding", ()), algorithms)


def _is_encoded(headers: HeaderMap) -> bool:
    codings = ",".join(headers.get("content-encoding", ()))
    return any(coding.strip().lower() not in ("", "identity") for coding in codings.split(","))


def _may_change(exchange: Exchange, response: ResponseHead) -> bool:
    if exchange.method == "HEAD" or response.status in _NEVER:
        return False
    if response.body == b"" or response.headers.first("content-length") == "0":
        return False
    # the origin may forbid it (RFC 9111, 5.2.2.6)
    return not any("no-transform" in line.lower() for line in response.headers.get("cache-control", ()))


async def _compress(response: ResponseHead, coding: str) -> None:
    headers = response.headers
    headers.set("content-encoding", coding)
    headers.pop("content-length", None)
    _vary(headers)
    tag = headers.first("etag")
    if tag is not None and not tag.startswith("W/"):
        headers.set("etag", f"W/{tag}")  # other bytes than those that the strong tag stands for
    event_stream = ContentType.of(headers) == "text/event-stream"
    if response.body is None or event_stream:  # stream rules come first (TP-45)
        response.transforms.append(Compressor(coding, flush_each=event_stream))
        return
    if len(response.body) > _INLINE_BYTES:
        response.body = await asyncio.to_thread(_whole, coding, response.body)
    else:
        response.body = _whole(coding, response.body)
    headers.set("content-length", str(len(response.body)))


def _whole(coding: str, body: bytes) -> bytes:
    machine = Compressor(coding)
    return machine.feed(body) + machine.finish()


def _vary(headers: HeaderMap) -> None:
    named = {name.strip().lower() for line in headers.get("vary", ()) for name in line.split(",")}
    if not named & {"*", "accept-encoding"}:
        headers.add("vary", "accept-encoding")


SPEC = ActionSpec(
    type="compress-response",
    phases=frozenset((Phase.RESPONSE,)),
    shape=record(
        Config,
        algorithms=field(
            list_of(then(text(), _algorithm), unique=lambda name: name, duplicate_code="ERR_NGROK_2231"), ALGORITHMS,
            doc="gzip, deflate, br (compress is never chosen); the first wins among equals",
        ),
    ),
    compile=compile_compress_response,
    result=Result,
    result_name="compress",
    doc="Compresses the answer as the client's accept-encoding allows.",
)  # fmt: skip
