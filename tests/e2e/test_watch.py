"""``gateway serve --watch`` as a process (SV-20)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.serving_process import PATIENCE_S, ServingProcess, serving

ANY = "127.0.0.1:0"
#: two mistakes, so that both have to be named
BAD = """\
on_http_request:
  - actions:
      - type: custom-response
        config: {status_code: 42}
      - type: no-such-action
"""


def reply(text: str) -> str:
    return f"on_http_request:\n  - actions:\n      - type: custom-response\n        config: {{body: '{text}'}}\n"


def replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


async def get(url: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        return await answer.text()


async def answers(url: str, text: str) -> None:
    """Once the answer is this one."""
    async with asyncio.timeout(PATIENCE_S):
        while await get(url) != text:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def readiness(gateway: ServingProcess) -> dict[str, Any]:
    admin = (await gateway.line(r"management listens on ([\d.:]+)"))[1]
    found: dict[str, Any] = json.loads(await get(f"http://{admin}/readyz"))
    return found


async def test_sv_20_a_policy_file_is_reloaded_when_it_changes(tmp_path: Path) -> None:
    """A good one is taken; a bad one keeps the old one, every problem is logged, and readiness says stale."""
    policy = tmp_path / "policy.yaml"
    await asyncio.to_thread(policy.write_text, reply("first"))
    async with serving(tmp_path, "--policy", str(policy), "--listen", ANY, "--watch") as gateway:
        url = await gateway.url()
        assert await get(url) == "first"
        await asyncio.to_thread(replace, policy, reply("second"))
        await answers(url, "second")
        at = len(gateway.lines)
        await asyncio.to_thread(policy.write_text, BAD)
        await gateway.line("reload failed", at)
        await gateway.line(r"policy\.yaml:4:\d+: error .*status", at)
        await gateway.line(r"policy\.yaml:5:\d+: error .*unknown action type", at)
        assert await get(url) == "second"
        assert (await readiness(gateway))["config"] == "stale"
        await asyncio.to_thread(policy.unlink)
        await gateway.line("No such file", at)
        assert await get(url) == "second"
        await asyncio.to_thread(policy.write_text, reply("third"))
        await answers(url, "third")
        assert (await readiness(gateway))["config"] == "current"


async def test_sv_20_the_configuration_and_the_policies_it_names_are_watched(tmp_path: Path) -> None:
    """Also a policy that a refused configuration names: mending it is enough."""
    config, first, second = (tmp_path / name for name in ("gateway.json", "first.yaml", "second.yaml"))

    def named(policy: Path) -> str:
        return json.dumps({"endpoints": [{"name": "e", "listen": ANY, "traffic_policy_file": str(policy)}]})

    await asyncio.to_thread(first.write_text, reply("first"))
    await asyncio.to_thread(config.write_text, named(first))
    async with serving(tmp_path, "--config", str(config), env={"GATEWAY_WATCH": "true"}) as gateway:
        url = await gateway.url()
        assert await get(url) == "first"
        await asyncio.to_thread(config.write_text, named(second))
        await gateway.line("reload failed")
        assert await get(url) == "first"
        await asyncio.to_thread(second.write_text, reply("second"))
        await answers(url, "second")


async def test_sv_20_without_watch_nothing_is_looked_at(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    await asyncio.to_thread(policy.write_text, reply("first"))
    async with serving(tmp_path, "--policy", str(policy), "--listen", ANY) as gateway:
        url = await gateway.url()
        await asyncio.to_thread(policy.write_text, reply("second"))
        await asyncio.sleep(1.5)
        assert await get(url) == "first"
        assert "reload" not in gateway.text
