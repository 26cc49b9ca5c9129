"""Coroutines that run without a task until they need one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.eager import Eager, Turn, in_task


class Run:
    """One eager coroutine and how it ended."""

    def __init__(self, coroutine: Coroutine[Any, Any, bool]) -> None:
        self.ends: list[bool] = []
        self.over = asyncio.Event()
        self.eager = Eager(asyncio.get_running_loop(), coroutine, self._ended)

    def _ended(self, result: bool) -> None:
        self.ends.append(result)
        self.over.set()

    def begin(self) -> Run:
        outside(self.eager.begin)
        return self


def outside(call: Callable[[], None]) -> None:
    """Calls as the event loop does: in no task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    asyncio.tasks._leave_task(loop, task)
    try:
        call()
    finally:
        asyncio.tasks._enter_task(loop, task)


def resume(turn: Turn) -> None:
    waiting, turn.resume = turn.resume, None
    assert waiting is not None
    outside(waiting)


async def test_what_waits_for_nothing_is_over_at_once() -> None:
    async def answer() -> bool:
        assert asyncio.current_task() is None
        return True

    assert Run(answer()).begin().ends == [True]


async def test_a_turn_resumes_where_it_is_ended() -> None:
    turns = [Turn(), Turn()]
    seen: list[int] = []

    async def answer() -> bool:
        for number, turn in enumerate(turns):
            await turn
            assert asyncio.current_task() is None
            seen.append(number)
        return True

    run = Run(answer()).begin()
    assert (seen, run.ends) == ([], [])
    resume(turns[0])
    assert (seen, run.ends) == ([0], [])
    resume(turns[1])
    assert (seen, run.ends) == ([0, 1], [True])


async def test_whatever_else_is_awaited_makes_it_a_task() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[Any] = []

    async def answer() -> bool:
        seen.append(await future)
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)
        return True

    run = Run(answer()).begin()
    asyncio.get_running_loop().call_soon(future.set_result, 7)
    await run.over.wait()
    assert run.ends == [True]
    assert seen[0] == 7
    assert isinstance(seen[1], asyncio.Task)


async def test_exceptions_of_what_is_awaited_arrive() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def answer() -> bool:
        with pytest.raises(OSError, match="gone"):
            await future
        return True

    run = Run(answer()).begin()
    future.set_exception(OSError("gone"))
    await run.over.wait()
    assert run.ends == [True]


async def test_a_task_where_one_is_needed() -> None:
    turn = Turn()

    async def answer() -> bool:
        await turn
        assert asyncio.current_task() is None
        await in_task()
        task = asyncio.current_task()
        await in_task()  # there is one already
        assert asyncio.current_task() is task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        return True

    run = Run(answer()).begin()
    resume(turn)
    await run.over.wait()
    assert run.ends == [True]


async def test_cancelled_in_a_turn() -> None:
    turn = Turn()
    seen: list[str] = []

    async def answer() -> bool:
        try:
            await turn
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return True

    run = Run(answer()).begin()
    outside(run.eager.cancel)
    assert (seen, run.ends) == (["cancelled"], [False])
    resume(turn)  # what it waited for comes all the same
    run.eager.resume()  # or was on its way
    run.eager.cancel()
    assert run.ends == [False]


@pytest.mark.parametrize("turns", [0, 3])
async def test_cancelled_as_a_task(turns: int) -> None:
    """Also before the task's first step: the coroutine has begun, and has to hear of it."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    seen: list[str] = []

    async def answer() -> bool:
        try:
            await future
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return True

    run = Run(answer()).begin()
    for _ in range(turns):
        await asyncio.sleep(0)
    run.eager.cancel()
    await run.over.wait()
    assert (seen, run.ends) == (["cancelled"], [False])


async def test_a_coroutine_may_survive_its_cancellation() -> None:
    turn = Turn()

    async def answer() -> bool:
        try:
            await turn
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return True

    run = Run(answer()).begin()
    outside(run.eager.cancel)
    await run.over.wait()
    assert run.ends == [True]
