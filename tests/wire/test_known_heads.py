"""Requests whose head was seen before go past aiohttp's parser: same answers, however their bytes are cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from gateway.demo.server import DemoProvider
from gateway.proxy import downstream
from tests.wire.running import RunningGateway, read_answer, request_bytes
from tests.wire.serving import CHAT_PATH, chat_body, connect, serving, until

GOOD = chat_body("demo:n=2,delay=0ms")
LONGER = chat_body("demo:n=2,delay=0ms", user="somebody with a longer body")
RULE = """
  - expressions: ["req.headers['x-refuse'][0] == 'yes'"]
    actions: [{type: deny, config: {status_code: 403}}]
  - expressions: ["req.headers['x-change'][0] == 'yes'"]
    actions:
      - {type: add-headers, config: {headers: {x-added: "${req.headers['content-length'][0]}"}}}
      - {type: remove-headers, config: {headers: [x-change]}}
"""


@pytest.fixture
async def gateway() -> AsyncIterator[tuple[DemoProvider, RunningGateway]]:
    async with serving(before=RULE) as pair:
        yield pair


def known_heads(gateway: RunningGateway) -> int:
    return len(gateway.process.listeners[0].handler.heads)


async def test_only_the_first_head_is_parsed(gateway: tuple[DemoProvider, RunningGateway]) -> None:
    _, running = gateway
    reader, writer = await connect(running)
    for body in (GOOD, LONGER, GOOD):
        writer.write(request_bytes(CHAT_PATH, body))
        status, _, answer = await read_answer(reader)
        assert status == 200
        assert json.loads(answer)["choices"]
    assert known_heads(running) == 1
    assert [record.content_length for record in running.records] == [len(GOOD), len(LONGER), len(GOOD)]
    assert [record.headers["content-length"] for record in running.records] == [
        [str(len(body))] for body in (GOOD, LONGER, GOOD)
    ]
    writer.close()


@pytest.mark.parametrize("size", [1, 7, 64, 300])
async def test_bytes_may_come_in_any_pieces(gateway: tuple[DemoProvider, RunningGateway], size: int) -> None:
    _, running = gateway
    reader, writer = await connect(running)
    request = request_bytes(CHAT_PATH, GOOD)
    for _ in range(2):
        writer.write(request)
        assert (await read_answer(reader))[0] == 200
    head_end = request.index(b"\r\n\r\n") + 4
    writer.write(request[:head_end])
    await writer.drain()
    for start in range(head_end, len(request), size):
        await asyncio.sleep(0.001)
        writer.write(request[start : start + size])
    assert (await read_answer(reader))[0] == 200
    for start in range(0, len(request), size):  # a head in pieces is the parser's
        await asyncio.sleep(0)
        writer.write(request[start : start + size])
    assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_requests_sent_together_are_answered_in_order(gateway: tuple[DemoProvider, RunningGateway]) -> None:
    _, running = gateway
    reader, writer = await connect(running)
    writer.write(request_bytes(CHAT_PATH, GOOD))
    assert (await read_answer(reader))[0] == 200
    refused = request_bytes(CHAT_PATH, GOOD, x_refuse="yes")
    writer.write(request_bytes(CHAT_PATH, GOOD) + refused + request_bytes(CHAT_PATH, LONGER) + refused)
    assert [(await read_answer(reader))[0] for _ in range(4)] == [200, 403, 200, 403]
    writer.close()


async def test_a_request_that_comes_during_an_answer_waits(gateway: tuple[DemoProvider, RunningGateway]) -> None:
    _, running = gateway
    reader, writer = await connect(running)
    slow = request_bytes(CHAT_PATH, chat_body("demo:demo-late-200ms"))
    writer.write(slow)
    assert (await read_answer(reader))[0] == 200
    writer.write(slow)
    await until(lambda: running.process.listeners[0].handler.inflight)
    writer.write(slow)
    assert [(await read_answer(reader))[0] for _ in range(2)] == [200, 200]
    writer.close()


async def test_changes_of_one_request_do_not_show_in_the_next(gateway: tuple[DemoProvider, RunningGateway]) -> None:
    provider, running = gateway
    reader, writer = await connect(running)
    for body in (GOOD, LONGER, GOOD):
        writer.write(request_bytes(CHAT_PATH, body, x_change="yes"))
        assert (await read_answer(reader))[0] == 200
        sent = provider.requests[-1]
        assert sent.header("x-added") == str(len(body))
        assert not sent.header("x-change")
    assert known_heads(running) == 1
    writer.close()


async def test_other_framing_is_never_taken_for_a_known_head(gateway: tuple[DemoProvider, RunningGateway]) -> None:
    _, running = gateway
    reader, writer = await connect(running)
    plain = request_bytes(CHAT_PATH, GOOD)
    writer.write(plain)
    assert (await read_answer(reader))[0] == 200
    # a body that holds a known request stays a body
    hidden = b"POST " + CHAT_PATH.encode() + b" HTTP/1.1\r\nhost: gateway.test\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(hidden + b"%x\r\n" % len(plain))
    await asyncio.sleep(0.02)
    writer.write(plain)
    await asyncio.sleep(0.02)
    writer.write(b"\r\n0\r\n\r\n")
    assert (await read_answer(reader))[0] == 400
    assert len(running.records) == 2
    writer.write(plain)
    assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_a_reload_changes_where_a_known_head_leads(gateway: tuple[DemoProvider, RunningGateway]) -> None:
    _, running = gateway
    reader, writer = await connect(running)
    for _ in range(2):
        writer.write(request_bytes(CHAT_PATH, GOOD))
        assert (await read_answer(reader))[0] == 200
    before = running.records[-1].endpoint
    assert await running.process.reload()
    writer.write(request_bytes(CHAT_PATH, GOOD))
    assert (await read_answer(reader))[0] == 200
    assert running.records[-1].endpoint is not before
    writer.close()


async def test_a_body_that_stalls_is_a_timeout(
    gateway: tuple[DemoProvider, RunningGateway], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, running = gateway
    monkeypatch.setattr(downstream, "BODY_STALL_S", 0.05)
    reader, writer = await connect(running)
    writer.write(request_bytes(CHAT_PATH, GOOD))
    assert (await read_answer(reader))[0] == 200
    writer.write(request_bytes(CHAT_PATH, GOOD)[:-3])
    status, _, answer = await read_answer(reader)
    assert (status, json.loads(answer)["error"]["code"]) == (408, "ERR_AIGW_TIMEOUT")
    assert await reader.read() == b""
    writer.close()


async def test_a_client_that_leaves_within_a_body_leaves_nothing(gateway: tuple[DemoProvider, RunningGateway]) -> None:
    _, running = gateway
    handler = running.process.listeners[0].handler
    reader, writer = await connect(running)
    writer.write(request_bytes(CHAT_PATH, GOOD))
    assert (await read_answer(reader))[0] == 200
    writer.write(request_bytes(CHAT_PATH, GOOD)[:-3])
    await until(lambda: handler.deadlines.waiting)
    writer.close()
    await until(lambda: not handler.connections)
    assert not handler.deadlines.waiting
