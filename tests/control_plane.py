"""A control plane for tests: real store, real keys, real listener; the data plane is whoever looks at ``published``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from yarl import URL

from gateway.ai.catalog import load_shipped
from gateway.auth.tokens import ADMIN_MARK, new_token
from gateway.clock import Clock, SystemClock
from gateway.control.bootstrap import build_plane, ensure_admin_key, make_admin_key, open_installation
from gateway.control.plane import ControlPlane, EndpointInfo, Reloaded, UrlFault
from gateway.control.server import AdminServer
from gateway.control.upkeep import Upkeep
from gateway.control.urls import base_url_fault
from gateway.control.view import View
from gateway.secrets.master_key import KeySource
from gateway.settings.address import Listen
from gateway.settings.model import AdminSettings

SHIPPED = load_shipped()
ENDPOINTS = (
    EndpointInfo(id="ep_one", url="http://127.0.0.1:8080", description="first"),
    EndpointInfo(id="ep_plain", url="http://127.0.0.1:8081", ai_gateway=False),
    EndpointInfo(id="ep_two", url="http://127.0.0.1:8082", gateway_keys="required"),
)


@dataclass
class DataPlane:
    """What a data plane would do: hold the published view, answer the management side's questions."""

    catalog: Any = SHIPPED
    published: View | None = None
    views: int = 0
    events: list[Mapping[str, Any]] = field(default_factory=list)
    reloaded: Reloaded = field(default_factory=lambda: Reloaded(ok=True))
    ready: bool = True

    async def publish(self, view: View) -> None:
        assert self.published is None or view.version >= self.published.version
        self.published = view
        self.views += 1

    @property
    def view(self) -> View:
        assert self.published is not None
        return self.published

    def primary_provider(self, name: str) -> str | None:
        entry = self.catalog.provider(name)
        return None if entry is None else str(entry.id)

    def base_url_fault(self, url: str) -> UrlFault | None:
        return base_url_fault(url, (), (("127.0.0.1", 4041),))

    def endpoints(self) -> Sequence[EndpointInfo]:
        return ENDPOINTS

    def readiness(self) -> tuple[bool, Mapping[str, Any]]:
        return self.ready, {"config": "current"}

    async def metrics(self) -> bytes:
        return b"aigw_inflight 0\n"

    async def live(self) -> Mapping[str, Any]:
        return {"state": "serving"}

    async def reload(self) -> Reloaded:
        return self.reloaded

    def emit(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)


class Running:
    """A running management listener and a client with an admin key."""

    def __init__(self, plane: ControlPlane, data_plane: DataPlane, server: AdminServer, token: str) -> None:
        self.plane = plane
        self.data_plane = data_plane
        self.server = server
        self.token = token
        self.base = f"http://{server.listen}"
        self.session = aiohttp.ClientSession(headers={"authorization": f"Bearer {token}"})
        self.upkeep = Upkeep(plane, retention_s=90 * 86_400)

    async def call(self, method: str, path: str | URL, body: Any = None, **options: Any) -> Answer:
        """One request; ``body`` is sent as JSON if it is given."""
        if body is not None:
            options["json"] = body
        url = path if isinstance(path, URL) else self.base + path
        async with self.session.request(method, url, **options) as response:
            text = await response.read()
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, headers, text)

    async def get(self, path: str | URL, **options: Any) -> Answer:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.call("POST", path, body, **options)

    async def patch(self, path: str, body: Any, **options: Any) -> Answer:
        return await self.call("PATCH", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        return await self.call("DELETE", path, **options)

    async def created(self, path: str, body: Any) -> dict[str, Any]:
        """The body of a successful POST."""
        answer = await self.post(path, body)
        assert answer.status == 201, answer.text
        found: dict[str, Any] = answer.json
        return found


@dataclass
class Answer:
    """Status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    text: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.text)

    @property
    def code(self) -> str:
        """The error code without its prefix, in either style."""
        body = self.json
        return str(body.get("errorCode") or body["error_code"]).removeprefix("ERR_NGROK_")

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.code


def build(data_dir: Path, data_plane: DataPlane, clock: Clock, **source: Any) -> tuple[ControlPlane, str]:
    """Opens an installation; blocking. Gives the plane and the token of a working admin key."""
    installation = open_installation(KeySource(data_dir, **source), clock, busy_s=0.2)
    plane = build_plane(installation, clock, data_plane, data_plane)
    token = ensure_admin_key(plane, data_dir, None)
    if token is None:
        made = new_token(ADMIN_MARK)
        make_admin_key(plane, made, "test")
        token = made.text
    return plane, token


@asynccontextmanager
async def running(
    data_dir: Path, *, clock: Clock | None = None, settings: Mapping[str, Any] | None = None, **source: Any
) -> AsyncIterator[Running]:
    """A control plane over ``data_dir``, until the block ends."""
    data_plane = DataPlane()
    plane, token = await asyncio.to_thread(build, data_dir, data_plane, clock or SystemClock(), **source)
    await data_plane.publish(plane.view)
    options = {"auth_failures_per_minute": 0, **(settings or {})}
    server = AdminServer(plane, AdminSettings(listen=Listen("127.0.0.1", 0), **options))
    await server.start()
    found = Running(plane, data_plane, server, token)
    try:
        yield found
    finally:
        await found.session.close()
        await server.stop()
        await asyncio.to_thread(plane.store.close)
