"""What the gateway concludes from a head is concluded once, and again when what it rests on has changed."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

import pytest

from gateway.ai.caller import Caller
from gateway.ai.entities import Candidate
from gateway.demo.server import DemoProvider
from gateway.exchange import Exchange
from gateway.observability.record import build_recorder
from tests.wire.running import RunningGateway, ai_policy, read_answer, request_bytes, settings_for
from tests.wire.serving import CHAT_PATH, KEY, chat_body, connect, provider_entry, serving

if TYPE_CHECKING:
    from gateway.observability.logs import LogSink

GOOD = chat_body("demo:n=2,delay=0ms")
#: the second rule uses a secret, so that headers which hold it must not go on (AG-215)
SECRET_RULE = """
  - expressions: ["req.headers['x-use'][0] == 'yes'"]
    actions: [{type: set-vars, config: {vars: [{used: "${secrets.get('v', 'n')}"}]}}]
"""


@pytest.fixture
async def pair() -> AsyncIterator[tuple[DemoProvider, RunningGateway]]:
    async with serving(headers={"x-path": "${req.url.path}", "x-fixed": "one"}) as both:
        yield both


async def ask(gateway: RunningGateway, times: int, **headers: str) -> list[Exchange]:
    reader, writer = await connect(gateway)
    for _ in range(times):
        writer.write(request_bytes(CHAT_PATH, GOOD, **headers))
        status, _, answer = await read_answer(reader)
        assert status == 200, json.loads(answer)
    writer.close()
    return gateway.records[-times:]


def callers(exchange: Exchange) -> list[Caller]:
    assert exchange.head is not None
    return [note for note in exchange.head.notes.values() if isinstance(note, Caller)]


async def test_requests_with_one_head_share_what_it_means(pair: tuple[DemoProvider, RunningGateway]) -> None:
    provider, gateway = pair
    first, second, third = await ask(gateway, 3, x_mine="1")
    assert first.head is second.head is third.head
    assert len(callers(first)) == 1
    sent = [provider.requests[index] for index in (-1, -2, -3)]
    assert {request.header("x-mine") for request in sent} == {"1"}
    assert {request.header("x-path") for request in sent} == {CHAT_PATH}
    assert {request.header("x-fixed") for request in sent} == {"one"}


async def test_a_client_cannot_set_what_the_action_sets(pair: tuple[DemoProvider, RunningGateway]) -> None:
    provider, gateway = pair
    await ask(gateway, 2, x_fixed="two")
    assert [provider.requests[index].header("x-fixed") for index in (-1, -2)] == ["one", "one"]


async def test_another_universe_is_looked_at_anew(pair: tuple[DemoProvider, RunningGateway]) -> None:
    _, gateway = pair
    (before,) = await ask(gateway, 1)
    (known,) = callers(before)
    snapshot = gateway.process.snapshot
    assert snapshot is not None
    assert await gateway.process.reload()
    (after,) = await ask(gateway, 1)
    assert after.head is before.head
    assert known not in callers(after)


async def test_ag_215_a_secret_that_one_request_used_stays_here_in_that_request() -> None:
    async with DemoProvider() as provider:
        policy = ai_policy([provider_entry(provider.base_url, KEY)], SECRET_RULE)
        async with RunningGateway(settings_for(policy), secrets={("v", "n"): "hush"}) as gateway:
            await ask(gateway, 1, x_token="hush")
            assert provider.requests[-1].header("x-token") == "hush"
            for _ in range(2):
                await ask(gateway, 1, x_token="hush", x_use="yes")
                assert provider.requests[-1].header("x-token") is None


class Lines:
    """A sink without a thread."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)


async def test_nothing_is_left_for_the_collector(pair: tuple[DemoProvider, RunningGateway]) -> None:
    """A released exchange is freed with the last look at it, with everything that it led to."""
    _, gateway = pair
    sink = Lines()
    record = build_recorder(cast("LogSink", sink), gateway.parts.clock, as_json=True)
    exchanges = await ask(gateway, 2)
    for exchange in exchanges:
        assert exchange.ai is not None
        record(exchange)
        assert exchange.ai is None
        assert not exchange.results
    assert len(sink.lines) == 2
    alive = {id(exchange) for exchange in exchanges}
    gateway.records.clear()
    exchanges.clear()
    del exchange
    assert not [each for each in gc.get_objects() if isinstance(each, Exchange) and id(each) in alive]


async def test_candidates_of_forgotten_plans_are_not_left_for_the_collector(
    pair: tuple[DemoProvider, RunningGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P01: clients make up model names, and what is known of each weighs kilobytes."""
    _, gateway = pair
    monkeypatch.setattr("gateway.ai.candidates.PLAN_LIMIT", 4)
    gc.collect()
    gc.disable()
    try:
        for number in range(12):
            async with gateway.session as session:
                body = chat_body(f"demo:n={number + 1},delay=0ms")
                async with session.post(CHAT_PATH, data=body) as answer:
                    assert answer.status == 200
        for exchange in gateway.records:
            exchange.release()
        del exchange
        gateway.records.clear()
        names = [each.name for each in gc.get_objects() if isinstance(each, Candidate)]
    finally:
        gc.enable()
    assert len([name for name in names if "delay=0ms" in name]) <= 4
