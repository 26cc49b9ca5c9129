"""``router`` of a configuration: the checks of CP-26, keys written inside a rule, and how it is read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.control.errors import BAD_ROUTER, ApiError
from gateway.control.plane import Change
from gateway.control.provider_keys import EVENT, add_provider_key, checked_value, primary_provider
from gateway.control.provider_keys import NAME as KEY_NAME
from gateway.control.schema import ListOf, Member, Object, Words
from gateway.control.texts import ANY
from gateway.store.provider_keys import PROVIDER_KEYS
from gateway.store.providers import PROVIDERS

RULES_MAXIMUM: Final = 100
STEPS_MAXIMUM: Final = 20
KEYS_MAXIMUM: Final = 50

_KEY: Final = Object(Member("id", ANY), Member("name", KEY_NAME), Member("value", ANY), title="RouterStepKeyWrite")
_STEP: Final = Object(
    Member("type", Words(("user", "ngrok"), BAD_ROUTER), required=True),
    Member("keys", ListOf(_KEY, KEYS_MAXIMUM, BAD_ROUTER)),
    Member("keySelectionStrategy", Words(("ordered",), BAD_ROUTER)),
)
_RULE: Final = Object(
    Member("provider", ANY),
    Member("model", ANY),
    Member("steps", ListOf(_STEP, STEPS_MAXIMUM, BAD_ROUTER, least=1), required=True),
)
ROUTER: Final = Object(Member("rules", ListOf(_RULE, RULES_MAXIMUM, BAD_ROUTER)), title="RouterWrite")

_READ_KEY: Final = Object(
    Member("id", ANY, required=True), Member("name", ANY, required=True), Member("keyRedacted", ANY, required=True)
)
_READ_STEP: Final = Object(
    Member("type", Words(("user", "ngrok")), required=True),
    Member("keys", ListOf(_READ_KEY)),
    Member("keySelectionStrategy", Words(("ordered",))),
)
_READ_RULE: Final = Object(
    Member("provider", ANY), Member("model", ANY), Member("steps", ListOf(_READ_STEP), required=True)
)
READ_ROUTER: Final = Object(Member("rules", ListOf(_READ_RULE)), title="Router")


def settle_router(change: Change, router: Mapping[str, Any]) -> dict[str, Any]:
    """The router as it is stored: checked, with every key as ``{"id"}``; new keys are created on the way (CP-27)."""
    if "rules" not in router:
        return {}
    return {"rules": list(_Router(change).rules(router["rules"]))}


def router_keys(router: Mapping[str, Any]) -> list[str]:
    """The ids of all keys that a stored router names."""
    return [
        key["id"]
        for rule in router.get("rules", ())
        for step in rule["steps"]
        for key in step.get("keys", ())
    ]  # fmt: skip


def shown_router(db: sqlite3.Connection, router: Mapping[str, Any]) -> dict[str, Any]:
    """A stored router as the API shows it; keys that were deleted with their gateway key are gone."""
    if "rules" not in router:
        return {}
    return {"rules": [{**rule, "steps": [_shown_step(db, step) for step in rule["steps"]]} for rule in router["rules"]]}


def model_provider(change: Change, model: str) -> str | None:
    """The provider part of ``p:m``, ``p:a/m`` or ``p/m``; None if there is none."""
    for separator in (":", "/"):
        head, found, rest = model.partition(separator)
        if found and head and rest:
            return _provider(change, head)
    return None


class _Router:
    """One check of one router; remembers what rules were seen."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._seen: set[tuple[str, str]] = set()

    def rules(self, rules: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for index, rule in enumerate(rules):
            place = f"router.rules[{index}]"
            provider = self._rule_provider(rule, place)
            steps = [self._step(step, provider, f"{place}.steps[{at}]") for at, step in enumerate(rule["steps"])]
            written = {name: rule[name] for name in ("provider", "model") if name in rule}
            yield {**written, "steps": steps}

    def _rule_provider(self, rule: Mapping[str, Any], place: str) -> str:
        """The primary id of the provider that the rule is about."""
        provider, model = rule.get("provider"), rule.get("model")
        if not provider and not model:
            raise _wrong(place, "a rule needs a provider or a model")
        named = _provider(self._change, provider) if provider else None
        if provider and named is None:
            raise _wrong(f"{place}.provider", f"there is no provider '{provider}'")
        of_model = model_provider(self._change, model) if model else None
        if model and of_model is None:
            raise _wrong(f"{place}.model", "a model is written with its provider, like 'openai:gpt-4o'")
        once = ("model", str(model).lower()) if model else ("provider", str(named))
        if once in self._seen:
            raise _wrong(place, f"there are two rules for the same {once[0]}")
        self._seen.add(once)
        return named or of_model or ""

    def _step(self, step: Mapping[str, Any], provider: str, place: str) -> dict[str, Any]:
        keys = step.get("keys") or []
        if step["type"] == "ngrok":
            if keys:
                raise _wrong(f"{place}.keys", "an 'ngrok' step has no keys")
            if self._change.plane.surroundings.primary_provider(provider) is None:
                raise _wrong(place, "an 'ngrok' step needs a built-in provider")
            return {"type": "ngrok"}
        if not keys:
            raise _wrong(f"{place}.keys", "a 'user' step needs keys")
        ids = [self._key(key, provider, f"{place}.keys[{index}]") for index, key in enumerate(keys)]
        return {"type": "user", "keys": [{"id": key_id} for key_id in ids]}

    def _key(self, key: Mapping[str, Any], provider: str, place: str) -> str:
        new = "name" in key or "value" in key
        if ("id" in key) == new or (new and not {"name", "value"} <= key.keys()):
            raise _wrong(place, "a key is either an id or a name with a value")
        if new:
            value = checked_value(key["value"], f"{place}.value")
            row = add_provider_key(self._change, value=value, provider_id=provider, name=key["name"])
            self._change.audit(f"{EVENT}_created", {"id": row.id, "providerId": provider, "keyRedacted": row.redacted})
            return row.id
        found = PROVIDER_KEYS.get(self._change.db, key["id"])
        if found is None:
            raise _wrong(f"{place}.id", "there is no such provider key")
        if found.provider_id != provider:
            raise _wrong(f"{place}.id", f"it is a key for '{found.provider_id}', not for '{provider}'")
        return found.id


def _provider(change: Change, name: str) -> str | None:
    """The primary id of a provider named by id, alias or ``aigp_`` id."""
    stored = PROVIDERS.get(change.db, name)
    return stored.provider_id if stored is not None else primary_provider(change.plane, change.db, name)


def _shown_step(db: sqlite3.Connection, step: Mapping[str, Any]) -> dict[str, Any]:
    if step["type"] != "user":
        return {"type": step["type"]}
    rows = [PROVIDER_KEYS.get(db, key["id"]) for key in step["keys"]]
    keys = [{"id": row.id, "name": row.name or "", "keyRedacted": row.redacted} for row in rows if row is not None]
    return {"type": "user", "keys": keys, "keySelectionStrategy": "ordered"}


def _wrong(field: str, reason: str) -> ApiError:
    return ApiError(BAD_ROUTER, field=field, reason=reason)
