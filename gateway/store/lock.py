"""One process per data directory: a lock that the kernel drops with its holder, whatever ends it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

LOCK_FILE: Final = "gateway.lock"


class DirectoryInUseError(Exception):
    """Another process serves from this data directory."""


class DirectoryLock:
    """Held from construction to ``release``."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = data_dir / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise DirectoryInUseError(f"a running gateway uses {data_dir}") from None

    def release(self) -> None:
        os.close(self._descriptor)
