"""The behaviour list of CP-142, one test per item, numbered in its order.

Item 9 (no secret in the store's file) is ``test_planted_secrets``. What needs the data plane runs in a real process.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from gateway.demo.server import DemoProvider
from tests.control_plane import Running, running
from tests.e2e.serving_process import ServingProcess, run, serving
from tests.e2e.test_control_contract import CONTRACT, resolved, violations
from tests.wire.running import ai_policy, read_answer, request_bytes
from tests.wire.serving import CHAT_PATH, chat_body, provider_entry

ANY: Final = "127.0.0.1:0"
CHAT: Final = json.loads(chat_body())


@dataclass
class Program:
    """A running ``gateway serve`` with a session for either side."""

    gateway: ServingProcess
    admin: aiohttp.ClientSession
    url: str

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.admin.request(method, path, json=body) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    async def made(self, path: str, body: Any) -> dict[str, Any]:
        status, found = await self.call("POST", path, body)
        assert status == 201, found
        return dict(found)

    async def chat(self, token: str, session: aiohttp.ClientSession) -> int:
        headers = {"authorization": f"Bearer {token}"}
        async with session.post(self.url + CHAT_PATH, json=CHAT, headers=headers) as answer:
            await answer.read()
            return answer.status


@asynccontextmanager
async def program(
    folder: Path, provider: DemoProvider | None = None, env: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """``gateway serve`` over ``folder``; ended by SIGKILL when the block is left."""
    entry = provider_entry(provider.base_url if provider is not None else "http://127.0.0.1:9", "demo-key")
    await asyncio.to_thread((folder / "policy.yaml").write_text, ai_policy([entry]))
    async with serving(folder, "--policy", str(folder / "policy.yaml"), "--listen", ANY, env=env) as gateway:
        address = (await gateway.line(r"management listens on ([\d.:]+)"))[1]
        url = await gateway.url()
        token = (await asyncio.to_thread((folder / "data" / "admin-token").read_text)).strip()
        headers = {"authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(f"http://{address}", headers=headers) as admin:
            yield Program(gateway, admin, url)


async def test_cp_142_01_a_token_is_shown_once(tmp_path: Path) -> None:
    """Not in a list, not on reading, not after a change, not in any log or file."""
    async with program(tmp_path) as gateway:
        for path in ("/access-keys", "/api-keys", "/ai_gateway_api_keys"):
            _, listed = await gateway.call("GET", "/endpoints")
            body = {"endpoint_id": listed["endpoints"][0]["id"]} if "_" in path else {"name": "n"}
            made = await gateway.made(path, body)
            token = made["token"]
            seen = [
                await gateway.call("GET", path),
                await gateway.call("GET", f"{path}/{made['id']}"),
                await gateway.call("PATCH", f"{path}/{made['id']}", {"description": "d"}),
            ]
            assert token not in str(seen)
            assert token.rpartition("-")[2] not in str(seen)
            async with aiohttp.ClientSession() as session:
                await gateway.chat(token, session)
            assert token not in gateway.gateway.text
            for file in await asyncio.to_thread(lambda: list((tmp_path / "data").iterdir())):
                assert token.encode() not in await asyncio.to_thread(file.read_bytes), file


# ---- 2: revocation under load ---------------------------------------------------------------------------------------


@dataclass
class Load:
    """Requests with one token over many connections, as many as the machine manages."""

    address: tuple[str, int]
    requests: list[bytes]
    #: (when it was sent, status)
    answers: list[tuple[float, int]] = field(default_factory=list)
    stopped: bool = False

    async def client(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(*self.address)
        request = self.requests[number % len(self.requests)]
        while not self.stopped:
            sent = time.monotonic()
            writer.write(request)
            status, headers, _ = await read_answer(reader)
            self.answers.append((sent, status))
            if headers.get("connection") == "close":
                writer.close()
                reader, writer = await asyncio.open_connection(*self.address)
        writer.close()


async def test_cp_142_02_nothing_succeeds_after_the_deletion_was_answered(tmp_path: Path) -> None:
    """CP-66, P15, in both styles: not one success among the requests that were sent after the 204."""
    async with DemoProvider() as provider, program(tmp_path, provider) as gateway:
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        _, listed = await gateway.call("GET", "/endpoints")
        bound = {"endpoint_id": listed["endpoints"][0]["id"]}
        for path, body in (("/access-keys", {}), ("/ai_gateway_api_keys", bound), ("/access-keys", {})):
            key = await gateway.made(path, body)
            other = await gateway.made(path, body)
            bearer = f"Bearer {key['token']}"
            load = Load(
                (host, int(port)),
                [
                    request_bytes("/v1/models", method="GET", authorization=bearer),
                    request_bytes(CHAT_PATH, CHAT, authorization=bearer),
                ],
            )
            async with asyncio.TaskGroup() as group:
                for number in range(16):
                    group.create_task(load.client(number))
                await asyncio.sleep(0.5)
                status, _ = await gateway.call("DELETE", f"{path}/{key['id']}")
                answered = time.monotonic()
                await asyncio.sleep(0.5)
                load.stopped = True
            assert status == 204
            before = [status for sent, status in load.answers if sent < answered]
            after = [status for sent, status in load.answers if sent >= answered]
            assert before.count(200) > 50, "nothing was offered"
            assert len(after) > 50
            assert set(after) == {401}
            async with aiohttp.ClientSession() as session:
                assert await gateway.chat(other["token"], session) == 200, "only that key is gone"


# ---- 3 to 8: the API alone ------------------------------------------------------------------------------------------


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        yield found


async def test_cp_142_03_rotation_keeps_references(api: Running) -> None:
    body = {"providerId": "openai", "name": "k", "value": "sk-first-0123456789"}
    key = await api.created("/provider-keys", body)
    step = {"type": "user", "keys": [{"id": key["id"]}], "keySelectionStrategy": "ordered"}
    router = {"rules": [{"provider": "openai", "steps": [step]}]}
    made = await api.created("/access-key-configurations", {"name": "c", "router": router})
    assert (
        await api.post(f"/provider-keys/{key['id']}/rotate", {"name": "k2", "value": "sk-second-0123498765"})
    ).status == 200
    shown = (await api.get(f"/access-key-configurations/{made['id']}")).json
    (kept,) = shown["router"]["rules"][0]["steps"][0]["keys"]
    assert (kept["id"], kept["name"], kept["keyRedacted"][-4:]) == (key["id"], "k2", "8765")
    stored = api.data_plane.view.provider_keys.get(key["id"])
    assert stored is not None
    assert stored.value.reveal() == "sk-second-0123498765"


async def test_cp_142_04_both_styles_show_the_same_rows(api: Running) -> None:
    """CP-60, CP-61: made, changed, linked and deleted through either; the other shows it with the next request."""
    in_a = await api.created("/access-keys", {"name": "a", "description": "d", "metadata": "m"})
    keys = [{"provider_id": "openai", "value": "sk-1", "name": "first"}, {"provider_id": "anthropic", "value": "sk-2"}]
    in_b = await api.created(
        "/ai_gateway_api_keys", {"endpoint_id": "ep_one", "description": "e", "metadata": "n", "provider_keys": keys}
    )
    await same_rows(api, {in_a["id"], in_b["id"]})
    assert (await api.get(f"/ai_gateway_api_keys/{in_a['id']}")).json["endpoint"] is None
    assert "name" not in (await api.get(f"/access-keys/{in_b['id']}")).json
    await api.patch(f"/access-keys/{in_b['id']}", {"name": "named in A", "description": None})
    await api.patch(f"/ai_gateway_api_keys/{in_a['id']}", {"description": "changed in B", "endpoint_id": "ep_two"})
    configuration = await api.created("/access-key-configurations", {"name": "c"})
    await api.patch(f"/access-keys/{in_b['id']}", {"accessKeyConfigurationId": configuration["id"]})
    await same_rows(api, {in_a["id"], in_b["id"]})
    attached = (await api.get("/ai_gateway_provider_keys")).json["ai_gateway_provider_keys"]
    account = (await api.get("/provider-keys")).json["aiGatewayProviderKeys"]
    assert [row["id"] for row in attached] == [row["id"] for row in account]
    assert {row["id"]: row["display_name"] for row in attached} == {row["id"]: row["keyRedacted"] for row in account}
    assert (await api.delete(f"/ai_gateway_api_keys/{in_a['id']}")).status == 204
    await same_rows(api, {in_b["id"]})
    assert (await api.delete(f"/access-keys/{in_b['id']}")).status == 204
    await same_rows(api, set())
    assert (await api.get("/provider-keys")).json["aiGatewayProviderKeys"] == []


async def same_rows(api: Running, ids: set[str]) -> None:
    """Every member that both styles have, of every row."""
    in_a = {row["id"]: row for row in (await api.get("/access-keys")).json["aiGatewayAccessKeys"]}
    in_b = {row["id"]: row for row in (await api.get("/ai_gateway_api_keys")).json["ai_gateway_api_keys"]}
    assert set(in_a) == set(in_b) == ids
    assert list(in_a) == list(in_b) == sorted(ids, reverse=True)
    for row_id in ids:
        a, b = in_a[row_id], in_b[row_id]
        assert (a.get("description", ""), a.get("metadata", "")) == (b["description"], b["metadata"])
        assert (a["keyRedacted"], a["lastUsed"]) == (b["display_name"], b["last_used"])
        assert a["createdAt"][:19] == b["created_at"][:19]
        assert a["updatedAt"][:19] == b["updated_at"][:19]
        assert (a["createdBy"], a["lastUpdatedBy"]) == (b["created_by"], b["last_updated_by"])


async def test_cp_142_05_the_sixteenth_attached_key_is_refused(api: Running) -> None:
    owner = await api.created("/ai_gateway_api_keys", {"endpoint_id": "ep_one"})
    body = {"ai_gateway_api_key_id": owner["id"], "provider_id": "openai", "value": "sk-x"}
    made = [await api.created("/ai_gateway_provider_keys", body) for _ in range(15)]
    assert (await api.post("/ai_gateway_provider_keys", body)).refusal == (422, "27506")
    await api.created("/ai_gateway_provider_keys", {**body, "provider_id": "anthropic"})
    assert (await api.delete(f"/ai_gateway_provider_keys/{made[3]['id']}")).status == 204
    await api.created("/ai_gateway_provider_keys", body)


async def test_cp_142_06_what_is_in_use_cannot_be_deleted(api: Running) -> None:
    """CP-28, CP-30, CP-34, CP-38, TP-618; once the reference is gone, it can."""
    provider = await api.created("/providers", {"providerId": "mine", "name": "M", "baseUrl": "https://host.example"})
    key = await api.created("/provider-keys", {"providerId": "mine", "name": "k", "value": "sk-x"})
    rule = {"provider": "mine", "steps": [{"type": "user", "keys": [{"id": key["id"]}]}]}
    linked = await api.created("/access-key-configurations", {"name": "c", "router": {"rules": [rule]}})
    user = await api.created("/access-keys", {"accessKeyConfigurationId": linked["id"]})
    vault = await api.created("/vaults", {"name": "v"})
    secret = await api.created("/vault_secrets", {"name": "s", "value": "x", "vault_name": "v"})
    (admin,) = (await api.get("/api-keys")).json["aiGatewayApiKeys"]
    for path, code in (
        (f"/access-key-configurations/{linked['id']}", "27615"),
        (f"/provider-keys/{key['id']}", "27511"),
        (f"/providers/{provider['id']}", "27710"),
        (f"/vaults/{vault['id']}", "23003"),
        (f"/api-keys/{admin['id']}", "27615"),
    ):
        assert (await api.delete(path)).refusal == (409, code), path
    for path in (
        f"/access-keys/{user['id']}",
        f"/access-key-configurations/{linked['id']}",
        f"/provider-keys/{key['id']}",
        f"/providers/{provider['id']}",
        f"/vault_secrets/{secret['id']}",
        f"/vaults/{vault['id']}",
    ):
        assert (await api.delete(path)).status == 204, path


async def test_cp_142_07_null_clears_every_nullable_member(api: Running) -> None:
    """CP-17, for every member that the contract calls nullable; what is then read fits the contract."""
    configuration = await api.created("/access-key-configurations", {"name": "linked"})
    texts = {"name": "n", "description": "d", "metadata": "m"}
    starts: dict[str, tuple[str, dict[str, Any]]] = {
        "AIGatewayAccessKeyUpdate": ("/access-keys", {**texts, "accessKeyConfigurationId": configuration["id"]}),
        "AIGatewayAPIKeyUpdate": ("/api-keys", texts),
        "AIGatewayAccessKeyConfigurationUpdate": (
            "/access-key-configurations",
            {
                **texts,
                "access": {"models": {"allow": ["a"]}},
                "router": {"rules": [{"provider": "openai", "steps": [{"type": "ngrok"}]}]},
            },
        ),
        "AIGatewayProviderAPIKeyUpdate": ("/provider-keys", {**texts, "providerId": "openai", "value": "sk-x"}),
        "AIGatewayProviderUpdate": (
            "/providers",
            {
                "name": "n",
                "metadata": "m",
                "providerId": "own",
                "baseUrl": "https://host.example",
                "models": [{"modelId": "x"}],
                "supportedApiSurfaces": [{"format": "anthropic"}],
            },
        ),
    }
    cleared = 0
    for name, (path, body) in starts.items():
        row = f"{path}/{(await api.created(path, body))['id']}"
        before = (await api.get(row)).json
        for member, shape in CONTRACT["components"]["schemas"][name]["properties"].items():
            answer = await api.patch(row, {member: None})
            if not shape.get("nullable"):
                assert answer.status == 400, (name, member)
                continue
            assert answer.status == 200, (name, member, answer.text)
            shown = (await api.get(row)).json
            old = "accessKeyConfiguration" if member == "accessKeyConfigurationId" else member
            assert shown.get(old) != before[old], (name, member)
            assert violations(read_shape(path), shown) == []
            cleared += 1
    config = CONTRACT["components"]["schemas"]["AIGatewayConfigUpdate"]["properties"]
    for member in (name for name, shape in config.items() if shape.get("nullable")):
        value: Any = "text" if config[member]["type"] == "string" else 1_000
        assert (await api.patch("/gateway-config", {member: value})).json[member] == value
        assert (await api.patch("/gateway-config", {member: None})).json[member] is None
        cleared += 1
    nullable = sum(
        bool(shape.get("nullable"))
        for name, schema in CONTRACT["components"]["schemas"].items()
        if name.endswith("Update")
        for shape in schema["properties"].values()
    )
    assert cleared == nullable >= 20


def read_shape(path: str) -> dict[str, Any]:
    response = CONTRACT["paths"][path + "/{id}"]["get"]["responses"]["200"]
    return resolved(response["content"]["application/json"]["schema"])


@pytest.mark.parametrize(
    ("path", "body", "member"),
    [
        ("/access-keys", lambda number: {}, "aiGatewayAccessKeys"),
        ("/ai_gateway_api_keys", lambda number: {"endpoint_id": "ep_one"}, "ai_gateway_api_keys"),
        ("/vaults", lambda number: {"name": f"v{number}"}, "vaults"),
    ],
)
async def test_cp_142_08_pages_have_no_gap_and_no_repeat_while_others_create(
    api: Running, path: str, body: Callable[[int], Any], member: str
) -> None:
    """CP-15: over 250 objects, while more are made and one is deleted between two pages."""
    ids = [(await api.created(path, body(number)))["id"] for number in range(251)]
    stop = False

    async def create() -> None:
        number = 1_000
        while not stop:
            await api.created(path, body(number))
            number += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(create())
        seen: list[str] = []
        page = (await api.get(f"{path}?limit=20")).json
        while True:
            seen += [row["id"] for row in page[member]]
            following = page.get("nextPageUri") or page.get("next_page_uri")
            if following is None:
                break
            if len(seen) == 100:  # the cursor is one of its neighbours; it need not exist any more
                assert (await api.delete(f"{path}/{seen[-1]}")).status == 204
            page = (await api.get(following.removeprefix(api.base))).json
        stop = True
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    assert set(ids) <= set(seen)


# ---- 10 to 14: the process ------------------------------------------------------------------------------------------


async def test_cp_142_10_a_restart_keeps_everything(tmp_path: Path) -> None:
    """Every collection reads the same, byte for byte but for the port; keys and secrets go on working."""
    paths = (
        "/access-keys", "/access-key-configurations", "/api-keys", "/provider-keys", "/providers", "/gateway-config",
        "/ext/budgets", "/ai_gateway_api_keys", "/ai_gateway_provider_keys", "/vaults", "/vault_secrets", "/endpoints",
    )  # fmt: skip
    async with DemoProvider() as provider:
        async with program(tmp_path, provider) as gateway:
            key = await populate(gateway)
            before = {path: await shown(gateway, path) for path in paths}
            async with aiohttp.ClientSession() as session:
                assert await gateway.chat(key, session) == 200
            before["/access-keys"] = await shown(gateway, "/access-keys")
            before["/ai_gateway_api_keys"] = await shown(gateway, "/ai_gateway_api_keys")
            gateway.gateway.signal(signal.SIGTERM)
            assert await gateway.gateway.exit_code() == 0
        async with program(tmp_path, provider) as gateway:
            after = {path: await shown(gateway, path) for path in paths}
            before.pop("/api-keys"), after.pop("/api-keys")  # the asking key's last use is now
            assert after == before
            async with aiohttp.ClientSession() as session:
                assert await gateway.chat(key, session) == 200


async def populate(gateway: Program) -> str:
    """Something in every collection; a gateway key's token."""
    _, listed = await gateway.call("GET", "/endpoints")
    endpoint = listed["endpoints"][0]["id"]
    await gateway.made("/providers", {"providerId": "own", "name": "Own", "baseUrl": "https://host.example"})
    rule = {"provider": "openai", "steps": [{"type": "user", "keys": [{"name": "k", "value": "sk-routed-012345"}]}]}
    configuration = await gateway.made("/access-key-configurations", {"name": "c", "router": {"rules": [rule]}})
    linked = await gateway.made("/access-keys", {"name": "n", "accessKeyConfigurationId": configuration["id"]})
    attached = [{"provider_id": "anthropic", "value": "sk-attached-012345"}]
    await gateway.made("/ai_gateway_api_keys", {"endpoint_id": endpoint, "provider_keys": attached})
    await gateway.made("/vaults", {"name": "v", "metadata": "{}"})
    await gateway.made("/vault_secrets", {"vault_name": "v", "name": "s", "value": "x"})
    budget = {"scope": "accessKey", "accessKeyId": linked["id"], "period": "day", "limitUsd": "5.00000"}
    await gateway.made("/ext/budgets", budget)
    assert (await gateway.call("PATCH", "/gateway-config", {"totalTimeout": "90s"}))[0] == 200
    return str((await gateway.made("/access-keys", {}))["token"])


async def shown(gateway: Program, path: str) -> str:
    """What a path answers, without addresses that a restart may change."""
    async with gateway.admin.get(path) as answer:
        assert answer.status == 200
        text = await answer.text()
    own = str(gateway.admin._base_url).rstrip("/")
    return text.replace(own, "").replace(gateway.url, "")


async def test_cp_142_11_a_second_process_on_the_same_data_is_refused_and_changes_of_commands_are_seen(
    tmp_path: Path,
) -> None:
    """One process serves (SV-6). What another process may write, ``admin reset-key``, holds within a second (CP-89)."""
    async with program(tmp_path) as gateway:
        data = str(tmp_path / "data")
        code, text = await run("serve", "--listen", ANY, "--admin-listen", ANY, "--data-dir", data)
        assert code == 2
        assert "a running gateway uses" in text
        assert "Traceback" not in text
        code, text = await run("admin", "reset-key", "--data-dir", data)
        assert code == 0
        (token,) = re.findall(r"^ng-\S+$", text, re.MULTILINE)
        headers = {"authorization": f"Bearer {token}"}
        async with asyncio.timeout(5):
            while True:
                async with gateway.admin.get("/vaults", headers=headers) as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.2)


@pytest.mark.parametrize("harm", ["another key", "no key", "not base64", "readable by others", "no pepper"])
async def test_cp_142_12_a_wrong_master_key_refuses_to_start(tmp_path: Path, harm: str) -> None:
    """CP-105: status 2 and a sentence that names what to mend, not the key; nothing is made in its place."""
    async with program(tmp_path) as gateway:
        await populate(gateway)
    data = tmp_path / "data"
    other = base64.b64encode(os.urandom(32)).decode()
    key, pepper = data / "master-key", data / "token-pepper"

    def damage() -> None:
        if harm == "another key":
            key.write_text(other)
        elif harm == "no key":
            key.unlink()
        elif harm == "not base64":
            key.write_text("this-is-no-key")
        elif harm == "readable by others":
            key.chmod(0o644)
        else:
            pepper.unlink()

    await asyncio.to_thread(damage)
    code, text = await run("serve", "--listen", ANY, "--admin-listen", ANY, "--data-dir", str(data))
    assert code == 2
    words = {
        "another key": "does not open this store", "no key": "is missing; restore the master key",
        "not base64": "is not base64", "readable by others": "chmod 600", "no pepper": "token-pepper is missing",
    }  # fmt: skip
    assert words[harm] in text
    assert not {"Traceback", other, "this-is-no-key"} & set(text.split())
    assert key.exists() == (harm != "no key")
    assert pepper.exists() == (harm != "no pepper")


async def test_cp_142_13_no_endpoint_leads_to_the_admin_api(tmp_path: Path) -> None:
    """CP-1, P20: not with an admin key, not by host, not by absolute target, not by upgrade or CONNECT."""
    async with program(tmp_path) as gateway:
        admin = str(gateway.admin._base_url).rstrip("/").removeprefix("http://")
        token = gateway.admin.headers["authorization"]
        host, _, port = gateway.url.removeprefix("http://").partition(":")
        made = await gateway.made("/vaults", {"name": "vault-of-the-test"})
        for target in (
            "/vaults",
            f"/vaults/{made['id']}",
            f"http://{admin}/vaults",
            "/v1/../vaults",
            "//vaults",
            "/readyz",
        ):
            for method in ("GET", "POST", "CONNECT"):
                lines = [
                    f"{method} {target} HTTP/1.1",
                    f"host: {admin}",
                    f"authorization: {token}",
                    "content-length: 0",
                ]
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode())
                async with asyncio.timeout(10):
                    answer = await reader.read()
                writer.close()
                assert answer.split(b" ", 2)[1][:1] == b"4", (method, target, answer)
                assert b"vault-of-the-test" not in answer
                assert b"x-operation-id" not in answer.lower()


async def test_cp_142_14_the_host_header_must_be_this_listeners(tmp_path: Path) -> None:
    """CP-4: a page that rebinds its name to 127.0.0.1 gets nothing, whatever it sends."""
    async with program(tmp_path) as gateway:
        for host, status in (
            ("evil.example", 421), ("evil.example:4041", 421), ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example", 421), ("", 421), ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:4041", 200),
        ):  # fmt: skip
            async with gateway.admin.get("/vaults", headers={"host": host}) as answer:
                assert answer.status == status, host
        async with gateway.admin.get("/healthz", headers={"host": "evil.example"}) as answer:
            assert answer.status == 421
