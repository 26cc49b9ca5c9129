"""``gateway.ai.collections``: the functions of AG 5.3 on real models."""

from __future__ import annotations

import pytest

from gateway.ai.collections import PRICES
from gateway.ai.measure import Measure, Outcome
from gateway.ai.surfaces import CHAT
from gateway.cel.errors import CelError
from tests.unit.ai.selection_kit import World, model, names, provider

PLACES = (("DE", "eu-central-1"), ("US", "us-east-1"))
PROVIDERS = (
    provider(
        "alpha",
        model("small", author_id="acme", pricing={"text": {"input": 0.5, "output": 2}}, metadata={"tier": "budget"}),
        model("large", id_aliases=("big",), author_id="Meta", pricing={"text": {"input": 5}}, datacenters=PLACES),
        id_aliases=("first",),
        metadata={"tier": "premium", "cost": {"centre": 7}},
    ),
    provider(
        "beta",
        model("small", pricing={"text": {"input": 0.25}, "tools": {"web_search": {"per_search_call": 0.01}}}),
        model("free"),
    ),
)


def chosen(strategy: str, *wanted: str, seed: int = 1) -> list[str]:
    world = World(*PROVIDERS, model_strategies=[strategy], seed=seed)
    plan = world.universe.plan(None, wanted, CHAT)
    return names(plan.candidates)


def load_error(strategy: str) -> str:
    with pytest.raises(CelError) as caught:
        World(*PROVIDERS, model_strategies=[strategy])
    return caught.value.message


ALL = ["alpha:small", "alpha:large", "beta:small", "beta:free"]


@pytest.mark.parametrize(
    ("strategy", "result"),
    [
        ("ai.models", ALL),
        ("ai.models.only(['SMALL'])", ["alpha:small", "beta:small"]),
        ("ai.models.only(['free', 'big'])", ["alpha:large", "beta:free"]),
        ("ai.models.ignore(['Small'])", ["alpha:large", "beta:free"]),
        ("ai.models.onlyProviders(['First'])", ["alpha:small", "alpha:large"]),
        ("ai.models.ignoreProviders(['alpha'])", ["beta:small", "beta:free"]),
        ("ai.models.onlyAuthors(['ACME', 'meta-llama'])", ["alpha:small", "alpha:large"]),
        ("ai.models.ignoreAuthors(['acme'])", ["alpha:large", "beta:small", "beta:free"]),
        ("ai.models.inRegion('EU-central-1')", ["alpha:large"]),
        ("ai.models.inCountryCode('us')", ["alpha:large"]),
        ("ai.models.underCost('text.input', 1)", ["alpha:small", "beta:small"]),
        ("ai.models.underCost('text.input', 0.5)", ["beta:small"]),
        ("ai.models.underCost('tools.web_search.per_search_call', 0.02)", ["beta:small"]),
        ("ai.models.sortBy('price')", ["beta:small", "alpha:small", "alpha:large", "beta:free"]),
        ("ai.models.sortBy(m, m.pricing.input)", ["beta:small", "alpha:small", "alpha:large", "beta:free"]),
        ("ai.models.sortBy(m, m.pricing.text.output)", ["alpha:small", "alpha:large", "beta:small", "beta:free"]),
        ("ai.models[1]", ["alpha:large"]),
        ("[ai.models[3], ai.models[0], ai.models[3]]", ["beta:free", "alpha:small"]),
        ("ai.models.get('BETA', 'Small')", ["beta:small"]),
        ("ai.models.get('first', 'big')", ["alpha:large"]),
        ("ai.providers.get('First').getModel('BIG')", ["alpha:large"]),
        ("ai.providers.only(['beta'])[0].models", ["beta:small", "beta:free"]),
        ("ai.providers.ignore(['beta'])[0].models", ["alpha:small", "alpha:large"]),
        ("ai.providers[1].models[0]", ["beta:small"]),
        ("ai.authors.get('llama').models", ["alpha:large"]),
        ("ai.authors.only(['Acme'])[0].models", ["alpha:small"]),
        ("ai.models.filter(m, m.metadata.tier == 'budget')", ["alpha:small"]),
        ("ai.models.filter(m, m.metadata.tier == 'premium')", ["alpha:large"]),
        ("ai.models.filter(m, m.getMetadata('cost.centre') == 7)", ["alpha:small", "alpha:large"]),
        ("ai.models.filter(m, m.getMetadata('cost.none.deeper') == null)", ALL),
        ("ai.models.filter(m, ai.providers.exists(p, p.id == m.provider_id && p.getMetadata('tier') == 'premium'))",
         ["alpha:small", "alpha:large"]),
        ("ai.models.filter(m, m.max_output_tokens > 3 || m.custom)", ALL),
        ("ai.models.filter(m, m.metrics.global.request_count == 0 && m.known)", ALL),
        ("size(ai.models) == 4 ? ai.models.only(['free']) : ai.models", ["beta:free"]),
        ("ai.models.filter(m, 'text' in m.input_modalities && m.id.startsWith('s'))", ["alpha:small", "beta:small"]),
    ],
)  # fmt: skip
def test_functions(strategy, result):
    assert chosen(strategy) == result


def test_a_provider_shows_candidates_only_ag_90():
    assert chosen("ai.providers.get('alpha').models", "large", "beta:small") == ["alpha:large"]
    assert chosen("ai.authors.get('acme').models", "small") == ["alpha:small"]


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ("ai.models.sortBy('latency')", "'price'"),
        ("ai.models.underCost('text.inputs', 1)", "text.input_cache_read"),
        ("ai.keys", "no member 'keys'"),
        ("ai.models.onlyKeys(['a'])", "onlyKeys"),
        ("ai.providers.inRegion('eu')", "inRegion"),
    ],
)
def test_misuse_is_a_load_error_ag_9_ag_106(strategy, words):
    assert words in load_error(strategy)


def test_model_collections_do_not_exist_in_key_strategies_ag_9():
    with pytest.raises(CelError, match="no member 'models'"):
        World(key_strategies=["ai.models"])


def test_price_types_ag_106():
    assert len(PRICES) == 10
    assert "tools.image_generation.per_image_generation" in PRICES


class TestChance:
    """AG-109."""

    def test_randomize_shuffles_uniformly(self):
        world = World(*PROVIDERS, model_strategies=["ai.models.randomize()"])
        first = [names(world.universe.plan(None, (), CHAT).candidates) for _ in range(400)]
        assert all(sorted(order) == sorted(ALL) for order in first)
        for name in ALL:
            assert 60 < sum(order[0] == name for order in first) < 140

    def test_random_picks_one(self):
        world = World(*PROVIDERS, model_strategies=["ai.models.only(['small']).random()"])
        picked = [names(world.universe.plan(None, (), CHAT).candidates) for _ in range(100)]
        assert {len(each) for each in picked} == {1}
        assert {each[0] for each in picked} == {"alpha:small", "beta:small"}

    def test_a_seed_repeats(self):
        def run(seed: int) -> list[list[str]]:
            world = World(*PROVIDERS, model_strategies=["ai.models.randomize()"], seed=seed)
            return [names(world.universe.plan(None, (), CHAT).candidates) for _ in range(5)]

        assert run(3) == run(3)
        assert run(3) != run(4)

    def test_random_of_nothing_is_nothing_ag_110(self):
        world = World(*PROVIDERS, model_strategies=["ai.models.only(['zip']).random()", "ai.models[0]"])
        assert names(world.universe.plan(None, (), CHAT).candidates) == ["alpha:small"]


def test_live_metrics_are_read_where_they_are():
    world = World(
        *PROVIDERS,
        model_strategies=[
            "ai.models.filter(m, m.metrics.global.error_rate.total < 0.5"
            " && m.metrics.account.latency.upstream_ms_avg < 1000 && m.metrics.endpoint.token.provider_input >= 0)"
        ],
    )
    plan = world.universe.plan("alpha:small", ("beta:small",), CHAT)
    assert names(plan.candidates) == ["alpha:small", "beta:small"]
    world.registry.record(plan.candidates[0].metrics, Measure(Outcome.SERVER, upstream_s=0.1))
    world.registry.record(plan.candidates[1].metrics, Measure(Outcome.SUCCESS, upstream_s=0.9))
    assert names(world.universe.plan("alpha:small", ("beta:small",), CHAT).candidates) == ["beta:small"]
    world.registry.record(plan.candidates[1].metrics, Measure(Outcome.SUCCESS, upstream_s=1.3))
    error = world.universe.plan("alpha:small", ("beta:small",), CHAT).error
    assert error is not None
    assert error.code == "ERR_NGROK_3805"
    world.clock.advance(400)
    assert len(world.universe.plan("alpha:small", ("beta:small",), CHAT).candidates) == 2
