"""Watching a running program: ``/metrics``, the live document, ``gateway top`` and alerts at a destination."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from gateway.demo.server import DemoProvider
from tests.e2e.serving_process import PATIENCE_S, ServingProcess, environment, serving

FAST: Any = {"model": "demo-fast", "messages": [{"role": "user", "content": "Hello"}]}


def configuration(folder: Path, provider: DemoProvider, *keys: str, **more: Any) -> str:
    """A configuration file of one endpoint in front of the provider."""
    action = {
        "providers": [
            {
                "id": "demo",
                "base_url": provider.base_url,
                "api_keys": [{"value": key} for key in keys],
                "models": [{"id": "demo-fast", "pricing": {"text": {"input": "1000", "output": "1000"}}}],
            }
        ]
    }
    policy = {"on_http_request": [{"type": "ai-gateway", "config": action}]}
    endpoint = {"name": "default", "listen": "127.0.0.1:0", "traffic_policy": policy}
    file = folder / "gateway.json"
    file.write_text(json.dumps({"endpoints": [endpoint], **more}))
    return str(file)


async def admin_of(process: ServingProcess, folder: Path) -> tuple[str, str]:
    """(URL, token) of the management listener."""
    address = (await process.line(r"management listens on ([\d.:]+)"))[1]
    return f"http://{address}", (folder / "data" / "admin-token").read_text().strip()


@asynccontextmanager
async def watched(folder: Path, *keys: str, **more: Any) -> AsyncIterator[tuple[ServingProcess, str, str, str]]:
    """(process, its URL, management URL, admin token)."""
    async with (
        DemoProvider() as provider,
        serving(folder, "--config", configuration(folder, provider, *keys, **more)) as process,
    ):
        url = await process.url()
        yield process, url, *(await admin_of(process, folder))


async def ask(url: str, times: int) -> None:
    async with aiohttp.ClientSession(url) as session:
        for _ in range(times):
            async with session.post("/v1/chat/completions", json=FAST) as answer:
                assert answer.status == 200
                await answer.read()


async def top(*arguments: str) -> tuple[int, str, str]:
    """(exit status, standard output, standard error) of ``gateway top`` into a pipe."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "top", *arguments, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(),
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_ag_331_metrics_and_the_live_document_want_the_admin_key(tmp_path: Path):
    async with watched(tmp_path, "demo-key") as (_, url, admin_url, token):
        await ask(url, 3)
        bearer = {"authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(admin_url) as nobody,
            aiohttp.ClientSession(admin_url, headers=bearer) as admin,
        ):
            for path in ("/metrics", "/ext/live"):
                async with nobody.get(path) as answer:
                    assert answer.status == 401
            async with admin.get("/metrics") as answer:
                assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
                families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
            async with admin.get("/ext/live") as answer:
                live = await answer.json()
    (row,) = families["aigw_requests"].samples
    assert (row.labels["surface"], row.labels["status"], row.value) == ("chat-completions", "200", 3.0)
    (cost,) = families["aigw_cost_usd"].samples
    assert cost.labels == {"provider": "demo", "model": "demo-fast"}
    assert cost.value > 0
    assert (live["state"], live["requests"]["total"], live["requests"]["failed"]) == ("serving", 3, 0)
    assert live["live"] == []
    assert live["keys"][0]["attempts"] == live["models"][0]["attempts"] == 3
    assert live["keys"][0]["quota"]["tokens"] == {"remaining": 1_999_000, "limit": 2_000_000}
    assert "demo-key" not in json.dumps(live)


async def test_top_prints_once_into_a_pipe(tmp_path: Path):
    async with watched(tmp_path, "demo-key-429", "demo-key") as (_, url, admin_url, _token):
        await ask(url, 2)
        async with aiohttp.ClientSession(url) as session:
            request = {**FAST, "model": "demo:demo-slow", "stream": True}
            async with session.post("/v1/chat/completions", json=request) as answer:
                await answer.content.readany()
                status, shown, said = await top("--once", "--api-url", admin_url, "--data-dir", str(tmp_path / "data"))
    assert (status, said) == (0, "")
    assert "1 in flight, 1 streams, 1 connections   2 requests, 0 failed" in re.sub(
        r"\d connections", "1 connections", shown
    )
    assert re.search(r"demo +kh_[0-9a-f]{16} +2 +100\.0 % +100\.0 %", shown)
    assert re.search(r"██████████ 1999000/2000000", shown)
    assert re.search(r"streaming +default +POST /v1/chat/completions +demo-slow +demo +kh_", shown)
    assert "\x1b" not in shown
    assert "demo-key" not in shown


async def test_top_says_what_is_wrong(tmp_path: Path):
    async with watched(tmp_path, "demo-key") as (_, _url, admin_url, token):
        wrong = token[:-4] + "AAAA"
        assert (await top("--once", "--api-url", admin_url, "--api-key", wrong))[0] == 4
        status, _, said = await top("--once", "--api-url", admin_url, "--data-dir", str(tmp_path))
        assert (status, "no API key" in said) == (2, True)
    status, shown, said = await top("--once", "--api-url", admin_url, "--api-key", token)
    assert (status, shown) == (3, "")
    assert said.startswith("gateway: cannot reach")
    assert (await top("--interval", "0"))[0] == 2


async def test_top_renews_itself_on_a_terminal(tmp_path: Path):
    async with watched(tmp_path, "demo-key") as (_, url, admin_url, token):
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "top", "--interval", "0.2", "--api-url", admin_url, "--api-key", token,
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment(TERM="xterm", COLUMNS="150", LINES="30"),
        )  # fmt: skip
        os.close(theirs)
        seen = bytearray()
        asyncio.get_running_loop().add_reader(ours, lambda: seen.extend(_read(ours)))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await _until(lambda: b"0 requests, 0 failed" in seen)
                await ask(url, 2)
                await _until(lambda: b"2 requests, 0 failed" in seen)
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 0
        finally:
            asyncio.get_running_loop().remove_reader(ours)
            os.close(ours)
            if process.returncode is None:
                process.kill()
    assert b"requests/s" in seen


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # the other side has closed
        return b""


async def _until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 - a terminal's text has no event
        await asyncio.sleep(0.02)


async def test_ag_332_a_rate_limited_key_is_told_of_once(tmp_path: Path):
    events: list[Any] = []
    asked: list[None] = []
    told = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        asked.append(None)
        if len(asked) == 1:
            return web.Response(status=503)
        events.append(await request.json())
        told.set()
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/hook", take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    more = {"events": {"destinations": [{"url": hook}]}, "ai": {"key_cooldown": False}}
    try:
        async with watched(tmp_path, "demo-key-429", "demo-key", **more) as (process, url, _, _token):
            await ask(url, 6)
            async with asyncio.timeout(PATIENCE_S):
                await told.wait()
            await process.line("event ai_gateway_key_rate_limited.v0")
            await ask(url, 3)
            await asyncio.sleep(1.5)  # longer than a turn: a second event would have come
    finally:
        await runner.cleanup()
    (event,) = events
    assert event["event_type"] == "ai_gateway_key_rate_limited.v0"
    assert event["event_id"].startswith("ev_")
    shown = event["object"]
    assert (shown["provider"], shown["rate"], shown["windowSeconds"]) == ("demo", 1.0, 300)
    assert 5 <= shown["count"] <= 6
    assert re.fullmatch(r"kh_[0-9a-f]{16}", shown["keyId"])
    assert "demo-key" not in process.text.replace("demo-key in", "")
