"""``gateway.ai.prices``: the optional package as a source of prices (AG-64)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import ModuleType, SimpleNamespace

import pytest

from gateway.ai.catalog import load_shipped
from gateway.ai.prices import PricesUnavailable, add_prices
from gateway.ai.pricing import build_pricing

NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Prices:
    """A provider in the package's shape that knows one model."""

    def __init__(self, provider_id: str, model_ref: str, **prices: object) -> None:
        self.id = provider_id
        self._known = model_ref
        self._prices = SimpleNamespace(**prices)

    def find_model(self, model_ref: str) -> Prices | None:
        return self if model_ref == self._known else None

    def get_prices(self, moment: datetime) -> SimpleNamespace:
        assert moment == NOW
        return self._prices


@pytest.fixture
def package(monkeypatch):
    """The package with these providers."""

    def install(*providers: Prices) -> None:
        module = ModuleType("genai_prices.data_snapshot")
        module.get_snapshot = lambda: SimpleNamespace(providers=list(providers))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "genai_prices", ModuleType("genai_prices"))
        monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", module)
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.2.3")

    return install


def test_prices_are_exact_and_looked_up_by_the_provider_s_own_name(package):
    package(
        Prices(
            "openai", "gpt-4o", input_mtok=Decimal("2.5"), output_mtok=Decimal("10"), cache_read_mtok=Decimal("1.25")
        ),
        Prices("groq", "llama-3.3-70b-versatile", input_mtok=SimpleNamespace(base=Decimal("0.59"), tiers=[])),
    )
    catalog, source = add_prices(load_shipped(), NOW)
    priced = {model.id: model.pricing for model in catalog.models if model.pricing is not None}
    assert set(priced) == {"gpt-4o", "meta-llama/llama-3.3-70b-versatile"}
    assert priced["gpt-4o"] is not None
    pricing = build_pricing(priced["gpt-4o"])
    assert pricing.exact == {"input": Decimal("2.5"), "output": Decimal(10), "input_cache_read": Decimal("1.25")}
    assert priced["meta-llama/llama-3.3-70b-versatile"] == {"text": {"input": "0.59"}}
    assert (source.name, source.version, source.priced) == ("genai-prices", "0.2.3", 2)
    assert "openai:gpt-4.1" in source.missing
    assert not set(source.missing) & {f"{m.provider}:{m.id}" for m in catalog.models if m.legacy}


def test_an_overlay_s_price_stands(package):
    package(Prices("openai", "gpt-4o", input_mtok=Decimal(9)))
    shipped = load_shipped()
    own = {"text": {"input": 1}}
    models = tuple(replace(model, pricing=own) if model.id == "gpt-4o" else model for model in shipped.models)
    catalog, _ = add_prices(replace(shipped, models=models), NOW)
    assert next(model for model in catalog.models if model.id == "gpt-4o").pricing == own


def test_a_model_without_token_prices_has_no_pricing(package):
    package(Prices("openai", "gpt-4o", requests_kcount=Decimal(9)))
    catalog, source = add_prices(load_shipped(), NOW)
    assert source.priced == 0
    assert all(model.pricing is None for model in catalog.models)


def test_a_missing_package_is_said_plainly(monkeypatch):
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(PricesUnavailable, match="pip install genai-prices"):
        add_prices(load_shipped(), NOW)


def test_the_shipped_catalog_has_no_prices_ag_64():
    assert all(model.pricing is None for model in load_shipped().models)


@pytest.mark.skipif(importlib.util.find_spec("genai_prices") is None, reason="genai-prices is optional")
def test_the_real_package_prices_nearly_every_current_model():
    _, source = add_prices(load_shipped(), NOW)
    assert len(source.missing) <= 5
