"""Few requests begin in one turn of the loop while streams run."""

from __future__ import annotations

import asyncio
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.turnstile import AT_ONCE, Turnstile


async def test_without_streams_nobody_waits() -> None:
    turnstile = Turnstile(asyncio.get_running_loop())
    assert [turnstile.holds(lambda: None) for _ in range(100)] == [False] * 100


async def test_a_burst_begins_a_few_at_a_time_and_in_order() -> None:
    turnstile = Turnstile(asyncio.get_running_loop())
    turnstile.streams = 1
    begun: list[int] = []
    for number in range(4 * AT_ONCE + 1):
        if not turnstile.holds(partial(begun.append, number)):
            begun.append(number)
    assert begun == list(range(AT_ONCE))
    for turn in range(2, 6):
        await asyncio.sleep(0)
        assert begun == list(range(min(turn * AT_ONCE, 4 * AT_ONCE + 1)))


async def test_who_comes_later_waits_behind_the_others() -> None:
    """Also when no stream runs any more."""
    turnstile = Turnstile(asyncio.get_running_loop())
    turnstile.streams = 1
    begun: list[str] = []
    held = [turnstile.holds(lambda: begun.append("first")) for _ in range(AT_ONCE + 3)]
    assert sum(held) == 3
    turnstile.streams = 0
    assert turnstile.holds(lambda: begun.append("later"))
    await asyncio.sleep(0)
    assert begun == ["first"] * 3 + ["later"]
    assert not turnstile.holds(lambda: begun.append("last"))


@given(st.lists(st.integers(0, 3 * AT_ONCE), max_size=12))
def test_everyone_begins_once_and_few_in_a_turn(arrivals: list[int]) -> None:
    async def play() -> None:
        turnstile = Turnstile(asyncio.get_running_loop())
        turnstile.streams = 1
        begun: list[int] = []
        number = 0
        for count in [*arrivals, *([0] * sum(arrivals))]:
            before = len(begun)
            for _ in range(count):
                if not turnstile.holds(partial(begun.append, number)):
                    begun.append(number)
                number += 1
            await asyncio.sleep(0)
            assert len(begun) - before <= 2 * AT_ONCE  # those at once, and those of the next turn
        assert begun == list(range(number))

    asyncio.run(play())
