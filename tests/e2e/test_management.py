"""The management side of a running program: what an operator changes there is effective in the data plane at once."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.demo.server import DemoProvider

CHAT = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}


@dataclass
class Program:
    """A running ``gateway serve``: a session for each of its sides."""

    clients: aiohttp.ClientSession
    admin: aiohttp.ClientSession
    admin_url: str

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.admin.request(method, path, json=body) as answer:
            return answer.status, await answer.json(content_type=None) if answer.status != 204 else None

    async def chat(self, token: str | None = None) -> tuple[int, Any]:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        async with self.clients.post("/v1/chat/completions", json=CHAT, headers=headers) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def program(folder: Path, policy: str) -> AsyncIterator[Program]:
    """Runs the program with its data in ``folder`` until the context is left."""
    (folder / "policy.yaml").write_text(policy)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", "--policy", str(folder / "policy.yaml"), "--listen", "127.0.0.1:0",
        "--admin-listen", "127.0.0.1:0", "--data-dir", str(folder / "data"), "--log-format", "text",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    addresses: dict[str, str] = {}
    try:
        async with asyncio.timeout(20):
            while len(addresses) < 2:
                line = (await process.stderr.readline()).decode()
                assert line, "the program ended"
                if found := re.search(r"management listens on (\S+)", line):
                    addresses["admin"] = f"http://{found[1]}"
                elif found := re.search(r" listening on (http://\S+)", line):
                    addresses["clients"] = found[1]
        token = (folder / "data" / "admin-token").read_text().strip()
        bearer = {"authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(addresses["clients"]) as clients,
            aiohttp.ClientSession(addresses["admin"], headers=bearer) as admin,
        ):
            yield Program(clients, admin, addresses["admin"])
    finally:
        process.terminate()
        _, rest = await asyncio.gather(process.wait(), process.stderr.read())
        assert process.returncode == 0, rest.decode()


def policy_for(provider: DemoProvider) -> str:
    action = {
        "type": "ai-gateway",
        "config": {
            "providers": [
                {
                    "id": "demo",
                    "base_url": provider.base_url,
                    "api_keys": [{"value": "${secrets.get('openai', 'api-key')}"}],
                    "models": [{"id": "demo"}],
                }
            ]
        },
    }
    return f"on_http_request:\n  - {json.dumps(action)}\n"


async def test_vault_secrets_take_effect_at_the_next_request(tmp_path: Path) -> None:
    """TP-605, CL-14, CL-15, AG-12: without a reload; a deleted secret never becomes passthrough."""
    async with DemoProvider() as provider, program(tmp_path, policy_for(provider)) as gateway:
        status, body = await gateway.chat("sk-the-clients-own")
        assert (status, body["error"]["code"]) == (400, "ERR_NGROK_3802")
        assert provider.stats.requests == 0
        assert (await gateway.call("POST", "/vaults", {"name": "openai"}))[0] == 201
        secret = {"vault_name": "openai", "name": "api-key", "value": "demo-key-first"}
        status, created = await gateway.call("POST", "/vault_secrets", secret)
        assert status == 201
        assert "value" not in created
        assert (await gateway.chat())[0] == 200
        assert provider.last.key == "demo-key-first"
        path = f"/vault_secrets/{created['id']}"
        assert (await gateway.call("PATCH", path, {"value": "demo-key-second"}))[0] == 200
        assert (await gateway.chat())[0] == 200
        assert provider.last.key == "demo-key-second"
        assert (await gateway.call("DELETE", path))[0] == 204
        assert (await gateway.chat())[0] == 400
        assert provider.stats.requests == 2


async def test_gateway_keys_close_and_open_the_endpoint(tmp_path: Path) -> None:
    """AG-186, AG-187, CP-66: once a key was made for it the endpoint asks for one; a deleted key fails at once."""
    policy = "policy"
    async with DemoProvider() as provider:
        policy = policy_for(provider).replace("${secrets.get('openai', 'api-key')}", "demo-key-policy")
        async with program(tmp_path, policy) as gateway:
            assert (await gateway.chat())[0] == 200
            _, listed = await gateway.call("GET", "/endpoints")
            endpoint = listed["endpoints"][0]["id"]
            status, key = await gateway.call(
                "POST", "/ai_gateway_api_keys", {"endpoint_id": endpoint, "description": "web app"}
            )
            assert status == 201, key
            status, body = await gateway.chat()
            assert (status, body["error"]["code"]) == (401, "ERR_NGROK_27201")
            assert (await gateway.chat("sk-something-else"))[1]["error"]["code"] == "ERR_NGROK_27007"
            assert (await gateway.chat(key["token"]))[0] == 200
            assert provider.last.key == "demo-key-policy"
            assert key["token"] not in str(provider.last.request.headers)
            assert (await gateway.call("DELETE", f"/ai_gateway_api_keys/{key['id']}"))[0] == 204
            assert (await gateway.chat(key["token"]))[0] == 401
            assert (await gateway.chat())[0] == 401  # deleting the last key does not reopen the endpoint


async def test_health_needs_no_credential(tmp_path: Path) -> None:
    """SV-23."""
    policy = "on_http_request: [{type: deny}]\n"
    async with program(tmp_path, policy) as gateway, aiohttp.ClientSession(gateway.admin_url) as nobody:
        for path in ("/healthz", "/readyz"):
            async with nobody.get(path) as answer:
                assert answer.status == 200
        async with nobody.get("/endpoints") as answer:
            assert answer.status == 401


async def test_usage_and_budgets_survive_a_restart(tmp_path: Path) -> None:
    """SV-21, CP-57: SIGTERM writes what is pending; counters go on from there, custom providers serve at once."""
    async with DemoProvider() as provider:
        policy = policy_for(provider).replace("${secrets.get('openai', 'api-key')}", "demo-key-policy")
        async with program(tmp_path, policy) as gateway:
            budget = {"scope": "account", "period": "month", "limitTokens": 1_000_000}
            status, made = await gateway.call("POST", "/ext/budgets", budget)
            assert status == 201, made
            custom = {"providerId": "mine", "name": "Mine", "baseUrl": provider.base_url, "models": [{"modelId": "m"}]}
            assert (await gateway.call("POST", "/providers", custom))[0] == 201
            answers = [await gateway.chat() for _ in range(5)]
            assert [status for status, _ in answers] == [200] * 5
        spent = sum(body["usage"]["total_tokens"] for _, body in answers)
        async with program(tmp_path, policy) as gateway:
            _, page = await gateway.call("GET", "/usage?startTime=2000-01-01T00:00:00Z")
            assert len(page["aiGatewayUsage"]) == 5
            _, shown = await gateway.call("GET", f"/ext/budgets/{made['id']}")
            assert shown["spentTokens"] == spent
            async with gateway.clients.get("/v1/models") as answer:
                assert "mine:m" in [model["id"] for model in (await answer.json())["data"]]
