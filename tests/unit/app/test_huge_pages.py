"""Huge pages: which memory is moved, and that the kernel moves it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.app.huge_pages import HUGE_PAGE_BYTES, dense_ranges

MIB = 1_048_576
KERNEL = (
    tuple(int(part) for part in re.findall(r"[0-9]+", os.uname().release)[:2]) if sys.platform == "linux" else (0, 0)
)


def mapping(start: int, end: int, *, permissions: str = "rw-p", inode: int = 0, name: str = "", resident: int) -> str:
    """One of ``smaps``; ``resident`` in MiB."""
    return (
        f"{start:x}-{end:x} {permissions} 00000000 00:00 {inode}{' ' * 20 if name else ''}{name}\n"
        f"Size: {(end - start) >> 10:15} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
        f"Rss: {resident * 1_024:16} kB\nPss: {resident * 1_024:16} kB\nVmFlags: rd wr mr mw me ac sd\n"
    )


def test_the_heap_by_whole_pages() -> None:
    start = 0x7F00_0000_0000
    smaps = mapping(start, start + 8 * MIB, resident=8) + mapping(start + 9 * MIB, start + 13 * MIB, resident=3)
    assert list(dense_ranges(smaps)) == [(start, start + 8 * MIB), (start + 10 * MIB, start + 12 * MIB)]
    assert list(dense_ranges(mapping(start, start + 2 * MIB, name="[heap]", resident=2))) == [(start, start + 2 * MIB)]


@pytest.mark.parametrize(
    "other",
    [
        mapping(0, 8 * MIB, resident=1),  # a thread's stack, mostly unused
        mapping(0, 8 * MIB, name="[stack]", resident=8),
        mapping(0, 8 * MIB, permissions="r-xp", resident=8),
        mapping(0, 8 * MIB, permissions="rw-s", resident=8),
        mapping(0, 8 * MIB, inode=17, name="/usr/lib/libc.so.6", resident=8),
        mapping(MIB, 3 * MIB, resident=2),  # no whole huge page
        "",
    ],
    ids=["sparse", "stack", "code", "shared", "file", "small", "nothing"],
)
def test_what_is_left_alone(other: str) -> None:
    assert list(dense_ranges(other)) == []


@pytest.mark.skipif(
    KERNEL < (6, 1) or not Path("/sys/kernel/mm/transparent_hugepage").exists(),
    reason="needs Linux 6.1 with huge pages",
)
def test_the_kernel_moves_it() -> None:
    program = (
        "from gateway.app.huge_pages import use_huge_pages; heap = [str(n) * 3 for n in range(500_000)];"
        "print(use_huge_pages()); print(sum(map(len, heap))); print(open('/proc/self/smaps_rollup').read())"
    )
    written = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    moved, length, *rollup = written.stdout.splitlines()
    assert int(length) == 3 * sum(len(str(n)) for n in range(500_000))  # nothing was lost on the way
    assert int(moved) >= HUGE_PAGE_BYTES
    huge = next(int(line.split()[1]) for line in rollup if line.startswith("AnonHugePages:"))
    assert huge * 1_024 >= int(moved)
