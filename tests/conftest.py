"""What every test gets: no blocking call on the event loop, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

# The per-test timeout bounds a test; a deadline for each example only makes busy machines fail. In CI (hypothesis looks
# for the usual variables) examples are the same each time, so that what fails there was changed by the commit.
settings.register_profile(
    "gateway",
    deadline=None,
    derandomize=settings.get_current_profile_name() == "ci",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("gateway")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Guards every coroutine test; first in, so that they are torn down after the test's own fixtures."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.fixturenames[:0] = ["no_task_left", "no_blocking_call"]


@pytest.fixture
def no_blocking_call() -> Iterator[None]:
    """A blocking call that the gateway makes on an event loop raises (design rule 9)."""
    guard = BlockBuster(scanned_modules=["gateway"])
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """A test and its fixtures end what they start."""
    yield
    for _ in range(3):  # lets cancelled tasks and closed transports finish
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks left behind: {left}"


@pytest.fixture
def no_descriptor_left() -> Iterator[None]:
    """For tests that open many: as many file descriptors after the test as before it."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
