"""Ids of provider keys: what a log calls a key today it calls it after the next start, too (AG-120)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from gateway.ai.catalog import load_shipped
from gateway.app.management import Management
from gateway.app.parts import Tasks, build_parts
from gateway.clock import SystemClock
from gateway.secrets.sources import SecretTable
from tests.wire.running import settings_for


async def installation_key(data_dir: Path) -> bytes:
    """As a start of the process sees it."""
    settings = settings_for(None)
    settings = replace(settings, server=replace(settings.server, data_dir=data_dir))
    management = Management(settings, SystemClock(), await asyncio.to_thread(load_shipped))
    async with asyncio.TaskGroup() as group:
        parts = build_parts(settings, secrets=SecretTable([]), installation_key=b"r" * 32, tasks=Tasks(group))
        try:
            await management.open(parts)
            return parts.installation_key
        finally:
            await management.stop()
            await parts.close()


async def test_ag_120_ids_outlive_the_process(tmp_path: Path) -> None:
    first = await installation_key(tmp_path / "a")
    assert first == await installation_key(tmp_path / "a")
    assert len(first) == 32


async def test_ag_120_ids_mean_nothing_in_another_installation(tmp_path: Path) -> None:
    assert await installation_key(tmp_path / "a") != await installation_key(tmp_path / "b")


async def test_the_key_is_not_the_pepper(tmp_path: Path) -> None:
    """The ids are in logs; what they are made with opens nothing else."""
    key = await installation_key(tmp_path)
    held = [file.read_bytes() for file in await asyncio.to_thread(lambda: list(tmp_path.iterdir())) if file.is_file()]
    assert held
    assert all(key not in content for content in held)
