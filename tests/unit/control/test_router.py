"""What a router stores and what is read of it (CP-26, CP-27; the refusals are in resources/test_configurations)."""

from __future__ import annotations

import pytest

from gateway.control.errors import ApiError
from gateway.control.plane import SYSTEM_CALL
from gateway.control.router import model_provider, router_keys, settle_router, shown_router

ROUTER = {
    "rules": [
        {"provider": "openai", "steps": [{"type": "user", "keys": [{"name": "n", "value": "v"}]}, {"type": "ngrok"}]},
        {"model": "anthropic:claude", "steps": [{"type": "user", "keys": [{"name": "m", "value": "w"}]}]},
    ]
}


async def test_keys_are_stored_as_ids_only(api):
    stored = await api.plane.change(SYSTEM_CALL, lambda change: settle_router(change, ROUTER))
    ids = router_keys(stored)
    assert len(ids) == 2
    assert stored["rules"][0] == {
        "provider": "openai",
        "steps": [{"type": "user", "keys": [{"id": ids[0]}]}, {"type": "ngrok"}],
    }
    assert '"v"' not in str(stored)
    shown = await api.plane.read(lambda db: shown_router(db, stored))
    assert [key["name"] for rule in shown["rules"] for step in rule["steps"] for key in step.get("keys", ())] == [
        "n",
        "m",
    ]


async def test_a_router_that_fails_late_creates_no_key(api):
    late = {"rules": [*ROUTER["rules"], {"provider": "nobody", "steps": [{"type": "ngrok"}]}]}
    with pytest.raises(ApiError) as caught:
        await api.plane.change(SYSTEM_CALL, lambda change: settle_router(change, late))
    assert caught.value.field == "router.rules[2].provider"
    assert len(api.data_plane.view.provider_keys) == 0


async def test_a_router_without_rules_stays_as_written(api):
    assert await api.plane.change(SYSTEM_CALL, lambda change: settle_router(change, {})) == {}
    assert await api.plane.read(lambda db: shown_router(db, {})) == {}
    assert router_keys({}) == []


@pytest.mark.parametrize(
    ("model", "provider"),
    [("openai:gpt-4o", "openai"), ("Open-AI/gpt-4o", "openai"), ("openrouter/openai/gpt-4o", "openrouter"),
     ("gpt-4o", None), ("meta/llama", None), (":x", None), ("openai:", None)],
)  # fmt: skip
async def test_the_provider_part_of_a_model(api, model, provider):
    assert await api.plane.change(SYSTEM_CALL, lambda change: model_provider(change, model)) == provider
