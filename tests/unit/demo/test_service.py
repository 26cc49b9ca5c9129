"""Headers, statuses, keys that fail, flapping, models and the provider's own pages."""

from __future__ import annotations

import pytest

from gateway.clock import ManualClock
from gateway.demo.faults import FAULTS
from gateway.demo.server import DemoProvider
from gateway.demo.service import LISTED_MODELS
from tests.unit.demo.rawclient import MESSAGES, chat, connected

ANTHROPIC = {"anthropic_version": "2023-06-01"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503, 504, 529])
async def test_any_error_status_in_both_dialects(provider, status):
    body = {"model": f"demo-{status}", "messages": MESSAGES, "max_tokens": 5}
    async with connected(provider) as client:
        openai = await client.ask("/v1/chat/completions", body)
        anthropic = await client.ask("/v1/messages", body, **ANTHROPIC)
    assert openai.status == anthropic.status == status
    assert set(openai.json()["error"]) == {"message", "type", "param", "code"}
    assert anthropic.json()["type"] == "error"


async def test_named_errors(provider):
    async def error(model):
        seen = await chat(provider, model)
        return seen.status, seen.json()["error"]

    assert (await error("demo-context-length"))[1]["code"] == "context_length_exceeded"
    assert (await error("demo-content-filter"))[1]["code"] == "content_filter"
    status, quota = await error("demo-insufficient-quota")
    assert (status, quota["type"]) == (429, "insufficient_quota")
    assert (await error("demo-overloaded"))[0] == 503
    assert (await error("demo-503-numeric-code"))[1]["code"] == 503
    echoed = await chat(provider, "demo-echo-key", key="demo-secret-key-value")
    assert (echoed.status, "demo-secret-key-value" in echoed.body.decode()) == (401, True)
    page = await chat(provider, "demo-502-html")
    assert (page.status, page.headers["content-type"]) == (502, "text/html")


async def test_retry_after_in_its_three_forms():
    async with DemoProvider(clock=ManualClock(now_s=0.0)) as provider:
        assert "retry-after" not in (await chat(provider, "demo-429")).headers
        assert (await chat(provider, "demo-429-retry-after-7")).headers["retry-after"] == "7"
        assert (await chat(provider, "demo-503-retry-after-ms-250")).headers["retry-after-ms"] == "250"
        dated = await chat(provider, "demo-429-retry-after-date-60")
        assert dated.headers["retry-after"] == "Thu, 01 Jan 1970 00:01:00 GMT"


async def test_a_failing_key_and_a_working_key_on_one_model(provider):
    """The fixture of key failover: the first key fails, the second serves."""
    assert (await chat(provider, "demo-fast", key="demo-key-429")).status == 429
    assert (await chat(provider, "demo-fast", key="demo-key-reset")).ended == "reset"
    assert (await chat(provider, "demo-fast", key="demo-key-second")).status == 200
    assert (await chat(provider, "demo-fast-401", key="demo-key-503")).status == 503


async def test_flapping_fails_and_works_in_turn(provider):
    statuses = [(await chat(provider, "demo-flap-2", stream=False)).status for _ in range(7)]
    assert statuses == [503, 503, 200, 200, 503, 503, 200]
    assert (await chat(provider, "demo-flap-2", key="demo-other")).status == 503


async def test_rate_limit_headers_of_both_families(provider):
    async with connected(provider) as client:
        body = {"model": "demo-fast", "messages": MESSAGES, "max_tokens": 5}
        first = await client.ask("/v1/chat/completions", body, key="demo-a")
        second = await client.ask("/v1/chat/completions", body, key="demo-a")
        other = await client.ask("/v1/chat/completions", body, key="demo-key:remaining=3,remaining_tokens=44")
        anthropic = await client.ask("/v1/messages", body, key="demo-b", **ANTHROPIC)
    left = [int(seen.headers["x-ratelimit-remaining-requests"]) for seen in (first, second, other)]
    assert left == [9_999, 9_998, 3]
    assert other.headers["x-ratelimit-remaining-tokens"] == "44"
    assert anthropic.headers["anthropic-ratelimit-requests-remaining"] == "9999"
    assert anthropic.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["openai-organization"] == "org-demo"
    assert "set-cookie" in first.headers


async def test_models_in_both_shapes(provider):
    async with connected(provider) as client:
        openai = (await client.ask("/v1/models", None, method="GET")).json()
        anthropic = (await client.ask("/v1/models", None, method="GET", **ANTHROPIC)).json()
        one = (await client.ask("/v1/models/demo-429", None, method="GET")).json()
        unknown = await client.ask("/v1/models/demo-nonsense", None, method="GET")
        refused = await client.ask("/v1/models", None, method="GET", key="demo-key-401")
    assert openai["object"] == "list"
    assert {m["id"] for m in openai["data"]} >= set(LISTED_MODELS)
    assert (anthropic["has_more"], anthropic["first_id"]) == (False, "demo")
    assert (one["id"], one["object"]) == ("demo-429", "model")
    assert (unknown.status, refused.status) == (404, 401)


async def test_own_pages_need_no_key_and_are_not_counted(provider):
    async with connected(provider) as client:
        await client.chat("demo-fast:n=3")
        stats = (await client.ask("/demo/stats", None, method="GET", key="")).json()
        faults = (await client.ask("/demo/faults", None, method="GET", key="")).json()
        missing = await client.ask("/demo/x", None, method="GET", key="")
    assert (stats["requests"], stats["connections_open"], stats["by_status"]) == (1, 1, {"200": 1})
    assert stats["events_sent"] == 6
    assert faults["demo-cut-N"] == FAULTS["cut"].description
    assert missing.status == 404
