"""Watching the files of the configuration (``--watch``, SV-20).

Each file's modification time, inode and size are looked at once per second, in a thread: polling works on every file
system, sees files that are replaced by renaming as editors and mounted volumes do, and costs a few microseconds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from gateway.settings.files import FileState, state_of

log = logging.getLogger("gateway")

INTERVAL_S = 1.0
#: a change is acted on once two looks in a row agree, so that a half-written file is not read
SETTLE_S = 0.1
_LOOKS_MAXIMUM = 20

Look = Mapping[Path, FileState]


async def watch_files(
    read: Callable[[], Look], reload: Callable[[], Awaitable[object]], *, interval_s: float = INTERVAL_S
) -> None:
    """Calls ``reload`` when files are not what they were when ``read`` says they were read; runs for ever."""
    while True:
        await asyncio.sleep(interval_s)
        then = read()
        now = await asyncio.to_thread(_look, then)
        changed = [path for path, state in now.items() if then[path] != state]
        if not changed:
            continue
        await _settle(now)
        log.info("%s changed: reloading", ", ".join(sorted(map(str, changed))))
        await reload()


def _look(files: Look) -> Look:
    return {path: state_of(path) for path in files}


async def _settle(now: Look) -> None:
    """Until the files are quiet; not for ever, should somebody write all the time."""
    for _ in range(_LOOKS_MAXIMUM):
        await asyncio.sleep(SETTLE_S)
        again = await asyncio.to_thread(_look, now)
        if again == now:
            return
        now = again
