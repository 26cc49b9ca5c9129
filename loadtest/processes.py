"""Starting and ending what is measured, and reading what it used. Processes are ended by their id, never by name."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class NotReadyError(RuntimeError):
    """A process ended, or did not listen in time."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One started program, alone in its session, perhaps bound to one CPU."""

    def __init__(
        self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None, cpu: int | None = None
    ) -> None:
        self._log: IO[bytes] = log.open("wb")
        self._log_path = log
        self._process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, start_new_session=True,
            env={**os.environ, **(environment or {})},
        )  # fmt: skip
        self.pid = self._process.pid
        if cpu is not None:
            os.sched_setaffinity(self.pid, {cpu})

    def wait_for_port(self, port: int, seconds: float = 20.0) -> None:
        """Until it answers HTTP on 127.0.0.1."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if self._process.poll() is not None:
                raise NotReadyError(f"ended with status {self._process.returncode}: {self.log_tail()}")
            try:
                with socket.create_connection(("127.0.0.1", port), 1.0) as probe:
                    probe.sendall(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    if probe.recv(16).startswith(b"HTTP/1."):
                        return
            except OSError:
                pass
            time.sleep(0.1)
        raise NotReadyError(f"does not answer on port {port}: {self.log_tail()}")

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self._log_path.read_bytes()[-1_500:].decode(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self, seconds: float = 10.0) -> int:
        """SIGTERM, and after a while SIGKILL; its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()
        return self._process.returncode

    def cpu_s(self) -> float:
        """CPU time of all its threads so far: nanoseconds where the kernel counts them, else clock ticks."""
        total = 0.0
        try:
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                total += int((thread / "schedstat").read_text().split()[0]) / 1e9
        except (OSError, IndexError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS
        return total

    def rss_kib(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_KIB

    def peak_rss_kib(self) -> int:
        """Resident memory at its largest."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        return 0
