"""``providers[]`` of the ``ai-gateway`` action (AG 1.2, 1.3): shapes and frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.ai.catalog_schema import price_shape
from gateway.ai.providers import check_base_url
from gateway.ai.surfaces import SURFACES, Format
from gateway.document import Kind, Node
from gateway.policy.fields import PolicyReader, compile_interpolated, policy_reader
from gateway.schema.shapes import (
    INVALID,
    Invalid,
    JsonSchema,
    Reader,
    also,
    anything,
    boolean,
    enum,
    field,
    integer,
    list_of,
    map_of,
    nearest,
    nullable,
    record,
    text,
    then,
    wrong_type,
)
from gateway.secrets.secret import Secret

MAX_KEYS: Final = 100
MAX_MODELS: Final = 2_000
MAX_PARAMS: Final = 100
INPUT_MODALITIES: Final = ("text", "image", "audio", "video", "file")
OUTPUT_MODALITIES: Final = ("text", "image", "audio", "embedding")
CREDENTIAL_HEADERS: Final = ("authorization", "x-api-key", "api-key")
#: format → its surfaces (AG table 4.1)
_SURFACES: Final[Mapping[str, tuple[str, ...]]] = {
    each.value: tuple(dict.fromkeys(surface.name for surface in SURFACES.values() if surface.format is each))
    for each in Format
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """``providers[].models[]``. None: not given, the catalog's value or the default stands (AG-19)."""

    id: str
    id_aliases: tuple[str, ...] | None
    author_id: str | None
    display_name: str | None
    description: str | None
    disabled: bool | None
    metadata: Mapping[str, Any] | None
    input_modalities: tuple[str, ...] | None
    output_modalities: tuple[str, ...] | None
    max_context_window: int | None
    max_output_tokens: int | None
    supported_features: tuple[str, ...] | None
    unsupported_params: tuple[str, ...] | None
    provider_model_id: str | None
    pricing: Mapping[str, Any] | None
    datacenters: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderConfig:
    """``providers[]``. None: not given. ``api_keys`` are the texts of templates, secret because they may be keys."""

    id: str
    id_aliases: tuple[str, ...] | None
    base_url: str | None
    display_name: str | None
    description: str | None
    website: str | None
    disabled: bool | None
    metadata: Mapping[str, Any] | None
    api_keys: tuple[Secret, ...]
    models: tuple[ModelConfig, ...]
    supported_api_surfaces: Mapping[tuple[str, str], frozenset[str] | None] | None
    credential_header: str | None

    @property
    def key_texts(self) -> tuple[Secret, ...]:
        return self.api_keys

    @property
    def surfaces(self) -> Mapping[tuple[str, str], frozenset[str] | None] | None:
        return self.supported_api_surfaces

    @property
    def stored_id(self) -> str:
        """Only providers of the store have one."""
        return ""


_METADATA = then(map_of(anything()), lambda pairs, node, reader: dict(pairs))
_NAME = text(minimum=1, maximum=255)
_ALIASES = list_of(_NAME, unique=str.lower)


# --- parameters and surfaces


@dataclass(frozen=True, slots=True)
class _Parameter:
    """``{name: temperature}`` or ``temperature`` (AG-17)."""

    def read(self, node: Node, reader: Reader) -> str | Invalid:
        if node.kind is Kind.STRING:
            return _NAME.read(node, reader)
        return _NAMED.read(node, reader)

    def json_schema(self) -> JsonSchema:
        return {"anyOf": [_NAME.json_schema(), _NAMED.json_schema()]}


_NAMED = record(lambda name: str(name), name=field(_NAME))
_PARAMETERS = list_of(_Parameter(), maximum=MAX_PARAMS, unique=lambda name: name)


@dataclass(frozen=True, slots=True)
class _SurfaceEntry:
    format: str
    surface: str | None
    supported_params: tuple[str, ...] | None


def _checked_surface(entry: _SurfaceEntry, node: Node, reader: Reader) -> _SurfaceEntry | Invalid:
    known = _SURFACES[entry.format]
    if entry.surface is not None and entry.surface not in known:
        words = f"must be one of {', '.join(known)} for format '{entry.format}'{nearest(entry.surface, known)}"
        return reader.error(node.get("surface") or node, reader.codes.not_allowed, words)
    if entry.supported_params is not None and entry.surface is None:
        words = "'supported_params' needs a 'surface'"
        return reader.error(node.key("supported_params") or node, reader.codes.bad_value, words)
    return entry


def _surface_table(
    entries: tuple[_SurfaceEntry, ...], node: Node, reader: Reader
) -> Mapping[tuple[str, str], frozenset[str] | None] | Invalid:
    """AG-16: an entry without ``surface`` means every surface of the format; a named one may narrow it."""
    seen: set[tuple[str, str | None]] = set()
    table: dict[tuple[str, str], frozenset[str] | None] = {}
    for entry, item in zip(entries, node.items, strict=True):
        if (entry.format, entry.surface) in seen:
            return reader.error(item, reader.codes.duplicate, "is listed twice")
        seen.add((entry.format, entry.surface))
        if entry.surface is None:
            for name in _SURFACES[entry.format]:
                table.setdefault((entry.format, name), None)
        else:
            table[entry.format, entry.surface] = frozenset(entry.supported_params) if entry.supported_params else None
    return table


_SURFACE = record(
    _SurfaceEntry,
    format=field(enum(*_SURFACES), doc="wire format"),
    surface=field(text(), None, doc="all of the format unless given"),
    supported_params=field(_PARAMETERS, None, doc="request members that may pass; needs 'surface'"),
)
_SURFACE_LIST = then(list_of(then(_SURFACE, _checked_surface)), _surface_table)


# --- models


def _words(*allowed: str) -> Any:
    return list_of(enum(*allowed), unique=lambda word: word)


_COUNT = nullable(integer(minimum=1))
_DATACENTER = record(
    lambda country_code, region: (country_code, region), country_code=field(text()), region=field(text())
)
_MODEL = record(
    ModelConfig,
    id=field(_NAME, doc="the name clients use"),
    id_aliases=field(_ALIASES, None),
    author_id=field(text(), None),
    display_name=field(text(), None),
    description=field(text(), None),
    disabled=field(boolean(), None),
    metadata=field(_METADATA, None, doc="free values that strategies read; never sent upstream"),
    input_modalities=field(_words(*INPUT_MODALITIES), None),
    output_modalities=field(_words(*OUTPUT_MODALITIES), None),
    max_context_window=field(_COUNT, None),
    max_output_tokens=field(_COUNT, None),
    supported_features=field(list_of(text()), None),
    unsupported_params=field(_PARAMETERS, None, doc="request members that are removed"),
    provider_model_id=field(_NAME, None, doc="name sent upstream, 'id' unless given"),
    pricing=field(nullable(price_shape()), None, doc="USD per million tokens"),
    datacenters=field(list_of(_DATACENTER), None),
)


def _unique_names(node: Node, reader: Reader) -> bool:
    """AG-20: ids and aliases of one provider, ignoring case."""
    seen: set[str] = set()
    sound = True
    for item in node.items:
        aliases = item.get("id_aliases")
        places = [place for place in (item.get("id"), *(aliases.items if aliases is not None else ())) if place]
        names = {str(place.value).lower() for place in places}
        if seen & names:
            sound = False
            words = "an id or alias of this model is taken by another model of the provider"
            reader.error(item.get("id") or item, reader.codes.duplicate, words)
        seen |= names
    return sound


# --- keys


@dataclass(frozen=True, slots=True)
class _KeyText:
    """A template, checked and kept as text."""

    def read(self, node: Node, reader: Reader) -> Secret | Invalid:
        if node.kind is not Kind.STRING:
            return wrong_type(node, reader, "a string")
        if not node.value:
            return reader.error(node, reader.codes.empty, "must not be empty")
        if compile_interpolated(node.value, node, policy_reader(reader)) is INVALID:
            return INVALID
        if "${" not in node.value:
            reader.warning(node, reader.codes.tolerated, "a key in the policy itself is for development only")
        return Secret(node.value)

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


def _doubled_keys(keys: tuple[Secret, ...], node: Node, reader: Reader) -> tuple[Secret, ...]:
    """AG-12: the same value twice is tried once."""
    seen: set[str] = set()
    for key, item in zip(keys, node.items, strict=True):
        if key.reveal() in seen:
            reader.warning(item, reader.codes.duplicate, "this key is listed twice; it is tried once")
        seen.add(key.reveal())
    return keys


_KEYS = then(list_of(record(lambda value: value, value=field(_KeyText())), maximum=MAX_KEYS), _doubled_keys)


# --- providers


def _provider_id(name: str, node: Node, reader: Reader) -> str | Invalid:
    if name.lower() == "ngrok":
        return reader.error(node, reader.codes.bad_value, "'ngrok' cannot be configured")
    return name


def _base_url(url: str, node: Node, reader: Reader) -> str | Invalid:
    options = policy_reader(reader).options
    problems = check_base_url(url, options.allow_http_hosts, options.admin_listeners)
    for problem in problems:
        reader.error(node, reader.codes.bad_url, str(problem))
    return INVALID if problems else url


def _known_or_addressed(provider: ProviderConfig, node: Node, reader: Reader) -> ProviderConfig | Invalid:
    """A provider that the catalog does not know needs a ``base_url``."""
    known = _catalog_names(policy_reader(reader))
    if provider.base_url is None and known is not None and provider.id.lower() not in known:
        words = f"field 'base_url' is required: the catalog has no such provider{nearest(provider.id.lower(), known)}"
        return reader.error(node.get("id") or node, reader.codes.missing, words)
    return provider


def _catalog_names(reader: PolicyReader) -> frozenset[str] | None:
    return reader.options.catalog_providers


PROVIDER = then(
    record(
        ProviderConfig,
        id=field(
            then(
                text(
                    pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}",
                    hint="must be letters, digits, '.', '_' and '-', begin with a letter or digit, and have at most"
                    " 255 characters",
                ),
                _provider_id,
            ),
            doc="id in the catalog, or a name of your own",
        ),
        id_aliases=field(_ALIASES, None, doc="more names for the provider"),
        base_url=field(then(text(minimum=1), _base_url), None, doc="required for ids that are not in the catalog"),
        display_name=field(text(), None),
        description=field(text(), None),
        website=field(text(), None),
        disabled=field(boolean(), None),
        metadata=field(_METADATA, None, doc="free values that strategies read; never sent upstream"),
        api_keys=field(_KEYS, (), doc="keys of this provider, tried in order"),
        models=field(also(list_of(_MODEL, maximum=MAX_MODELS), _unique_names), ()),
        supported_api_surfaces=field(_SURFACE_LIST, None, doc="the catalog's, or every openai surface"),
        credential_header=field(enum(*CREDENTIAL_HEADERS), None, doc="how a key is sent"),
    ),
    _known_or_addressed,
)
