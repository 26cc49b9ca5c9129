"""Budgets through HTTP: no number of callers at once spends more than there is (CP-55 to CP-58, P05, P07)."""

from __future__ import annotations

import asyncio
import collections
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.demo.server import DemoProvider
from tests.wire.managed import ManagedGateway, managed
from tests.wire.running import request_bytes
from tests.wire.serving import CHAT_PATH, HELLO, MESSAGES_PATH, connect, until

#: 10 input and 20 output tokens: 0.00010 USD
MODEL = "demo:in=10,n=20,delay=0ms"
PRICED: Any = {"models": [{"id": "demo"}, {"id": MODEL, "pricing": {"text": {"input": 2, "output": 4}}}]}


@asynccontextmanager
async def world() -> AsyncIterator[tuple[DemoProvider, ManagedGateway]]:
    async with managed("demo-key", **PRICED) as (provider, gateway):
        yield provider, gateway


async def asked(
    client: aiohttp.ClientSession, path: str = CHAT_PATH, **members: Any
) -> tuple[int, Mapping[str, Any] | bytes]:
    body = json.dumps({"model": MODEL, "messages": HELLO, **members})
    async with client.post(path, data=body) as answer:
        raw = await answer.read()
        return answer.status, raw if answer.content_type == "text/event-stream" else json.loads(raw)


def nothing_is_reserved(gateway: ManagedGateway, budget_id: str) -> bool:
    counter = gateway.plane.ledger.counter(budget_id)
    assert counter is not None
    return (counter.reserved_usd, counter.reserved_tokens) == (0, 0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("limits", "more"),
    [
        ({"limitUsd": "0.01"}, {"max_tokens": 20}),
        ({"limitTokens": 3_000}, {}),
        ({"limitUsd": "0.01", "limitTokens": 5_000}, {"stream": True, "stream_options": {"include_usage": True}}),
    ],
    ids=["usd", "tokens, nothing learned", "streams"],
)
async def test_500_callers_at_once_spend_what_100_may(limits: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    """P05, P07, CP-57: exactly the budget's hundred are admitted, the others get 403 4026, in the caller's dialect."""
    async with world() as (provider, gateway):
        budget = await gateway.made("/ext/budgets", {"scope": "account", "period": "total", **limits})
        connector = aiohttp.TCPConnector(limit=500)
        async with aiohttp.ClientSession(gateway.url, connector=connector) as client:
            answers = await asyncio.gather(*(asked(client, **more) for _ in range(500)))
        counts = collections.Counter(status for status, _ in answers)
        assert counts == {200: 100, 403: 400}
        assert provider.stats.requests == 100
        refused = next(body for status, body in answers if status == 403)
        assert isinstance(refused, dict)
        error = refused["error"]
        assert (error["code"], error["type"]) == ("ERR_NGROK_4026", "permission_error")
        assert error["details"]["budget"] == {"id": budget["id"], "scope": "account", "period": "total"}
        shown = await gateway.budget(budget["id"])
        assert (shown["spentUsd"], shown["spentTokens"]) == ("0.01000", 3_000)
        assert nothing_is_reserved(gateway, budget["id"])
        events = await gateway.plane.read(lambda db: db.execute("SELECT count(*), sum(cost) FROM usage").fetchone())
        while len(gateway.plane.usage) or events[0] < 100:
            await asyncio.sleep(0.05)
            events = await gateway.plane.read(lambda db: db.execute("SELECT count(*), sum(cost) FROM usage").fetchone())
        assert tuple(events) == (100, 1_000)


@pytest.mark.timeout(60)
async def test_errors_and_disconnects_give_back_what_they_held() -> None:
    """P07: upstream errors, clients that leave before and during the answer, requests that name no model."""
    async with world() as (_, gateway):
        budget = await gateway.made(
            "/ext/budgets", {"scope": "account", "period": "day", "limitUsd": "5", "limitTokens": 1_000_000}
        )
        handler = gateway.process.listeners[0].handler
        async with gateway.session as client:
            failing = [asked(client, model=f"demo:{fault}") for fault in ("500", "429", "reset", "cut-3", "empty")]
            await asyncio.gather(*failing, asked(client, model="none"), return_exceptions=True)
            for model, stream in (("demo:late=20s", False), ("demo:n=500,delay=20ms", True), ("demo:late=20s", True)):
                writers = []
                for _ in range(10):
                    reader, writer = await connect(gateway)
                    body = json.dumps({"model": model, "messages": HELLO, "stream": stream}).encode()
                    writer.write(request_bytes(CHAT_PATH, body, content_type="application/json"))
                    if stream and "late" not in model:
                        await reader.readuntil(b"\n\n")
                    writers.append(writer)
                await until(lambda: handler.inflight == 10)
                assert not nothing_is_reserved(gateway, budget["id"])
                for writer in writers:
                    writer.transport.abort()
                await until(lambda: handler.inflight == 0)
                assert nothing_is_reserved(gateway, budget["id"])
            spent = (await gateway.budget(budget["id"]))["spentTokens"]
            assert 0 < spent < 20_000, "those who left in the middle pay for what they got, estimated"
            assert (await asked(client))[0] == 200
            assert (await gateway.budget(budget["id"]))["spentTokens"] == spent + 30
        assert nothing_is_reserved(gateway, budget["id"])


async def test_a_budget_of_one_key_leaves_the_others_alone() -> None:
    """CP-56, CP-57: refused in the Anthropic dialect too; a raised limit admits again; deleting ends it."""
    async with world() as (_, gateway):
        key_id, token = await gateway.key()
        _, other = await gateway.key()
        budget = await gateway.made(
            "/ext/budgets", {"scope": "accessKey", "accessKeyId": key_id, "period": "month", "limitTokens": 60}
        )

        async def ask(token: str, path: str = CHAT_PATH) -> tuple[int, Any]:
            async with aiohttp.ClientSession(gateway.url, headers={"authorization": f"Bearer {token}"}) as client:
                return await asked(client, path, max_tokens=20)

        assert [(await ask(token))[0] for _ in range(3)] == [200, 200, 403]
        status, body = await ask(token, MESSAGES_PATH)
        assert (status, body["type"], body["error"]["type"]) == (403, "error", "permission_error")
        assert body["error"]["details"]["budget"]["scope"] == "accessKey"
        assert (await ask(other))[0] == 200
        assert (await gateway.call("PATCH", f"/ext/budgets/{budget['id']}", {"limitTokens": 90}))[0] == 200
        assert [(await ask(token))[0] for _ in range(2)] == [200, 403]
        assert (await gateway.call("DELETE", f"/ext/budgets/{budget['id']}"))[0] == 204
        assert (await ask(token))[0] == 200


async def test_a_budget_made_while_a_request_runs_counts_it() -> None:
    async with world() as (_, gateway):
        async with gateway.session as client:
            running = asyncio.get_running_loop().create_task(asked(client, model="demo:in=10,n=20,late=300ms"))
            handler = gateway.process.listeners[0].handler
            await until(lambda: handler.inflight == 1)
            budget = await gateway.made("/ext/budgets", {"scope": "account", "period": "total", "limitTokens": 100})
            assert (await running)[0] == 200
        assert (await gateway.budget(budget["id"]))["spentTokens"] == 30


@pytest.mark.parametrize("stays", [True, False])
async def test_who_waits_for_running_requests_may_leave(stays: bool) -> None:
    """What running requests hold is waited for; who leaves meanwhile holds nothing afterwards."""
    async with world() as (_, gateway):
        budget = await gateway.made("/ext/budgets", {"scope": "account", "period": "total", "limitTokens": 1_000})
        handler = gateway.process.listeners[0].handler
        async with gateway.session as client, gateway.session as second:
            first = asyncio.get_running_loop().create_task(asked(client, model="demo:in=10,n=20,late=300ms"))
            await until(lambda: handler.inflight == 1)
            waiting = asyncio.get_running_loop().create_task(asked(second))
            await until(lambda: gateway.parts.accounting.waiting == 1)
            if not stays:
                waiting.cancel()
                await until(lambda: gateway.parts.accounting.waiting == 0)
            assert (await first)[0] == 200
            if stays:
                assert (await waiting)[0] == 200
        assert (await gateway.budget(budget["id"]))["spentTokens"] == (60 if stays else 30)
        assert nothing_is_reserved(gateway, budget["id"])
        assert gateway.parts.accounting.waiting == 0


SURFACES: Any = {
    CHAT_PATH: {"messages": HELLO, "max_tokens": 5},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 5},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 5},
    MESSAGES_PATH: {"messages": HELLO, "max_tokens": 5},
}


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize("stream", [False, True])
async def test_p07_no_endpoint_is_a_way_around(path: str, stream: bool) -> None:
    """Every surface books what it used, and is refused when nothing is left."""
    if stream and path == "/v1/embeddings":
        stream = False
    async with world() as (_, gateway):
        budget = await gateway.made("/ext/budgets", {"scope": "account", "period": "total", "limitTokens": 10_000})
        body = {"model": "demo:in=9,n=3,delay=0ms", "stream": stream, **SURFACES[path]}
        async with gateway.session as client:
            async with client.post(path, data=json.dumps(body)) as answer:
                assert answer.status == 200
                await answer.read()
            await until(lambda: gateway.records)
            spent = (await gateway.budget(budget["id"]))["spentTokens"]
            assert spent > 0, "estimated where a stream reports nothing"
            await gateway.call("PATCH", f"/ext/budgets/{budget['id']}", {"limitTokens": spent})
            async with client.post(path, data=json.dumps(body)) as answer:
                assert (answer.status, answer.headers["ngrok-error-code"]) == (403, "ERR_NGROK_4026")
                assert answer.headers["x-should-retry"] == "false"
            async with client.get("/v1/models") as answer:
                assert answer.status == 200


async def test_p38_thresholds_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """CP-58."""
    async with world() as (_, gateway):
        await gateway.made("/ext/budgets", {"scope": "account", "period": "total", "limitTokens": 300})
        with caplog.at_level(logging.WARNING, "gateway.alerts"):
            async with gateway.session as client:
                statuses = [(await asked(client, max_tokens=20))[0] for _ in range(12)]
        assert statuses == [200] * 10 + [403] * 2
        told = [record.getMessage() for record in caplog.records if record.name == "gateway.alerts"]
        assert [text.partition(": ")[2] for text in told] == [
            "80 % of the total limit is spent", "100 % of the total limit is spent",
        ]  # fmt: skip
