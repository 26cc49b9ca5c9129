"""One timer for many waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.upstream import deadlines
from gateway.upstream.deadlines import Deadlines


class Wait:
    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.overdue_count = 0
        self.then = then

    def overdue(self) -> None:
        self.overdue_count += 1
        self.then()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_S", 0.01)


async def test_only_what_is_overdue_is_told_and_once() -> None:
    loop = asyncio.get_running_loop()
    watched = Deadlines(loop)
    late, forgotten, patient = Wait(), Wait(), Wait()
    watched.watch(late, loop.time() + 0.02)
    watched.watch(forgotten, loop.time() + 0.02)
    watched.watch(patient, loop.time() + 3_600)
    watched.forget(forgotten)
    await asyncio.sleep(0.1)
    assert (late.overdue_count, forgotten.overdue_count, patient.overdue_count) == (1, 0, 0)
    assert list(watched.waiting) == [patient]
    watched.close()
    assert not watched.waiting


async def test_one_that_is_forgotten_by_another_is_not_told() -> None:
    loop = asyncio.get_running_loop()
    watched = Deadlines(loop)
    second = Wait()
    first = Wait(lambda: watched.forget(second))
    watched.watch(first, loop.time())
    watched.watch(second, loop.time())
    await asyncio.sleep(0.05)
    assert (first.overdue_count, second.overdue_count) == (1, 0)


async def test_it_rests_when_nobody_waits_and_wakes_again() -> None:
    loop = asyncio.get_running_loop()
    watched = Deadlines(loop)
    for _ in range(2):
        wait = Wait()
        watched.watch(wait, loop.time())
        await asyncio.sleep(0.05)
        assert wait.overdue_count == 1
        assert watched._timer is None
