"""``/metrics`` after real requests, read by Prometheus' own parser (AG-331)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.ai.usage import usd
from gateway.app.scrape import render_metrics
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, MESSAGES_PATH, chat_body, connect, provider_entry, serving, until

FAMILIES = {
    "aigw_requests", "aigw_attempts", "aigw_tokens", "aigw_cost_usd", "aigw_upstream_seconds",
    "aigw_time_to_first_token_seconds", "aigw_gateway_seconds", "aigw_key_rate_limited", "aigw_key_quota_remaining",
    "aigw_inflight", "aigw_usage_dropped",
}  # fmt: skip


class Scraped:
    """One scrape, parsed."""

    def __init__(self, text: bytes) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text.decode())}

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of the samples with these labels; None if there is none."""
        found = [
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    def labels(self, name: str) -> set[tuple[str, ...]]:
        """The label values of a sample's rows."""
        return {
            tuple(sample.labels.values())
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name
        }


async def scrape(gateway: RunningGateway) -> Scraped:
    return Scraped(await render_metrics(gateway.process, usage_dropped=0))


async def ask(gateway: RunningGateway, *, path: str = CHAT_PATH, model: str = "demo:n=5,delay=0ms", **more: Any) -> int:
    """Sends one request and reads all of the answer."""
    headers = {"content-type": "application/json"}
    async with gateway.session as session, session.post(path, data=chat_body(model, **more), headers=headers) as answer:
        await answer.read()
        return answer.status


def priced(*models: str) -> Mapping[str, Any]:
    """Models whose tokens cost a dollar per million in and two out."""
    pricing = {"text": {"input": "1", "output": "2"}}
    return {"models": [{"id": model, "pricing": pricing} for model in models]}


async def test_ag_331_every_family_is_there_before_the_first_request():
    async with serving() as (_, gateway):
        found = await scrape(gateway)
        assert found.families.keys() >= FAMILIES
        assert found.value("aigw_inflight") == 0
        assert found.value("aigw_requests_total") is None


async def test_ag_331_requests_attempts_tokens_and_cost():
    async with serving("demo-key-429", "demo-key-b", entry=priced("demo")) as (_, gateway):
        for _ in range(3):
            assert await ask(gateway, model="demo") == 200
        assert await ask(gateway, model="demo", path=MESSAGES_PATH, stream=True) == 200
        assert await ask(gateway, model="nobody/has-this") == 422
        found = await scrape(gateway)
    endpoint = {"endpoint": gateway.process.settings.endpoints[0].id}
    assert found.value("aigw_requests_total", surface="chat-completions", status="200", code="", **endpoint) == 3
    assert found.value("aigw_requests_total", surface="messages", status="200", code="", **endpoint) == 1
    assert found.value("aigw_requests_total", status="422", code="ERR_NGROK_3804", **endpoint) == 1
    model = {"provider": "demo", "model": "demo"}
    assert found.value("aigw_attempts_total", outcome="success", **model) == 4
    # the key that was limited cools and is not asked again
    assert found.value("aigw_attempts_total", outcome="rate_limit", **model) == 1
    assert found.value("aigw_attempts_total", outcome="connection", **model) == 0
    answers = [record for record in gateway.records if record.ai.usage is not None]
    tokens = {
        "input": sum(record.ai.usage.input for record in answers),
        "output": sum(record.ai.usage.output for record in answers),
    }
    assert tokens["output"] > 0
    for direction, count in tokens.items():
        assert found.value("aigw_tokens_total", direction=direction, source="provider", **model) == count
    cost = sum(usd(record.ai.cost_units) for record in answers)
    assert found.value("aigw_cost_usd_total", **model) == pytest.approx(float(cost))
    assert cost > 0


async def test_ag_331_times_quotas_and_keys():
    async with serving("demo-key-429", "demo-key:remaining_tokens=7") as (_, gateway):
        await ask(gateway, model="demo", stream=True)
        await ask(gateway, model="demo")
        found = await scrape(gateway)
    model = {"provider": "demo", "model": "demo"}
    assert found.value("aigw_upstream_seconds_count", **model) == 3
    assert found.value("aigw_time_to_first_token_seconds_count", **model) == 1
    assert found.value("aigw_time_to_first_token_seconds_bucket", le="+Inf", **model) == 1
    assert found.value("aigw_gateway_seconds_count") == 3
    total = found.value("aigw_upstream_seconds_sum", **model)
    assert total is not None
    assert 0.4 < total < 60  # 23 pauses of 20 ms between the tokens of the stream
    assert found.value("aigw_key_rate_limited_total", provider="demo") == 1
    keys = {labels[1] for labels in found.labels("aigw_key_rate_limited_total")}
    assert len(keys) == 2
    assert all(key.startswith("kh_") for key in keys)
    left = [found.value("aigw_key_quota_remaining", kind="tokens", key=key) for key in keys]
    assert 7 in left
    assert "demo-key" not in str(found.families)


async def test_ag_331_names_that_clients_make_up_are_other():
    async with serving() as (_, gateway):
        for number in range(20):
            assert await ask(gateway, model=f"demo:demo-fast:n={number + 1}") == 200
        assert await ask(gateway, model="demo") == 200
        found = await scrape(gateway)
    assert {labels[:2] for labels in found.labels("aigw_attempts_total")} == {("demo", "other"), ("demo", "demo")}
    assert found.value("aigw_attempts_total", model="other", outcome="success") == 20


async def test_ag_331_p02_what_a_client_that_left_was_sent_is_counted():
    async with serving() as (_, gateway):
        reader, writer = await connect(gateway)
        body = chat_body("demo:demo:n=500", stream=True)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"data: ")
        assert (await scrape(gateway)).value("aigw_inflight") == 1
        writer.transport.abort()
        await until(lambda: gateway.records)
        found = await scrape(gateway)
    assert found.value("aigw_requests_total", status="499") == 1
    assert found.value("aigw_inflight") == 0
    assert found.value("aigw_attempts_total") is None or found.value("aigw_attempts_total") == 0


async def test_requests_that_are_refused_before_an_endpoint_is_known():
    async with serving() as (_, gateway):
        reader, writer = await connect(gateway)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
        assert b"400" in await reader.readline()
        writer.close()
        found = await scrape(gateway)
    assert found.value("aigw_requests_total", endpoint="", status="400", code="ERR_AIGW_BAD_REQUEST") == 1


async def test_counts_survive_a_reload_sv_20():
    async with serving() as (_, gateway):
        await ask(gateway, model="demo:demo-fast")
        await gateway.process.reload()
        await ask(gateway, model="demo:demo-fast")
        found = await scrape(gateway)
    assert found.value("aigw_requests_total", status="200") == 2
    assert found.value("aigw_attempts_total", outcome="success") == 2


async def test_connection_failures_and_policies_that_answer_themselves():
    policy = ai_policy(
        [provider_entry("http://127.0.0.1:1/v1", "k")],
        "  - expressions: [\"req.url.path == '/teapot'\"]\n    actions: [{type: deny, config: {status_code: 418}}]",
    )
    async with RunningGateway(settings_for(policy)) as gateway:
        assert await ask(gateway, model="demo") == 502
        assert await ask(gateway, path="/teapot") == 418
        found = await scrape(gateway)
    assert found.value("aigw_attempts_total", outcome="connection") == 1
    assert found.value("aigw_requests_total", surface="", status="418") == 1
    assert found.value("aigw_requests_total", status="502", code="ERR_NGROK_3800") == 1
