"""``gateway api``, as data: resources, verbs, flags (control-api.md 4). ``api_commands`` makes commands of it.

Flags are the kebab-case of the member's name unless ``member`` says otherwise (CP-80).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VISIBLE: Final = "; a value given here can be seen by other local users: prefer a file, or - for standard input"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. ``kind``: text, number, flag (true or false), json, jsons (repeatable), names (repeatable)."""

    name: str
    member: str
    kind: str = "text"
    help: str = ""
    #: what each name of a ``names`` flag becomes: the member of an object
    each: str = ""


@dataclass(frozen=True, slots=True)
class Verb:
    """One command. ``path`` may hold ``{id}``; ``query`` flags go into the query, others into the body."""

    name: str
    method: str
    path: str
    help: str
    flags: tuple[Flag, ...] = ()
    query: bool = False
    #: ``--clear <member>`` (style A)
    clear: bool = False
    #: ``--value`` and ``--value-file``
    value: bool = False
    #: follows the pages and writes CSV or JSON lines (``usage_export``)
    export: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """One group of commands."""

    name: str
    help: str
    verbs: tuple[Verb, ...]


def _flags(*names: str) -> tuple[Flag, ...]:
    """Style B: the member is the flag in snake_case."""
    return tuple(Flag(name, name.replace("-", "_")) for name in names)


def _camel(*names: str, kind: str = "text") -> tuple[Flag, ...]:
    """Style A: the member is the flag in camelCase."""
    return tuple(Flag(name, _camel_case(name), kind) for name in names)


def _camel_case(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(part.capitalize() for part in rest)


_LIMIT_B: Final = _flags("before-id", "limit")
_LIMIT_A: Final = _camel("before-id", "limit")
_FILTER: Final = (Flag("filter", "filter", help="expression over 'obj'"),)
_TEXTS: Final = ("name", "description", "metadata")


def _item(path: str, *, update: tuple[Flag, ...], clear: bool = False, value: bool = False) -> tuple[Verb, ...]:
    item = path + "/{id}"
    return (
        Verb("get", "GET", item, "show one"),
        Verb("update", "PATCH", item, "change members", update, clear=clear, value=value),
        Verb("delete", "DELETE", item, "delete one, for good"),
    )


def _crud(
    path: str, create: tuple[Flag, ...], update: tuple[Flag, ...], listed: tuple[Flag, ...], *,
    style_a: bool = True, value: bool = False, update_value: bool = False,
) -> tuple[Verb, ...]:  # fmt: skip
    return (
        Verb("create", "POST", path, "make one", create, value=value),
        Verb("list", "GET", path, "list, newest first", listed, query=True),
        *_item(path, update=update, clear=style_a, value=update_value),
    )


_PROVIDER_KEYS: Final = Flag("provider-keys", "provider_keys", "jsons", "a key to attach, as JSON; repeatable")
_CONFIGURATION: Final = (
    *_camel(*_TEXTS),
    Flag("access", "access", "json", "scope, as JSON"),
    Flag("router", "router", "json", "routing rules, as JSON"),
    Flag("file", "", "file", "the whole body as JSON or YAML; other flags win"),
)
_PROVIDER: Final = (
    *_camel("name", "base-url"),
    Flag("model", "models", "names", "a model id; repeatable", each="modelId"),
    Flag("surface", "supportedApiSurfaces", "surfaces", "FORMAT or FORMAT/SURFACE; repeatable"),
    *_camel("metadata"),
)
_LIMITS: Final = (
    *_camel("period", "limit-usd"),
    *_camel("limit-tokens", kind="number"),
    *_camel("enabled", kind="flag"),
)
_LINKED: Final = (*_camel(*_TEXTS), Flag("configuration-id", "accessKeyConfigurationId"))

RESOURCES: Final = (
    Resource(
        "ai-gateway-api-keys",
        "gateway keys bound to an endpoint",
        _crud(
            "/ai_gateway_api_keys",
            (*_flags("endpoint-id", "description", "metadata"), _PROVIDER_KEYS),
            _flags("description", "metadata", "endpoint-id"),
            (*_LIMIT_B, *_FILTER),
            style_a=False,
        ),
    ),
    Resource(
        "ai-gateway-provider-keys",
        "provider keys attached to a gateway key",
        _crud(
            "/ai_gateway_provider_keys",
            _flags("ai-gateway-api-key-id", "provider-id", "description", "metadata"),
            _flags("description", "metadata"),
            (*_flags("ai-gateway-api-key-id"), *_LIMIT_B, *_FILTER),
            style_a=False,
            value=True,
        ),
    ),
    Resource(
        "vaults",
        "groups of secrets",
        (
            *_crud("/vaults", _flags(*_TEXTS), _flags(*_TEXTS), (*_LIMIT_B, *_FILTER), style_a=False),
            Verb(
                "get-secrets-by-vault",
                "GET",
                "/vaults/{id}/secrets",
                "list the secrets of one vault",
                (*_LIMIT_B, *_FILTER),
                query=True,
            ),
        ),
    ),
    Resource(
        "secrets",
        "secrets for policies",
        _crud(
            "/vault_secrets",
            (
                *_flags(*_TEXTS, "vault-id", "vault-name"),
                Flag("secret-data", "secret_data", "json", "a key-value secret, as a JSON object of strings"),
            ),
            _flags(*_TEXTS),
            (*_LIMIT_B, *_FILTER),
            style_a=False,
            value=True,
            update_value=True,
        ),
    ),
    Resource("access-keys", "gateway keys for every endpoint", _crud("/access-keys", _LINKED, _LINKED, _LIMIT_A)),
    Resource(
        "access-key-configurations",
        "scopes and routing rules of gateway keys",
        _crud("/access-key-configurations", _CONFIGURATION, _CONFIGURATION, _LIMIT_A),
    ),
    Resource("api-keys", "admin keys", _crud("/api-keys", _camel(*_TEXTS), _camel(*_TEXTS), _LIMIT_A)),
    Resource(
        "provider-keys",
        "provider keys of the account",
        (
            *_crud(
                "/provider-keys",
                _camel("provider-id", *_TEXTS),
                _camel(*_TEXTS),
                (*_camel("provider"), *_LIMIT_A),
                value=True,
            ),
            Verb("rotate", "POST", "/provider-keys/{id}/rotate", "give it a new value", _camel("name"), value=True),
        ),
    ),
    Resource(
        "providers",
        "custom providers",
        _crud("/providers", (*_camel("provider-id"), *_PROVIDER), _PROVIDER, _LIMIT_A),
    ),
    Resource(
        "gateway-config",
        "timeouts and caps of shared mode",
        (
            Verb("get", "GET", "/gateway-config", "show it"),
            Verb(
                "update",
                "PATCH",
                "/gateway-config",
                "change members",
                (
                    *_camel("total-timeout", "per-request-timeout"),
                    *_camel("max-input-tokens", "max-output-tokens", kind="number"),
                    *_camel("metadata"),
                ),
                clear=True,
            ),
        ),
    ),
    Resource(
        "usage",
        "what requests used",
        (
            Verb(
                "list",
                "GET",
                "/usage",
                "list attempts, newest first",
                (
                    *_camel("start-time", "end-time", "access-key-id"),
                    *_camel("include-retries", kind="flag"),
                    *_camel("cursor", "limit"),
                ),
                query=True,
            ),
            Verb(
                "export",
                "GET",
                "/usage",
                "write all attempts as CSV or JSON lines, newest first",
                (
                    *_camel("start-time", "end-time", "access-key-id"),
                    *_camel("include-retries", kind="flag"),
                ),
                query=True,
                export=True,
            ),
            Verb(
                "overview",
                "GET",
                "/usage/overview",
                "sums by day",
                _camel("start-time", "end-time", "group-by"),
                query=True,
            ),
        ),
    ),
    Resource(
        "budgets",
        "spending limits",
        _crud("/ext/budgets", (*_camel("scope", "access-key-id"), *_LIMITS), _LIMITS, _LIMIT_A),
    ),
    Resource(
        "endpoints",
        "the configured endpoints",
        (
            Verb("list", "GET", "/endpoints", "list them", _LIMIT_B, query=True),
            Verb("get", "GET", "/endpoints/{id}", "show one"),
        ),
    ),
)
