"""The shape of a catalog overlay (``ai.catalog_file``, AG-61): that of ``model-catalog.yaml``, all but ids optional."""

from __future__ import annotations

from typing import Any, Final

from gateway.ai.pricing import TEXT_PRICES, TOOL_PRICES
from gateway.schema.containers import Record
from gateway.schema.shapes import (
    anything,
    boolean,
    enum,
    field,
    integer,
    list_of,
    map_of,
    nullable,
    number,
    record,
    text,
    then,
)

#: default of optional members: they keep what is shipped
_ABSENT: Final = object()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not _ABSENT}


def _optional(**shapes: Any) -> dict[str, Any]:
    return {name: field(shape, _ABSENT) for name, shape in shapes.items()}


def price_shape() -> Record[dict[str, Any]]:
    """``pricing`` of AG-118: prices in USD, all optional."""
    price = nullable(number(minimum=0))
    tools = {tool: record(_given, **_optional(**{unit: price})) for tool, unit in TOOL_PRICES.items()}
    return record(
        _given,
        **_optional(
            text=record(_given, **_optional(**dict.fromkeys(TEXT_PRICES, price))),
            tools=record(_given, **_optional(**tools)),
        ),
    )


_NAME = text(minimum=1, maximum=255)
_NAMES = list_of(_NAME, maximum=100)
_COUNT = nullable(integer(minimum=1))
_WORD = nullable(text(minimum=1, maximum=255))
_METADATA = then(map_of(anything()), lambda pairs, node, reader: dict(pairs))

_PROVIDER = record(
    _given,
    id=field(text(pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")),
    **_optional(
        status=enum("current", "removed"),
        id_aliases=_NAMES,
        display_name=_NAME,
        description=text(),
        website=text(),
        base_url=text(pattern=r"https?://\S{1,2040}"),
        provider_key_required=boolean(),
        key_prefixes=_NAMES,
        credential_header=enum("authorization", "x-api-key", "api-key"),
        supported_api_surfaces=list_of(
            record(
                _given,
                format=field(enum("openai", "anthropic")),
                **_optional(surface=enum("chat-completions", "completions", "embeddings", "responses", "messages")),
            ),
            minimum=1,
        ),
        stream_usage=boolean(),
        price_provider=_WORD,
        undocumented=boolean(),
        note=text(),
        metadata=_METADATA,
    ),
)
_AUTHOR = record(
    _given,
    id=field(_NAME),
    **_optional(status=enum("current", "removed"), id_aliases=_NAMES, display_name=_NAME),
)
_MODEL = record(
    _given,
    id=field(_NAME),
    provider=field(_NAME),
    **_optional(
        author=text(maximum=255),
        status=enum("current", "legacy", "removed"),
        display_name=_NAME,
        description=text(),
        id_aliases=_NAMES,
        provider_model_id=_NAME,
        surfaces=list_of(enum("chat-completions", "completions", "embeddings", "responses", "messages"), minimum=1),
        tokenizer=enum("o200k_base", "cl100k_base"),
        input_modalities=list_of(enum("text", "image", "audio", "video", "file"), minimum=1),
        output_modalities=list_of(enum("text", "image", "audio", "embedding"), minimum=1),
        supported_features=_NAMES,
        unsupported_params=_NAMES,
        max_context_window=_COUNT,
        max_output_tokens=_COUNT,
        parameter_count=_COUNT,
        quantization=_WORD,
        data_training_policy=_WORD,
        data_retention_policy=_WORD,
        data_retention_days=nullable(integer(minimum=0)),
        pricing=nullable(price_shape()),
        datacenters=list_of(record(_given, country_code=field(_NAME), region=field(text()))),
        metadata=_METADATA,
        undocumented=boolean(),
        retires=text(),
        note=text(),
    ),
)
OVERLAY: Final = record(
    _given,
    **_optional(
        version=integer(1, 1),
        as_of=text(),
        providers=list_of(_PROVIDER, unique=lambda entry: entry["id"].lower()),
        authors=list_of(_AUTHOR, unique=lambda entry: entry["id"].lower()),
        models=list_of(_MODEL, unique=lambda entry: (entry["provider"].lower(), entry["id"].lower())),
    ),
)
