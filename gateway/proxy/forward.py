"""Requests that go on to an endpoint's own upstream (TP-50 (1)): any method, path and body, and the answer as it comes.

The answer is committed like a model provider's: response and stream rules meet it in ``proxy.commit``.

Invariants
    1. No hop-by-hop header goes on, in either direction; ``x-forwarded-*`` say what this gateway saw (TP-541).
    2. A request that may have had an effect is not repeated (RFC 9110, 9.2.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import GatewayError
from gateway.headers import HeaderMap
from gateway.policy.action import Forward
from gateway.policy.body import request_body
from gateway.upstream import decoding
from gateway.upstream.attempt import Expectations, Held
from gateway.upstream.codec import NOTHING_KEPT
from gateway.upstream.origin import Origin
from gateway.upstream.plain import HOP_BY_HOP, PlainCodec, PlainHead
from gateway.upstream.relay import Ending, Relay, RelayLimits

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.exchange import Exchange
    from gateway.proxy.bodies import BodyTap
    from gateway.upstream.codec import Codec, Kept
    from gateway.upstream.transport import Transport

HOPS = "ngrok-req-hops"
_REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
#: written by this gateway, or meaningless behind it
_OWN = frozenset(("host", "expect", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", HOPS))
_BREAKS = re.compile(r"[\r\n\0]")
_UNSAFE = re.compile(rb"[^\x21-\x7e]")
_CODEC = PlainCodec()


@dataclass(frozen=True, slots=True)
class ForwardParts:
    """``transport`` for most requests, ``head_transport`` for HEAD, whose answers have a length and no body."""

    transport: Transport
    head_transport: Transport
    clock: Clock
    limits: RelayLimits
    #: until the answer's head is here
    timeout_s: float
    max_body_bytes: int


class Forwarder:
    """An endpoint's upstream (``snapshot.Upstream``)."""

    __slots__ = ("_base", "_origin", "_parts", "_query")

    def __init__(self, url: str, parts: ForwardParts) -> None:
        target = urlsplit(url)
        port = target.port or (443 if target.scheme == "https" else 80)
        self._origin = Origin(target.scheme, target.hostname or "", port)
        self._base = target.path.rstrip("/")
        self._query = target.query
        self._parts = parts

    async def send(self, exchange: Exchange) -> Forward:
        """The held answer, whatever its status; raises GatewayError 3004 if there is none (TP-542)."""
        parts = self._parts
        body = await request_body(exchange, parts.max_body_bytes)
        expect = Expectations(
            _CODEC, streaming=False, needs_body=False, as_is=True, repeatable=exchange.method in _REPEATABLE
        )
        transport = parts.head_transport if exchange.method == "HEAD" else parts.transport
        began = parts.clock.monotonic()
        held = await transport.send(
            self._origin, self._head(exchange, body) + body, expect, parts.timeout_s, parts.timeout_s
        )
        now = parts.clock.monotonic()
        exchange.upstream_wait_s += now - began
        if held.failure is not None and not held.ready:
            raise GatewayError(errors.BAD_UPSTREAM, cause=f"{self._origin}: {held.failure.reason}")
        head = held.head
        if head is not None and head.is_event_stream and head.content_encoding and held.decoder is None:
            held.abandon()
            raise GatewayError(errors.BAD_UPSTREAM, cause=f"{self._origin}: event stream in an unknown coding")
        return Forward(UpstreamAnswer(held, parts, now))

    def _head(self, exchange: Exchange, body: bytes) -> bytes:
        query = "&".join(part for part in (self._query, exchange.query) if part)
        path = exchange.path if exchange.path.startswith("/") else "/"
        target = f"{self._base}{path}?{query}" if query else self._base + path
        line = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], target.encode("utf-8", "surrogateescape"))
        lines = [f"{name}: {_BREAKS.sub(' ', value)}\r\n" for name, value in _headers(exchange, body).lines()]
        start = b"%b %b HTTP/1.1\r\n" % (exchange.method.encode("latin-1"), line)
        return start + "".join(lines).encode("utf-8", "surrogateescape") + b"\r\n"


def _headers(exchange: Exchange, body: bytes) -> HeaderMap:
    """What the upstream gets to know."""
    named = {word.strip().lower() for line in exchange.headers.get("connection", ()) for word in line.split(",")}
    dropped = HOP_BY_HOP | _OWN | named
    headers = HeaderMap()
    headers.set("host", exchange.host)
    for name, value in exchange.headers.lines():
        if name not in dropped:
            headers.add(name, value)
    _offer_known_codings(headers)
    headers.set("x-forwarded-for", exchange.conn.client_ip)
    headers.set("x-forwarded-host", exchange.host)
    headers.set("x-forwarded-proto", exchange.scheme)
    if exchange.hops:
        headers.set(HOPS, str(exchange.hops))
    if body or exchange.content_length is not None or exchange.method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        headers.set("content-length", str(len(body)))
    return headers


def _offer_known_codings(headers: HeaderMap) -> None:
    """A coding that this gateway cannot read would keep stream rules from the text."""
    wanted = headers.get("accept-encoding")
    if wanted is None:
        return
    members = [member.strip() for line in wanted for member in line.split(",")]
    known = [member for member in members if member.partition(";")[0].strip().lower() in decoding.CODINGS]
    headers.set("accept-encoding", ", ".join(known) or "identity")


class UpstreamAnswer:
    """``bodies.HeldAnswer`` of an ordinary service."""

    __slots__ = ("_head_at", "_parts", "_settled", "held")

    strip_usage = False

    def __init__(self, held: Held, parts: ForwardParts, head_at: float) -> None:
        self.held = held
        self._parts = parts
        self._head_at = head_at
        self._settled = False

    @property
    def codec(self) -> Codec:
        return _CODEC

    @property
    def tap(self) -> BodyTap | None:
        return None

    @property
    def kept(self) -> Kept:
        return NOTHING_KEPT

    @property
    def status(self) -> int:
        return self.held.status

    @property
    def event_stream(self) -> bool:
        head = self.held.head
        return head is not None and head.is_event_stream and 200 <= self.held.status < 300

    @property
    def limits(self) -> RelayLimits:
        return self._parts.limits

    @property
    def decoded(self) -> bool:
        return self.held.decoder is not None

    @property
    def is_complete(self) -> bool:
        return self.held.ended

    def header_block(self, exchange: Exchange) -> bytes:
        """The upstream's lines and the request's id, without framing."""
        head = cast("PlainHead", self.held.head)
        lines = [b"%b: %b\r\n" % line for line in head.lines if self._keeps(line[0])]
        return b"".join(lines) + b"x-gateway-request-id: %b\r\n" % exchange.id.encode()

    def header_map(self, exchange: Exchange) -> HeaderMap:
        """The same, for response rules to change."""
        head = cast("PlainHead", self.held.head)
        headers = HeaderMap.from_raw(line for line in head.lines if self._keeps(line[0]))
        headers.set("x-gateway-request-id", exchange.id)
        return headers

    def _keeps(self, name: bytes) -> bool:
        if name == b"content-encoding":
            return self.held.decoder is None
        return name not in (b"ngrok-error-code", b"x-gateway-request-id")  # this gateway's own to say (TP-700)

    def take_body(self) -> bytes:
        """All of it."""
        return self.held.take_held()

    def abandon(self) -> None:
        """The answer does not reach the client."""
        self.held.abandon()

    def settle(self, exchange: Exchange, ending: Ending, relay: Relay | None = None) -> None:
        """The answer has ended."""
        if not self._settled:
            self._settled = True
            exchange.upstream_wait_s += self._parts.clock.monotonic() - self._head_at
