"""CPU time and memory of a process and its descendants in the same session, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def session_of(leader: int) -> list[int]:
    """The process and all others of the session that it leads: a server's workers."""
    found = [leader]
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != leader:
            fields = _stat_fields(int(entry.name))
            if fields and int(fields[3]) == leader:
                found.append(int(entry.name))
    return found


def read_cpu_s(leader: int) -> float:
    """CPU seconds so far: the scheduler's nanoseconds where the kernel has them, else clock ticks of 10 ms."""
    return sum(_process_cpu_s(process) for process in session_of(leader))


def _process_cpu_s(process: int) -> float:
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    except (OSError, IndexError):
        fields = _stat_fields(process)
        return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def read_rss_kib(leader: int) -> int:
    """Resident memory of all of them."""
    total = 0
    for process in session_of(leader):
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_KIB
        except OSError:  # it ended in between
            continue
    return total


def _stat_fields(process: int) -> list[str]:
    """The fields of ``stat`` behind the name: state, parent, group, session, …"""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
