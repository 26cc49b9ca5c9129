"""A running gateway with its management side: store, admin listener, and what they do to the data plane."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from gateway.ai.catalog import load_shipped
from gateway.app.management import Management
from gateway.app.masking import Masking
from gateway.app.parts import Tasks, build_parts
from gateway.app.process import Process, ProcessOptions
from gateway.app.services import build_services
from gateway.clock import SystemClock
from gateway.control.plane import ControlPlane
from gateway.demo.server import DemoProvider
from gateway.observability.logs import LogSink
from gateway.observability.mask import Masker
from gateway.problems import Problems
from gateway.secrets.sources import SecretTable
from gateway.settings.model import Settings
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, chat_body, provider_entry, until

EPOCH = "2000-01-01T00:00:00Z"


@dataclass
class ManagedGateway(RunningGateway):
    """``admin`` is a session for its management API; ``sink`` has the log filter."""

    async def _serve(self, settings: Settings, tasks: Tasks, ready: asyncio.Event) -> None:
        with tempfile.TemporaryDirectory() as folder:
            settings = replace(settings, server=replace(settings.server, data_dir=Path(folder)))
            self.settings = settings
            self.management = Management(settings, SystemClock(), await asyncio.to_thread(load_shipped))
            table = SecretTable([self.management.secrets])
            self.parts = build_parts(settings, secrets=table, installation_key=b"k" * 32, tasks=tasks)
            self.services = build_services(self.parts, settings, record=self.records.append)
            self.sink = LogSink(masker=Masker())
            masking = Masking(self.sink, table, settings)
            options = ProcessOptions(
                settings=settings,
                load=lambda: (replace(self.settings, server=settings.server), Problems("<test>")),
                record=self.records.append,
                services=self.services,
                mask=masking.configured,
                started=lambda process: ready.set(),
            )
            try:
                await self.management.open(self.parts, masking.stored)
                self.process = Process(self.parts, options)
                await self.management.start(self.process)
                tasks.start(self.management.run())
                token = (Path(folder) / "admin-token").read_text().strip()
                listen = self.management.server.listen if self.management.server is not None else ""
                self.admin = aiohttp.ClientSession(f"http://{listen}", headers={"authorization": f"Bearer {token}"})
                await self.process.run()
            finally:
                await self.admin.close()
                await self.management.stop()
                tasks.cancel()
                await self.parts.close()
                self.sink.close()

    @property
    def plane(self) -> ControlPlane:
        assert self.management.plane is not None
        return self.management.plane

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, body) of one management request."""
        async with self.admin.request(method, path, json=body) as answer:
            return answer.status, None if answer.status == 204 else await answer.json(content_type=None)

    async def made(self, path: str, body: Any) -> Any:
        """A new resource."""
        status, made = await self.call("POST", path, body)
        assert status == 201, made
        return made

    async def key(self, **members: Any) -> tuple[str, str]:
        """(id, token) of a new gateway key."""
        made = await self.made("/access-keys", members)
        return made["id"], made["token"]

    async def events(self) -> Sequence[Mapping[str, Any]]:
        """Every usage event, oldest first, once all of them are written."""
        await until(lambda: not len(self.plane.usage))
        await self.plane.store.write(lambda tx: None)  # behind the batch that was taken last
        status, page = await self.call("GET", f"/usage?startTime={EPOCH}&includeRetries=true&limit=100")
        assert status == 200, page
        return list(reversed(page["aiGatewayUsage"]))

    async def budget(self, budget_id: str) -> Any:
        return (await self.call("GET", f"/ext/budgets/{budget_id}"))[1]

    async def chat(self, token: str | None = None, model: str = "demo", **more: Any) -> tuple[int, Any]:
        """(status, body) of one chat request."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        async with (
            self.session as client,
            client.post(CHAT_PATH, data=chat_body(model, **more), headers=headers) as answer,
        ):
            return answer.status, await answer.json(content_type=None)


@asynccontextmanager
async def managed(
    *keys: str, action: Mapping[str, Any] | None = None, **entry: Any
) -> AsyncIterator[tuple[DemoProvider, ManagedGateway]]:
    """A demo provider behind an ``ai-gateway`` action with these keys.

    ``entry``: more of the provider's entry; ``action``: the action's own fields.
    """
    async with DemoProvider() as provider:
        policy = ai_policy([provider_entry(provider.base_url, *keys, **entry)], **action or {})
        async with ManagedGateway(settings_for(policy)) as gateway:
            yield provider, gateway
