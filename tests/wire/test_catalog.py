"""The catalog overlay and prices in a running gateway: start, reload, mistakes (AG-60 to AG-64, AG-248)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.ai.usage import usd
from gateway.app.process import ConfigurationError
from tests.wire.keyed import KeyedProvider
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, chat_body


def overlay(base_url: str, model: str = "house-1", price: float = 2.0) -> str:
    return (
        f"providers:\n  - {{id: mine, base_url: {base_url}}}\n"
        f"models:\n  - {{id: {model}, provider: mine, pricing: {{text: {{input: {price}, output: 10}}}}}}\n"
    )


def policy(base_url: str = "") -> str:
    entry = {"id": "mine", "api_keys": [{"value": "k"}]}
    return ai_policy([entry if not base_url else {**entry, "id": "openai", "base_url": base_url}])


async def ask(gateway: RunningGateway, model: str) -> int:
    async with gateway.session as client, client.post(CHAT_PATH, data=chat_body(model)) as answer:
        return answer.status


async def test_ag_61_models_of_the_overlay_are_served_and_priced(tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    async with KeyedProvider() as provider:
        file.write_text(overlay(provider.url))
        async with RunningGateway(settings_for(policy(), catalog_file=file)) as gateway:
            assert await ask(gateway, "house-1") == 200
            # 5 tokens in at 2 USD, 2 out at 10 USD per million
            assert str(usd(gateway.records[0].ai.cost_units)) == "0.00003"
            listed = await models(gateway)
            assert "house-1" in listed


async def test_ag_61_a_reload_reads_it_again(tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    async with KeyedProvider() as provider:
        file.write_text(overlay(provider.url))
        async with RunningGateway(settings_for(policy(), catalog_file=file)) as gateway:
            file.write_text(overlay(provider.url, "house-2", 4_000_000))
            assert await ask(gateway, "house-2") == 422
            assert not any(problems.failed for problems in await gateway.process.reload())
            assert await ask(gateway, "house-2") == 200
            assert usd(gateway.records[-1].ai.cost_units) == Decimal("20.00002")
            assert await ask(gateway, "house-1") == 422


@pytest.mark.parametrize(
    ("text", "place"),
    [("models:\n  - {id: x, provider: nowhere}\n", "2:23"), ("models: [", "1:"), ("modles: []\n", "1:1")],
)
async def test_ag_61_a_wrong_overlay_keeps_the_previous_catalog(tmp_path: Path, text: str, place: str) -> None:
    """The problem names file, line and column; requests go on with what there was."""
    file = tmp_path / "overlay.yaml"
    async with KeyedProvider() as provider:
        file.write_text(overlay(provider.url))
        async with RunningGateway(settings_for(policy(), catalog_file=file)) as gateway:
            file.write_text(text)
            found = [str(problem) for problems in await gateway.process.reload() for problem in problems]
            assert any(f"overlay.yaml:{place}" in line and ": error " in line for line in found), found
            assert await ask(gateway, "house-1") == 200


async def test_a_start_with_a_wrong_overlay_fails(tmp_path: Path) -> None:
    file = tmp_path / "overlay.yaml"
    file.write_text("models: 5\n")
    with pytest.raises(BaseExceptionGroup) as refused:
        async with RunningGateway(settings_for(policy(), catalog_file=file)):
            pass
    assert refused.value.subgroup(ConfigurationError) is not None


async def test_ag_248_prices_of_the_package_make_the_cost() -> None:
    """Exact decimals, also where an official provider is reached at another address."""
    pytest.importorskip("genai_prices")
    async with KeyedProvider() as provider:
        settings = settings_for(policy(provider.url), prices="genai-prices")
        async with RunningGateway(settings) as gateway:
            assert await ask(gateway, "gpt-4o") == 200
            record = gateway.records[0]
            prices = record.attempts[0].candidate.element.pricing.exact
            exact = (5 * prices["input"] + 2 * prices["output"]) / 1_000_000
            assert usd(record.ai.cost_units) == exact.quantize(Decimal("0.00001"))
            assert usd(record.ai.cost_units) > 0


async def test_without_prices_the_cost_is_unknown() -> None:
    async with KeyedProvider() as provider, RunningGateway(settings_for(policy(provider.url))) as gateway:
        assert await ask(gateway, "gpt-4o") == 200
        assert gateway.records[0].ai.cost_units is None
        # and they may be switched on while it runs
        pytest.importorskip("genai_prices")
        gateway.settings = replace(gateway.settings, ai=replace(gateway.settings.ai, prices="genai-prices"))
        await gateway.process.reload()
        assert await ask(gateway, "gpt-4o") == 200
        assert gateway.records[1].ai.cost_units is not None


async def models(gateway: RunningGateway) -> set[str]:
    headers = {"authorization": "Bearer sk-anything"}
    async with gateway.session as client, client.get("/v1/models", headers=headers) as answer:
        return {entry["id"] for entry in (await answer.json())["data"]}
