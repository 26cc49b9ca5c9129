"""Prices for the catalog from the optional package ``genai-prices`` (MIT; ``ai.prices: genai-prices``, AG-64).

Decision: imported only when enabled, because it takes 2 s and brings pydantic and an HTTP client along; used as data
only, it fetches nothing. Prices of an overlay stand above it. Where a price depends on the size of the prompt, the
lowest tier is shown.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from gateway.ai.catalog import Catalog, ModelEntry

PACKAGE: Final = "genai-prices"
#: our name → the package's
_PRICES: Final = {
    "input": "input_mtok",
    "output": "output_mtok",
    "input_cache_write": "cache_write_mtok",
    "input_cache_read": "cache_read_mtok",
}


class PricesUnavailable(Exception):  # noqa: N818 - reads as what it is
    """The package is not installed, or is not what this module knows."""


@dataclass(frozen=True, slots=True)
class PriceSource:
    """Where prices came from, for the start-up log and the version report."""

    name: str
    version: str
    priced: int
    #: ``provider:model`` of current models without a price
    missing: tuple[str, ...]


def add_prices(catalog: Catalog, moment: datetime) -> tuple[Catalog, PriceSource]:
    """The catalog with the prices of that moment; raises PricesUnavailable. Takes seconds: not on the event loop."""
    try:
        version = importlib.metadata.version(PACKAGE)
        providers = importlib.import_module("genai_prices.data_snapshot").get_snapshot().providers
        by_id = {provider.id: provider for provider in providers}
    except (ImportError, AttributeError) as error:
        raise PricesUnavailable(f"{PACKAGE}: {error}; install it with 'pip install {PACKAGE}'") from error
    names = {provider.id: provider.price_provider for provider in catalog.providers}
    models = tuple(_priced(model, by_id.get(names[model.provider] or ""), moment) for model in catalog.models)
    missing = tuple(f"{m.provider}:{m.id}" for m in models if m.pricing is None and not m.legacy)
    priced = sum(model.pricing is not None for model in models)
    return replace(catalog, models=models), PriceSource(PACKAGE, version, priced, missing)


def _priced(model: ModelEntry, provider: Any, moment: datetime) -> ModelEntry:
    if model.pricing is not None or provider is None:
        return model
    found = provider.find_model(model.provider_model_id)
    if found is None:
        return model
    prices = found.get_prices(moment)
    text = {name: _lowest(getattr(prices, theirs, None)) for name, theirs in _PRICES.items()}
    known: Mapping[str, str] = {name: str(price) for name, price in text.items() if price is not None}
    return replace(model, pricing={"text": known}) if known else model


def _lowest(price: Any) -> Decimal | None:
    base: Decimal | None = getattr(price, "base", price)
    return base
