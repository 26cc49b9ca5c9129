"""One process per data directory (CP-89)."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from gateway.store.lock import LOCK_FILE, DirectoryInUseError, DirectoryLock

HOLDER = """
import pathlib, sys, time
from gateway.store.lock import DirectoryLock
lock = DirectoryLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_is_exclusive_until_it_is_released(tmp_path):
    lock = DirectoryLock(tmp_path / "state")
    with pytest.raises(DirectoryInUseError, match="state"):
        DirectoryLock(tmp_path / "state")
    lock.release()
    DirectoryLock(tmp_path / "state").release()
    assert (tmp_path / "state" / LOCK_FILE).stat().st_mode & 0o777 == 0o600


def test_a_process_that_is_killed_leaves_no_lock_behind(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DirectoryInUseError):
            DirectoryLock(tmp_path)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=20)
    DirectoryLock(tmp_path).release()
