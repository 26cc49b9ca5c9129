"""The model catalog: what is shipped, an operator's overlay on top, and lookup by name.

The source is ``data/model-catalog.yaml``; ``data/model-catalog.json`` is generated from it, because reading the YAML
takes 0.16 s, an unreasonable share of a start within 1 s, and the JSON 0.3 ms. A test keeps both equal.

Invariants
    1. A catalog is immutable; an overlay gives a new one or, if it is wrong, problems and nothing (AG-61).
    2. Names (ids and aliases) are compared without regard to case (AG-62).
Source: ai-gateway.md section 3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import Any, Final

import orjson
from ruamel.yaml import YAML

from gateway.ai.catalog_schema import OVERLAY
from gateway.ai.providers import check_base_url
from gateway.ai.surfaces import SURFACES
from gateway.document import Problems, parse_document
from gateway.node import Node
from gateway.schema.reader import Invalid, Reader

#: (format, surface) → allowed request members, None for all
SurfaceTable = Mapping[tuple[str, str], frozenset[str] | None]
Raw = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider as the catalog describes it."""

    id: str
    display_name: str
    base_url: str
    surfaces: SurfaceTable
    id_aliases: tuple[str, ...] = ()
    description: str = ""
    website: str = ""
    key_prefixes: tuple[str, ...] = ()
    credential_header: str | None = None
    stream_usage: bool = False
    price_provider: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuthorEntry:
    """Who made models."""

    id: str
    display_name: str
    id_aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model at one provider as the catalog describes it; see ``entities.Model`` for the fields."""

    provider: str
    id: str
    author: str = ""
    display_name: str = ""
    description: str = ""
    legacy: bool = False
    id_aliases: tuple[str, ...] = ()
    provider_model_id: str = ""
    surfaces: frozenset[str] | None = None
    tokenizer: str = "o200k_base"
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    supported_features: tuple[str, ...] = ()
    unsupported_params: frozenset[str] = frozenset()
    max_context_window: int | None = None
    max_output_tokens: int | None = None
    parameter_count: int | None = None
    quantization: str | None = None
    data_training_policy: str | None = None
    data_retention_policy: str | None = None
    data_retention_days: int | None = None
    pricing: Mapping[str, Any] | None = None
    datacenters: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalog:
    """Everything that is known without configuration, in catalog order."""

    providers: tuple[ProviderEntry, ...]
    authors: tuple[AuthorEntry, ...]
    models: tuple[ModelEntry, ...]

    @cached_property
    def providers_by_name(self) -> Mapping[str, ProviderEntry]:
        """Lower-case id or alias → provider; ids before aliases."""
        return _by_name(self.providers)

    @cached_property
    def authors_by_name(self) -> Mapping[str, AuthorEntry]:
        """Lower-case id or alias → author."""
        return _by_name(self.authors)

    @cached_property
    def models_by_provider(self) -> Mapping[str, Sequence[ModelEntry]]:
        """Provider id → its models in catalog order."""
        table: dict[str, list[ModelEntry]] = {provider.id: [] for provider in self.providers}
        for model in self.models:
            table[model.provider].append(model)
        return table

    @cached_property
    def default_surfaces(self) -> SurfaceTable:
        """Of a provider that is not in the catalog (AG-16)."""
        return surface_table(({"format": "openai"},))

    def provider(self, name: str) -> ProviderEntry | None:
        """By id or alias, any case."""
        return self.providers_by_name.get(name.lower())


def _by_name(entries: Iterable[Any]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    entries = tuple(entries)
    for entry in entries:
        table[entry.id.lower()] = entry
    for entry in entries:
        for alias in entry.id_aliases:
            table.setdefault(alias.lower(), entry)
    return table


def load_shipped() -> Catalog:
    """The catalog of this version."""
    return build_catalog(_shipped())


def load_overlay(source: str | bytes, problems: Problems, allow_http_hosts: Collection[str] = ()) -> Catalog | None:
    """The shipped catalog with an overlay merged in (AG-61), or None after reporting what is wrong with it."""
    root = parse_document(source, problems)
    if root is None:
        return None if problems.failed else load_shipped()
    overlay: dict[str, Any] | Invalid = OVERLAY.read(root, Reader(problems))
    if isinstance(overlay, Invalid):
        return None
    merged = _merge(_shipped(), overlay)
    for section, entry, member, message in _faults(merged, allow_http_hosts):
        problems.error(_place(root, section, entry, member), problems.codes.bad_value, message)
    return None if problems.failed else build_catalog(merged)


def _faults(merged: Raw, allow_http_hosts: Collection[str]) -> Iterator[tuple[str, Mapping[str, Any], str, str]]:
    """(section, entry, member, what is wrong with it)."""
    providers = {provider["id"].lower() for provider in merged["providers"]}
    for provider in merged["providers"]:
        for problem in check_base_url(provider.get("base_url", ""), allow_http_hosts):
            yield "providers", provider, "base_url", f"base_url of provider '{provider['id']}': {problem}"
    for model in merged["models"]:
        if model["provider"].lower() not in providers:
            message = f"model '{model['id']}' names the provider '{model['provider']}', which does not exist"
            yield "models", model, "provider", message


def _place(root: Node, section: str, entry: Mapping[str, Any], member: str) -> Node:
    """Where the overlay says it; an entry without that member stands for it."""
    entries = root.get(section)
    for node in entries.items if entries is not None else ():
        names = {name: _word(node.get(name)) for name in ("provider", "id")}
        if (names["provider"], names["id"]) == _identity(entry):
            return node.get(member) or node
    return root


def _word(node: Node | None) -> str:
    return str(node.value).lower() if node is not None else ""


def render_json(yaml_source: str) -> bytes:
    """``model-catalog.json`` from ``model-catalog.yaml``: the same data, notes left out, one entry a line."""
    raw: dict[str, Any] = YAML(typ="safe", pure=True).load(yaml_source)
    sections = []
    for name in _SECTIONS:
        entries = ({key: value for key, value in entry.items() if key not in _NOTES} for entry in raw[name])
        lines = b",\n".join(orjson.dumps(entry) for entry in entries)
        sections.append(b'"%b":[\n%b\n]' % (name.encode(), lines))
    return b"{" + b",\n".join(sections) + b"}\n"


_SECTIONS: Final = ("providers", "authors", "models")
#: for people who maintain the file
_NOTES: Final = frozenset(("note", "retires", "undocumented", "provider_key_required"))


def _shipped() -> Raw:
    raw: Raw = orjson.loads((resources.files("gateway.ai") / "data" / "model-catalog.json").read_bytes())
    return raw


def _merge(shipped: Raw, overlay: Mapping[str, Iterable[Mapping[str, Any]]]) -> Raw:
    """Entries are merged by id, models by provider and id; an absent member keeps what is shipped."""
    merged: Raw = {}
    for name in _SECTIONS:
        table = {_identity(entry): entry for entry in shipped[name]}
        for entry in overlay.get(name, ()):
            key = _identity(entry)
            table[key] = {**table.get(key, {}), **entry, "id": table.get(key, entry)["id"]}
        merged[name] = [entry for entry in table.values() if entry.get("status") != "removed"]
    gone = {provider["id"].lower() for provider in shipped["providers"]}
    gone -= {provider["id"].lower() for provider in merged["providers"]}
    merged["models"] = [model for model in merged["models"] if model["provider"].lower() not in gone]
    return merged


def _identity(entry: Mapping[str, Any]) -> tuple[str, str]:
    return entry.get("provider", "").lower(), entry["id"].lower()


def build_catalog(raw: Mapping[str, Iterable[Mapping[str, Any]]]) -> Catalog:
    """From checked raw data."""
    providers = tuple(_provider(entry) for entry in raw["providers"])
    authors = tuple(
        AuthorEntry(entry["id"], entry.get("display_name") or entry["id"], tuple(entry.get("id_aliases", ())))
        for entry in raw["authors"]
    )
    ids = {provider.id.lower(): provider.id for provider in providers}
    return Catalog(providers, authors, tuple(_model(entry, ids[entry["provider"].lower()]) for entry in raw["models"]))


def _provider(raw: Mapping[str, Any]) -> ProviderEntry:
    return ProviderEntry(
        id=raw["id"],
        display_name=raw.get("display_name") or raw["id"],
        base_url=raw["base_url"],
        surfaces=surface_table(raw.get("supported_api_surfaces") or [{"format": "openai"}]),
        id_aliases=tuple(raw.get("id_aliases", ())),
        description=raw.get("description", ""),
        website=raw.get("website", ""),
        key_prefixes=tuple(raw.get("key_prefixes", ())),
        credential_header=raw.get("credential_header"),
        stream_usage=raw.get("stream_usage", False),
        price_provider=raw.get("price_provider"),
        metadata=raw.get("metadata") or {},
    )


def _model(raw: Mapping[str, Any], provider: str) -> ModelEntry:
    surfaces = raw.get("surfaces")
    return ModelEntry(
        provider=provider,
        id=raw["id"],
        author=raw.get("author") or "",
        display_name=raw.get("display_name") or raw["id"],
        description=raw.get("description", ""),
        legacy=raw.get("status") == "legacy",
        id_aliases=tuple(raw.get("id_aliases", ())),
        provider_model_id=raw.get("provider_model_id") or raw["id"],
        surfaces=None if surfaces is None else frozenset(surfaces),
        tokenizer=raw.get("tokenizer") or "o200k_base",
        input_modalities=tuple(raw.get("input_modalities") or ("text",)),
        output_modalities=tuple(raw.get("output_modalities") or ("text",)),
        supported_features=_features(raw),
        unsupported_params=frozenset(raw.get("unsupported_params") or ()),
        max_context_window=raw.get("max_context_window"),
        max_output_tokens=raw.get("max_output_tokens"),
        parameter_count=raw.get("parameter_count"),
        quantization=raw.get("quantization"),
        data_training_policy=raw.get("data_training_policy"),
        data_retention_policy=raw.get("data_retention_policy"),
        data_retention_days=raw.get("data_retention_days"),
        pricing=raw.get("pricing"),
        datacenters=tuple((place["country_code"], place["region"]) for place in raw.get("datacenters") or ()),
        metadata=raw.get("metadata") or {},
    )


def _features(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """``vision`` follows from image input (AG-64)."""
    features = tuple(raw.get("supported_features") or ())
    if "image" in raw.get("input_modalities", ()) and "vision" not in features:
        features = (*features, "vision")
    return features


def surface_table(entries: Iterable[Mapping[str, Any]]) -> SurfaceTable:
    """``[{format: openai}]`` → every openai surface; an entry with ``surface`` may limit its members (AG-16)."""
    table: dict[tuple[str, str], frozenset[str] | None] = {}
    narrow = []
    for entry in entries:
        if entry.get("surface"):
            narrow.append(entry)
        else:
            keys = (surface.key for surface in SURFACES.values())
            table.update((key, None) for key in keys if key[0] == entry["format"])
    for entry in narrow:
        table[(entry["format"], entry["surface"])] = frozenset(entry.get("supported_params") or ()) or None
    return table
