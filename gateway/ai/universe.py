"""The providers and models that exist for one action: the catalog, overlaid with what is configured and stored.

Built once per snapshot and action. Which of them a request may use is ``candidates``' business, which names mean
which of them ``resolve``'s.
Source: ai-gateway.md AG-14 to AG-20, AG-52 to AG-54, AG-91.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.ai.catalog import Catalog, ModelEntry, ProviderEntry, SurfaceTable
from gateway.ai.entities import Author, Datacenter, Model, Provider, lower_names
from gateway.ai.key_metrics import MetricsRegistry
from gateway.ai.pricing import build_pricing
from gateway.ai.providers import Target
from gateway.secrets.secret import Secret


class ModelSettings(Protocol):
    """``providers[].models[]`` (table 1.3). None or empty: not given, the catalog's value or the default stands."""

    @property
    def id(self) -> str: ...
    @property
    def id_aliases(self) -> Sequence[str] | None: ...
    @property
    def author_id(self) -> str | None: ...
    @property
    def display_name(self) -> str | None: ...
    @property
    def description(self) -> str | None: ...
    @property
    def disabled(self) -> bool | None: ...
    @property
    def metadata(self) -> Mapping[str, Any] | None: ...
    @property
    def input_modalities(self) -> Sequence[str] | None: ...
    @property
    def output_modalities(self) -> Sequence[str] | None: ...
    @property
    def max_context_window(self) -> int | None: ...
    @property
    def max_output_tokens(self) -> int | None: ...
    @property
    def supported_features(self) -> Sequence[str] | None: ...
    @property
    def unsupported_params(self) -> Sequence[str] | None: ...
    @property
    def provider_model_id(self) -> str | None: ...
    @property
    def pricing(self) -> Mapping[str, Any] | None: ...
    @property
    def datacenters(self) -> Sequence[tuple[str, str]] | None: ...


class ProviderSettings(Protocol):
    """``providers[]`` (table 1.2), or a provider from the store. None or empty: not given."""

    @property
    def id(self) -> str: ...
    @property
    def id_aliases(self) -> Sequence[str] | None: ...
    @property
    def base_url(self) -> str | None: ...
    @property
    def display_name(self) -> str | None: ...
    @property
    def description(self) -> str | None: ...
    @property
    def website(self) -> str | None: ...
    @property
    def disabled(self) -> bool | None: ...
    @property
    def metadata(self) -> Mapping[str, Any] | None: ...
    @property
    def models(self) -> Sequence[ModelSettings]: ...
    @property
    def key_texts(self) -> Sequence[Secret]: ...
    @property
    def surfaces(self) -> SurfaceTable | None: ...
    @property
    def credential_header(self) -> str | None: ...
    @property
    def stored_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Sources:
    """What a universe is made of."""

    catalog: Catalog
    registry: MetricsRegistry
    #: the action's ``providers``
    configured: Sequence[ProviderSettings] = ()
    #: custom providers from the store; hidden by a configured one with the same id (AG-54)
    stored: Sequence[ProviderSettings] = ()
    #: provider id or alias in lower case → keys for everybody with a gateway key (AG-192)
    managed: Mapping[str, Sequence[Secret]] = field(default_factory=dict)
    #: whose metrics ``m.metrics.endpoint`` shows
    endpoint_id: str = ""


def build_providers(sources: Sources) -> list[Provider]:
    """Every provider with its models, disabled ones included, by id."""
    providers = {entry.id.lower(): _official(entry, sources) for entry in sources.catalog.providers}
    for settings in sources.configured:
        entry = sources.catalog.provider(settings.id)
        if entry is None:
            provider = providers[settings.id.lower()] = _custom(settings, sources)
        else:
            provider = _overlay(providers[entry.id.lower()], settings)
        provider.configured = True
    for settings in sources.stored:
        if settings.id.lower() not in providers:
            providers[settings.id.lower()] = _custom(settings, sources)
    ordered = sorted(providers.values(), key=lambda provider: provider.id.lower())
    for provider in ordered:
        _finish(provider, sources)
    return ordered


def build_authors(models: Sequence[Model], catalog: Catalog) -> list[Author]:
    """The authors of these models, in the order in which they first appear."""
    by_author: dict[str, list[Model]] = {}
    for model in models:
        if model.author_id:
            by_author.setdefault(model.author_id, []).append(model)
    authors = []
    for author_id, theirs in by_author.items():
        entry = catalog.authors_by_name.get(author_id.lower())
        authors.append(
            Author(author_id, entry.display_name, entry.id_aliases, theirs)
            if entry is not None
            else Author(author_id, author_id, (), theirs)
        )
    return authors


def _official(entry: ProviderEntry, sources: Sources) -> Provider:
    provider = Provider(entry.id)
    provider.id_aliases = entry.id_aliases
    provider.display_name = entry.display_name
    provider.description = entry.description
    provider.website = entry.website
    provider.base_url = entry.base_url
    provider.metadata = entry.metadata
    provider.surfaces = entry.surfaces
    provider.credential_header = entry.credential_header
    provider.key_prefixes = entry.key_prefixes
    provider.stream_usage = entry.stream_usage
    provider.models = [_known(provider, model) for model in sources.catalog.models_by_provider[entry.id]]
    return provider


def _overlay(provider: Provider, settings: ProviderSettings) -> Provider:
    """A configured official provider (AG-15, AG-16)."""
    _describe(provider, settings)
    provider.id_aliases = _joined(provider.id_aliases, settings.id_aliases)
    if settings.base_url:
        provider.base_url = settings.base_url
        provider.has_base_url_override = True
    _configure_models(provider, settings.models)
    return provider


def _custom(settings: ProviderSettings, sources: Sources) -> Provider:
    provider = Provider(settings.id)
    provider.custom = True
    provider.base_url = settings.base_url or ""
    provider.stored_id = settings.stored_id
    provider.id_aliases = tuple(settings.id_aliases or ())
    provider.surfaces = sources.catalog.default_surfaces
    _describe(provider, settings)
    if not settings.models:
        provider.models = _inherited(provider, sources.catalog)
    _configure_models(provider, settings.models)
    return provider


def _inherited(provider: Provider, catalog: Catalog) -> list[Model]:
    """Models of the official provider whose name is among the aliases (AG-15)."""
    for alias in provider.id_aliases:
        entry = catalog.provider(alias)
        if entry is not None:
            return [_known(provider, model) for model in catalog.models_by_provider[entry.id]]
    return []


def _describe(provider: Provider, settings: ProviderSettings) -> None:
    provider.display_name = settings.display_name or provider.display_name
    provider.description = settings.description or provider.description
    provider.website = settings.website or provider.website
    provider.disabled = bool(settings.disabled)
    provider.metadata = {**provider.metadata, **(settings.metadata or {})}
    provider.surfaces = settings.surfaces or provider.surfaces
    provider.credential_header = settings.credential_header or provider.credential_header
    provider.key_texts = tuple(settings.key_texts)


def _known(provider: Provider, entry: ModelEntry) -> Model:
    model = Model(provider, entry.id)
    model.id_aliases = model.catalog_aliases = entry.id_aliases
    model.author_id = entry.author
    model.display_name = entry.display_name
    model.description = entry.description
    model.legacy = entry.legacy
    model.metadata = entry.metadata
    model.datacenters = tuple(Datacenter(*place) for place in entry.datacenters)
    model.input_modalities = entry.input_modalities
    model.output_modalities = entry.output_modalities
    model.supported_features = entry.supported_features
    model.max_context_window = entry.max_context_window
    model.max_output_tokens = entry.max_output_tokens
    model.parameter_count = entry.parameter_count
    model.quantization = entry.quantization
    model.data_training_policy = entry.data_training_policy
    model.data_retention_policy = entry.data_retention_policy
    model.data_retention_days = entry.data_retention_days
    model.pricing = None if entry.pricing is None else build_pricing(entry.pricing)
    model.provider_model_id = entry.provider_model_id
    model.unsupported_params = entry.unsupported_params
    model.tokenizer = entry.tokenizer
    model.surfaces = entry.surfaces
    return model


def _configure_models(provider: Provider, configured: Sequence[ModelSettings]) -> None:
    """Overlays catalog models with the same id, adds the others, and moves names that are taken over (AG-19, AG-20)."""
    by_id = {model.id.lower(): model for model in provider.models}
    mine: dict[str, Model] = {}
    for settings in configured:
        model = by_id.get(settings.id.lower())
        if model is None:
            model = Model(provider, settings.id)
            model.custom = True
            provider.models.append(model)
        _overlay_model(model, settings)
        model.configured = True
        for name in (settings.id, *(settings.id_aliases or ())):
            mine[name.lower()] = model
    for model in provider.models:
        taken = {name for name, owner in mine.items() if owner is not model}
        model.id_aliases = tuple(alias for alias in model.id_aliases if alias.lower() not in taken)
        model.nameless = model.id.lower() in taken


def _overlay_model(model: Model, settings: ModelSettings) -> None:
    model.id_aliases = _joined(model.id_aliases, settings.id_aliases)
    model.author_id = settings.author_id or model.author_id
    model.display_name = settings.display_name or model.display_name
    model.description = settings.description or model.description
    model.disabled = bool(settings.disabled)
    model.metadata = {**model.metadata, **(settings.metadata or {})}
    model.input_modalities = tuple(settings.input_modalities or model.input_modalities)
    model.output_modalities = tuple(settings.output_modalities or model.output_modalities)
    model.max_context_window = settings.max_context_window or model.max_context_window
    model.max_output_tokens = settings.max_output_tokens or model.max_output_tokens
    model.supported_features = tuple(settings.supported_features or model.supported_features)
    model.unsupported_params = frozenset(settings.unsupported_params or model.unsupported_params)
    model.provider_model_id = settings.provider_model_id or model.provider_model_id
    if settings.pricing:
        model.pricing = build_pricing(settings.pricing)
    if settings.datacenters:
        model.datacenters = tuple(Datacenter(*place) for place in settings.datacenters)


def _finish(provider: Provider, sources: Sources) -> None:
    """What needs the whole provider: target, inherited metadata, aliases of the author, metrics."""
    provider.target = Target.parse(provider.base_url)
    provider.names = lower_names(provider.id, provider.id_aliases)
    provider.managed_texts = tuple(
        text for name, texts in sources.managed.items() if name in provider.names for text in texts
    )
    if not provider.official:
        provider.stream_usage = any("stream_options" in allowed for allowed in provider.surfaces.values() if allowed)
    for model in provider.models:
        model.provider_id_aliases = provider.id_aliases
        author = sources.catalog.authors_by_name.get(model.author_id.lower())
        if author is not None:
            model.author_id, model.author_id_aliases = author.id, author.id_aliases
        model.names = lower_names(model.id, model.id_aliases)
        model.author_names = lower_names(model.author_id, model.author_id_aliases) if model.author_id else frozenset()
        if provider.metadata:
            model.metadata = {**provider.metadata, **model.metadata}
        model.metrics = sources.registry.model(provider.id, model.id, sources.endpoint_id)


def _joined(names: tuple[str, ...], more: Sequence[str] | None) -> tuple[str, ...]:
    known = {name.lower() for name in names}
    return (*names, *(name for name in more or () if name.lower() not in known))
