"""The thread behind each side of the store."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from gateway.store.lane import Lane, LaneFullError


@pytest.fixture
def lane():
    lane = Lane("test")
    yield lane
    lane.close(lambda: None, timeout_s=5)


async def test_work_runs_in_order_on_one_other_thread(lane):
    seen: list[tuple[int, int]] = []
    await asyncio.gather(*(lane.run(lambda at=at: seen.append((at, threading.get_ident()))) for at in range(20)))
    assert [at for at, _ in seen] == list(range(20))
    assert {ident for _, ident in seen} == {lane._thread.ident} != {threading.get_ident()}


async def test_errors_belong_to_whoever_asked(lane):
    def fails():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await lane.run(fails)
    assert await lane.run(lambda: 7) == 7


async def test_a_caller_that_leaves_does_not_stop_running_work(lane):
    entered, release, done = threading.Event(), threading.Event(), threading.Event()

    def slow():
        entered.set()
        release.wait(10)
        done.set()

    skipped: list[int] = []
    running = asyncio.gather(lane.run(slow), lane.run(lambda: skipped.append(1)))
    await asyncio.to_thread(entered.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()
    assert await lane.run(done.is_set)
    assert skipped == [], "what had not begun is not done"


def test_p01_what_waits_is_bounded(lane):
    release = threading.Event()
    waiting = [lane.submit(lambda: release.wait(10))]
    while not lane._queue.full():
        waiting.append(lane.submit(lambda: True))
    with pytest.raises(LaneFullError):
        lane.submit(lambda: True)
    assert 1_000 <= len(waiting) <= 1_001
    release.set()
    assert all(future.result(10) for future in waiting)


def test_closing_finishes_what_is_queued_and_takes_no_more():
    order: list[int] = []
    lane = Lane("test")
    for at in range(5):
        lane.submit(partial(order.append, at))
    lane.close(lambda: order.append(-1), timeout_s=5)
    assert order == [0, 1, 2, 3, 4, -1]
    with pytest.raises(LaneFullError):
        lane.submit(lambda: None)
