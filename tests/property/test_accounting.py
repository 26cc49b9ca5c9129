"""Requests that come, wait, are answered and leave in any order: no limit is passed, nothing stays held (P05, P07)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from tests.unit.ai.test_accounting import World

#: (what happens, size of a request or number of an earlier one)
STEPS = st.lists(
    st.tuples(st.sampled_from(["come", "come", "answer", "fail", "leave"]), st.integers(2, 40)), max_size=60
)


class Requests:
    """Those under way, as tasks where they wait."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: list[tuple[Any, int, asyncio.Task[None]]] = []
        self.running: list[tuple[Any, int]] = []

    async def come(self, size: int) -> None:
        call = self.world.call(size)
        try:
            turn = self.world.accounting.open(call)
        except GatewayError:
            self.world.over(call)
            return
        if turn is None:
            self.running.append((call, size))
            return
        task = asyncio.get_running_loop().create_task(_until(turn))
        self.waiting.append((call, size, task))
        await asyncio.sleep(0)

    async def move(self) -> None:
        """Those whose turn came go on, those who are refused end."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for call, size, task in [each for each in self.waiting if each[2].done()]:
            self.waiting.remove((call, size, task))
            if task.cancelled() or task.exception() is not None:
                self.world.over(call)
            else:
                self.running.append((call, size))

    async def leave(self, which: int) -> None:
        if self.waiting:
            self.waiting[which % len(self.waiting)][2].cancel()

    def end(self, which: int, *, answered: bool) -> None:
        if self.running:
            call, size = self.running.pop(which % len(self.running))
            if answered:
                self.world.answered(call, 1 + which % size)
            else:
                self.world.over(call)


async def _until(turn: Awaitable[None]) -> None:
    await turn


@given(STEPS, st.integers(5, 120))
@settings(max_examples=150, deadline=None)
def test_no_order_of_events_passes_a_limit_or_leaves_anything_held(steps, limit: int) -> None:
    async def play() -> None:
        world = World()
        world.budget(limit)
        requests = Requests(world)

        async def check() -> None:
            await requests.move()
            spent, reserved = world.counts()
            assert reserved >= 0
            # while estimates hold; a request alone may use more than is left, and only then
            assert spent + reserved <= limit or len(requests.running) <= 1

        for step, number in steps:
            if step == "come":
                await requests.come(number)
            elif step == "leave":
                await requests.leave(number)
            else:
                requests.end(number, answered=step == "answer")
            await check()
        while requests.running or requests.waiting:
            assert requests.running, "somebody waits for nobody"
            requests.end(0, answered=False)
            await check()
        assert world.counts()[1] == 0
        assert world.accounting.waiting == 0

    asyncio.run(play())
