"""Tokens, stop reason and cost, read from what an upstream sent anyway.

A reader of copies: whatever an upstream sends, nothing here raises and nothing here changes a byte (AG-243).

Invariants
    1. Counts are integers from 0 to ``_MOST_TOKENS``; anything else counts as missing, that is 0.
    2. ``input`` is the total, cached and cache-written tokens included, on every surface (AG-241).
    3. What a tap keeps of a stream is bounded: its first block and its last three.

``"name"`` with both quotes never occurs inside a JSON string, whose quotes are escaped: so the text search that
serves truncated data cannot be fooled by generated text. The end of a complete body is found in the same way; that it
becomes valid JSON with other brackets in front proves at which depth it was cut (``_end_of``).

Source: ai-gateway.md AG-240 to AG-248.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.ai.surfaces import EMBEDDINGS, MESSAGES, RESPONSES, Format, Surface
from gateway.auth.money import to_units
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

#: below this size decoding the whole body is as cheap as looking for its end
_WHOLE_BYTES: Final = 2_048
_BACKSLASH: Final = 0x5C

_ANTHROPIC: Final = Format.ANTHROPIC
#: members of ``usage``: input, output, and what tells more about either
_CHAT_NAMES: Final = ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
_RESPONSES_NAMES: Final = ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")

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

    def units(self, pricing: Pricing | None) -> int:
        """The cost in units of 0.00001 USD (AG-248). Whole numbers give what decimal ones would, ten times as fast."""
        if pricing is None:
            return 0
        prices = pricing.whole
        if prices is None:
            return to_units(self.exact_cost(pricing))
        fresh, read, written, output, divisor = prices
        total = self.cached * read + self.cache_write * written + self.output * output
        plain = self.input - self.cached - self.cache_write
        if plain > 0:
            total += plain * fresh
        units, rest = divmod(total, divisor)
        rest += rest
        return units + 1 if rest > divisor or (rest == divisor and units & 1) else units

    def exact_cost(self, pricing: Pricing | None) -> Decimal:
        """USD with five places, rounded half-even (AG-248): ``units`` by their definition, for any prices."""
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


def usd(units: int) -> Decimal:
    """Units of 0.00001 USD as USD: ``Decimal("0.01050")``."""
    return Decimal(units).scaleb(-5, _EXACT)


def usage_of_body(surface: Surface, body: bytes) -> Usage:
    """From a complete JSON body; one that is no JSON object reports nothing, unless its end looks like that of one."""
    usage = Usage()
    document = (_end_of(surface, body) if len(body) > _WHOLE_BYTES else None) or _object(body)
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
        is_json = body.startswith(b"{") or body.lstrip(_BLANKS).startswith(b"{")
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


def stop_reason_of_stream(surface: Surface, blocks: Sequence[bytes]) -> str:
    """AG-242: from the end, where it stands; '' if these blocks do not say."""
    for block in reversed(blocks):
        usage = Usage()
        for document in _documents((block,)):
            if surface is MESSAGES:
                _take_message_event(usage, {}, document)
            elif surface is RESPONSES:
                _take_response_event(usage, document)
            else:
                usage.stop_reason = _stop_reason(surface, document) or usage.stop_reason
        if usage.stop_reason:
            return usage.stop_reason
    return ""


def _documents(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects in the data of these events; the rest is passed over."""
    for block in blocks:
        found = _usual_documents(block)
        if found is not None:
            yield from found
            continue
        for event in events_of(block if block.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")) else block + b"\n\n"):
            document = _object(event.data) if event.data else None
            if document is not None:
                yield document


def _usual_documents(block: bytes) -> list[dict[str, Any]] | None:
    """The same for events as all providers send them, at a third of the cost; None: something in it is different."""
    if b"\r" in block:
        return None
    found: list[dict[str, Any]] = []
    for event in block.split(b"\n\n"):
        name, _, data = event.rpartition(b"\n")
        if data.startswith(b"data: {") and (not name or (name.startswith(b"event: ") and b"\n" not in name)):
            document = _object(data[6:])
            if document is not None:
                found.append(document)
        elif event and event != b"data: [DONE]":
            return None
    return found


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
    if surface.format is _ANTHROPIC:
        usage.cached = _count(reported.get("cache_read_input_tokens"))
        usage.cache_write = _count(reported.get("cache_creation_input_tokens"))
        usage.input = _count(reported.get("input_tokens")) + usage.cached + usage.cache_write
        usage.output = _count(reported.get("output_tokens"))
        return
    given, made, given_details, made_details = _RESPONSES_NAMES if surface is RESPONSES else _CHAT_NAMES
    usage.input = _count(reported.get(given))
    usage.output = _count(reported.get(made))
    details = reported.get(given_details)
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    usage.cached = (_count(cached) if cached else 0) or _count(reported.get("prompt_cache_hit_tokens"))
    details = reported.get(made_details)
    reasoning = details.get("reasoning_tokens") if isinstance(details, dict) else None
    usage.reasoning = _count(reasoning) if reasoning else 0


def _stop_reason(surface: Surface, document: Mapping[str, Any]) -> str:
    """AG-242, from a JSON body, a chat chunk, or the response of a Responses event."""
    if surface.format is _ANTHROPIC:
        return _text(document.get("stop_reason"))
    if surface is RESPONSES:
        details = document.get("incomplete_details")
        return (_text(details.get("reason")) if isinstance(details, dict) else "") or _text(document.get("status"))
    choices = document.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                reason = choice.get("finish_reason")
                return reason[:64] if isinstance(reason, str) else ""
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


def _end_of(surface: Surface, body: bytes) -> dict[str, Any] | None:
    """The last members of a long document: usage and stop reason, without the text or the vectors before them.

    None if that is not proven; it is for JSON objects in which both names stand at most once and without escapes. On
    the other surfaces the proof would cost more than it saves.
    """
    start = body.rfind(b'"usage"')
    if surface is MESSAGES:
        start = min(start, body.rfind(b'"stop_reason"'))
    elif surface is not EMBEDDINGS or b'"choices"' in body:
        return None
    # a document whose end begins deeper has more closing brackets than that
    document = _object(b"{" + body[start:]) if start > 0 and body[start - 1] != _BACKSLASH else None
    if document is None or "usage" not in document or (surface is MESSAGES and "stop_reason" not in document):
        return None
    return document


def _count(value: Any) -> int:
    if type(value) is int:
        return value if 0 <= value <= _MOST_TOKENS else 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)
        return value if 0 <= value <= _MOST_TOKENS else 0
    return 0


def _text(value: Any) -> str:
    return value[:64] if isinstance(value, str) else ""
