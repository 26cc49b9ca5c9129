"""``python -m gateway serve`` as a process of its own: started, read, signalled and ended."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.settings.environment import read_environment

PATIENCE_S = 15.0
#: runs the command behind it with a listening socket as descriptor 3, as the service manager does (sd_listen_fds(3))
_LAUNCHER = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
_LISTENING = re.compile(r"listening on (\S+) \(endpoint (\S+)\)")


class ServingProcess:
    """One running gateway. ``lines``: what it wrote to standard error."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._changed = asyncio.Condition()
        self._ended = False
        self.lines: list[str] = []

    async def read(self) -> None:
        """Collects standard error until it ends."""
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            async with self._changed:
                self.lines.append(line.decode().rstrip())
                self._changed.notify_all()
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def line(self, pattern: str, after: int = 0) -> re.Match[str]:
        """The first line from ``after`` on that matches, once it is there; fails if the process ends without one."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines[after:] if (match := re.search(pattern, line))), None)

        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: found() or self._ended)
            match = found()
        assert match is not None, f"no {pattern!r} in:\n" + "\n".join(self.lines)
        return match

    async def url(self) -> str:
        """Where it listens, once it does."""
        return (await self.line(_LISTENING.pattern))[1]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def exit_code(self) -> int:
        """Once it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._process.wait()

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def kill(self) -> None:
        if self.running:
            self._process.kill()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def environment(**more: str) -> dict[str, str]:
    """Nothing of the caller's but what Python needs."""
    ours = read_environment()
    kept = {name: value for name in ("PATH", "HOME", "LANG") if (value := ours.get(name)) is not None}
    return {**kept, **more}


@asynccontextmanager
async def serving(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, inherit: socket.socket | None = None
) -> AsyncIterator[ServingProcess]:
    """``gateway serve`` with these arguments; killed at the end if it still runs. ``inherit``: its descriptor 3."""
    command = [
        "-m",
        "gateway",
        "serve",
        "--data-dir",
        str(folder / "data"),
        "--admin-listen",
        "127.0.0.1:0",
        *arguments,
    ]
    descriptors: Sequence[int] = ()
    if inherit is not None:
        descriptors = (inherit.fileno(),)
        command = ["-c", _LAUNCHER, str(inherit.fileno()), *command]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE, env=environment(**env or {}), pass_fds=descriptors,
    )  # fmt: skip
    served = ServingProcess(process)
    async with asyncio.TaskGroup() as group:
        group.create_task(served.read())
        try:
            yield served
        finally:
            served.kill()
            await process.wait()


async def run(*arguments: str) -> tuple[int, str]:
    """(exit code, everything written) of a command that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *arguments, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment(),
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        written, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, written.decode()
