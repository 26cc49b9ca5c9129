"""Limits hold, whoever calls at once: TP-265 to TP-282 through a running gateway."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.wire.running import RunningGateway, read_answer, request_bytes, settings_for
from tests.wire.serving import connect, until

POLICY = """
on_http_request:
  - actions:
      - type: rate-limit
        config:
          name: callers
          algorithm: sliding_window
          capacity: 100
          rate: 60s
          bucket_key: ["req.headers['x-caller']"]
      - type: custom-response
        config: {status_code: 200, body: served}
"""


async def ask(gateway: RunningGateway, caller: str, gate: asyncio.Event) -> tuple[int, str]:
    """(status, retry-after) of one request on a connection of its own, sent when the gate opens."""
    reader, writer = await connect(gateway)
    await gate.wait()
    writer.write(request_bytes("/v1/chat/completions", b"{}", x_caller=caller))
    status, headers, _ = await read_answer(reader)
    writer.close()
    return status, headers.get("retry-after", "")


@pytest.mark.parametrize("callers", [["one"], ["one", "two"]])
async def test_400_callers_at_once_are_admitted_100_times(callers: list[str]) -> None:
    async with RunningGateway(settings_for(POLICY)) as gateway:
        gate = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(ask(gateway, callers[n % len(callers)], gate)) for n in range(400)]
            await until(lambda: len(gateway.process.listeners[0].handler.connections) == 400)
            gate.set()
        answers = [task.result() for task in asked]
        assert Counter(status for status, _ in answers) == {200: 100 * len(callers), 429: 400 - 100 * len(callers)}
        assert all(1 <= int(wait) <= 60 for status, wait in answers if status == 429)


async def test_a_reload_admits_nobody_twice() -> None:
    async with RunningGateway(settings_for(POLICY)) as gateway:
        statuses: Counter[int] = Counter()
        for _ in range(4):
            gate = asyncio.Event()
            gate.set()
            answers = await asyncio.gather(*(ask(gateway, "one", gate) for _ in range(50)))
            statuses.update(status for status, _ in answers)
            assert await gateway.process.reload()
        assert statuses == {200: 100, 429: 100}
