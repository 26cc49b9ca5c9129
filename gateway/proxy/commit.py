"""Commit: the moment when an upstream's answer becomes the client's (AG-171), and the relay that follows.

Two ways. Where no response rule looks at the answer, the head's lines go on as bytes (``head.block``), which is
the fast path. Where one does, the head becomes a HeaderMap that the rules may change, and is written from that.
The same holds for bodies: ``Relay`` passes them on, ``ShapedRelay`` lets rules change them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway import errors
from gateway.ai.inbound import header_block
from gateway.errors import failure
from gateway.exchange import ResponseHead
from gateway.policy.action import CloseConnection, Refuse, Respond
from gateway.policy.engine import run_phase
from gateway.policy.transform import TransformChain
from gateway.proxy import respond
from gateway.proxy.bodies import BodyReader, finish_own, stream_rules, transformed, whole_stream
from gateway.proxy.handed import Handed
from gateway.upstream.framing import Framing
from gateway.upstream.relay import Ending, Relay, RelayPlan
from gateway.upstream.shaped import ShapedRelay

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.proxy.bodies import HeldAnswer
    from gateway.proxy.downstream import Downstream

_CLIENT_GONE = 499


def commit_forward(exchange: Exchange, downstream: Downstream, answer: HeldAnswer) -> Awaitable[None] | None:
    """Runs the response phase, then sends the answer; to be awaited unless its last byte was handed over."""
    if exchange.endpoint.response_phase is not None or isinstance(answer, Handed):
        return _commit_ruled(exchange, downstream, answer)
    if exchange.method == "HEAD" or downstream.transport is None:
        return _commit(exchange, downstream, answer, answer.status, answer.header_block(exchange))
    headers = answer.header_block(exchange)
    exchange.status = status = answer.status
    exchange.keep_alive = exchange.keep_alive and not downstream.draining
    if not answer.is_complete:
        return _relay(exchange, downstream, answer, respond.status_line(status) + headers, None)
    _send_whole(exchange, downstream, status, headers, _whole_body(exchange, answer))
    return answer.settle(exchange, Ending.COMPLETE)


async def _commit_ruled(exchange: Exchange, downstream: Downstream, answer: HeldAnswer) -> None:
    if exchange.endpoint.response_phase is None:
        transforms = answer.transforms if isinstance(answer, Handed) else None
        await _commit(exchange, downstream, answer, answer.status, answer.header_block(exchange), None, transforms)
        return
    try:
        head = await through_rules(exchange, answer)
    except BaseException:
        answer.abandon()
        raise
    if head.body is not None:
        await finish_own(exchange)
    headers = header_block(head.headers)
    await _commit(exchange, downstream, answer, head.status, headers, head.body, head.transforms)


async def _commit(
    exchange: Exchange, downstream: Downstream, answer: HeldAnswer, status: int, headers: bytes,
    body: bytes | None = None, transforms: list[Any] | None = None,
) -> None:  # fmt: skip
    """``body``: what a rule puts in place of the upstream's."""
    if downstream.transport is None:
        answer.abandon()
        exchange.status = _CLIENT_GONE
        exchange.client_gone = True
        return
    exchange.status = status
    exchange.keep_alive = exchange.keep_alive and not downstream.draining
    if body is not None:
        answer.abandon()
    elif exchange.method == "HEAD":
        _send_head(exchange, downstream, answer, respond.status_line(status) + headers)
        return
    elif answer.is_complete:
        body = _whole_body(exchange, answer)
    if body is not None:
        if transforms:
            body = await transformed(transforms, body)
        _send_whole(exchange, downstream, status, headers, body)
        counting = answer.settle(exchange, Ending.COMPLETE)
        if counting is not None:
            await counting
        return
    await _relay(exchange, downstream, answer, respond.status_line(status) + headers, transforms)


def _whole_body(exchange: Exchange, answer: HeldAnswer) -> bytes:
    exchange.streaming = answer.event_stream
    body = answer.take_body()
    rules = stream_rules(exchange, answer) if answer.event_stream else None
    return body if rules is None else whole_stream(rules, exchange, answer.codec, body)


async def through_rules(exchange: Exchange, answer: HeldAnswer) -> ResponseHead:
    """``on_http_response`` over the answer's head (TP-45); what it answers itself replaces everything (TP-221)."""
    head = exchange.response = ResponseHead(answer.status, answer.header_map(exchange))
    head.read = BodyReader(answer, head)
    if isinstance(answer, Handed):
        head.transforms = answer.transforms
    phase = exchange.endpoint.response_phase
    outcome = run_phase(phase, exchange)
    if inspect.isawaitable(outcome):
        outcome = await outcome
    if isinstance(outcome, Respond):
        head = exchange.response = ResponseHead(outcome.status, outcome.headers, outcome.body)
    elif isinstance(outcome, Refuse):
        raise outcome.error
    elif isinstance(outcome, CloseConnection):
        raise failure(errors.ACTION_FAILED)
    return head


def _send_head(exchange: Exchange, downstream: Downstream, answer: HeldAnswer, head: bytes) -> None:
    """The answer to HEAD: the length is that of the body which GET would have got (RFC 9110, 9.3.2)."""
    length = answer.held.head.content_length if answer.held.head is not None else None
    framing = b"" if length is None else b"content-length: %d\r\n" % length
    if not exchange.keep_alive:
        framing += b"connection: close\r\n"
    answer.held.abandon()
    downstream.write(head + framing + b"\r\n")
    answer.settle(exchange, Ending.COMPLETE)


def _send_whole(exchange: Exchange, downstream: Downstream, status: int, headers: bytes, body: bytes) -> None:
    exchange.sent_bytes = len(body)
    kept_10 = exchange.http_version != "HTTP/1.1"
    downstream.write(
        respond.complete_response(
            status, headers, body, keep_alive=exchange.keep_alive, head_only=exchange.method == "HEAD",
            keep_alive_10=kept_10,
        )
    )  # fmt: skip


async def _relay(
    exchange: Exchange, downstream: Downstream, answer: HeldAnswer, head: bytes, transforms: list[Any] | None
) -> None:
    loop = asyncio.get_running_loop()
    chunked, framing = _client_framing(exchange, answer, changed=bool(transforms))
    if not exchange.keep_alive:
        framing += b"connection: close\r\n"
    done: asyncio.Future[Ending] = loop.create_future()
    plan = RelayPlan(
        codec=answer.codec, limits=answer.limits, chunked=chunked, event_stream=answer.event_stream, tap=answer.tap,
        kept=answer.kept, strip_usage=answer.strip_usage, errors=_stream_error, deadlines=downstream.server.deadlines,
    )  # fmt: skip
    assert downstream.transport is not None

    turnstile = downstream.server.turnstile
    running = False

    def ended(ending: Ending) -> None:
        if not running:  # within ``begin``: nobody waits for it
            return
        turnstile.streams -= 1
        turnstile.settle(partial(_set, done, ending))

    rules = stream_rules(exchange, answer) if answer.event_stream else None
    if rules is None and not transforms:
        relay = Relay(loop, downstream.transport, plan, ended)
    else:
        transform = TransformChain(transforms) if transforms else None
        relay = ShapedRelay(loop, downstream.transport, plan, ended, rules=rules, transform=transform)
    exchange.streaming = answer.event_stream
    downstream.relay = relay
    if downstream.writing_paused:
        relay.pause()
    relay.begin(answer.held, head + framing + b"\r\n")
    head = b""  # not for as long as the stream lasts
    ending = relay.ending
    if ending is None:
        running = True
        turnstile.streams += 1
        try:
            ending = await done
        except asyncio.CancelledError:
            relay.client_gone()
            raise
    downstream.relay = None
    exchange.sent_bytes = relay.sent_bytes
    if ending is not Ending.COMPLETE:
        _note_ending(exchange, ending, relay)
    counting = answer.settle(exchange, ending, relay)
    if counting is not None:
        await counting


def _set(done: asyncio.Future[Ending], ending: Ending) -> None:
    if not done.done():
        done.set_result(ending)


def _note_ending(exchange: Exchange, ending: Ending, relay: Relay) -> None:
    if ending is Ending.CLIENT_GONE:
        exchange.client_gone = True
        exchange.status = _CLIENT_GONE
        return
    exchange.keep_alive = False
    code, _ = _stream_error(ending)
    refused = relay.refused if isinstance(relay, ShapedRelay) else None
    exchange.error = refused or failure(errors.TABLE[code])


def _client_framing(exchange: Exchange, answer: HeldAnswer, *, changed: bool) -> tuple[bool, bytes]:
    """(chunked?, header line): an HTTP/1.0 client gets plain bytes until the connection closes."""
    if exchange.http_version != "HTTP/1.1":
        exchange.keep_alive = False
        return False, b""
    held = answer.held
    length = held.head.content_length if held.head is not None else None
    kept = not (answer.event_stream or answer.decoded or changed)
    if kept and held.framing is Framing.SIZED and length is not None:
        return False, b"content-length: %d\r\n" % length
    return True, b"transfer-encoding: chunked\r\n"


def _stream_error(ending: Ending) -> tuple[str, str]:
    """Code and message of the event that ends a broken stream (AG-172, AG-267)."""
    if ending is Ending.SHUTDOWN:
        spec = errors.SHUTTING_DOWN
    elif ending is Ending.IDLE:
        spec = errors.UPSTREAM_TIMEOUT
    else:
        spec = errors.UPSTREAM_UNREACHABLE
    return spec.code, spec.message
