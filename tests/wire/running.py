"""A whole gateway inside the test's event loop: real sockets on both sides, its inside open to assertions."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from gateway.ai.inbound import parse_head
from gateway.ai.key_metrics import MetricsRegistry
from gateway.app.parts import Parts, Tasks, build_parts
from gateway.app.process import Process, ProcessOptions
from gateway.app.services import build_services
from gateway.clock import Clock
from gateway.demo.tls import SelfSigned
from gateway.exchange import Exchange
from gateway.problems import Problems
from gateway.secrets.sources import MemorySource, SecretTable
from gateway.settings.environment import Environment
from gateway.settings.load import load_settings
from gateway.settings.model import PolicySource, Settings
from gateway.upstream.session import SessionTransport


def settings_for(policy: str | None, **ai: Any) -> Settings:
    """Settings of one endpoint with this policy text; ``ai`` replaces settings of AG appendix A."""
    flags = {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"}
    settings, problems = load_settings(flags, Environment({}))
    assert settings is not None, list(problems)
    source = PolicySource(file="policy.yaml", text=policy) if policy is not None else None
    endpoints = tuple(replace(endpoint, policy=source) for endpoint in settings.endpoints)
    return replace(settings, endpoints=endpoints, ai=replace(settings.ai, **{"drain_timeout_s": 2.0, **ai}))


def ai_policy(providers: Sequence[Mapping[str, Any]], before: str = "", **config: Any) -> str:
    """A policy whose last rule is an ``ai-gateway`` action over these providers."""
    action = {"type": "ai-gateway", "config": {"providers": list(providers), **config}}
    rules = f"{before.rstrip()}\n" if before else ""
    return f"on_http_request:\n{rules}  - {json.dumps(action)}\n"


@dataclass
class RunningGateway:
    """``async with RunningGateway(settings) as gateway: …``"""

    #: a test assigns others and calls ``process.reload``
    settings: Settings
    secrets: Mapping[tuple[str, str], str] = field(default_factory=dict)
    #: certificate of the upstream, which the gateway shall trust
    trust: SelfSigned | None = None
    #: every attempt goes by ClientSession instead of the pool
    use_session: bool = False
    #: what policies and metrics take for the time; pools and timers go by the machine's
    clock: Clock | None = None
    records: list[Exchange] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._runner = loop.create_task(self._run(ready))  # ends in __aexit__
        waiting = loop.create_task(ready.wait())
        await asyncio.wait((self._runner, waiting), return_when=asyncio.FIRST_COMPLETED)
        if self._runner.done():
            waiting.cancel()
            await self._runner
        self.address = self.process.listeners[0].address
        self.url = self.address.url()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop()
        await self._runner

    async def _run(self, ready: asyncio.Event) -> None:
        settings = self.settings
        with tempfile.TemporaryDirectory() as folder:
            if self.trust is not None:
                authority = (await asyncio.to_thread(self.trust.write, Path(folder)))[0]
                settings = replace(settings, ai=replace(settings.ai, ca_file=authority))
            self.settings = settings
            async with asyncio.TaskGroup() as group:
                await self._serve(settings, Tasks(group), ready)

    async def _serve(self, settings: Settings, tasks: Tasks, ready: asyncio.Event) -> None:
        table = SecretTable([MemorySource(self.secrets)])
        self.parts: Parts = build_parts(settings, secrets=table, installation_key=b"k" * 32, tasks=tasks)
        # loaded when first needed, in a thread: here records shall be there when their answer is
        self.parts.estimator.prepare(("o200k_base",))
        if self.clock is not None:
            self.parts.clock = self.clock
            self.parts.metrics = MetricsRegistry(self.clock)
        if self.use_session:
            self.parts.transport = SessionTransport(self.parts.session, tasks.spawn, parse_head, lambda origin: None)
        self.services = build_services(self.parts, settings, record=self.records.append)
        options = ProcessOptions(
            settings=settings,
            load=lambda: (self.settings, Problems("<test>")),
            record=self.records.append,
            services=self.services,
            started=lambda process: ready.set(),
        )
        self.process = Process(self.parts, options)
        try:
            await self.process.run()
        finally:
            tasks.cancel()
            await self.parts.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """A client session for this gateway; the caller closes it."""
        return aiohttp.ClientSession(self.url, auto_decompress=False)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, decoded body) of one HTTP/1.1 answer; asserts valid framing."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    if "content-length" in headers:
        return status, headers, await reader.readexactly(int(headers["content-length"]))
    if headers.get("transfer-encoding") != "chunked":
        return status, headers, await reader.read()
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readline() == b"\r\n"
    return status, headers, body


def request_bytes(
    path: str, body: bytes | Mapping[str, Any] | None = None, method: str = "POST", **headers: str
) -> bytes:
    """One HTTP/1.1 request; ``_`` in header names stands for ``-``."""
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: gateway.test", f"content-length: {len(payload)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + payload
