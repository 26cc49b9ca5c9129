"""What requests leave in the usage record: one event per attempt, in every ending (AG-285 to AG-288, CP-50)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.store.db import Store, StoreUnavailable
from tests.wire.managed import managed
from tests.wire.running import request_bytes
from tests.wire.serving import CHAT_PATH, MESSAGES_PATH, chat_body, connect, until

PRICED: Any = {"models": [{"id": "demo", "display_name": "Demo", "pricing": {"text": {"input": 1.5, "output": 1000}}}]}


async def test_ag_285_an_event_tells_who_used_what() -> None:
    """CP-50, CP-67: stored keys are named, in their redacted form; tokens and cost are the provider's."""
    async with managed(id="openai", **PRICED) as (_, gateway):
        key_id, token = await gateway.key(name="web")
        stored = {"providerId": "openai", "name": "team", "value": "demo-key-0123456789abcdef"}
        provider_key = await gateway.made("/provider-keys", stored)
        assert provider_key["lastUsed"] is None
        status, body = await gateway.chat(token)
        assert status == 200, body
        usage = body["usage"]
        (event,) = await gateway.events()
        cost = (usage["prompt_tokens"] * 1.5 + usage["completion_tokens"] * 1000) / 1e6
        assert event["totalCost"] == f"{cost:.5f}"
        assert float(event["totalCost"]) > 0
        expected = {
            "requestId": gateway.records[-1].id, "accessKeyId": key_id, "provider": "openai", "model": "demo",
            "providerDisplayName": "OpenAI", "modelDisplayName": "Demo", "attemptNumber": 1, "isFinalAttempt": True,
            "statusCode": 200, "timedOut": False, "isError": False, "isStreaming": False, "keySource": "user",
            "stopReason": body["choices"][0]["finish_reason"], "inputTokens": usage["prompt_tokens"],
            "outputTokens": usage["completion_tokens"], "providerKeyId": provider_key["id"],
            "providerKeyDisplayName": "demo-key-0***cdef",
        }  # fmt: skip
        assert {name: event[name] for name in expected} == expected
        assert (await gateway.call("GET", f"/provider-keys/{provider_key['id']}"))[1]["lastUsed"] is not None
        row = await gateway.plane.read(lambda db: db.execute("SELECT price_version, estimated FROM usage").fetchone())
        assert tuple(row) == ("input=1.5 output=1000", 0)


async def test_every_attempt_is_an_event_and_the_last_one_is_final() -> None:
    """AG-285: failed keys count as retries and cost nothing; CP-52 counts final attempts."""
    async with managed("demo-key-429", "demo-key-500", "demo-key-good") as (_, gateway):
        assert (await gateway.chat())[0] == 200
        events = await gateway.events()
        members = ("attemptNumber", "statusCode", "isError", "isFinalAttempt", "keySource")
        shown = [tuple(event[name] for name in members) for event in events]
        assert shown == [
            (1, 429, True, False, "user"), (2, 500, True, False, "user"), (3, 200, False, True, "user"),
        ]  # fmt: skip
        assert [event["totalCost"] for event in events[:2]] == ["0.00000"] * 2
        assert len({event["requestId"] for event in events}) == 1
        status, page = await gateway.call("GET", "/usage?startTime=2000-01-01T00:00:00Z")
        assert (status, len(page["aiGatewayUsage"])) == (200, 1)
        status, sums = await gateway.call("GET", "/usage/overview?startTime=2000-01-01T00:00:00Z")
        assert (sums["totals"]["requests"], sums["totals"]["errors"]) == (1, 0)


@pytest.mark.parametrize(
    ("model", "status", "timed_out"),
    [("demo:reset", 0, False), ("demo:503", 503, False), ("demo:silent", 504, True), ("demo:error-first", 200, False)],
)
async def test_ag_286_how_failures_are_told(model: str, status: int, timed_out: bool) -> None:
    """0: connection failure; 504: timeout; 200: a stream that was an error."""
    async with managed("demo-key", action={"per_request_timeout": "300ms"}) as (_, gateway):
        assert (await gateway.chat(model=model, stream=model.endswith("first")))[0] >= 500
        (event,) = await gateway.events()
        assert (event["statusCode"], event["timedOut"], event["isError"]) == (status, timed_out, True)
        assert (event["inputTokens"], event["outputTokens"], event["totalCost"]) == (0, 0, "0.00000")


async def test_requests_without_an_attempt_leave_no_event() -> None:
    """AG-286: and token counts neither."""
    async with managed("demo-key") as (_, gateway):
        assert (await gateway.chat(model="no-such-model"))[0] == 422
        path = f"{MESSAGES_PATH}/count_tokens"
        async with gateway.session as client, client.post(path, data=chat_body()) as answer:
            assert answer.status == 200
        assert await gateway.events() == []


@pytest.mark.parametrize("begun", [False, True])
async def test_ag_265_a_client_that_leaves_is_recorded(begun: bool) -> None:
    """Status 499; before the first byte it costs nothing, afterwards what was sent is estimated (AG-240, P07)."""
    async with managed("demo-key", **PRICED) as (provider, gateway):
        reader, writer = await connect(gateway)
        model = "demo:n=500,delay=20ms" if begun else "demo:late=20s"
        body = chat_body(model, stream=True, max_tokens=500)
        writer.write(request_bytes(CHAT_PATH, body, content_type="application/json"))
        if begun:
            await reader.readuntil(b"\n\n")
            await reader.readuntil(b"\n\n")
        else:
            await until(lambda: provider.stats.requests)
        writer.transport.abort()
        await until(lambda: gateway.records)
        (event,) = await gateway.events()
        assert (event["statusCode"], event["isError"], event["isFinalAttempt"]) == (499, True, True)
        assert event["isStreaming"]
        assert (event["outputTokens"] > 0) is begun
        row = await gateway.plane.read(lambda db: db.execute("SELECT estimated FROM usage").fetchone())
        assert bool(row[0]) is begun


async def test_sv_24_losing_the_disk_stops_no_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    """P22: events wait in memory, bounded; /readyz says so; afterwards they are written, without a restart."""
    async with managed("demo-key") as (_, gateway):
        write = Store.write

        async def refuse(store, work, **options):
            store._writer.trouble = "full"
            raise StoreUnavailable("full")

        monkeypatch.setattr(Store, "write", refuse)
        for _ in range(3):
            assert (await gateway.chat())[0] == 200
        assert (await gateway.call("POST", "/access-keys", {}))[0] == 503
        status, ready = await gateway.call("GET", "/readyz")
        assert (status, ready["status"], ready["store"], ready["usage"]) == (200, "degraded", "full", "waiting")
        assert len(gateway.plane.usage) == 3
        monkeypatch.setattr(Store, "write", write)
        await until(lambda: not len(gateway.plane.usage))
        assert len(await gateway.events()) == 3
        status, ready = await gateway.call("GET", "/readyz")
        assert (ready["status"], ready["store"], ready["usage"]) == ("ready", "ok", "ok")


async def test_p22_the_store_disappears_and_comes_back() -> None:
    """Keys, secrets, scopes and budgets of the store go on working; writes are 503; nothing has to be restarted."""
    async with managed(id="openai", **PRICED) as (provider, gateway):
        _, token = await gateway.key()
        await gateway.made("/provider-keys", {"providerId": "openai", "name": "k", "value": "demo-key-stored"})
        budget = await gateway.made("/ext/budgets", {"scope": "account", "period": "total", "limitTokens": 100_000})
        assert (await gateway.chat(token))[0] == 200
        (before,) = await gateway.events()
        folder = gateway.settings.server.data_dir
        away = folder / "away"
        away.mkdir()
        for file in list(folder.glob("gateway.db*")):
            file.rename(away / file.name)
        await until(lambda: gateway.plane.store.trouble == "missing")
        for _ in range(3):
            assert (await gateway.chat(token))[0] == 200
        assert (await gateway.chat("ng-unknown000000-g1-x"))[0] == 401
        assert provider.last.key == "demo-key-stored"
        assert (await gateway.call("POST", "/access-keys", {}))[0] == 503
        assert (await gateway.call("GET", "/readyz"))[1]["store"] == "missing"
        counter = gateway.plane.ledger.counter(budget["id"])
        assert counter is not None
        used = before["inputTokens"] + before["outputTokens"]
        assert counter.spent_tokens == 4 * used
        for file in list(away.iterdir()):
            file.rename(folder / file.name)
        await until(lambda: gateway.plane.store.trouble is None)
        assert len(await gateway.events()) == 4
        assert (await gateway.budget(budget["id"]))["spentTokens"] == 4 * used
        assert (await gateway.call("POST", "/access-keys", {}))[0] == 201
