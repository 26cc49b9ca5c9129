"""What the API changes for all gateways: custom providers and the limits of shared mode (CP-19, CP-35, CP-45)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from gateway.demo.server import DemoProvider
from tests.wire.managed import ManagedGateway
from tests.wire.running import ai_policy, settings_for
from tests.wire.serving import provider_entry


@asynccontextmanager
async def shared(policy: str | None = None) -> AsyncIterator[tuple[DemoProvider, ManagedGateway]]:
    """A gateway in shared mode, unless there is a policy."""
    async with DemoProvider() as provider, ManagedGateway(settings_for(policy)) as gateway:
        yield provider, gateway


def custom(provider: DemoProvider, **more: Any) -> dict[str, Any]:
    return {"providerId": "mine", "name": "Mine", "baseUrl": provider.base_url, **more}


async def test_cp_35_a_custom_provider_serves_from_the_answer_on() -> None:
    """CP-19, AG-54: made, changed and deleted without a reload; its keys are those of the account."""
    async with shared() as (provider, gateway):
        _, token = await gateway.key()
        assert (await gateway.chat(token, "mine:demo"))[0] == 422
        made = await gateway.made("/providers", custom(provider, models=[{"modelId": "demo"}]))
        await gateway.made("/provider-keys", {"providerId": "mine", "name": "k", "value": "demo-key-of-mine"})
        for name in ("mine:demo", "demo"):
            status, body = await gateway.chat(token, name)
            assert status == 200, body
            assert provider.last.key == "demo-key-of-mine"
        path = f"/providers/{made['id']}"
        assert (await gateway.call("PATCH", path, {"models": [{"modelId": "demo:n=3"}]}))[0] == 200
        status, body = await gateway.chat(token, "demo:n=3")
        assert (status, body["usage"]["completion_tokens"]) == (200, 3)
        assert (await gateway.call("PATCH", path, {"supportedApiSurfaces": [{"format": "anthropic"}]}))[0] == 200
        assert (await gateway.chat(token, "mine:demo"))[1]["error"]["code"] == "ERR_NGROK_3813"
        _, keys = await gateway.call("GET", "/provider-keys")
        assert (await gateway.call("DELETE", f"/provider-keys/{keys['aiGatewayProviderKeys'][0]['id']}"))[0] == 204
        assert (await gateway.call("DELETE", path))[0] == 204
        assert (await gateway.chat(token, "mine:demo"))[0] == 422
        assert provider.stats.requests == 3


async def test_ag_54_an_action_serves_stored_providers_and_hides_them_by_its_own() -> None:
    """Both modes; an entry of the action with the same id wins."""
    async with DemoProvider() as own:
        policy = ai_policy([provider_entry(own.base_url, "demo-key-policy", id="theirs")])
        async with shared(policy) as (provider, gateway):
            for name in ("mine", "theirs"):
                await gateway.made("/providers", custom(provider, providerId=name, models=[{"modelId": "demo"}]))
            assert (await gateway.chat(model="theirs:demo"))[0] == 200
            assert (own.stats.requests, provider.stats.requests) == (1, 0)
            assert (await gateway.chat(model="mine:demo"))[0] in (401, 503), "asked without a credential (row 8)"
            assert provider.last.header("authorization") is None
            # a reload keeps what the store holds
            assert (await gateway.call("POST", "/ext/reload"))[0] == 200
            await gateway.chat(model="mine:demo")
            assert provider.stats.requests == 2


async def test_cp_46_timeouts_of_shared_mode_hold_for_the_next_request() -> None:
    """CP-45, AG-6."""
    async with shared() as (provider, gateway):
        await gateway.made("/providers", custom(provider))
        await gateway.made("/provider-keys", {"providerId": "mine", "name": "k", "value": "demo-key-of-mine"})
        _, token = await gateway.key()
        assert (await gateway.chat(token, "mine:demo:late=300ms"))[0] == 200
        status, config = await gateway.call("PATCH", "/gateway-config", {"perRequestTimeout": "100ms"})
        assert (status, config["perRequestTimeout"]) == (200, "100ms")
        status, body = await gateway.chat(token, "mine:demo:late=300ms")
        assert (status, body["error"]["code"]) == (504, "ERR_NGROK_3810")
        await gateway.call("PATCH", "/gateway-config", {"perRequestTimeout": "60s", "maxOutputTokens": 2})
        assert (await gateway.chat(token, "mine:demo"))[1]["usage"]["completion_tokens"] == 2
        await gateway.call("PATCH", "/gateway-config", {"maxOutputTokens": None, "totalTimeout": "100ms"})
        assert (await gateway.chat(token, "mine:demo:late=300ms"))[0] == 504


async def test_changes_during_reloads_are_not_lost() -> None:
    """CP-19: a reload that began before a change does not bring the older version back."""
    async with shared() as (provider, gateway):
        async with asyncio.TaskGroup() as group:
            reloads = [group.create_task(gateway.call("POST", "/ext/reload")) for _ in range(3)]
            made = group.create_task(gateway.made("/providers", custom(provider, models=[{"modelId": "demo"}])))
        assert [status for status, _ in (task.result() for task in reloads)] == [200] * 3
        assert made.result()["providerId"] == "mine"
        _, token = await gateway.key()
        assert (await gateway.chat(token, "mine:demo"))[0] != 422


async def test_p18_stored_values_are_masked_from_the_answer_on() -> None:
    """Provider keys, vault secrets and the parts of key-value secrets; also after they were deleted."""
    async with shared() as (_, gateway):

        def shown(text: str) -> bool:
            return gateway.sink.masker.mask(text.encode()) == text.encode()

        texts = ("sk-of-the-account", "vault-text-one", "pair-value-two")
        assert all(map(shown, texts))
        key = await gateway.made("/provider-keys", {"providerId": "openai", "name": "k", "value": texts[0]})
        await gateway.made("/vaults", {"name": "v"})
        for name, value in (("one", texts[1]), ("two", f'{{"a": "{texts[2]}"}}')):
            await gateway.made("/vault_secrets", {"vault_name": "v", "name": name, "value": value})
        assert not any(map(shown, texts))
        assert (await gateway.call("DELETE", f"/provider-keys/{key['id']}"))[0] == 204
        assert not any(map(shown, texts))
        assert shown("something-else")
