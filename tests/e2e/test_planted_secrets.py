"""Secrets that came in by every way, and where none of their bytes may be found (CP-101 to CP-107, CP-142 item 9).

P18: the operator can hand out log, backup and metrics without thinking.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any, Final

import aiohttp

from gateway.control.routes import ROUTES
from gateway.demo.server import DemoProvider
from tests.e2e.serving_process import run, serving
from tests.wire.serving import CHAT_PATH, chat_body

ANY: Final = "127.0.0.1:0"
#: what is planted → the text
PLANTED: Final = {
    "vault secret": "canary-vault-secret-0a1b2c3d4e",
    "older vault secret": "canary-vault-older-5f6a7b8c9d",
    "deleted vault secret": "canary-vault-deleted-0e1f2a3b",
    "pair of a vault secret": "canary-vault-pair-4c5d6e7f8a9b",
    "provider key": "sk-canary-provider-0123456789abcdef",
    "older provider key": "sk-canary-provider-old-0123456789ab",
    "deleted provider key": "sk-canary-provider-gone-0123456789a",
    "attached key": "sk-canary-attached-0123456789abcdef",
    "key inside a rule": "sk-canary-inline-0123456789abcdef01",
    "key of the policy": "demo-key-canary-policy-0123456789ab",
    "key of the client": "sk-canary-of-the-client-0123456789a",
    "variable": "canary-variable-0123456789abcdef01",
    "refused value": "sk-canary-refused-0123456789abcdef0",
}
#: logs on purpose what nobody should log
POLICY: Final = """\
on_http_request:
  - actions:
      - type: log
        config:
          metadata:
            vault: ${{secrets.get('v', 's')}}
            pair: ${{secrets.get('v', 'pairs')}}
            variable: ${{secrets.get('v', 'of-the-variable')}}
            client: ${{req.headers['x-also'][0]}}
  - actions:
      - type: ai-gateway
        config:
          providers:
            - id: demo
              base_url: {base_url}
              models: [{{id: demo}}]
              api_keys: [{{value: {key}}}]
"""


class Admin:
    """The management API of the process."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        #: every answer so far
        self.answers = b""

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        async with self._session.request(method, path, json=body, headers=headers) as answer:
            text = await answer.read()
            self.answers += str(answer.headers).encode() + text
            return json.loads(text) if text and answer.content_type == "application/json" else None

    async def tokens(self) -> list[str]:
        """One of each kind; their only appearance is this answer."""
        endpoint = (await self.call("GET", "/endpoints"))["endpoints"][0]["id"]
        attached = [{"provider_id": "openai", "value": PLANTED["attached key"]}]
        bodies: list[tuple[str, Any]] = [
            ("/access-keys", {}),
            ("/api-keys", {"name": "second"}),
            ("/ai_gateway_api_keys", {"endpoint_id": endpoint, "provider_keys": attached}),
        ]
        before = self.answers
        found = [(await self.call("POST", path, body))["token"] for path, body in bodies]
        self.answers = before
        return found

    async def plant(self) -> None:
        """Every way a secret comes in, also those that are refused."""
        await self.call("POST", "/vaults", {"name": "v"})
        secret = {"vault_name": "v", "name": "s", "value": PLANTED["older vault secret"]}
        made = await self.call("POST", "/vault_secrets", secret)
        await self.call("PATCH", f"/vault_secrets/{made['id']}", {"value": PLANTED["vault secret"]})
        gone = await self.call(
            "POST", "/vault_secrets", {**secret, "name": "gone", "value": PLANTED["deleted vault secret"]}
        )
        await self.call("DELETE", f"/vault_secrets/{gone['id']}")
        pairs = json.dumps({"one": PLANTED["pair of a vault secret"]})
        await self.call("POST", "/vault_secrets", {**secret, "name": "pairs", "value": pairs})
        key = {"providerId": "openai", "name": "k", "value": PLANTED["older provider key"]}
        made = await self.call("POST", "/provider-keys", key)
        await self.call("POST", f"/provider-keys/{made['id']}/rotate", {"name": "k", "value": PLANTED["provider key"]})
        gone = await self.call("POST", "/provider-keys", {**key, "value": PLANTED["deleted provider key"]})
        await self.call("DELETE", f"/provider-keys/{gone['id']}")
        step = {"type": "user", "keys": [{"name": "inline", "value": PLANTED["key inside a rule"]}]}
        router = {"rules": [{"provider": "openai", "steps": [step]}]}
        await self.call("POST", "/access-key-configurations", {"name": "c", "router": router})
        refused = PLANTED["refused value"]
        await self.call("POST", "/provider-keys", {**key, "providerId": "nobody", "value": refused})
        await self.call("POST", "/provider-keys", {**key, "value": refused + "\u00e9"})
        await self.call("POST", "/vault_secrets", {**secret, "name": "not a name?", "value": refused})
        await self.call("POST", "/vault_secrets", {**secret, "no_such_member": refused, "value": refused})
        await self.call("GET", "/vaults", authorization=f"Bearer {refused}")

    async def read_everything(self) -> None:
        """Every path that can be read, lists and single resources."""
        for route in (route for route in ROUTES if route.method == "GET" and "{" not in route.path):
            body = await self.call("GET", route.path)
            for rows in (value for value in (body or {}).values() if isinstance(value, list)):
                for row in rows:
                    await self.call("GET", f"{route.path}/{row['id']}") if "id" in row else None


def found_in(content: bytes, texts: list[str]) -> list[str]:
    return [text for text in texts if text.encode() in content]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_cp_142_09_no_secret_is_found_anywhere(tmp_path: Path) -> None:
    """Store and its log while it runs and after it, audit log, log, metrics, backup, answers of either side."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    env = {"GATEWAY_SECRET_V__OF_THE_VARIABLE": PLANTED["variable"]}
    async with DemoProvider() as provider:
        policy = POLICY.format(base_url=provider.base_url, key=PLANTED["key of the policy"])
        await asyncio.to_thread((tmp_path / "policy.yaml").write_text, policy)
        arguments = ("--policy", str(tmp_path / "policy.yaml"), "--listen", ANY, "--log-level", "debug")
        async with serving(tmp_path, *arguments, env=env) as gateway:
            address = (await gateway.line(r"management listens on ([\d.:]+)"))[1]
            url = await gateway.url()
            token = (await asyncio.to_thread((data / "admin-token").read_text)).strip()
            headers = {"authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession(f"http://{address}", headers=headers) as session:
                admin = Admin(session)
                await admin.plant()
                tokens = await admin.tokens()
                answers = await asked(url, tokens)
                await admin.read_everything()
            assert (await run("admin", "backup", str(copy), "--data-dir", str(data)))[0] == 0
            live = await asyncio.to_thread(files, data)
            log = gateway.text.encode()
            gateway.signal(signal.SIGTERM)
            assert await gateway.exit_code() == 0
            log += gateway.text.encode()
        assert provider.last.key == PLANTED["key of the policy"]
    closed, copied = await asyncio.to_thread(files, data), await asyncio.to_thread(files, copy)
    assert "gateway.db-wal" in live
    assert set(copied) == {"gateway.db", "audit.log"}
    hidden = [*PLANTED.values(), *tokens, *(text.rpartition("-")[2] for text in tokens)]
    places = {"log": log, "admin answers": admin.answers, "data plane answers": answers}
    for name, of in (("live", live), ("closed", closed), ("copy", copied)):
        places.update({f"{name}: {path}": content for path, content in of.items()})
    assert {name: leaks for name, content in places.items() if (leaks := found_in(content, hidden))} == {}
    first = token.rpartition("-")[2].encode()
    assert [name for name, content in places.items() if first in content] == [
        "live: admin-token",
        "closed: admin-token",
    ]
    assert b"***" in log, "the policy's own log lines were masked, not missing"


async def asked(url: str, tokens: list[str]) -> bytes:
    """Requests with every credential, good and bad; all that was answered."""
    answers = b""
    async with aiohttp.ClientSession() as session:
        for credential in (*tokens, PLANTED["key of the client"]):
            headers = {"authorization": f"Bearer {credential}", "x-also": PLANTED["provider key"]}
            for model in ("demo", "demo:401", "demo:500", "nobody:nothing"):
                async with session.post(url + CHAT_PATH, data=chat_body(model), headers=headers) as answer:
                    answers += str(answer.headers).encode() + await answer.read()
    return answers
