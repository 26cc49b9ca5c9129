"""What real requests leave in the log (AG-330): field by field, in every kind of ending."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.observability.record import describe
from gateway.upstream.attempt import Held
from tests.wire.running import RunningGateway
from tests.wire.serving import CHAT_PATH, chat_body, connect, serving, until

ALWAYS = {"time", "event", "id", "endpoint", "key", "method", "path", "status", "ms", "gateway_ms", "bytes"}
OF_MODELS = {
    "surface", "models", "stream", "input_tokens", "output_tokens", "cost_usd", "provider", "model", "first_byte_ms",
    "attempts",
}  # fmt: skip


async def record_of(gateway: RunningGateway, model: str, **more: Any) -> dict[str, Any]:
    """The record of one request that was answered."""
    async with gateway.session as session:
        body = chat_body(model, **more)
        async with session.post(CHAT_PATH, data=body, headers={"x-api-key": "sk-client-canary"}) as answer:
            await answer.content.read()
    (exchange,) = gateway.records
    return describe(exchange, exchange.started + 1.0, "T")


@pytest.mark.parametrize("stream", [True, False])
async def test_ag_330_a_request_that_failed_over(stream: bool):
    async with serving("demo-key-503", "demo-key") as (_, gateway):
        more = {"stream_options": {"include_usage": True}} if stream else {}
        record = await record_of(gateway, "demo:demo-fast", stream=stream, **more)
    assert record.keys() == ALWAYS | OF_MODELS
    assert (record["method"], record["path"], record["status"]) == ("POST", CHAT_PATH, 200)
    assert (record["surface"], record["models"], record["stream"]) == ("chat-completions", ("demo:demo-fast",), stream)
    assert (record["provider"], record["model"]) == ("demo", "demo-fast")
    assert [(each["status"], each["outcome"], each["code"]) for each in record["attempts"]] == [
        (503, "http", "ERR_NGROK_27220"),
        (200, "success", ""),
    ]
    assert all(each["ms"] > 0 and each["key"].startswith("***") for each in record["attempts"])
    assert record["input_tokens"] > 0
    assert record["output_tokens"] == 24
    assert 0 <= record["first_byte_ms"] < record["ms"]
    assert 0 <= record["gateway_ms"] < record["ms"]
    assert "canary" not in str(record)


@pytest.mark.parametrize("stream", [True, False])
async def test_ag_335_time_spent_upstream_counts_once(stream: bool, monkeypatch: pytest.MonkeyPatch):
    """Also that between an answer's first byte and the moment in which somebody looks at it."""
    wake = Held._wake

    def wake_late(held: Held) -> None:
        until_s = time.monotonic() + 0.01
        while time.monotonic() < until_s:
            pass
        wake(held)

    monkeypatch.setattr(Held, "_wake", wake_late)
    async with serving("demo-key-503", "demo-key") as (_, gateway):
        await record_of(gateway, "demo:demo-fast", stream=stream)
        (exchange,) = gateway.records
    waited = sum(attempt.completed - attempt.sent for attempt in exchange.attempts)
    assert exchange.upstream_wait_s == pytest.approx(waited, abs=0.005)


async def test_ag_330_a_request_whose_keys_all_fail_has_the_code():
    async with serving("demo-key-503") as (_, gateway):
        record = await record_of(gateway, "demo:demo-fast")
    assert (record["status"], record["code"]) == (503, "ERR_NGROK_3807")
    assert record["message"].startswith("All providers failed")


async def test_ag_330_a_client_that_leaves_before_an_answer_is_no_success():
    async with serving() as (provider, gateway):
        _, writer = await connect(gateway)
        body = chat_body("demo:demo-silent")
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await until(lambda: provider.stats.requests)
        writer.transport.abort()
        await until(lambda: gateway.records)
        (exchange,) = gateway.records
        record = describe(exchange, exchange.started + 1.0, "T")
    assert record["status"] == 499
    assert [each["outcome"] for each in record["attempts"]] == ["cancelled"]


async def test_ag_330_a_stream_that_breaks_off_is_an_error_p08():
    async with serving() as (_, gateway):
        record = await record_of(gateway, "demo:demo-cut-5:delay=0ms", stream=True)
    assert (record["status"], record["code"], record["stream"]) == (200, "ERR_NGROK_3800", True)
    assert record["tokens_estimated"] is True
    assert record["output_tokens"] >= 5
    assert [each["outcome"] for each in record["attempts"]] == ["stream_error"]
