"""Is a proxy correct? Asked before its speed counts, of the gateway and of nginx and HAProxy alike.

same bytes      sixty requests on one connection give what the upstream gives without a proxy
pipelining      three requests in one write are answered in order
promptness      an event arrives when it was sent, not when the next one is
backpressure    a client that does not read costs no memory, and gets everything later
client gone     the upstream is told at once
upstream cut    a broken stream is not ended cleanly as if it were whole
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from loadtest.bench.load import render_request
from loadtest.processes import Process

_MASK = re.compile(rb"@[0-9]{19}@")
_PROMPT_MS = 60
_PATIENCE_S = 30.0
_MAX_GROWTH_KIB = 16 * 1024
_MAX_LATE_MS = 40.0


def plain() -> bytes:
    """A request whose answer is JSON."""
    return render_request(stream=False, events=1, delay_ms=0)


def stream(events: int, *, delay_ms: float = 0, pad: int = 0, cut: int = 0) -> bytes:
    """A request whose answer is a stream."""
    return render_request(stream=True, events=events, delay_ms=delay_ms, pad=pad, cut=cut)


@dataclass
class Answer:
    """Status and body, and when each chunk arrived."""

    status: int = 0
    body: bytes = b""
    times_s: list[float] = field(default_factory=list)


class Line:
    """One connection to the proxy or to the mock."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    async def ask(self, request: bytes) -> Answer:
        self.writer.write(request)
        return await self.read()

    async def read(self) -> Answer:
        """One answer of known length or in chunks; raises if it is cut."""
        answer = Answer()
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        answer.status = int(head[9:12])
        length = re.search(rb"content-length: *([0-9]+)", head)
        if length:
            answer.body = await self.reader.readexactly(int(length[1]))
            return answer
        pieces: list[bytes] = []
        while True:
            size = int(await self.reader.readline(), 16)
            piece = (await self.reader.readexactly(size + 2))[:-2]
            if not size:
                answer.body = b"".join(pieces)
                return answer
            answer.times_s.append(time.perf_counter())
            pieces.append(piece)

    def leave(self) -> None:
        self.writer.transport.abort()


class Checks:
    """All checks of one target."""

    def __init__(self, port: int, upstream: int, process: Process) -> None:
        self._port = port
        self._upstream = upstream
        self._process = process

    async def same_bytes(self) -> str:
        """An empty string, or what is wrong."""
        line, direct = await Line.open(self._port), await Line.open(self._upstream)
        kinds = [plain(), stream(7), stream(50, pad=3_000), plain(), stream(1)]
        for number in range(60):
            request = kinds[number % len(kinds)]
            seen, due = await line.ask(request), await direct.ask(request)
            if (seen.status, _MASK.sub(b"", seen.body)) != (due.status, _MASK.sub(b"", due.body)):
                return f"answer {number + 1} differs: status {seen.status}, {len(seen.body)} of {len(due.body)} bytes"
        line.leave()
        direct.leave()
        return ""

    async def pipelining(self) -> str:
        line = await Line.open(self._port)
        line.writer.write(plain() + stream(3) + plain())
        answers = [await line.read() for _ in range(3)]
        line.leave()
        kinds = [b"DONE" in a.body for a in answers]
        return "" if [a.status for a in answers] == [200] * 3 and kinds == [False, True, False] else f"got {kinds}"

    async def promptness(self) -> str:
        line = await Line.open(self._port)
        await line.ask(plain())
        began = time.perf_counter()
        answer = await line.ask(stream(6, delay_ms=_PROMPT_MS))
        line.leave()
        due = [began + _PROMPT_MS / 1_000 * number for number in range(7)]
        late_ms = max(abs(seen - at) * 1_000 for seen, at in zip(answer.times_s, due, strict=False))
        return "" if late_ms < _MAX_LATE_MS else f"{late_ms:.0f} ms late"

    async def backpressure(self) -> str:
        line = await Line.open(self._port)
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        before = self._process.rss_kib()
        line.writer.write(stream(4_000, pad=50_000))
        await asyncio.sleep(1.5)
        grown = self._process.rss_kib() - before
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answer = await line.read()
        line.leave()
        if answer.body.count(b"@ tok") != 4_000 or not answer.body.endswith(b"data: [DONE]\n\n"):
            return "the stream is not whole"
        return "" if grown < _MAX_GROWTH_KIB else f"grew by {grown} KiB"

    async def client_gone(self) -> str:
        before = await self._aborted()
        line = await Line.open(self._port)
        line.writer.write(stream(2_000, delay_ms=20))
        await line.reader.readuntil(b"\r\n\r\n")
        line.leave()
        for _ in range(100):
            await asyncio.sleep(0.01)
            if await self._aborted() > before:
                return ""
        return "the upstream still sends after 1 s"

    async def upstream_cut(self) -> str:
        line = await Line.open(self._port)
        line.writer.write(stream(50, delay_ms=2, cut=10))
        try:
            answer = await line.read()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return ""
        finally:
            line.leave()
        # A gateway may say in the caller's dialect that the stream broke; it may not say that it is whole.
        return "" if b"[DONE]" not in answer.body and b'"error"' in answer.body else "looks like a whole stream"

    async def still_serves(self) -> str:
        line = await Line.open(self._port)
        answer = await line.ask(plain())
        line.leave()
        return "" if answer.status == 200 else f"status {answer.status}"

    async def _aborted(self) -> int:
        line = await Line.open(self._upstream)
        answer = await line.ask(b"GET /stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        line.leave()
        return int(json.loads(answer.body)["aborted"])

    async def all(self) -> dict[str, str]:
        """Check → what is wrong ('' where nothing is)."""
        named: dict[str, Callable[[], Awaitable[str]]] = {
            "same bytes": self.same_bytes, "pipelining": self.pipelining, "promptness": self.promptness,
            "backpressure": self.backpressure, "client gone": self.client_gone, "upstream cut": self.upstream_cut,
            "still serves": self.still_serves,
        }  # fmt: skip
        found = {}
        for name, check in named.items():
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    found[name] = await check()
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError) as failed:
                found[name] = f"{type(failed).__name__}: {failed}"
        return found


def run_checks(targets: Sequence[tuple[str, int, Process]], upstream: int) -> int:
    """Prints a line per check; exit status 1 if any failed."""
    failed = 0
    for name, port, process in targets:
        for check, wrong in asyncio.run(Checks(port, upstream, process).all()).items():
            print(f"{name:14} {check:14} {wrong or 'ok'}")
            failed += bool(wrong)
    return 1 if failed else 0
