"""A client that sees what is on the wire: framing, order, and how a body ended."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.server import DemoProvider

PATIENCE_S = 10.0
MESSAGES = [{"role": "user", "content": "Hello"}]


@dataclass
class Seen:
    """One answer. ``ended``: complete, eof (before the end), reset, or not-http."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: str = ""
    raw: bytes = b""
    chunks: list[bytes] = field(default_factory=list)

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[bytes]:
        """The blocks between blank lines, comments included."""
        return [block for block in re.split(rb"\r?\n\r?\n", self.body) if block]

    def objects(self) -> list[Any]:
        """The JSON payloads of ``data:`` lines; a payload that is not JSON is None."""
        found = []
        for line in self.body.split(b"\n"):
            if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                try:
                    found.append(json.loads(line[6:]))
                except ValueError:
                    found.append(None)
        return found

    def text(self) -> str:
        """The content of a chat stream."""
        choices = (choice for event in self.objects() for choice in (event or {}).get("choices", ()))
        return "".join(choice.get("delta", {}).get("content") or "" for choice in choices)


def render(path: str, body: object, headers: Mapping[str, str], method: str = "POST") -> bytes:
    """A request with ``content-length``."""
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: demo", "content-type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + f"\r\ncontent-length: {len(payload)}\r\n\r\n").encode() + payload


async def eventually(condition: Callable[[], bool]) -> None:
    """Until the other side has noticed; fails after a while."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(PATIENCE_S / 2_000)
    raise AssertionError("it never came true")


class RawClient:
    """One connection. ``ask`` sends and reads one answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, path: str, body: object, *, key: str = "demo-key", method: str = "POST", **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            named = {"authorization": f"Bearer {key}", **named}
        self.writer.write(render(path, body, named, method))

    async def ask(self, path: str, body: object, **options: str) -> Seen:
        self.send(path, body, **options)
        return await self.read()

    async def chat(self, model: str, *, stream: bool = True, key: str = "demo-key", **members: object) -> Seen:
        """A chat completion."""
        body = {"model": model, "messages": MESSAGES, "stream": stream, **members}
        return await self.ask("/v1/chat/completions", body, key=key)

    async def read(self, *, stalled_after_s: float = 0.0) -> Seen:
        """One answer; with ``stalled_after_s`` silence for so long ends it as ``stalled``."""
        seen = Seen()
        try:
            async with asyncio.timeout(stalled_after_s or PATIENCE_S):
                await self._read_head(seen)
                await self._read_body(seen)
            seen.ended = seen.ended or "complete"
        except asyncio.IncompleteReadError as cut:
            seen.raw += cut.partial
            seen.ended = "eof"
        except ConnectionResetError:
            seen.ended = "reset"
        except ValueError:
            seen.ended = "not-http"
        except TimeoutError:
            if not stalled_after_s:
                raise
            seen.ended = "stalled"
        seen.body = b"".join(seen.chunks)
        return seen

    async def _read_head(self, seen: Seen) -> None:
        head = await self.reader.readuntil(b"\r\n\r\n")
        seen.raw += head
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        if not first.startswith("HTTP/1.1 "):
            raise ValueError(first)
        if first.startswith("HTTP/1.1 1"):
            await self._read_head(seen)
            return
        seen.status = int(first.split()[1])
        for line in lines:
            name, _, value = line.partition(":")
            seen.headers[name.lower()] = value.strip()

    async def _read_body(self, seen: Seen) -> None:
        if "content-length" in seen.headers:
            left = int(seen.headers["content-length"])
            while left:
                piece = await self.reader.read(left)
                if not piece:
                    raise asyncio.IncompleteReadError(b"", left)
                seen.chunks.append(piece)
                left -= len(piece)
        elif seen.headers.get("transfer-encoding") == "chunked":
            while True:
                line = await self.reader.readuntil(b"\r\n")
                size = int(line, 16)
                payload = (await self.reader.readexactly(size + 2))[:-2]
                if not size:
                    return
                seen.chunks.append(payload)
        else:
            seen.chunks.append(await self.reader.read())
            seen.ended = "closed"


@asynccontextmanager
async def connected(provider: DemoProvider, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawClient]:
    """A fresh connection to the provider."""
    reader, writer = await asyncio.open_connection("127.0.0.1", provider.port, ssl=tls, limit=1 << 20)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


async def chat(
    provider: DemoProvider, model: str, *, stream: bool = True, key: str = "demo-key", **members: object
) -> Seen:
    """One chat completion on a connection of its own."""
    async with connected(provider) as client:
        return await client.chat(model, stream=stream, key=key, **members)
