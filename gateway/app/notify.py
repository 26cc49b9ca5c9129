"""What the service manager is told: READY, RELOADING, STOPPING, STATUS, WATCHDOG (SV-22, sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket
import time

log = logging.getLogger(__name__)


class Notifier:
    """Sends datagrams to ``NOTIFY_SOCKET``; without one it does nothing."""

    def __init__(self, path: str | None) -> None:
        self._path = "\0" + path[1:] if path is not None and path.startswith("@") else path

    def send(self, *assignments: str) -> None:
        """``send("READY=1", "STATUS=serving")``. Failures are logged, never raised."""
        if self._path is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.sendto("\n".join(assignments).encode(), self._path)
        except OSError as error:
            log.warning("the service manager could not be told %s: %s", assignments[0], error.strerror)

    def ready(self, status: str) -> None:
        self.send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """``Type=notify-reload`` wants the monotonic time beside it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def stopping(self) -> None:
        self.send("STOPPING=1", "STATUS=finishing requests")

    def alive(self) -> None:
        self.send("WATCHDOG=1")
