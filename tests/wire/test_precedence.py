"""Whose key serves a request: AG-190 row by row, through a running gateway with its store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.demo.server import DemoProvider
from tests.wire.managed import ManagedGateway
from tests.wire.running import ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, chat_body, provider_entry, until

#: what the demo provider takes as keys: ``demo-key-500:pad=2`` answers 500, and its padding tells it from others
MANAGED = "demo-key-managed"


@asynccontextmanager
async def world(
    *policy_keys: str, managed: Sequence[str] = (), mode: str = "action", **ai: Any
) -> AsyncIterator[tuple[DemoProvider, ManagedGateway]]:
    """``openai`` at the demo provider's address, in an action; or a custom provider ``mine`` in shared mode."""
    async with DemoProvider() as provider:
        entry = provider_entry(provider.base_url, *policy_keys, id="openai", models=[{"id": "demo"}, {"id": "other"}])
        policy = ai_policy([entry]) if mode == "action" else None
        name = "openai" if mode == "action" else "mine"
        settings = settings_for(policy, managed_keys=((name, tuple(managed)),) if managed else (), **ai)
        async with ManagedGateway(settings) as gateway:
            if mode != "action":
                models = [{"modelId": "demo"}, {"modelId": "other"}]
                body = {"providerId": "mine", "name": "Mine", "baseUrl": provider.base_url, "models": models}
                await gateway.made("/providers", body)
            yield provider, gateway


async def stored(gateway: ManagedGateway, value: str, provider: str = "openai") -> str:
    made = await gateway.made("/provider-keys", {"providerId": provider, "name": value, "value": value})
    return str(made["id"])


async def attach(gateway: ManagedGateway, key_id: str, value: str, provider: str = "openai") -> str:
    body = {"ai_gateway_api_key_id": key_id, "provider_id": provider, "value": value}
    return str((await gateway.made("/ai_gateway_provider_keys", body))["id"])


async def routed(gateway: ManagedGateway, *rules: dict[str, Any], **more: Any) -> tuple[str, str]:
    """(configuration id, token) of a key with these routing rules."""
    made = await gateway.made("/access-key-configurations", {"name": "c", "router": {"rules": list(rules)}, **more})
    _, token = await gateway.key(accessKeyConfigurationId=made["id"])
    return made["id"], token


def step(*key_ids: str) -> dict[str, Any]:
    return {"type": "user", "keys": [{"id": key_id} for key_id in key_ids], "keySelectionStrategy": "ordered"}


OURS: dict[str, Any] = {"type": "ngrok"}


def tried(provider: DemoProvider) -> list[str]:
    """The keys that reached the provider since the last look."""
    keys = [each.key for each in provider.requests]
    provider.requests.clear()
    return keys


async def ask(gateway: ManagedGateway, token: str | None, model: str = "demo") -> tuple[int, str]:
    status, body = await gateway.chat(token, model)
    return status, body.get("error", {}).get("code", "")


async def test_rows_1_and_2_a_rule_with_a_model_wins_over_one_with_a_provider() -> None:
    """AG-200, AG-201: steps in order, keys in order; exclusive: attached, policy and account keys are not asked."""
    async with world("demo-key-policy") as (provider, gateway):
        first, second = await stored(gateway, "demo-key-429:pad=1"), await stored(gateway, "demo-key-500:pad=2")
        third, fourth = await stored(gateway, "demo-key-three"), await stored(gateway, "demo-key-four")
        _, token = await routed(
            gateway,
            {"provider": "openai", "steps": [step(fourth)]},
            {"model": "openai:demo", "steps": [step(first, second), step(third)]},
        )
        assert await ask(gateway, token) == (200, "")
        assert tried(provider) == ["demo-key-429:pad=1", "demo-key-500:pad=2", "demo-key-three"]
        assert await ask(gateway, token, "other") == (200, "")
        assert tried(provider) == ["demo-key-four"]


async def test_ag_192_a_step_of_managed_keys() -> None:
    """Where there are none, the next step follows."""
    async with world("demo-key-policy", managed=("demo-key-401", MANAGED)) as (provider, gateway):
        last = await stored(gateway, "demo-key-last")
        _, token = await routed(gateway, {"provider": "openai", "steps": [OURS, step(last)]})
        assert await ask(gateway, token) == (200, "")
        assert tried(provider) == ["demo-key-401", MANAGED]
        events = await gateway.events()
        assert [event["keySource"] for event in events] == ["ngrok", "ngrok"]
        assert "providerKeyId" not in events[0]
    async with world("demo-key-policy") as (provider, gateway):
        last = await stored(gateway, "demo-key-last")
        _, token = await routed(gateway, {"provider": "openai", "steps": [OURS, step(last)]})
        assert await ask(gateway, token) == (200, "")
        assert tried(provider) == ["demo-key-last"]


async def test_ag_202_deleted_keys_are_passed_over_and_an_empty_rule_is_3802() -> None:
    """Never the policy's keys instead, nor the account's."""
    async with world("demo-key-policy") as (provider, gateway):
        account = await stored(gateway, "demo-key-account")
        configuration, token = await routed(gateway, {"provider": "openai", "steps": [OURS]})
        assert await ask(gateway, token) == (400, "ERR_NGROK_3802")
        path = f"/access-key-configurations/{configuration}"
        body = {"router": {"rules": [{"provider": "openai", "steps": [step(account)]}]}}
        assert (await gateway.call("PATCH", path, body))[0] == 200
        assert await ask(gateway, token) == (200, "")
        assert tried(provider) == ["demo-key-account"]
        assert (await gateway.call("DELETE", f"/provider-keys/{account}"))[0] == 409


async def test_ag_203_rules_but_none_for_the_model_is_3803() -> None:
    """Rejected at planning, with the reason; without rules rows 3 to 9 apply."""
    async with world("demo-key-policy") as (provider, gateway):
        key_id = await stored(gateway, "demo-key-stored")
        configuration, token = await routed(gateway, {"model": "openai:other", "steps": [step(key_id)]})
        status, body = await gateway.chat(token)
        assert (status, body["error"]["code"]) == (422, "ERR_NGROK_3803")
        assert body["error"]["details"]["rejected_models"] == [{"model": "demo", "reason": "no routing rule"}]
        assert tried(provider) == []
        assert await ask(gateway, token, "other") == (200, "")
        assert tried(provider) == ["demo-key-stored"]
        path = f"/access-key-configurations/{configuration}"
        assert (await gateway.call("PATCH", path, {"router": None}))[0] == 200
        assert await ask(gateway, token) == (200, "")
        assert tried(provider) == ["demo-key-policy"]


async def test_row_3_attached_keys_replace_those_of_the_policy() -> None:
    """AG-190, CP-69: newest first, and no fallback to row 4; another gateway key is not concerned."""
    async with world("demo-key-policy") as (provider, gateway):
        key_id, token = await gateway.key()
        _, other = await gateway.key()
        old = await attach(gateway, key_id, "demo-key-old")
        await attach(gateway, key_id, "demo-key-503")
        assert await ask(gateway, token) == (200, "")
        assert tried(provider) == ["demo-key-503", "demo-key-old"]
        assert await ask(gateway, other) == (200, "")
        assert tried(provider) == ["demo-key-policy"]
        assert (await gateway.call("DELETE", f"/ai_gateway_provider_keys/{old}"))[0] == 204
        assert (await ask(gateway, token))[0] == 503
        assert tried(provider) == ["demo-key-503"]


async def test_row_4_keys_of_the_action_come_before_the_account() -> None:
    async with world("demo-key-429", managed=(MANAGED,)) as (provider, gateway):
        await stored(gateway, "demo-key-account")
        _, token = await gateway.key()
        assert (await ask(gateway, token))[0] == 429
        assert tried(provider) == ["demo-key-429"]


async def test_rows_5_and_6_account_keys_newest_first_then_managed_ones() -> None:
    async with world(managed=(MANAGED,)) as (provider, gateway):
        await stored(gateway, "demo-key-500:pad=2")
        await stored(gateway, "demo-key-500:pad=1")
        _, token = await gateway.key()
        assert await ask(gateway, token) == (200, "")
        assert tried(provider) == ["demo-key-500:pad=1", "demo-key-500:pad=2", MANAGED]
        assert [event["keySource"] for event in await gateway.events()] == ["user", "user", "ngrok"]


async def test_row_7_another_credential_passes_through_and_meets_no_stored_key() -> None:
    """AG-187: with stored keys shared mode asks for a gateway key; the action's endpoint is its policy's affair."""
    async with world(managed=(MANAGED,)) as (provider, gateway):
        await stored(gateway, "demo-key-account")
        assert await ask(gateway, "demo-key-clients-own") == (200, "")
        assert tried(provider) == ["demo-key-clients-own"]
    async with world(managed=(MANAGED,), mode="shared") as (provider, gateway):
        assert await ask(gateway, "demo-key-clients-own", "mine:demo") == (401, "ERR_NGROK_27007")
        assert await ask(gateway, None, "mine:demo") == (401, "ERR_NGROK_27201")
        assert tried(provider) == []
        _, token = await gateway.key()
        assert await ask(gateway, token, "mine:demo") == (200, "")
        assert tried(provider) == [MANAGED]
    async with world(mode="shared") as (provider, gateway):
        assert await ask(gateway, "demo-key-clients-own", "mine:demo") == (200, "")
        assert tried(provider) == ["demo-key-clients-own"]


async def test_rows_8_and_9_without_any_key() -> None:
    """A custom provider is asked without a credential, an official one not at all; a gateway key goes nowhere."""
    async with world(mode="shared") as (provider, gateway):
        _, token = await gateway.key()
        await ask(gateway, token, "mine:demo")
        assert provider.last.header("authorization") is None
        assert await ask(gateway, token, "openai:gpt-4o") == (400, "ERR_NGROK_3802")


async def test_ag_94_scopes_of_a_configuration() -> None:
    """3803 with the type that says which; a change holds for the next request (CP-28)."""
    async with world("demo-key-policy") as (provider, gateway):
        made = await gateway.made(
            "/access-key-configurations", {"name": "narrow", "access": {"models": {"allow": ["openai:demo"]}}}
        )
        _, token = await gateway.key(accessKeyConfigurationId=made["id"])
        assert await ask(gateway, token) == (200, "")
        status, body = await gateway.chat(token, "other")
        assert (status, body["error"]["code"], body["error"]["type"]) == (422, "ERR_NGROK_3803", "model_not_allowed")
        path = f"/access-key-configurations/{made['id']}"
        for access, seen in (
            ({"providers": {"allow": []}}, "provider_not_allowed"),
            ({"providers": {"allow": ["groq"]}}, "provider_not_allowed"),
            ({"models": {"allow": []}}, "model_not_allowed"),
        ):
            assert (await gateway.call("PATCH", path, {"access": access}))[0] == 200
            assert (await gateway.chat(token))[1]["error"]["type"] == seen
        assert (await gateway.call("PATCH", path, {"access": None}))[0] == 200
        assert await ask(gateway, token, "other") == (200, "")
        assert tried(provider) == ["demo-key-policy"] * 2


async def test_ag_186_what_is_wrong_with_a_key_can_be_told_apart() -> None:
    """401 unknown or deleted, 403 of another endpoint, 401 nothing sent; deleted is deleted at once (CP-66)."""
    async with world("demo-key-policy") as (provider, gateway):
        _, listed = await gateway.call("GET", "/endpoints")
        here = listed["endpoints"][0]["id"]
        key_id, token = await gateway.key()
        mine = await gateway.made("/ai_gateway_api_keys", {"endpoint_id": here})
        assert await ask(gateway, mine["token"]) == (200, "")
        assert await ask(gateway, token[:-1] + ("x" if token[-1] != "x" else "y")) == (401, "ERR_NGROK_27007")
        assert await ask(gateway, None) == (401, "ERR_NGROK_27201")
        assert await ask(gateway, "sk-of-a-provider") == (401, "ERR_NGROK_27007")
        # the endpoint of a key is checked on the data plane, too
        view = gateway.plane.view
        identity = view.access_keys.find(mine["token"])
        assert identity is not None
        identity.endpoint_id = "ep_elsewhere"
        assert await ask(gateway, mine["token"]) == (403, "ERR_NGROK_27008")
        assert (await gateway.call("DELETE", f"/access-keys/{key_id}"))[0] == 204
        assert await ask(gateway, token) == (401, "ERR_NGROK_27007")
        assert tried(provider) == ["demo-key-policy"]


async def test_cp_67_last_uses() -> None:
    """Of the gateway key when it was accepted, of provider keys by their attempts; exact before it is on disk."""
    async with world() as (_, gateway):
        unused = await stored(gateway, "demo-key-unused")
        used = await stored(gateway, "demo-key-used")
        key_id, token = await gateway.key()
        assert await ask(gateway, token) == (200, "")
        await until(lambda: gateway.records)
        shown = {}
        for path in (f"/access-keys/{key_id}", f"/provider-keys/{used}", f"/provider-keys/{unused}"):
            shown[path.rpartition("/")[2]] = (await gateway.call("GET", path))[1]["lastUsed"]
        assert shown[key_id] is not None
        assert shown[used] is not None
        assert shown[unused] is None


async def test_cp_67_a_use_is_seen_while_its_answer_streams() -> None:
    async with world() as (_, gateway):
        key = await stored(gateway, "demo-key-used")
        _, token = await gateway.key()
        body = chat_body("openai:demo:n=2000,delay=20ms", stream=True, max_tokens=2_000)
        bearer = {"authorization": f"Bearer {token}"}
        async with gateway.session as client, client.post(CHAT_PATH, data=body, headers=bearer) as answer:
            assert answer.status == 200
            await answer.content.readline()
            assert (await gateway.call("GET", f"/provider-keys/{key}"))[1]["lastUsed"] is not None
            answer.close()


async def test_cp_34_rotation_holds_for_the_next_attempt_and_starts_anew() -> None:
    """References stay; a key that was cooling is fresh again."""
    async with world() as (provider, gateway):
        first, second = await stored(gateway, "demo-key-429:pad=1"), await stored(gateway, "demo-key-two")
        _, token = await routed(gateway, {"provider": "openai", "steps": [step(first, second)]})
        await ask(gateway, token)
        await ask(gateway, token)
        assert tried(provider) == ["demo-key-429:pad=1", "demo-key-two", "demo-key-two"], "the first is cooling"
        body = {"name": "one", "value": "demo-key-fresh"}
        assert (await gateway.call("POST", f"/provider-keys/{first}/rotate", body))[0] == 200
        await ask(gateway, token)
        assert tried(provider) == ["demo-key-fresh"]


@asynccontextmanager
async def official(folder: Path, managed: Sequence[str] = ()) -> AsyncIterator[tuple[list[str], ManagedGateway]]:
    """Shared mode with the catalog's ``groq`` and ``openai`` at demo providers; the names of those that are asked."""
    asked: list[str] = []
    async with DemoProvider() as groq, DemoProvider() as openai:
        overlay = {
            "providers": [{"id": "groq", "base_url": groq.base_url}, {"id": "openai", "base_url": openai.base_url}]
        }
        file = folder / "catalog.json"
        file.write_text(json.dumps(overlay))
        keys = (("groq", tuple(managed)),) if managed else ()
        async with ManagedGateway(settings_for(None, catalog_file=file, managed_keys=keys)) as gateway:
            yield asked, gateway
        asked += [f"groq {each.key}" for each in groq.requests] + [f"openai {each.key}" for each in openai.requests]


@pytest.mark.parametrize("kind", ["attached", "account", "managed", "nothing"])
async def test_ag_98_automatic_selection_turns_to_providers_that_the_store_has_keys_for(
    kind: str, tmp_path: Path
) -> None:
    """Official providers without a credential for this caller are left out; row 9 where none is left."""
    async with official(tmp_path, managed=(MANAGED,) if kind == "managed" else ()) as (asked, gateway):
        key_id, token = await gateway.key()
        if kind == "attached":
            await attach(gateway, key_id, "demo-key-attached", "groq")
        elif kind == "account":
            await stored(gateway, "demo-key-account", "groq")
        status, body = await gateway.chat(token, "ngrok/auto")
        assert status == (422 if kind == "nothing" else 200), body
        assert (await ask(gateway, token, "openai:gpt-4o")) == (400, "ERR_NGROK_3802")
    assert asked == ([] if kind == "nothing" else [f"groq demo-key-{kind}"])


async def test_cp_66_a_key_deleted_during_a_request_gets_no_attempt() -> None:
    """CP-34: nor does the value that a key had before it was rotated."""
    async with world() as (provider, gateway):
        last = await stored(gateway, "demo-key-last")
        middle = await stored(gateway, "demo-key-gone")
        await stored(gateway, "demo-key-500:late=400ms")
        _, token = await gateway.key()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(ask(gateway, token))
            await until(lambda: provider.stats.requests == 1)
            assert (await gateway.call("DELETE", f"/provider-keys/{middle}"))[0] == 204
            body = {"name": "last", "value": "demo-key-rotated"}
            assert (await gateway.call("POST", f"/provider-keys/{last}/rotate", body))[0] == 200
        assert running.result() == (200, "")
        assert tried(provider) == ["demo-key-500:late=400ms", "demo-key-rotated"]


async def test_cp_66_revocation_under_load() -> None:
    """No request that starts after the 204 succeeds (CP-142, P15)."""
    async with world("demo-key-policy") as (provider, gateway):
        key_id, token = await gateway.key()
        revoked = asyncio.Event()
        after: list[int] = []

        async def caller() -> None:
            async with aiohttp.ClientSession(gateway.url, headers={"authorization": f"Bearer {token}"}) as client:
                for _ in range(400):
                    late = revoked.is_set()
                    async with client.post(CHAT_PATH, data=chat_body()) as answer:
                        if late:
                            after.append(answer.status)
                    if len(after) > 100:
                        return

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(caller())
            await until(lambda: provider.stats.requests > 40)
            assert (await gateway.call("DELETE", f"/access-keys/{key_id}"))[0] == 204
            revoked.set()
        assert len(after) > 100
        assert set(after) == {401}
