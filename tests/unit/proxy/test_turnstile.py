"""Few requests begin and few streams are settled in one turn of the loop while streams run."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.turnstile import AT_ONCE, FEW_STREAMS, PASSING, Turnstile


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


async def test_where_many_streams_run_one_begins_in_a_turn() -> None:
    turnstile = Turnstile(asyncio.get_running_loop())
    turnstile.streams = FEW_STREAMS + 1
    begun: list[int] = []
    held = [turnstile.holds(partial(begun.append, number)) for number in range(5)]
    assert held == [False, True, True, True, True]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun == [1, 2]
    turnstile.streams = FEW_STREAMS
    await asyncio.sleep(0)
    assert begun == [1, 2, 3, 4]


async def test_once_no_stream_runs_nobody_waits_longer() -> None:
    turnstile = Turnstile(asyncio.get_running_loop())
    turnstile.streams = FEW_STREAMS + 1
    done: list[int] = []
    held = [turnstile.holds(partial(done.append, number), patient=number % 2 == 0) for number in range(100)]
    assert held == [False] + [True] * 99
    turnstile.streams = 0
    await asyncio.sleep(0)
    assert sorted(done) == list(range(1, 100))


@pytest.mark.parametrize("streams", [1, FEW_STREAMS + 1])
async def test_what_is_patient_lets_some_pass(streams: int) -> None:
    """And not more, however many come."""
    turnstile = Turnstile(asyncio.get_running_loop())
    turnstile.streams = streams
    while not turnstile.holds(lambda: None):
        pass
    done: list[str] = []
    for name in ("p1", "p2", "p3"):
        assert turnstile.holds(partial(done.append, name), patient=True)
    for number in range(PASSING + 2):
        assert turnstile.holds(partial(done.append, f"b{number}"))
    for _ in range(20):
        await asyncio.sleep(0)
    others = [f"b{number}" for number in range(PASSING + 2)]
    # the lambda that was held first has passed them, too
    assert done == [*others[: PASSING - 1], "p1", *others[PASSING - 1 :], "p2", "p3"]


@given(st.lists(st.lists(st.booleans(), max_size=3 * AT_ONCE), max_size=12))
def test_everything_is_done_once_and_little_in_a_turn(arrivals: list[list[bool]]) -> None:
    async def play() -> None:
        turnstile = Turnstile(asyncio.get_running_loop())
        turnstile.streams = 1
        done: dict[bool, list[int]] = {False: [], True: []}
        number = 0
        for kinds in [*arrivals, *([[]] * sum(map(len, arrivals)))]:
            before = sum(map(len, done.values()))
            for patient in kinds:
                if not turnstile.holds(partial(done[patient].append, number), patient=patient):
                    done[patient].append(number)
                number += 1
            await asyncio.sleep(0)
            # those at once, and those of the next turn
            assert sum(map(len, done.values())) - before <= 2 * AT_ONCE
        assert sorted(done[False] + done[True]) == list(range(number))
        assert all(numbers == sorted(numbers) for numbers in done.values())  # among their like in order

    asyncio.run(play())
