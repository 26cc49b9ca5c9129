"""The view: what the store says, opened and indexed for the request path; and how rows become it.

Invariants
    1. A view never changes; a change of the store makes a new one, of which the untouched parts are the same objects.
    2. ``version`` is the store's change counter that the view stands for; a publisher never goes back to a lower one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson

from gateway.auth.access_keys import AccessKeyTable, Identity
from gateway.auth.scopes import KeyConfiguration, RouteRule, RouteStep, StepKind, by_rank
from gateway.auth.tokens import ADMIN_MARK, GATEWAY_MARK, Hasher
from gateway.schema.scalars import parse_duration
from gateway.secrets.crypto import Place, SealBox
from gateway.secrets.secret import Secret
from gateway.secrets.stored_keys import StoredKey, StoredKeyTable
from gateway.secrets.table import StoredSecrets, VaultSecret
from gateway.store.configurations import CONFIGURATIONS, ConfigurationRow
from gateway.store.db import CHANGES, read_fact
from gateway.store.keys import ADMIN_KEYS, AdminKeyRow, GatewayKeyRow, endpoints_with_keys, gateway_identities
from gateway.store.provider_keys import PROVIDER_KEYS, VALUE_COLUMN, ProviderKeyRow
from gateway.store.providers import PROVIDERS, ProviderRow
from gateway.store.vaults import SECRETS, VAULTS, SecretRow

GATEWAY_CONFIG: Final = "gateway_config"
"""The fact that holds the account's gateway configuration, as JSON."""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The account's configuration for shared mode (CP-45). Durations are kept as they were written (CP-46)."""

    total_timeout: str = "120s"
    per_request_timeout: str = "60s"
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    metadata: str | None = None

    @property
    def total_timeout_s(self) -> float:
        return parse_duration(self.total_timeout) or 120.0

    @property
    def per_request_timeout_s(self) -> float:
        return parse_duration(self.per_request_timeout) or 60.0

    @classmethod
    def unpack(cls, packed: bytes | None) -> GatewayConfig:
        return cls(**orjson.loads(packed)) if packed else cls()


@dataclass(frozen=True, slots=True)
class CustomSurface:
    """``surface`` None: every surface of the format. ``params`` None: all request members (AG-16, AG-17)."""

    format: str
    surface: str | None = None
    params: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CustomProvider:
    """A provider of the store, for selection (AG-54)."""

    stored_id: str
    id: str
    name: str
    base_url: str
    metadata: str
    surfaces: tuple[CustomSurface, ...]
    model_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything of the store that requests depend on."""

    version: int
    access_keys: AccessKeyTable
    admin_keys: AccessKeyTable
    provider_keys: StoredKeyTable = field(default_factory=StoredKeyTable)
    #: by ``aigp_`` id
    providers: Mapping[str, CustomProvider] = field(default_factory=dict)
    gateway_config: GatewayConfig = field(default_factory=GatewayConfig)
    secrets: StoredSecrets = field(default_factory=StoredSecrets)

    def provider_named(self, name: str) -> CustomProvider | None:
        """A custom provider by its ``aigp_`` id or by its ``providerId``, in any case."""
        found = self.providers.get(name)
        lowered = name.lower()
        return found or next((provider for provider in self.providers.values() if provider.id.lower() == lowered), None)


class Publisher(Protocol):
    """Takes views to the data plane."""

    async def publish(self, view: View) -> None:
        """Returns when every request that starts from now on sees ``view`` or a newer one (CP-19, CP-66)."""
        ...


def load_view(db: sqlite3.Connection, hasher: Hasher, box: SealBox) -> View:
    """The whole view from rows; SealError when a value does not open (CP-105)."""
    configurations = {row.id: compile_configuration(row) for row in CONFIGURATIONS.all(db)}
    vaults = {row.id: row.name for row in VAULTS.all(db)}
    return View(
        version=int(read_fact(db, CHANGES) or 0),
        access_keys=AccessKeyTable(
            hasher,
            GATEWAY_MARK,
            (Identity(*columns) for columns in gateway_identities(db)),
            configurations,
            endpoints_with_keys(db),
        ),
        admin_keys=AccessKeyTable(hasher, ADMIN_MARK, map(identity_of, ADMIN_KEYS.all(db))),
        provider_keys=StoredKeyTable(open_key(row, box) for row in PROVIDER_KEYS.all(db)),
        providers={row.id: read_provider(row) for row in PROVIDERS.all(db)},
        gateway_config=GatewayConfig.unpack(read_fact(db, GATEWAY_CONFIG)),
        secrets=StoredSecrets(open_secret(row, vaults[row.vault_id], box) for row in SECRETS.all(db)),
    )


def identity_of(row: AdminKeyRow) -> Identity:
    """A key row as the table has it."""
    if isinstance(row, GatewayKeyRow):
        return Identity(row.id, row.public, row.digest, row.endpoint_id, row.configuration_id)
    return Identity(row.id, row.public, row.digest)


def key_place(row_id: str) -> Place:
    """What a provider key's value is bound to."""
    return Place(PROVIDER_KEYS.name, row_id, VALUE_COLUMN)


def secret_place(row_id: str) -> Place:
    """What a vault secret's value is bound to."""
    return Place(SECRETS.name, row_id, VALUE_COLUMN)


def open_key(row: ProviderKeyRow, box: SealBox) -> StoredKey:
    value = Secret(box.open(row.sealed, key_place(row.id)).decode())
    return StoredKey(row.id, row.provider_id, row.name or "", value, row.redacted, row.gateway_key_id, row.rotation)


def open_secret(row: SecretRow, vault: str, box: SealBox) -> VaultSecret:
    value = Secret(box.open(row.sealed, secret_place(row.id)).decode())
    return VaultSecret(row.id, row.vault_id, vault, row.name, value)


def read_provider(row: ProviderRow) -> CustomProvider:
    surfaces = orjson.loads(row.surfaces) if row.surfaces is not None else [{"format": "openai"}]
    return CustomProvider(
        stored_id=row.id,
        id=row.provider_id,
        name=row.name or "",
        base_url=row.base_url,
        metadata=row.metadata or "",
        surfaces=tuple(map(_surface, surfaces)),
        model_ids=tuple(model["modelId"] for model in orjson.loads(row.models)),
    )


def compile_configuration(row: ConfigurationRow) -> KeyConfiguration:
    """``access`` and ``router`` of a row in the form that requests use."""
    access = orjson.loads(row.access) if row.access else {}
    router = orjson.loads(row.router) if row.router else {}
    return KeyConfiguration(
        row.id,
        row.name or "",
        _allowed(access.get("providers")),
        _allowed(access.get("models")),
        by_rank(_rule(rule) for rule in router.get("rules", ())),
    )


def _allowed(dimension: Mapping[str, Any] | None) -> frozenset[str] | None:
    if dimension is None or "allow" not in dimension:
        return None
    return frozenset(entry.lower() for entry in dimension["allow"])


def _rule(raw: Mapping[str, Any]) -> RouteRule:
    steps = tuple(
        RouteStep(StepKind(step["type"]), tuple(key["id"] for key in step.get("keys", ()))) for step in raw["steps"]
    )
    provider, model = raw.get("provider"), raw.get("model")
    return RouteRule(provider and provider.lower(), model and model.lower(), steps)


def _surface(raw: Mapping[str, Any]) -> CustomSurface:
    params = raw.get("supportedParams")
    names = None if params is None else tuple(param["name"] for param in params)
    return CustomSurface(raw["format"], raw.get("surface"), names)
