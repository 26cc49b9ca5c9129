"""The state of configuration files, so that ``--watch`` can tell one content from another (SV-20)."""

from __future__ import annotations

from pathlib import Path

#: modification time in ns, inode, size, links followed; None: there is no such file
FileState = tuple[int, int, int] | None


def state_of(path: Path) -> FileState:
    """Blocks on the disk. Taken before a file is read, so that no change in between is missed."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
