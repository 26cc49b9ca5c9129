"""A running demo provider."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.demo.server import DemoProvider


@pytest.fixture
async def provider() -> AsyncIterator[DemoProvider]:
    async with DemoProvider(keys=["sk-listed"]) as running:
        yield running
