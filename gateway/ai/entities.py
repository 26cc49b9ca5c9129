"""Providers, models, authors and keys: what selection works on and what strategies look at.

Objects of a snapshot: built once, then read only, except for the metrics they hold, which are updated in place and
belong to ``key_metrics.MetricsRegistry``. ``__cel__`` lists what expressions may read; the rest is the gateway's own.
Source: ai-gateway.md AG-84, AG-118 to AG-121.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gateway.ai.key_metrics import KeyState, ModelMetrics
from gateway.ai.pricing import Pricing
from gateway.ai.quota import Quota
from gateway.ai.window_metrics import ErrorRate, FanOut, Window
from gateway.cel.env import (
    BOOL,
    DYN,
    INT,
    STRING,
    CelType,
    ai_list_of,
    list_of,
    map_of,
    nullable,
    object_of,
    sensitive,
)
from gateway.headers import HeaderMap
from gateway.secrets.secret import Secret

if TYPE_CHECKING:
    from gateway.ai.providers import Target

DEFAULT_TOKENIZER: Final = "o200k_base"


@dataclass(frozen=True, slots=True)
class Datacenter:
    """Where a provider runs a model."""

    __cel__: ClassVar[Mapping[str, CelType]] = {"country_code": STRING, "region": STRING}

    country_code: str
    region: str


def lower_names(entity_id: str, aliases: Iterable[str]) -> frozenset[str]:
    """Id and aliases as they are compared (AG-62)."""
    return frozenset(name.lower() for name in (entity_id, *aliases))


class Model:
    """AIModel (AG-118): one model at one provider, as one action of one snapshot sees it."""

    __slots__ = (
        "author_id", "author_id_aliases", "author_names", "catalog_aliases", "configured", "custom",
        "data_retention_days", "data_retention_policy", "data_training_policy", "datacenters", "description",
        "disabled", "display_name", "id", "id_aliases", "input_modalities", "known", "legacy", "max_context_window",
        "max_output_tokens", "metadata", "metrics", "nameless", "names", "output_modalities", "parameter_count",
        "pricing", "provider", "provider_id", "provider_id_aliases", "provider_model_id", "quantization",
        "supported_features", "surfaces", "tokenizer", "unsupported_params",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING,
        "provider_id": STRING,
        "author_id": STRING,
        "id_aliases": list_of(STRING),
        "provider_id_aliases": list_of(STRING),
        "author_id_aliases": list_of(STRING),
        "display_name": STRING,
        "description": STRING,
        "known": BOOL,
        "custom": BOOL,
        "metadata": map_of(DYN),
        "datacenters": list_of(object_of(Datacenter)),
        "input_modalities": list_of(STRING),
        "output_modalities": list_of(STRING),
        "supported_features": list_of(STRING),
        "max_context_window": nullable(INT),
        "max_output_tokens": nullable(INT),
        "parameter_count": nullable(INT),
        "quantization": nullable(STRING),
        "data_training_policy": nullable(STRING),
        "data_retention_policy": nullable(STRING),
        "data_retention_days": nullable(INT),
        "pricing": nullable(object_of(Pricing)),
        "metrics": object_of(ModelMetrics),
    }

    metrics: ModelMetrics

    def __init__(self, provider: Provider, model_id: str, *, known: bool = True) -> None:
        self.provider = provider
        self.provider_id = provider.id
        self.provider_id_aliases = provider.id_aliases
        self.id = model_id
        self.id_aliases: tuple[str, ...] = ()
        #: aliases that are known from the catalog: those with a date pin a snapshot (AG-84)
        self.catalog_aliases: tuple[str, ...] = ()
        #: lower-case id and aliases; and the author's
        self.names: frozenset[str] = frozenset((model_id.lower(),))
        self.author_names: frozenset[str] = frozenset()
        #: a configured model has taken over its id (AG-20): found by its aliases only
        self.nameless = False
        self.author_id = ""
        self.author_id_aliases: tuple[str, ...] = ()
        self.display_name = model_id
        self.description = ""
        #: False only for pass-through
        self.known = known
        #: came from configuration or store
        self.custom = False
        self.metadata: Mapping[str, Any] = {}
        self.datacenters: tuple[Datacenter, ...] = ()
        self.input_modalities: tuple[str, ...] = ("text",)
        self.output_modalities: tuple[str, ...] = ("text",)
        self.supported_features: tuple[str, ...] = ()
        self.max_context_window: int | None = None
        self.max_output_tokens: int | None = None
        self.parameter_count: int | None = None
        self.quantization: str | None = None
        self.data_training_policy: str | None = None
        self.data_retention_policy: str | None = None
        self.data_retention_days: int | None = None
        self.pricing: Pricing | None = None
        #: the name the provider expects; the id unless it differs (AG-84)
        self.provider_model_id = model_id
        #: request members that never reach this model (AG-213)
        self.unsupported_params: frozenset[str] = frozenset()
        self.tokenizer = DEFAULT_TOKENIZER
        #: found by name, never offered (AG-63)
        self.legacy = False
        self.disabled = False
        #: listed under its provider in the action (AG-93)
        self.configured = False
        #: surface names worth trying when the gateway chooses; None: all of the provider's (AG-98)
        self.surfaces: frozenset[str] | None = None

    def __repr__(self) -> str:
        return f"<Model {self.provider_id}:{self.id}>"


class Provider:
    """AIProvider (AG-119), as one action of one snapshot sees it."""

    __slots__ = (
        "base_url", "configured", "credential_header", "custom", "description", "disabled", "display_name",
        "has_base_url_override", "id", "id_aliases", "key_prefixes", "key_texts", "managed_texts", "metadata",
        "models", "names", "stored_id", "stream_usage", "surfaces", "target", "website",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING,
        "id_aliases": list_of(STRING),
        "display_name": STRING,
        "description": STRING,
        "website": STRING,
        "base_url": STRING,
        "custom": BOOL,
        "metadata": map_of(DYN),
        "models": ai_list_of(Model),
    }

    target: Target

    def __init__(self, provider_id: str) -> None:
        self.id = provider_id
        self.id_aliases: tuple[str, ...] = ()
        #: lower-case id and aliases
        self.names: frozenset[str] = frozenset((provider_id.lower(),))
        self.display_name = provider_id
        self.description = ""
        self.website = ""
        self.base_url = ""
        #: not in the catalog
        self.custom = False
        self.metadata: Mapping[str, Any] = {}
        self.models: list[Model] = []
        #: (format, surface) → allowed request members, or None for all (AG-16, AG-212)
        self.surfaces: Mapping[tuple[str, str], frozenset[str] | None] = {}
        #: how a key is sent, if configured (AG-42)
        self.credential_header: str | None = None
        self.key_prefixes: tuple[str, ...] = ()
        #: ``api_keys[].value`` of the action, in order; may hold secrets and interpolations
        self.key_texts: tuple[Secret, ...] = ()
        #: the same of ``ai.managed_keys`` (AG-192)
        self.managed_texts: tuple[Secret, ...] = ()
        #: accepts ``stream_options.include_usage`` (AG-244)
        self.stream_usage = False
        self.disabled = False
        #: listed in the action (AG-93)
        self.configured = False
        self.has_base_url_override = False
        #: ``aigp_…`` of a provider from the store, else ''
        self.stored_id = ""

    @property
    def official(self) -> bool:
        """In the catalog and at its own address; decides AG-190 rows 8 and 9, AG-195 (e) and AG-244."""
        return not self.custom and not self.has_base_url_override

    def narrowed(self, models: list[Model]) -> Provider:
        """The same provider with only these models, as a strategy sees it."""
        twin = Provider(self.id)
        for name in Provider.__slots__:
            if hasattr(self, name):
                setattr(twin, name, getattr(self, name))
        twin.models = models
        return twin

    def __repr__(self) -> str:
        return f"<Provider {self.id}>"


class Author:
    """AIAuthor (AG-119)."""

    __slots__ = ("display_name", "id", "id_aliases", "models", "names")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING,
        "id_aliases": list_of(STRING),
        "display_name": STRING,
        "models": ai_list_of(Model),
    }

    def __init__(self, author_id: str, display_name: str, id_aliases: tuple[str, ...], models: list[Model]) -> None:
        self.id = author_id
        self.display_name = display_name
        self.id_aliases = id_aliases
        self.names = lower_names(author_id, id_aliases)
        self.models = models

    def __repr__(self) -> str:
        return f"<Author {self.id}>"


class KeySource(enum.Enum):
    """Where a credential comes from (AG-190)."""

    ROUTED = "routed"
    ATTACHED = "attached"
    POLICY = "policy"
    ACCOUNT = "account"
    MANAGED = "managed"
    PASSTHROUGH = "passthrough"
    #: a custom provider without keys: no credential header
    NONE = "none"


class ProviderKey:
    """One credential at one upstream model. Its numbers are shared with its other appearances."""

    __slots__ = (
        "client_header", "counters", "credentials", "error_rate", "id", "quota", "sent_as", "shown", "source",
        "state", "stored_id", "value", "window",
    )  # fmt: skip

    def __init__(
        self, key_id: str, value: Secret, source: KeySource, *, state: KeyState, window: Window,
        stored_id: str = "", client_header: str = "",
    ) -> None:  # fmt: skip
        #: ``kh_…``; '' for passthrough and for no credential
        self.id = key_id
        self.value = value
        self.source = source
        self.state = state
        self.window = window
        self.quota = state.quota
        self.error_rate = window.error_rate
        #: ``aigpk_…`` of a stored key, else ''
        self.stored_id = stored_id
        #: passthrough: the header that the client used (AG-206), else ''
        self.client_header = client_header
        #: header name → ``credentials.UpstreamCredential``, made on first use
        self.credentials: dict[str, Any] = {}
        #: the route it was used on last, and the ``UpstreamCredential`` that was sent there
        self.sent_as: tuple[Any, Any] | None = None
        #: what logs show
        self.shown = value.trimmed()
        #: counts attempts with this key at one candidate, known by its metrics: a candidate, which knows its keys,
        #: would be part of a cycle and outlive its plan by far
        self.counters: tuple[ModelMetrics, FanOut] | None = None

    def observe(self, status: int, headers: HeaderMap) -> None:
        """The head of an upstream response to a request with this key: quota and cooling."""
        if self.id:
            self.state.observe(status, headers)

    def __repr__(self) -> str:
        return f"<ProviderKey {self.id or self.source.value}>"


class KeyElement:
    """AIKey (AG-120): a key as strategies see it. Apart from ``ProviderKey``, because its value is plain."""

    __slots__ = ("error_rate", "id", "key", "quota", "value")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING,
        "value": sensitive(STRING),
        "quota": object_of(Quota),
        "error_rate": object_of(ErrorRate),
    }

    def __init__(self, key: ProviderKey) -> None:
        self.key = key
        self.id = key.id
        self.value = key.value.reveal()
        self.quota = key.quota
        self.error_rate = key.error_rate

    def __repr__(self) -> str:
        return f"<KeyElement {self.id}>"


class Candidate:
    """One (provider, model) worth trying under one name. Cached with the plan it belongs to; equal only to itself."""

    __slots__ = ("author", "element", "keys", "metrics", "model", "name", "provider", "routes", "upstream_model")

    def __init__(self, element: Model, upstream_model: str) -> None:
        self.provider = element.provider
        #: None: pass-through (AG-79)
        self.model = element if element.known else None
        #: what strategies see; for pass-through a model with ``known`` false
        self.element = element
        #: public id
        self.name = element.id
        #: the name that goes upstream (AG-84)
        self.upstream_model = upstream_model
        self.author = element.author_id
        self.metrics = element.metrics
        #: prebuilt keys (``keys.CandidateKeys``), made on first use
        self.keys: Any = None
        #: surface path → prebuilt parts of its upstream requests (``gateway.Route``)
        self.routes: dict[str, Any] = {}

    @property
    def tokenizer(self) -> str:
        """The encoding for estimates (AG-228)."""
        return self.element.tokenizer

    def __repr__(self) -> str:
        return f"<Candidate {self.provider.id}:{self.name}>"
