"""Watching configuration files: what counts as a change (SV-20)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.app.watch import watch_files
from gateway.settings.files import FileState, state_of

INTERVAL_S = 0.01


class Reloads:
    """Counts, and lets a test wait for the next."""

    def __init__(self, files: dict[Path, FileState]) -> None:
        self.count = 0
        self.files = files
        self._next = asyncio.Event()

    async def reload(self) -> None:
        self.files.update(await asyncio.to_thread(read, *self.files))
        self.count += 1
        self._next.set()

    async def another(self) -> int:
        async with asyncio.timeout(10):
            await self._next.wait()
        self._next.clear()
        return self.count


@asynccontextmanager
async def watching(files: dict[Path, FileState]) -> AsyncIterator[Reloads]:
    """The watch over files as they were read; a reload reads those that are there."""
    reloads = Reloads(files)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch_files(lambda: files, reloads.reload, interval_s=INTERVAL_S))
        yield reloads
        task.cancel()


def read(*paths: Path) -> dict[Path, FileState]:
    return {path: state_of(path) for path in paths}


async def state(path: Path) -> dict[Path, FileState]:
    return await asyncio.to_thread(read, path)


def replace(path: Path, text: str) -> None:
    """As editors do: a new file under the old name, of the same age and size."""
    before = path.stat()
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.utime(fresh, ns=(before.st_atime_ns, before.st_mtime_ns))
    fresh.replace(path)


def relink(link: Path, target: Path) -> None:
    link.unlink()
    link.symlink_to(target)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text("one")
    return path


async def test_sv_20_a_write_is_seen_and_a_look_alone_is_none(policy: Path) -> None:
    async with watching(await state(policy)) as reloads:
        await asyncio.sleep(10 * INTERVAL_S)
        assert reloads.count == 0
        await asyncio.to_thread(policy.write_text, "two, longer")
        assert await reloads.another() == 1
        await asyncio.to_thread(policy.write_text, "three, longer still")
        assert await reloads.another() == 2


async def test_sv_20_a_file_of_the_same_time_and_size_under_the_same_name_is_seen(policy: Path) -> None:
    async with watching(await state(policy)) as reloads:
        await asyncio.to_thread(replace, policy, "two")
        assert await reloads.another() == 1


async def test_sv_20_a_link_that_leads_elsewhere_is_seen(tmp_path: Path, policy: Path) -> None:
    """Mounted configuration volumes change so."""
    other, link = tmp_path / "other.yaml", tmp_path / "link.yaml"
    await asyncio.to_thread(other.write_text, "one")
    await asyncio.to_thread(link.symlink_to, policy)
    async with watching(await state(link)) as reloads:
        await asyncio.to_thread(relink, link, other)
        assert await reloads.another() == 1


async def test_sv_20_a_file_that_goes_and_comes_back_is_seen(policy: Path) -> None:
    async with watching(await state(policy)) as reloads:
        await asyncio.to_thread(policy.unlink)
        assert await reloads.another() == 1
        await asyncio.to_thread(policy.write_text, "one")
        assert await reloads.another() == 2


async def test_sv_20_files_of_a_new_configuration_are_watched_from_then_on(tmp_path: Path, policy: Path) -> None:
    second = tmp_path / "second.yaml"
    files = await state(policy)
    async with watching(files) as reloads:
        await asyncio.to_thread(second.write_text, "one")
        files.update(await state(second))
        await asyncio.sleep(10 * INTERVAL_S)
        assert reloads.count == 0
        await asyncio.to_thread(second.write_text, "two, longer")
        assert await reloads.another() == 1


async def test_sv_20_a_change_between_reading_and_the_first_look_is_seen(policy: Path) -> None:
    files = await state(policy)
    await asyncio.to_thread(policy.write_text, "two, longer")
    async with watching(files) as reloads:
        assert await reloads.another() == 1
