"""One record per client request (AG-330, SV-30), as a JSON line or as a line for people.

Built once, when the answer is complete, from the Exchange alone. Every request pays for it, so that the usual one (a
model's answer at the first attempt) is written with the record of one like it: two thirds of the cost of a new one.

Invariants
    1. No bodies, no query strings, no full keys: keys come trimmed (AG-208).
    2. A request always gives a record, whatever it contained.
    3. A line written with the record of another request is the line that ``describe`` leads to, byte by byte.

Fields in JSON
    time event id endpoint key method path status ms gateway_ms bytes     always; ``key`` is a gateway key's id or null
    surface models stream input_tokens output_tokens cost_usd attempts    of a model request
    provider model first_byte_ms                                          if there was an attempt: the last one's
    tokens_estimated                                                      true if the provider did not report them all
    retry                                                                 the SDK's own, from 1 on (P35)
    code message cause                                                    of a failed request
    traffic_policy                                                        ``logs``: metadata of ``log`` actions (TP-425)
An attempt: provider model status outcome code ms key; outcome is success, cancelled, or a kind of AG-180.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import orjson

from gateway.clock import Clock
from gateway.exchange import Attempt, Exchange
from gateway.observability.logs import LogSink, Timestamps, rfc3339

#: records kept, and how long one may be: their texts come from clients
SHAPES_LIMIT: Final = 512
_SHAPE_BYTES: Final = 2_048
#: sent by the official SDKs; "0" with a first try
_RETRY: Final = "x-stainless-retry-count"
_FIRST_TRY: Final = ("0",)
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_dumps = orjson.dumps
_LINE: Final = orjson.OPT_APPEND_NEWLINE

_RESET = "\x1b[0m"
_DIM = "\x1b[2m"
_STATUS_COLOURS = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}


class ModelRequest(Protocol):
    """What the record reads from ``Exchange.ai``."""

    @property
    def surface(self) -> str: ...
    @property
    def requested_models(self) -> Sequence[str]: ...
    @property
    def gateway_key_id(self) -> str | None: ...
    @property
    def input_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...
    @property
    def cost_usd(self) -> float | None: ...
    @property
    def tokens_estimated(self) -> bool: ...


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _Counts(Protocol):
    @property
    def input(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def estimated(self) -> bool: ...


class ModelCall(ModelRequest, Protocol):
    """What a shape is filled from: where ``ModelRequest`` gets its values."""

    @property
    def surface_of(self) -> _Named | None: ...
    @property
    def usage(self) -> _Counts | None: ...
    @property
    def cost_units(self) -> int | None: ...


def build_recorder(sink: LogSink, clock: Clock, *, as_json: bool, colour: bool = False) -> Callable[[Exchange], None]:
    """The function that ``proxy.handler`` calls at the end of every request; nobody reads the exchange after it."""
    write, monotonic = sink.write, clock.monotonic
    times = rfc3339() if as_json else Timestamps("%H:%M:%S")
    usual = UsualLines(times).line

    def record_json(exchange: Exchange) -> None:
        finished = monotonic()
        line = usual(exchange, finished)
        if line is None:
            line = encode_json(describe(exchange, finished, times.format(exchange.started_s) + "Z"))
        write(line)
        exchange.release()

    def record_text(exchange: Exchange) -> None:
        write(encode_text(exchange, monotonic(), times.format(exchange.started_s), colour=colour))
        exchange.release()

    return record_json if as_json else record_text


def describe(exchange: Exchange, finished: float, time: str) -> dict[str, Any]:
    """The record as JSON values. ``finished`` is monotonic; ``time`` is when the request began."""
    ai: ModelRequest | None = exchange.ai
    endpoint = exchange.endpoint
    total_s = finished - exchange.started
    record: dict[str, Any] = {
        "time": time,
        "event": "request",
        "id": exchange.id,
        "endpoint": None if endpoint is None else endpoint.id,
        "key": None if ai is None else ai.gateway_key_id,
        "method": exchange.method,
        "path": exchange.path,
        "status": exchange.status,
        # s * 1e5 // 1.0 / 100.0 is milliseconds with two places at a third of round()'s cost
        "ms": total_s * 1e5 // 1.0 / 100.0,
        "gateway_ms": (total_s - exchange.upstream_wait_s) * 1e5 // 1.0 / 100.0,
        "bytes": exchange.sent_bytes,
    }
    if ai is not None:
        _describe_model(record, exchange, ai, finished)
    retry = exchange.headers.get(_RETRY)
    if retry is not None and retry[0] != "0":
        record["retry"] = int(retry[0]) if _COUNT.fullmatch(retry[0]) else None
    error = exchange.error
    if error is not None:
        record["code"] = error.code
        record["message"] = error.message
        if error.cause:
            record["cause"] = error.cause
    if exchange.log_metadata:
        record["traffic_policy"] = {"logs": exchange.log_metadata}
    return record


def _describe_model(record: dict[str, Any], exchange: Exchange, ai: ModelRequest, finished: float) -> None:
    record["surface"] = ai.surface
    record["models"] = ai.requested_models
    record["stream"] = exchange.streaming
    record["input_tokens"] = ai.input_tokens
    record["output_tokens"] = ai.output_tokens
    record["cost_usd"] = ai.cost_usd
    if ai.tokens_estimated:
        record["tokens_estimated"] = True
    attempts = exchange.attempts
    if attempts:
        last = attempts[-1]
        record["provider"] = last.candidate.provider.id
        record["model"] = last.candidate.name
        first_byte = last.first_byte
        record["first_byte_ms"] = (first_byte - exchange.started) * 1e5 // 1.0 / 100.0 if first_byte else None
    record["attempts"] = [_describe_attempt(attempt, finished) for attempt in attempts]


def _describe_attempt(attempt: Attempt, finished: float) -> dict[str, Any]:
    candidate, key = attempt.candidate, attempt.key
    return {
        "provider": candidate.provider.id,
        "model": candidate.name,
        "status": attempt.status,
        # no kind and no end: its client left, or the gateway stopped
        "outcome": attempt.kind or ("success" if attempt.completed else "cancelled"),
        "code": attempt.code,
        "ms": ((attempt.completed or finished) - attempt.started) * 1e5 // 1.0 / 100.0,
        "key": None if key is None else key.shown,
    }


def encode_json(record: dict[str, Any]) -> bytes:
    """The record as one line, even if a client's path or a policy's metadata holds what JSON cannot."""
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates, integers beyond 64 bits, keys that are no strings
        return json.dumps(record, default=str, separators=(",", ":")).encode() + b"\n"


class UsualLines:
    """Lines of the usual model request: 200, no error, first try, one attempt, tokens reported, no ``log``.

    Its shape is the record of the last request with the same endpoint, path and candidate: only what changes is set.
    Ids and keys, of which there may be many, do not choose it.
    """

    __slots__ = ("_second", "_shapes", "_time", "_times")

    def __init__(self, times: Timestamps) -> None:
        self._times = times
        self._second = -1
        #: that second, as text
        self._time = ""
        self._shapes: dict[tuple[object, ...], tuple[dict[str, Any], dict[str, Any]]] = {}

    def line(self, exchange: Exchange, finished: float) -> bytes | None:
        """None if the request was not usual. The numbers are computed as in ``describe``."""
        ai: ModelCall | None = exchange.ai
        endpoint, attempts = exchange.endpoint, exchange.attempts
        if (
            ai is None or len(attempts) != 1 or exchange.status != 200 or exchange.error is not None
            or exchange.log_metadata or endpoint is None or exchange.headers.get(_RETRY, _FIRST_TRY)[0] != "0"
        ):  # fmt: skip
            return None
        attempt, usage, surface, models = attempts[0], ai.usage, ai.surface_of, ai.requested_models
        key, first_byte, completed = attempt.key, attempt.first_byte, attempt.completed
        if (
            usage is None or usage.estimated or surface is None or len(models) != 1 or attempt.status != 200
            or attempt.kind or attempt.code or key is None or not first_byte or not completed
        ):  # fmt: skip
            return None
        candidate, started, started_s, cost = attempt.candidate, exchange.started, exchange.started_s, ai.cost_units
        shared = (
            endpoint.id, exchange.method, exchange.path, surface.name, models[0], exchange.streaming,
            candidate.provider.id, candidate.name,
        )  # fmt: skip
        if not 0.0 <= started_s - self._second < 1.0:
            self._second = int(started_s)
            self._time = self._times.format(self._second)[:-3]
        total_s = finished - started
        try:
            record, only = self._shapes.get(shared) or self._add_shape(exchange, shared)
            record["time"] = f"{self._time}{int((started_s - self._second) * 1000):03d}Z"
            record["id"] = exchange.id
            record["key"] = ai.gateway_key_id
            record["ms"] = total_s * 1e5 // 1.0 / 100.0
            record["gateway_ms"] = (total_s - exchange.upstream_wait_s) * 1e5 // 1.0 / 100.0
            record["bytes"] = exchange.sent_bytes
            record["input_tokens"] = usage.input
            record["output_tokens"] = usage.output
            record["cost_usd"] = None if cost is None else cost / 100_000
            record["first_byte_ms"] = (first_byte - started) * 1e5 // 1.0 / 100.0
            only["ms"] = (completed - attempt.started) * 1e5 // 1.0 / 100.0
            only["key"] = key.shown
            return _dumps(record, option=_LINE)
        except TypeError:  # a lone surrogate
            return None

    def _add_shape(self, exchange: Exchange, shared: tuple[object, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        record = describe(exchange, 0.0, "")
        shape = record, record["attempts"][0]
        if len(_dumps(record)) <= _SHAPE_BYTES:
            if len(self._shapes) >= SHAPES_LIMIT:
                self._shapes.clear()
            self._shapes[shared] = shape
        return shape


def encode_text(exchange: Exchange, finished: float, time: str, *, colour: bool) -> bytes:
    """``12:00:00.123 200 POST /v1/chat/completions gpt-5 → openai 812 ms (1.2 ms here) 12+340 tokens``."""
    total_s = finished - exchange.started
    status = str(exchange.status)
    if colour:
        status = f"{_STATUS_COLOURS.get(exchange.status // 100, _DIM)}{status}{_RESET}"
        time = f"{_DIM}{time}{_RESET}"
    words = [time, status, _printable(exchange.method), _printable(exchange.path), *_model_words(exchange)]
    words.append(f"{total_s * 1e3:.0f} ms ({(total_s - exchange.upstream_wait_s) * 1e3:.1f} ms here)")
    ai: ModelRequest | None = exchange.ai
    if ai is not None and (ai.input_tokens is not None or ai.output_tokens is not None):
        words.append(f"{ai.input_tokens or 0}+{ai.output_tokens or 0} tokens")
    if exchange.error is not None:
        words.append(_printable(str(exchange.error)))
    words.extend(f"log {json.dumps(entry['metadata'], default=str)}" for entry in exchange.log_metadata)
    return " ".join(words).encode("utf-8", "backslashreplace") + b"\n"


def _model_words(exchange: Exchange) -> list[str]:
    ai: ModelRequest | None = exchange.ai
    if ai is None:
        return []
    words = [_printable(",".join(ai.requested_models)) or "-"]
    attempts = exchange.attempts
    if attempts:
        words += ["→", attempts[-1].candidate.provider.id]
    if len(attempts) > 1:
        words.append(f"{len(attempts)} attempts")
    return words


def _printable(text: str) -> str:
    """One line whatever a client sent: control characters would forge lines or drive the terminal."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
