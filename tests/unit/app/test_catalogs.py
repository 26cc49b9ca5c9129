"""``gateway.app.catalogs``: overlay and prices as one snapshot sees them (AG-61, AG-64)."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.ai.catalog import Catalog, load_shipped
from gateway.ai.pricing import build_pricing
from gateway.app.catalogs import load_catalog
from gateway.clock import ManualClock
from gateway.settings.model import AiSettings

CLOCK = ManualClock(now_s=1_793_000_000.0)
OVERLAY = """\
providers:
  - {id: mine, base_url: https://models.example/v1}
models:
  - {id: house-1, provider: mine, pricing: {text: {input: 0.1, output: 0.2}}}
  - {id: gpt-4o, provider: openai, pricing: {text: {input: 99, output: 100}}}
"""


def load(**settings) -> Catalog:
    catalog, problems = load_catalog(AiSettings(**settings), CLOCK)
    assert catalog is not None, [str(problem) for found in problems for problem in found]
    return catalog


def refused(**settings) -> list[str]:
    catalog, problems = load_catalog(AiSettings(**settings), CLOCK)
    assert catalog is None
    return [str(problem) for found in problems for problem in found]


def exact(catalog: Catalog, model_id: str) -> dict[str, Decimal]:
    (model,) = [model for model in catalog.models if (model.provider, model.id) == ("openai", model_id)]
    assert model.pricing is not None
    return dict(build_pricing(model.pricing).exact)


def test_without_settings_it_is_the_shipped_catalog() -> None:
    assert load() == load_shipped()


def test_an_overlay_is_laid_over_it_ag_61(tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text(OVERLAY)
    catalog = load(catalog_file=file)
    assert catalog.provider("MINE") is not None
    assert exact(catalog, "gpt-4o") == {"input": Decimal(99), "output": Decimal(100)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models:\n  - {id: a, provider: nowhere}\n", "overlay.yaml:2:23: error"),
        ("providers:\n  - id: x\n    base_url: http://public.example/\n", "overlay.yaml:3:15: error"),
        ("providers:\n  - id: openai\n    base_url: https://a.example/\n    colour: red\n", "overlay.yaml:4:5: error"),
        ("models: [\n", "overlay.yaml:"),
    ],
)
def test_a_wrong_overlay_says_where_ag_61(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text(text)
    assert any(message in line for line in refused(catalog_file=file)), refused(catalog_file=file)


def test_an_overlay_that_went_away_is_an_error(tmp_path: Path) -> None:
    (line,) = refused(catalog_file=tmp_path / "gone.yaml")
    assert "gone.yaml:1:1: error" in line
    assert "cannot be read" in line


def test_prices_come_from_the_package_ag_64() -> None:
    """The real one: exact decimals, not floats."""
    pytest.importorskip("genai_prices")
    prices = exact(load(prices="genai-prices"), "gpt-4o")
    assert prices["input"] > 0
    assert prices["output"] > prices["input"]
    assert all(isinstance(price, Decimal) for price in prices.values())


def test_prices_of_the_overlay_stand_above_the_package(tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text(OVERLAY)
    pytest.importorskip("genai_prices")
    assert exact(load(catalog_file=file, prices="genai-prices"), "gpt-4o")["input"] == Decimal(99)


def test_without_the_package_prices_are_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serving without prices would leave every budget in USD open."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    (line,) = refused(prices="genai-prices")
    assert line.startswith("<ai.prices>:1:1: error")
    assert "pip install genai-prices" in line
