"""Tokens, stop reason and cost, read from what an upstream sent anyway.

A reader of copies: whatever an upstream sends, nothing here raises and nothing here changes a byte (AG-243).

Invariants
    1. Counts are integers from 0 to ``_MOST_TOKENS``; anything else counts as missing, that is 0.
    2. ``input`` is the total, cached and cache-written tokens included, on every surface (AG-241).
    3. What a tap keeps of a stream is bounded: its first block and its last three.

``"name"`` with both quotes never occurs inside a JSON string, whose quotes are escaped: so the text search that
serves truncated data cannot be fooled by generated text.

Source: ai-gateway.md AG-240 to AG-248.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.ai.surfaces import MESSAGES, RESPONSES, Format, Surface
from gateway.upstream.sse import events_of

if TYPE_CHECKING:
    from gateway.ai.pricing import Pricing

#: of a body that is no stream and too large to buffer, only this much of its end is read (AG-243)
TAIL_BYTES: Final = 64 << 10
#: what a tap keeps of one block where only its end can matter
_BLOCK_BYTES: Final = 16 << 10
_MOST_TOKENS: Final = 10**12

_USAGE_OBJECT: Final = re.compile(r'"usage"\s*:\s*(?=\{)')
_FINISH_REASON: Final = re.compile(r'"(?:finish|stop)_reason"\s*:\s*"([^"\\]{1,64})"')
_STRICT: Final = json.JSONDecoder()

_BLANKS: Final = b" \t\r\n"
_MILLION: Final = Decimal(1_000_000)
_PLACES: Final = Decimal("0.00001")
#: wide enough that products of counts and prices are exact
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_ZERO: Final = Decimal(0)


class Usage:
    """What one attempt used. ``reported``: the provider said all of it; ``estimated``: the gateway counted the rest."""

    __slots__ = ("cache_write", "cached", "estimated", "input", "output", "reasoning", "reported", "stop_reason")

    def __init__(self) -> None:
        #: all input tokens, cached ones included
        self.input = 0
        self.output = 0
        #: read from the provider's cache
        self.cached = 0
        self.cache_write = 0
        #: part of ``output``
        self.reasoning = 0
        self.reported = False
        self.estimated = False
        #: AG-242; '' if unknown
        self.stop_reason = ""

    def cost(self, pricing: Pricing | None) -> Decimal:
        """USD with five places, rounded half-even: ``Decimal("0.01050")`` (AG-248); 0.00000 without a known price."""
        prices: Mapping[str, Decimal] = {} if pricing is None else pricing.exact
        price = prices.get("input", _ZERO)
        total = _ZERO
        for tokens, each in (
            (max(self.input - self.cached - self.cache_write, 0), price),
            (self.cached, prices.get("input_cache_read", price)),
            (self.cache_write, prices.get("input_cache_write", price)),
            (self.output, prices.get("output", _ZERO)),
        ):
            total = _EXACT.add(total, _EXACT.multiply(Decimal(tokens), each))
        return _EXACT.divide(total, _MILLION).quantize(_PLACES, context=_EXACT)

    def __repr__(self) -> str:
        return f"Usage({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def usage_of_body(surface: Surface, body: bytes) -> Usage:
    """From a complete JSON body; a body that is no JSON object reports nothing."""
    usage = Usage()
    document = _object(body)
    if document is not None:
        _take(usage, surface, document.get("usage"))
        usage.stop_reason = _stop_reason(surface, document)
    return usage


def usage_of_tail(surface: Surface, tail: bytes) -> Usage:
    """From the end of a body that was not kept (AG-243)."""
    usage = Usage()
    _search(usage, surface, tail[-TAIL_BYTES:])
    return usage


class UsageTap:
    """Collects what the usage of one answer is read from: ``gateway.upstream.codec.UsageTap``.

    It may be fed every block or only those that mention usage; ``usage`` is told the last ones.
    """

    __slots__ = ("_before", "_body", "_first", "_last", "_middle", "_surface", "body")

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._body: Usage | None = None
        self._first = b""
        self._before = b""
        self._middle = b""
        self._last = b""
        #: a complete body, for estimates (AG-230)
        self.body = b""

    def feed(self, block: bytes) -> None:
        """One block of whole events, without chunk framing."""
        if not self._first:
            self._first = block
            return
        self._before = self._middle
        self._middle = self._last
        self._last = block

    def feed_body(self, body: bytes) -> None:
        """A complete body: JSON, or a stream that was collected."""
        is_json = body.lstrip(_BLANKS)[:1] == b"{"
        self._body = usage_of_body(self._surface, body) if is_json else usage_of_stream(self._surface, (body,))
        self.body = body

    def feed_tail(self, tail: bytes) -> None:
        """The end of a body that was not kept (AG-243)."""
        self._body = usage_of_tail(self._surface, tail)

    def usage(self, *last_blocks: bytes) -> Usage:
        """The answer is over; ``last_blocks`` are those of a stream that were relayed last, fed or not."""
        if self._body is not None:
            return self._body
        blocks: list[bytes] = []
        for block in (self._first, self._before, self._middle, self._last, *last_blocks):
            if block and not any(block is kept for kept in blocks):
                blocks.append(block)
        self._first = self._before = self._middle = self._last = b""
        self._body = usage_of_stream(self._surface, blocks)
        return self._body


def usage_of_stream(surface: Surface, blocks: Iterable[bytes]) -> Usage:
    """From blocks of events, in order; they need not be adjacent."""
    usage = Usage()
    members: dict[str, Any] = {}
    kept = list(blocks)
    for document in _documents(kept):
        if surface is MESSAGES:
            _take_message_event(usage, members, document)
        elif surface is RESPONSES:
            _take_response_event(usage, document)
        else:
            _take(usage, surface, document.get("usage"))
            usage.stop_reason = _stop_reason(surface, document) or usage.stop_reason
    if members:
        _take(usage, surface, members)
    if not usage.reported:
        for block in kept:
            _search(usage, surface, block[-_BLOCK_BYTES:])
    return usage


def _documents(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects in the data of these events; the rest is passed over."""
    for block in blocks:
        for event in events_of(block if block.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")) else block + b"\n\n"):
            document = _object(event.data) if event.data else None
            if document is not None:
                yield document


def _take_message_event(usage: Usage, members: dict[str, Any], document: Mapping[str, Any]) -> None:
    """``message_start`` has the whole usage; each ``message_delta`` replaces the members it has."""
    message = document.get("message")
    reported = message.get("usage") if isinstance(message, dict) else document.get("usage")
    if isinstance(reported, dict):
        members.update((name, value) for name, value in reported.items() if value is not None)
    delta = document.get("delta")
    if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
        usage.stop_reason = delta["stop_reason"]


def _take_response_event(usage: Usage, document: Mapping[str, Any]) -> None:
    response = document.get("response")
    if isinstance(response, dict) and document.get("type") not in {"response.created", "response.in_progress"}:
        _take(usage, RESPONSES, response.get("usage"))
        usage.stop_reason = _stop_reason(RESPONSES, response)


def _take(usage: Usage, surface: Surface, reported: Any) -> None:
    """Replaces the counts by those of a ``usage`` object; anything else leaves them."""
    if not isinstance(reported, dict):
        return
    usage.reported = True
    if surface.format is Format.ANTHROPIC:
        usage.cached = _count(reported, "cache_read_input_tokens")
        usage.cache_write = _count(reported, "cache_creation_input_tokens")
        usage.input = _count(reported, "input_tokens") + usage.cached + usage.cache_write
        usage.output = _count(reported, "output_tokens")
        return
    given, made = ("input", "output") if surface is RESPONSES else ("prompt", "completion")
    usage.input = _count(reported, f"{given}_tokens")
    usage.output = _count(reported, f"{made}_tokens")
    usage.cached = _count(reported.get(f"{given}_tokens_details"), "cached_tokens") or _count(
        reported, "prompt_cache_hit_tokens"
    )
    usage.reasoning = _count(reported.get(f"{made}_tokens_details"), "reasoning_tokens")


def _stop_reason(surface: Surface, document: Mapping[str, Any]) -> str:
    """AG-242, from a JSON body, a chat chunk, or the response of a Responses event."""
    if surface.format is Format.ANTHROPIC:
        return _text(document.get("stop_reason"))
    if surface is RESPONSES:
        details = document.get("incomplete_details")
        return (_text(details.get("reason")) if isinstance(details, dict) else "") or _text(document.get("status"))
    choices = document.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                return _text(choice.get("finish_reason"))
    return ""


def _search(usage: Usage, surface: Surface, block: bytes) -> None:
    """What a piece of JSON says, though its beginning or its end is missing."""
    if b'"usage"' not in block:
        return
    text = block.decode("utf-8", "replace")
    for found in _USAGE_OBJECT.finditer(text):
        try:
            _take(usage, surface, _STRICT.raw_decode(text, found.end())[0])
        except (ValueError, RecursionError):
            continue
    reasons = _FINISH_REASON.findall(text)
    if reasons:
        usage.stop_reason = reasons[-1]


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _count(members: Any, name: str) -> int:
    value = members.get(name) if isinstance(members, dict) else None
    if type(value) is int:
        return value if 0 <= value <= _MOST_TOKENS else 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
        return value if 0 <= value <= _MOST_TOKENS else 0
    return 0


def _text(value: Any) -> str:
    return value[:64] if isinstance(value, str) else ""
