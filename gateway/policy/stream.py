"""``on_event_stream_message``: an event stream's messages, one by one through the rules (TP-45, TP-56, TP-445, TP-446).

``StreamRules`` sits in the relay between upstream and client (``upstream.codec.Rewriter``): bytes in, bytes out.

Invariants
    1. A message that no rule changed leaves as the bytes that came; in a changed one, other fields are untouched.
    2. Comments, and messages with neither data nor a retry time, pass without meeting a rule.
    3. A message whose rules failed, and everything after it, is never sent: ``StreamRuleError`` ends the stream.
    4. The unfinished message at the end of a stream meets the rules, too (P27).
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

from gateway.errors import ACTION_FAILED, EVALUATION_LIMIT, GatewayError
from gateway.policy.action import Refuse
from gateway.policy.engine import run_phase
from gateway.policy.variables import StreamMessage, scope_of
from gateway.upstream.codec import RewriteError
from gateway.upstream.sse import EventTooLargeError, SseEvent, SseParser

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy.compile import CompiledPhase

_LINES = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+\Z")
_LINE_END = re.compile(r"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class StreamRuleError(RewriteError):
    """The stream has to end (TP-56). ``sent``: messages before the failed one, which still go to the client."""


class StreamRules:
    """The rules of one stream. ``limit_bytes``: the longest message (``policy.max_sse_message``)."""

    __slots__ = ("_exchange", "_index", "_parser", "_phase")

    def __init__(self, exchange: Exchange, phase: CompiledPhase, *, limit_bytes: int) -> None:
        self._exchange = exchange
        self._phase = phase
        self._parser = SseParser(limit_bytes=limit_bytes)
        self._index = 0

    def feed(self, payload: bytes) -> bytes:
        """What the client gets for these bytes; raises StreamRuleError."""
        out: list[bytes] = []
        failure: GatewayError | None = None
        try:
            events = self._parser.feed(payload)
        except EventTooLargeError as error:
            events = error.before
            failure = GatewayError(EVALUATION_LIMIT, cause=str(error))
        try:
            out.extend(map(self._changed, events))
        except GatewayError as error:
            failure = error
        if failure is not None:
            raise StreamRuleError(b"".join(out), failure)
        return b"".join(out)

    def finish(self) -> bytes:
        """What is left when the stream ends; raises StreamRuleError."""
        event = self._parser.close()
        if event is None:
            return b""
        try:
            return self._changed(event)
        except GatewayError as error:
            raise StreamRuleError(b"", error) from None

    def _changed(self, event: SseEvent) -> bytes:
        if event.data is None and event.retry is None:
            return event.raw
        data = (event.data or b"").decode("utf-8", "surrogateescape")
        message = StreamMessage(self._index, data, event.event, event.id or "", event.retry)
        self._index += 1
        scope_of(self._exchange, self._phase.now).sse = message
        outcome = run_phase(self._phase, self._exchange)
        if isinstance(outcome, Refuse):
            raise outcome.error
        if outcome is not None:
            if inspect.iscoroutine(outcome):
                outcome.close()
            raise GatewayError(ACTION_FAILED, cause=f"{self._phase.phase}: an action answered or waits in a stream")
        if message.dropped:
            return b""
        if message.data == data and message.retry == event.retry:
            return event.raw
        return rewrite(event, message)


def rewrite(event: SseEvent, message: StreamMessage) -> bytes:
    """The event's bytes with the message's data and retry time (TP-445).

    Data stands where its first line stood, one ``data:`` line per line; a new retry time before the end.
    """
    data = b"".join(b"data: " + line.encode("utf-8", "surrogateescape") + b"\n" for line in _lines_of(message, event))
    retry = b"" if message.retry is None else b"retry: %d\n" % message.retry
    out: list[bytes] = []
    raw = event.raw
    if raw.startswith(_BOM):
        out.append(_BOM)
        raw = raw[len(_BOM) :]
    for line in _LINES.findall(raw):
        name = line.rstrip(b"\r\n").partition(b":")[0]
        if name == b"data":
            line, data = data, b""
        elif name == b"retry":
            line, retry = retry, b""
        elif not line.rstrip(b"\r\n"):
            out += [data, retry]
            data = retry = b""
        out.append(line)
    if out and not out[-1].endswith((b"\n", b"\r")) and (data or retry):
        out.append(b"\n")
    out += [data, retry]
    return b"".join(out)


def _lines_of(message: StreamMessage, event: SseEvent) -> list[str]:
    """None for a message that had no data and still has none."""
    if event.data is None and not message.data:
        return []
    return _LINE_END.split(message.data)
