"""One record per request (AG-330, SV-30)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import ManualClock
from gateway.errors import ALL_FAILED, GatewayError
from gateway.exchange import Attempt, Connection, Exchange
from gateway.headers import HeaderMap
from gateway.observability import record
from gateway.observability.logs import LogSink, rfc3339
from gateway.observability.record import UsualLines, build_recorder, describe, encode_json, encode_text
from gateway.secrets.secret import Secret

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz"


@dataclass
class ModelFacts:
    """The part of ``Exchange.ai`` that a record reads."""

    surface: str = "chat"
    requested_models: tuple[str, ...] = ("gpt-5",)
    gateway_key_id: str | None = "aigak_1"
    input_tokens: int | None = 12
    output_tokens: int | None = 340
    cost_usd: float | None = None
    tokens_estimated: bool = False


def _exchange(path: str = "/v1/chat/completions") -> Exchange:
    exchange = Exchange(
        request_id="req_1",
        snapshot=None,
        endpoint=SimpleNamespace(id="ep_1"),
        conn=Connection("192.0.2.1", 1, "192.0.2.2", 2, 0.0),
        downstream=None,
        method="POST",
        raw_target=path + "?key=canary",
        path=path,
        query="key=canary",
        host="h",
        scheme="http",
        headers=HeaderMap(),
        started=1_000.0,
        started_s=1_700_000_000.0,
    )
    exchange.status = 200
    return exchange


def _model_exchange() -> Exchange:
    exchange = _exchange()
    exchange.ai = ModelFacts()
    exchange.streaming = True
    exchange.sent_bytes = 512
    exchange.upstream_wait_s = 0.75
    for provider, status, kind in (("anthropic", 529, "http"), ("openai", 200, "")):
        candidate = SimpleNamespace(provider=SimpleNamespace(id=provider), name=f"{provider}-model")
        attempt = Attempt(candidate, SimpleNamespace(shown=Secret(KEY).trimmed()), 1_000.0)
        attempt.status, attempt.kind, attempt.code = status, kind, "3800" if kind else ""
        attempt.completed, attempt.first_byte = 1_000.25, 1_000.125
        exchange.attempts.append(attempt)
    return exchange


def test_record_of_a_model_request() -> None:
    """AG-330: every field it lists."""
    record = orjson.loads(encode_json(describe(_model_exchange(), 1_000.8125, "T")))
    assert record == {
        "time": "T",
        "event": "request",
        "id": "req_1",
        "endpoint": "ep_1",
        "key": "aigak_1",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "surface": "chat",
        "models": ["gpt-5"],
        "provider": "openai",
        "model": "openai-model",
        "stream": True,
        "input_tokens": 12,
        "output_tokens": 340,
        "cost_usd": None,
        "attempts": [
            {
                "provider": "anthropic", "model": "anthropic-model", "status": 529, "outcome": "http", "ms": 250.0,
                "key": "sk-proj...wxyz", "code": "3800",
            },
            {
                "provider": "openai", "model": "openai-model", "status": 200, "outcome": "success", "ms": 250.0,
                "key": "sk-proj...wxyz", "code": "",
            },
        ],
        "ms": 812.5,
        "gateway_ms": 62.5,
        "first_byte_ms": 125.0,
        "bytes": 512,
    }  # fmt: skip


def test_no_bodies_no_query_no_full_key() -> None:
    """AG-330, AG-208."""
    exchange = _model_exchange()
    exchange.body = b"canary"
    lines = encode_json(describe(exchange, 1_001.0, "T")) + encode_text(exchange, 1_001.0, "T", colour=True)
    assert b"canary" not in lines
    assert KEY.encode() not in lines


def test_record_of_a_plain_request() -> None:
    """Without the ai-gateway action there are no model fields."""
    record = describe(_exchange("/x"), 1_000.5, "T")
    assert "provider" not in record
    assert "attempts" not in record
    assert (record["ms"], record["gateway_ms"]) == (500.0, 500.0)


def test_record_of_a_failure() -> None:
    exchange = _exchange()
    exchange.error = GatewayError(ALL_FAILED, {"reason": "none left"}, cause="connection refused")
    record = describe(exchange, 1_000.5, "T")
    assert record["code"] == "ERR_NGROK_3807"
    assert record["message"] == "All providers failed: none left"
    assert record["cause"] == "connection refused"


def test_estimated_tokens_are_told_apart_p03() -> None:
    exchange = _model_exchange()
    assert "tokens_estimated" not in describe(exchange, 1_001.0, "T")
    exchange.ai.tokens_estimated = True
    assert describe(exchange, 1_001.0, "T")["tokens_estimated"] is True


def test_unfinished_attempt_lasts_until_now() -> None:
    exchange = _model_exchange()
    exchange.attempts[-1].completed = exchange.attempts[-1].first_byte = 0.0
    record = describe(exchange, 1_000.5, "T")
    assert record["attempts"][-1]["ms"] == 500.0
    assert record["attempts"][-1]["outcome"] == "cancelled"
    assert record["first_byte_ms"] is None


@pytest.mark.parametrize(
    ("sent", "shown"), [("0", "absent"), ("1", 1), ("12", 12), ("", None), ("-1", None), ("x" * 5_000, None)]
)
def test_an_sdks_retry_is_counted_p35(sent: str, shown: object) -> None:
    exchange = _exchange()
    exchange.headers.add("x-stainless-retry-count", sent)
    record = orjson.loads(encode_json(describe(exchange, 1_000.5, "T")))
    assert record.get("retry", "absent") == shown


def test_request_without_endpoint() -> None:
    """Refused before an endpoint was found: still a record."""
    exchange = _exchange()
    exchange.endpoint = None
    assert describe(exchange, 1_000.5, "T")["endpoint"] is None


def test_log_metadata_keeps_types() -> None:
    """TP-425: in order, one object for each run."""
    exchange = _exchange()
    exchange.log_metadata = [{"metadata": {"n": 1, "b": True}}, {"metadata": {"l": [1.5, None]}}]
    record = orjson.loads(encode_json(describe(exchange, 1_000.5, "T")))
    assert record["traffic_policy"]["logs"] == [{"metadata": {"n": 1, "b": True}}, {"metadata": {"l": [1.5, None]}}]


@pytest.mark.parametrize("metadata", [{"n": 1 << 70}, {"s": "\udcff"}, {1: Secret("canary-secret")}])
def test_every_request_gives_a_record(metadata: dict[Any, Any]) -> None:
    """Invariant 2: whatever stands in it."""
    exchange = _exchange("/\udcff")
    exchange.log_metadata = [{"metadata": metadata}]
    line = encode_json(describe(exchange, 1_000.5, "T"))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert b"canary" not in line


def test_text_line() -> None:
    """SV-30: time, status, method, path, model → provider, attempts, ms, tokens."""
    line = encode_text(_model_exchange(), 1_000.812, "12:00:00.000", colour=False).decode()
    assert line == (
        "12:00:00.000 200 POST /v1/chat/completions gpt-5 → openai 2 attempts 812 ms (62.0 ms here) 12+340 tokens\n"
    )


@pytest.mark.parametrize(("status", "colour"), [(200, "32"), (302, "36"), (404, "33"), (503, "31")])
def test_status_is_coloured(status: int, colour: str) -> None:
    exchange = _exchange()
    exchange.status = status
    assert f"\x1b[{colour}m{status}\x1b[0m".encode() in encode_text(exchange, 1_000.5, "T", colour=True)


def test_text_line_cannot_be_forged() -> None:
    """A client's control characters neither end the line nor reach the terminal."""
    exchange = _exchange("/x\n12:00 200 GET /forged\x1b[2J")
    exchange.error = GatewayError(ALL_FAILED, {"reason": "a\nb"})
    line = encode_text(exchange, 1_000.5, "T", colour=False)
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line


class Lines(LogSink):
    """Keeps lines instead of writing them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


@pytest.mark.parametrize("as_json", [True, False])
def test_recorder(as_json: bool) -> None:
    """Durations come from the monotonic clock, the time from the request's start."""
    sink, clock = Lines(), ManualClock(monotonic_s=1_000.25)
    build_recorder(sink, clock, as_json=as_json)(_exchange())
    (line,) = sink.lines
    if as_json:
        record = orjson.loads(line)
        assert (record["time"], record["ms"]) == ("2023-11-14T22:13:20.000Z", 250.0)
    else:
        assert line == b"22:13:20.000 200 POST /v1/chat/completions 250 ms (250.0 ms here)\n"


class ModelSums(ModelFacts):
    """With what those facts come from: ``record.ModelCall``."""

    surface_of = SimpleNamespace(name="chat")
    usage: Any = SimpleNamespace(input=12, output=340, estimated=False)
    cost_units: int | None = None


def _usual_exchange() -> Exchange:
    exchange = _model_exchange()
    exchange.ai = ModelSums()
    del exchange.attempts[0]
    return exchange


def _time(exchange: Exchange) -> str:
    return rfc3339().format(exchange.started_s) + "Z"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(['"ms":null', '","key":null', "%b", "\\"])
SECONDS = st.floats(0, 1e6)
COUNTS = st.integers(0, 10**12)


@given(
    texts=st.lists(TEXTS, min_size=8, max_size=8),
    gateway_key=st.none() | TEXTS,
    counts=st.tuples(COUNTS, COUNTS, COUNTS),
    cost=st.none() | st.integers(0, 10**14),
    times=st.tuples(SECONDS, SECONDS, SECONDS, SECONDS, SECONDS, SECONDS),
    started_s=st.floats(0, 4e9),
    streaming=st.booleans(),
)
def test_a_line_from_a_shape_says_what_describe_says(
    texts: list[str], gateway_key: str | None, counts: tuple[int, int, int], cost: int | None,
    times: tuple[float, ...], started_s: float, streaming: bool,
) -> None:  # fmt: skip
    """Invariant 3, also when another request uses the shape."""
    usual = UsualLines(rfc3339())
    for finished in (times[0], times[1]):
        exchange = _usual_exchange()
        (attempt,) = exchange.attempts
        name, provider, shown, exchange.id, exchange.method, exchange.path, model, endpoint = texts
        attempt.candidate = SimpleNamespace(provider=SimpleNamespace(id=provider), name=name)
        attempt.key, exchange.endpoint = SimpleNamespace(shown=shown), SimpleNamespace(id=endpoint)
        attempt.started, attempt.first_byte, attempt.completed = times[2], times[3] + 1e-6, times[4] + 1e-6
        exchange.upstream_wait_s, exchange.started_s, exchange.streaming = times[5], started_s, streaming
        exchange.sent_bytes, given, made = counts
        exchange.ai = ai = ModelSums(
            requested_models=(model,), gateway_key_id=gateway_key, input_tokens=given, output_tokens=made,
            cost_usd=None if cost is None else float(Decimal(cost).scaleb(-5)),
        )  # fmt: skip
        ai.usage, ai.cost_units = SimpleNamespace(input=given, output=made, estimated=False), cost
        line = usual.line(exchange, finished)
        assert line == encode_json(describe(exchange, finished, _time(exchange)))
        exchange.id, gateway_key, counts = "req_2", "aigak_2", (1, 2, 3)


@pytest.mark.parametrize(
    "change",
    [
        lambda exchange: setattr(exchange, "ai", None),
        lambda exchange: setattr(exchange, "endpoint", None),
        lambda exchange: setattr(exchange, "status", 502),
        lambda exchange: setattr(exchange, "error", GatewayError(ALL_FAILED, {"reason": "none left"})),
        lambda exchange: setattr(exchange, "log_metadata", [{"metadata": {"n": 1}}]),
        lambda exchange: exchange.headers.add("x-stainless-retry-count", "1"),
        lambda exchange: setattr(exchange, "attempts", []),
        lambda exchange: setattr(exchange, "attempts", exchange.attempts * 2),
        lambda exchange: setattr(exchange.attempts[0], "status", 201),
        lambda exchange: setattr(exchange.attempts[0], "kind", "stream_error"),
        lambda exchange: setattr(exchange.attempts[0], "code", "ERR_NGROK_3800"),
        lambda exchange: setattr(exchange.attempts[0], "key", None),
        lambda exchange: setattr(exchange.attempts[0], "first_byte", 0.0),
        lambda exchange: setattr(exchange.attempts[0], "completed", 0.0),
        lambda exchange: setattr(exchange.ai, "usage", None),
        lambda exchange: setattr(exchange.ai, "usage", SimpleNamespace(input=1, output=1, estimated=True)),
        lambda exchange: setattr(exchange.ai, "surface_of", None),
        lambda exchange: setattr(exchange.ai, "requested_models", ("a", "b")),
        lambda exchange: setattr(exchange, "path", "/\udcff"),
        lambda exchange: setattr(exchange, "id", "\udcff"),
    ],
)
def test_what_is_not_usual_has_no_shape(change: Callable[[Exchange], None]) -> None:
    """It is written by ``describe``, after a usual request as before."""
    exchange, usual = _usual_exchange(), UsualLines(rfc3339())
    assert usual.line(exchange, 1_001.0) is not None
    change(exchange)
    assert usual.line(exchange, 1_001.0) is None
    sink = Lines()
    expected = encode_json(describe(exchange, 1_001.0, _time(exchange)))
    build_recorder(sink, ManualClock(monotonic_s=1_001.0), as_json=True)(exchange)
    assert sink.lines == [expected]


def test_shapes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names come from clients: neither their number nor their length is the gateway's choice."""
    monkeypatch.setattr(record, "SHAPES_LIMIT", 3)
    usual = UsualLines(rfc3339())
    for name in ("a", "b", "c", "d", "e" * 10_000):
        exchange = _usual_exchange()
        exchange.ai.requested_models = (name,)
        line = usual.line(exchange, 1_001.0)
        assert line is not None
        assert orjson.loads(line)["models"] == [name]
    assert len(usual._shapes) == 1
