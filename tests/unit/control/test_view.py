"""A view read from rows equals the one that changes built (CP-66); what does not open fails (CP-105)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.control.view import GatewayConfig, load_view
from gateway.secrets.crypto import MasterKey, SealBox, SealError
from tests.control_plane import running

STEPS = [{"type": "user", "keys": [{"name": "n", "value": "sk-1"}]}, {"type": "ngrok"}]


async def fill(api):
    await api.created("/vaults", {"name": "v"})
    await api.created("/vault_secrets", {"name": "s", "value": "x", "vault_name": "v"})
    await api.created("/providers", {"providerId": "vllm", "name": "n", "baseUrl": "http://vllm:8000"})
    configuration = {"name": "c", "access": {"models": {"allow": ["A"]}}, "router": {"rules": [
        {"provider": "openai", "steps": STEPS}, {"model": "openai:m", "steps": STEPS}]}}  # fmt: skip
    linked = await api.created("/access-key-configurations", configuration)
    tokens = [(await api.created("/access-keys", {"accessKeyConfigurationId": linked["id"]}))["token"]]
    bound = {"endpoint_id": "ep_one", "provider_keys": [{"provider_id": "vllm", "value": "v"}]}
    tokens.append((await api.created("/ai_gateway_api_keys", bound))["token"])
    await api.patch("/gateway-config", {"totalTimeout": "90s", "maxInputTokens": 5})
    return tokens


def essence(view, tokens):
    keys = view.access_keys
    found = [keys.find(token) for token in tokens]
    configurations = {
        row_id: (found.name, found.providers, found.models, found.rules)
        for row_id, found in keys.configurations.items()
    }
    return (
        view.version,
        [(identity.id, identity.endpoint_id, identity.configuration_id) for identity in found],
        keys.made_for,
        configurations,
        dict(view.providers),
        [(key.id, key.value.reveal(), key.rotation) for key in view.provider_keys.account("openai")],
        [key.value.reveal() for key in view.provider_keys.attached(found[1].id, "vllm")],
        view.gateway_config,
        view.secrets.get("v", "s"),
        len(view.admin_keys),
    )


async def test_restart_keeps_everything(tmp_path):
    """CP-142."""
    async with running(tmp_path) as api:
        tokens = await fill(api)
        before = essence(api.data_plane.view, tokens)
        read = await api.plane.read(lambda db: load_view(db, api.plane.hasher, api.plane.box))
        assert essence(read, tokens) == before
    async with running(tmp_path) as api:
        # The second start made a key for the test itself.
        assert essence(api.data_plane.view, tokens)[1:-1] == before[1:-1]


async def test_cp_105_a_value_that_does_not_open_fails_the_load(api):
    await fill(api)
    foreign = SealBox(MasterKey(b"x" * 32))
    with pytest.raises(SealError):
        await api.plane.read(lambda db: load_view(db, api.plane.hasher, foreign))


async def test_cp_105_met_at_run_time_it_is_27505(api):
    """A value written under another key, as by a restore that nobody checked."""
    made = await api.created("/provider-keys", {"providerId": "openai", "name": "n", "value": "v"})

    def damage(tx):
        tx.db.execute("UPDATE provider_keys SET sealed = x'00'")

    await asyncio.shield(api.plane.store.write(damage))
    assert (await api.patch(f"/provider-keys/{made['id']}", {"name": "m"})).refusal == (500, "27505")


def test_cp_45_defaults():
    config = GatewayConfig.unpack(None)
    assert (config.total_timeout_s, config.per_request_timeout_s) == (120.0, 60.0)
