"""``gateway.ai.pricing``: prices of a model (AG-106, AG-118)."""

from __future__ import annotations

from decimal import Decimal

from gateway.ai.pricing import TEXT_PRICES, TOOL_PRICES, Pricing, TextPrices, build_pricing


def test_pricing_ag_106_ag_118():
    pricing = build_pricing(
        {"text": {"input": 0.15, "output": "0.6"}, "tools": {"web_search": {"per_search_call": 0.01}}}
    )
    assert (pricing.input, pricing.output, pricing.text.input_batch) == (0.15, 0.6, None)
    assert pricing.exact == {"input": Decimal("0.15"), "output": Decimal("0.6")}
    assert pricing.of("text.output") == 0.6
    assert pricing.of("tools.web_search.per_search_call") == 0.01
    assert pricing.of("tools.file_search.per_storage_gb") is None
    assert set(TextPrices.__cel__) == set(TEXT_PRICES)
    assert len(TOOL_PRICES) == 4
    for name in Pricing.__cel__:
        getattr(pricing, name)


def test_nothing_known():
    pricing = build_pricing({})
    assert pricing.exact == {}
    assert pricing.input is None
    assert pricing.of("text.input_batch") is None
