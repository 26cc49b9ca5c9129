"""From the store's view to what gateways are built with (AG-16, AG-54, CP-37, CP-45)."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from gateway.ai.account import NO_ACCOUNT, Account, StoredModel
from gateway.ai.surfaces import SURFACES
from gateway.app.account import account_of
from gateway.auth.access_keys import AccessKeyTable
from gateway.control.view import CustomProvider, CustomSurface, GatewayConfig, View

NO_KEYS = cast(AccessKeyTable, None)
EMPTY = View(version=1, access_keys=NO_KEYS, admin_keys=NO_KEYS)


def view(*surfaces: CustomSurface, **more) -> View:
    provider = CustomProvider("aigp_1", "mine", "Mine", "http://127.0.0.1:1/v1", "", surfaces, ("a", "b"))
    return replace(EMPTY, providers={"aigp_1": provider}, **more)


def test_nothing_stored_is_no_account():
    """AG-6: 60 and 120 seconds."""
    assert account_of(EMPTY) == NO_ACCOUNT
    assert (NO_ACCOUNT.per_request_timeout_s, NO_ACCOUNT.total_timeout_s) == (60.0, 120.0)


def test_cp_45_the_limits_of_shared_mode():
    config = GatewayConfig(total_timeout="2m", per_request_timeout="1500ms", max_input_tokens=3, max_output_tokens=4)
    assert account_of(view(gateway_config=config)) == Account(
        providers=account_of(view()).providers, per_request_timeout_s=1.5, total_timeout_s=120.0, max_input_tokens=3,
        max_output_tokens=4,
    )  # fmt: skip


def test_custom_providers():
    (provider,) = account_of(view(CustomSurface("anthropic"))).providers
    assert (provider.id, provider.stored_id, provider.display_name) == ("mine", "aigp_1", "Mine")
    assert provider.models == (StoredModel("a"), StoredModel("b"))
    assert provider.surfaces == {("anthropic", "messages"): None}
    assert provider.key_texts == ()


def test_an_address_that_cannot_be_used_costs_only_its_provider():
    usable = view(CustomSurface("openai"))
    broken = CustomProvider("aigp_2", "broken", "B", "http://[", "", (), ())
    providers = {**usable.providers, "aigp_2": broken}
    assert account_of(replace(usable, providers=providers)) == account_of(usable)


def test_ag_16_surfaces():
    """Without a surface all of the format; a named one may limit its parameters."""
    (provider,) = account_of(view(CustomSurface("openai"), CustomSurface("openai", "responses", ("input",)))).providers
    openai = {surface.key for surface in SURFACES.values() if surface.format.value == "openai"}
    assert provider.surfaces.keys() == openai
    assert provider.surfaces["openai", "responses"] == frozenset({"input"})
    assert provider.surfaces["openai", "embeddings"] is None


def test_equal_views_make_equal_accounts():
    """So that a change of something else builds nothing."""
    assert account_of(view(CustomSurface("openai"))) == account_of(replace(view(CustomSurface("openai")), version=2))
    assert account_of(view(CustomSurface("openai"))) != account_of(view())
