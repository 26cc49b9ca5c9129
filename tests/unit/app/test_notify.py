"""What the service manager is told (SV-22): one datagram a message, and no failure that reaches the gateway."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.app.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as the manager has it, and its name as ``NOTIFY_SOCKET`` says it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@gateway-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1) if request.param == "abstract" else name)
        sock.settimeout(5)
        yield sock, name


def _received(sock: socket.socket) -> list[str]:
    return sock.recv(4_096).decode().split("\n")


def test_messages(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    notifier = Notifier(name)
    notifier.ready("serving 2 endpoints")
    assert _received(sock) == ["READY=1", f"MAINPID={os.getpid()}", "STATUS=serving 2 endpoints"]
    notifier.reloading()
    first, second, _ = _received(sock)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    notifier.stopping()
    assert _received(sock)[0] == "STOPPING=1"
    notifier.alive()
    assert _received(sock) == ["WATCHDOG=1"]


def test_nobody_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Notifier(None).ready("serving")
    assert caplog.records == []


def test_a_manager_that_left_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier(str(tmp_path / "gone")).alive()
    assert "WATCHDOG=1" in caplog.text
