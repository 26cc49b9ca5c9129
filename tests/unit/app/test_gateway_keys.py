"""What is remembered of gateway keys, and for how long (AG-94, AG-98, AG-203, CP-66); HTTP: ``test_precedence``."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.app.gateway_keys import GatewayKeys
from gateway.auth.access_keys import AccessKeyTable, Identity
from gateway.auth.scopes import KeyConfiguration, RouteRule, RouteStep, StepKind
from gateway.auth.tokens import GATEWAY_MARK, Hasher, new_token
from gateway.clock import ManualClock
from gateway.control.view import View
from gateway.errors import GatewayError
from gateway.secrets.secret import Secret
from gateway.secrets.stored_keys import StoredKey, StoredKeyTable

HASHER = Hasher(b"p" * 32)
TOKEN = new_token(GATEWAY_MARK)
NARROW = KeyConfiguration("aigac_1", "n", frozenset({"openai"}))
RULES = (RouteRule("openai", None, (RouteStep(StepKind.USER, ("aigpk_routed", "aigpk_gone")),)),)


def stored(key_id: str, provider: str, owner: str | None = None) -> StoredKey:
    return StoredKey(key_id, provider, "n", Secret("value"), "***", owner)


def view(configuration: KeyConfiguration | None = None, *keys: StoredKey) -> View:
    identity = Identity(
        "aigk_1", TOKEN.public, HASHER.digest(TOKEN.text), None, configuration.id if configuration is not None else None
    )
    known = {configuration.id: configuration} if configuration is not None else {}
    table = AccessKeyTable(HASHER, GATEWAY_MARK, [identity], known, frozenset())
    return View(version=1, access_keys=table, admin_keys=table, provider_keys=StoredKeyTable(keys))


def access(keys: GatewayKeys) -> Any:
    credential = SimpleNamespace(is_gateway_key=True, token=Secret(TOKEN.text))
    call: Any = SimpleNamespace(credential=credential, exchange=SimpleNamespace(endpoint=SimpleNamespace(id="ep_1")))
    keys.authenticate(call)
    assert call.gateway_key_id == "aigk_1"
    return call.access


def published(*views: View) -> GatewayKeys:
    keys = GatewayKeys(ManualClock())
    for each in views:
        keys.publish(each)
    return keys


def test_before_the_first_view_every_token_is_unknown():
    with pytest.raises(GatewayError) as refused:
        access(GatewayKeys(ManualClock()))
    assert refused.value.code == "ERR_NGROK_27007"


def test_ag_98_a_key_reaches_what_the_store_has_for_it():
    keys = published(view(None, stored("a", "groq"), stored("b", "openai", "aigk_1"), stored("c", "mistral", "aigk_2")))
    assert access(keys).stored == {"groq", "openai"}
    assert access(keys).providers is None


def test_ag_203_a_router_decides_by_its_rules():
    keys = published(view(replace(NARROW, rules=RULES), stored("aigpk_routed", "openai", "aigk_9")))
    scope = access(keys)
    assert scope.stored == {"openai"}
    provider = SimpleNamespace(id="openai", stored_id="", id_aliases=())
    candidate: Any = SimpleNamespace(provider=provider, name="m", author="")
    assert scope.routes(candidate)
    provider.id = "groq"
    assert not scope.routes(candidate)


def test_plans_of_unchanged_configurations_are_kept():
    """The same scope while neither the configuration nor what is stored for it changed; plans hang on it."""
    first = view(NARROW, stored("a", "groq"))
    keys = published(first)
    scope = access(keys)
    keys.publish(replace(first, version=2, provider_keys=StoredKeyTable([stored("z", "groq")])))
    assert access(keys) is scope
    keys.publish(replace(first, provider_keys=StoredKeyTable([stored("z", "openai")])))
    assert access(keys) is not scope
    keys.publish(view(replace(NARROW, name="changed"), stored("a", "groq")))
    assert access(keys) is not scope


def test_cp_66_a_view_without_the_key_ends_it():
    keys = published(view(NARROW))
    access(keys)
    empty = AccessKeyTable(HASHER, GATEWAY_MARK)
    keys.publish(replace(view(), access_keys=empty))
    with pytest.raises(GatewayError):
        access(keys)
    assert keys.provider_key("aigpk_gone") is None
