"""Models and keys chosen from live numbers, through a running gateway: what AG 5.3 and 5.6 say, row by row.

The provider answers as the test says: where an order is to be seen every attempt fails, so that all of it is tried.
Time is a clock that the test moves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.ai.window_metrics import ErrorRate
from gateway.clock import ManualClock
from tests.wire.keyed import KeyedProvider, Say
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, chat_body

A, B, C = "sk-key-a-0123456789", "sk-key-b-0123456789", "sk-key-c-0123456789"
KEYS = (A, B, C)
BROKEN = Say(500, body="{}")


def quota(
    requests: int | None = None, tokens: int | None = None, *, reset: str = "6m0s", limit: int = 5_000
) -> dict[str, str]:
    headers = {}
    for kind, left in (("requests", requests), ("tokens", tokens)):
        if left is not None:
            headers[f"x-ratelimit-remaining-{kind}"] = str(left)
            headers[f"x-ratelimit-limit-{kind}"] = str(limit)
            headers[f"x-ratelimit-reset-{kind}"] = reset
    return headers


class World:
    """One provider with three keys behind a gateway."""

    def __init__(self, provider: KeyedProvider, gateway: RunningGateway, clock: ManualClock) -> None:
        self.provider = provider
        self.gateway = gateway
        self.clock = clock

    async def ask(self, model: str = "m", **more: Any) -> tuple[int, Any]:
        async with (
            self.gateway.session as client,
            client.post(CHAT_PATH, data=chat_body(model, **more)) as answer,
        ):
            return answer.status, await answer.json()

    async def say(self, quotas: Mapping[str, Mapping[str, str]], status: int = 500) -> None:
        """Lets every key be asked once, and these keys report their quota."""
        for key in KEYS:
            self.provider.answers[key] = Say(status, quotas.get(key, {}), "{}")
        await self.ask()
        self.provider.take()

    async def order(self) -> list[str]:
        """The keys that are tried when each of them fails. What they reported last stays what they report."""
        await self.ask()
        return self.provider.take()[0]

    async def used(self, times: int = 1) -> list[str]:
        """The keys that were used by so many requests."""
        for _ in range(times):
            await self.ask()
        return self.provider.take()[0]


@asynccontextmanager
async def keys(*strategies: str, answers: Say | None = None, **ai: Any) -> AsyncIterator[World]:
    clock = ManualClock()
    async with KeyedProvider(answers) as provider:
        entry = {
            "id": "mine",
            "base_url": provider.url,
            "api_keys": [{"value": key} for key in KEYS],
            "models": [{"id": "m"}],
        }
        config: dict[str, Any] = {"api_key_selection": {"strategy": list(strategies)}} if strategies else {}
        settings = settings_for(ai_policy([entry], **config), **ai)
        async with RunningGateway(settings, clock=clock) as gateway:
            yield World(provider, gateway, clock)


ENOUGH = "ai.keys.filter(k, k.quota.remaining_requests > 100)"
ALL = "ai.keys"


class TestQuotas:
    """AG-128: a quota that is not known is neither none nor plenty."""

    @pytest.mark.parametrize(
        ("known", "tried"),
        [
            ({}, [A, B, C]),
            ({A: 4_999}, [A, B, C]),
            ({A: 50, B: 4_999}, [B, C]),
            ({A: 50, B: 60, C: 70}, [A, B, C]),
            ({A: 50}, [A, B, C]),
            ({B: 4_999}, [B, A, C]),
            ({C: 101, A: 100}, [C, B]),
        ],
        ids=["fresh keys", "one known", "half known", "all low", "one low", "a later one known", "exactly the limit"],
    )
    async def test_ag_128_the_table(self, known: Mapping[str, int], tried: Sequence[str]) -> None:
        async with keys(ENOUGH, ALL) as world:
            await world.say({key: quota(left) for key, left in known.items()})
            assert await world.order() == list(tried)

    async def test_ag_128_shuffled(self) -> None:
        """The last row: one known, the others unknown, a strategy that shuffles."""
        async with keys(f"{ENOUGH}.randomize()", ALL, random_seed=1) as world:
            await world.say({A: quota(4_999)})
            seen = [tuple(await world.order()) for _ in range(12)]
            assert {frozenset(order) for order in seen} == {frozenset(KEYS)}
            assert len(set(seen)) > 2

    async def test_tokens_and_requests_both_count(self) -> None:
        both = "ai.keys.filter(k, k.quota.remaining_requests > 100 && k.quota.remaining_tokens > 1000)"
        async with keys(both, ALL) as world:
            await world.say({A: quota(4_999, 900), B: quota(4_999, 90_000), C: quota(10, 90_000)})
            assert await world.order() == [B]

    async def test_unknown_may_be_written_as_plenty(self) -> None:
        spelt = "ai.keys.filter(k, k.quota.remaining_requests == null || k.quota.remaining_requests > 100)"
        async with keys(spelt, ALL) as world:
            await world.say({A: quota(50)})
            assert await world.order() == [B, C]

    async def test_ag_131_a_quota_that_resets(self) -> None:
        """After the reset a remaining value is the limit."""
        async with keys(ENOUGH, ALL) as world:
            await world.say({A: quota(50, reset="30s"), B: quota(4_999), C: quota(4_999)})
            assert await world.order() == [B, C]
            world.provider.answers[A] = BROKEN  # says nothing any more
            world.clock.advance(29.0)
            assert (await world.order())[0] == B
            world.clock.advance(2.0)
            assert await world.order() == [A, B, C]

    async def test_ag_131_without_a_limit_it_becomes_unknown(self) -> None:
        left = {"x-ratelimit-remaining-requests": "50", "x-ratelimit-reset-requests": "30"}
        async with keys(ENOUGH, ALL) as world:
            await world.say({A: left, B: quota(4_999), C: quota(4_999)})
            world.provider.answers[A] = BROKEN
            assert await world.order() == [B, C]
            world.clock.advance(31.0)
            assert await world.order() == [B, C, A]

    async def test_ag_130_anthropic_s_headers(self) -> None:
        headers = {
            "anthropic-ratelimit-requests-remaining": "7",
            "anthropic-ratelimit-requests-limit": "4000",
            "anthropic-ratelimit-requests-reset": "2099-01-01T00:00:00Z",
        }
        async with keys(ENOUGH, ALL) as world:
            await world.say({A: headers, B: quota(4_999)})
            assert await world.order() == [B, C]

    async def test_ag_131_a_429_without_numbers_is_an_empty_quota(self) -> None:
        async with keys(ENOUGH, ALL) as world:
            await world.say({B: quota(4_999), C: quota(4_999)})
            world.provider.answers[A] = Say(429, {"retry-after": "20"}, "{}")
            await world.order()
            world.provider.answers[A] = BROKEN
            assert A not in await world.order()
            world.clock.advance(21.0)
            assert await world.order() == [B, C, A]

    async def test_p40_an_exhausted_key_moves_the_traffic(self) -> None:
        """A quota that is used up fails over before anybody is refused."""
        async with keys("ai.keys.filter(k, k.quota.remaining_requests > 0)", ALL) as world:
            world.provider.answers[A] = Say(200, quota(1))
            assert await world.used() == [A]
            world.provider.answers[A] = Say(200, quota(0))
            world.provider.answers[B] = Say(200, quota(4_999))
            assert await world.used() == [A]
            # what is unknown comes behind what is known, and nothing is: the second strategy serves once more
            assert await world.used() == [A]
            await world.say({A: quota(0), B: quota(4_999)})
            world.provider.answers[B] = Say()
            assert await world.used(3) == [B, B, B]

    async def test_ag_5_3_keys_sorted_by_an_expression(self) -> None:
        """Unknown values sort last."""
        async with keys("ai.keys.sortBy(k, -k.quota.remaining_requests)") as world:
            await world.say({A: quota(10), C: quota(500)})
            assert await world.order() == [C, A, B]


class TestErrorRates:
    """AG-132: bursts push a key back, and fade with the window."""

    async def test_a_burst_of_429_fades(self) -> None:
        healthy = "ai.keys.filter(k, k.error_rate.rate_limit < 0.1)"
        async with keys(healthy, ALL) as world:
            world.provider.answers[A] = Say(429, body="{}")
            assert await world.used(2) == [A, B, B]
            world.provider.answers[A] = Say()
            assert await world.used(5) == [B] * 5
            world.clock.advance(290.0)
            assert await world.used() == [B]
            world.clock.advance(10.0)
            assert await world.used() == [A]

    @pytest.mark.parametrize(
        ("member", "status"), [("client", 404), ("server", 502), ("rate_limit", 429), ("total", 500)]
    )
    async def test_ag_124_kinds_of_errors(self, member: str, status: int) -> None:
        async with keys(f"ai.keys.filter(k, k.error_rate.{member} < 0.5)", ALL) as world:
            world.provider.answers[A] = Say(status, body="{}")
            assert await world.used() == [A, B]
            assert await world.used() == [B]
            rate = error_rate(world, A)
            assert rate.total == 1.0
            if member != "total":
                assert {name for name in ("client", "server", "rate_limit") if getattr(rate, name)} == {member}

    async def test_without_traffic_the_rate_is_zero(self) -> None:
        async with keys("ai.keys.filter(k, k.error_rate.total == 0.0)") as world:
            assert await world.used() == [A]

    async def test_a_rate_counts_successes_too(self) -> None:
        async with keys("ai.keys.filter(k, k.error_rate.total < 0.5)", ALL) as world:
            assert await world.used(3) == [A, A, A]
            world.provider.answers[A] = BROKEN
            assert await world.used() == [A, B]  # one of four
            assert await world.used() == [A, B]  # two of five
            assert await world.used() == [A, B]  # three of six is not below one half
            assert await world.used() == [B]

    async def test_p16_all_exhausted(self) -> None:
        """Nothing is left out for good: the last strategy tries them all, and the answer says when to come back."""
        async with keys(ENOUGH, "ai.keys.filter(k, k.error_rate.rate_limit < 0.5)", ALL) as world:
            world.provider.says = Say(429, {**quota(0, reset="90s"), "retry-after": "40"}, "{}")
            status, body = await world.ask()
            assert (status, body["error"]["code"]) == (429, "ERR_NGROK_3807")
            assert world.provider.take()[0] == [A, B, C]
            assert await world.order() == [A, B, C]
            world.provider.says = Say(200, quota(4_999))
            world.clock.advance(91.0)  # the quotas are back, the error rates are not
            assert await world.used() == [A]


def error_rate(world: World, value: str) -> ErrorRate:
    """What strategies see of a key that was used."""
    attempts = [attempt for record in world.gateway.records for attempt in record.attempts]
    world.gateway.parts.metrics.settle()
    rate: ErrorRate = next(each.key.error_rate for each in attempts if each.key.value.reveal() == value)
    return rate


class TestWithoutStrategies:
    """AG-126, AG-157: listed order; keys that were refused are tried last for a while."""

    async def test_listed_order(self) -> None:
        async with keys() as world:
            world.provider.says = BROKEN
            assert await world.order() == [A, B, C]

    @pytest.mark.parametrize(
        ("answer", "cools_s"),
        [
            (Say(429, {"retry-after": "10"}, "{}"), 10.0),
            (Say(429, {**quota(0, reset="25s")}, "{}"), 25.0),
            (Say(429, body="{}"), 60.0),
            (Say(401, body="{}"), 60.0),
            (Say(403, body="{}"), 60.0),
        ],
        ids=["retry-after", "reset", "429", "401", "403"],
    )
    async def test_ag_157_a_key_cools(self, answer: Say, cools_s: float) -> None:
        async with keys() as world:
            world.provider.answers[A] = answer
            assert await world.used() == [A, B]
            world.provider.answers.clear()
            assert await world.used() == [B]
            world.clock.advance(cools_s - 0.5)
            assert await world.used() == [B]
            world.clock.advance(1.0)
            assert await world.used() == [A]

    async def test_ag_157_if_all_cool_the_listed_order_holds(self) -> None:
        async with keys() as world:
            world.provider.says = Say(429, {"retry-after": "30"}, "{}")
            assert await world.order() == [A, B, C]
            assert await world.order() == [A, B, C]
            world.provider.says = Say()
            assert await world.used() == [A]

    async def test_ag_157_off(self) -> None:
        async with keys(key_cooldown=False) as world:
            world.provider.answers[A] = Say(429, {"retry-after": "30"}, "{}")
            assert await world.used(2) == [A, B, A, B]

    async def test_strategies_decide_where_there_are_any(self) -> None:
        async with keys(ALL) as world:
            world.provider.answers[A] = Say(429, {"retry-after": "30"}, "{}")
            assert await world.used(2) == [A, B, A, B]


#: two providers, two models each
MODELS: dict[str, list[dict[str, Any]]] = {
    "alpha": [
        {
            "id": "a1", "id_aliases": ["a-one"], "author_id": "acme", "metadata": {"tier": "budget", "deep": {"x": 1}},
            "pricing": {"text": {"input": 3, "output": 4}}, "supported_features": ["tool-calling"],
            "datacenters": [{"country_code": "US", "region": "us-east-1"}],
        },
        {
            "id": "a2", "author_id": "bureau", "pricing": {"text": {"input": 1, "output": 9}},
            "max_context_window": 8_000, "input_modalities": ["text", "image"],
        },
    ],
    "beta": [
        {
            "id": "b1", "author_id": "acme", "metadata": {"tier": "premium"},
            "pricing": {"text": {"input": 2, "output": 2}, "tools": {"web_search": {"per_search_call": 0.01}}},
            "datacenters": [{"country_code": "DE", "region": "eu-central-1"}], "max_context_window": 200_000,
        },
        {"id": "b2", "supported_features": ["tool-calling", "coding"]},
    ],
}  # fmt: skip


@asynccontextmanager
async def models(*strategies: str, **ai: Any) -> AsyncIterator[World]:
    clock = ManualClock()
    async with KeyedProvider(BROKEN) as provider:
        own = {"id_aliases": ["first"], "metadata": {"kind": "own"}}
        entries: list[Any] = [
            {"id": "alpha", "base_url": provider.url, "models": MODELS["alpha"], **own},
            {"id": "beta", "base_url": provider.url, "models": MODELS["beta"]},
        ]
        config: dict[str, Any] = {"model_selection": {"strategy": list(strategies)}} if strategies else {}
        async with RunningGateway(settings_for(ai_policy(entries, **config), **ai), clock=clock) as gateway:
            yield World(provider, gateway, clock)


async def tried(world: World, model: str = "", *more: str) -> list[str]:
    status, body = await world.ask(model, models=list(more))
    if status == 422:
        return [body["error"]["code"].removeprefix("ERR_NGROK_")]
    return world.provider.take()[1]


STRATEGIES: list[tuple[str, list[str]]] = [
    ("ai.models", ["a1", "a2", "b1", "b2"]),
    ("ai.models.filter(m, m.metadata.tier == 'budget')", ["a1"]),
    ("ai.models.filter(m, m.getMetadata('deep.x') == 1)", ["a1"]),
    ("ai.models.filter(m, m.metadata.kind == 'own')", ["a1", "a2"]),
    ("ai.models.filter(m, m.provider_id == 'beta')", ["b1", "b2"]),
    ("ai.models.filter(m, m.max_context_window > 10000)", ["b1"]),
    ("ai.models.filter(m, 'image' in m.input_modalities)", ["a2"]),
    ("ai.models.filter(m, m.supported_features.exists(f, f == 'tool-calling'))", ["a1", "b2"]),
    ("ai.models.filter(m, m.pricing.input < 2.5)", ["a2", "b1"]),
    ("ai.models.filter(m, m.id.startsWith('b') && !m.id.endsWith('1'))", ["b2"]),
    ("ai.models.only(['B1', 'a-one'])", ["a1", "b1"]),
    ("ai.models.ignore(['a1', 'b2'])", ["a2", "b1"]),
    ("ai.models.onlyProviders(['first'])", ["a1", "a2"]),
    ("ai.models.ignoreProviders(['ALPHA'])", ["b1", "b2"]),
    ("ai.models.onlyAuthors(['acme'])", ["a1", "b1"]),
    ("ai.models.ignoreAuthors(['acme'])", ["a2", "b2"]),
    ("ai.models.inRegion('EU-central-1')", ["b1"]),
    ("ai.models.inCountryCode('us')", ["a1"]),
    ("ai.models.underCost('text.input', 2.5)", ["a2", "b1"]),
    ("ai.models.underCost('tools.web_search.per_search_call', 0.02)", ["b1"]),
    ("ai.models.sortBy('price')", ["a2", "b1", "a1", "b2"]),
    ("ai.models.sortBy(m, m.pricing.output)", ["b1", "a1", "a2", "b2"]),
    ("ai.models.sortBy('price')[0]", ["a2"]),
    ("ai.models[3]", ["b2"]),
    ("ai.models.get('beta', 'b1')", ["b1"]),
    ("ai.models.get('first', 'a-one')", ["a1"]),
    ("ai.providers.get('beta').getModel('b2')", ["b2"]),
    ("ai.providers.filter(p, p.id == 'beta')[0].models", ["b1", "b2"]),
    ("ai.providers.only(['beta'])[0].models", ["b1", "b2"]),
    ("ai.authors.get('acme').models", ["a1", "b1"]),
    ("ai.models.filter(m, size(m.datacenters) == 0)", ["a2", "b2"]),
    ("ai.models.filter(m, m.author_id == '')", ["b2"]),
]


class TestModels:
    """AG-100 to AG-110 and the table of AG 5.3."""

    @pytest.mark.parametrize(("strategy", "expected"), STRATEGIES, ids=[row[0] for row in STRATEGIES])
    async def test_ag_5_3_each_function(self, strategy: str, expected: list[str]) -> None:
        async with models(strategy) as world:
            assert await tried(world) == expected

    async def test_ag_97_without_strategies(self) -> None:
        async with models() as world:
            assert await tried(world) == ["a1", "a2", "b1", "b2"]
            assert await tried(world, "b2", "a1") == ["b2", "a1"]

    @pytest.mark.parametrize(
        ("strategies", "expected"),
        [
            (["ai.models.only(['a1'])", "ai.models.only(['b1'])"], ["a1"]),
            (["ai.models.only(['none'])", "ai.models.only(['b1'])"], ["b1"]),
            (["ai.models.get('x', 'y')", "ai.models.only(['b1'])"], ["b1"]),
            (["ai.models[99]", "ai.models.only(['b1'])"], ["b1"]),
            (["ai.models.filter(m, m.metadata.nothing == 1)", "ai.models.only(['b1'])"], ["b1"]),
            (["ai.models[99]"], ["3803"]),
            (["ai.models.only([])"], ["3805"]),
            (["ai.models[99]", "ai.models.only([])"], ["3805"]),
            (["ai.models.filter(m, m.metadata.nested.member == 1)"], ["3805"]),
        ],
        ids=["first wins", "empty", "null", "error", "missing member", "all fail", "none", "some fail", "dropped"],
    )
    async def test_ag_100_to_103_which_strategy_counts(self, strategies: list[str], expected: list[str]) -> None:
        async with models(*strategies) as world:
            assert await tried(world) == expected

    async def test_ag_101_strategies_only_narrow_what_the_client_names(self) -> None:
        async with models("ai.models.sortBy('price')") as world:
            assert await tried(world, "b1", "a1", "a2") == ["b1", "a1", "a2"]
        async with models("ai.models.onlyProviders(['beta'])") as world:
            assert await tried(world, "a1", "b2") == ["b2"]
            assert await tried(world, "a1") == ["3805"]

    async def test_ag_109_random(self) -> None:
        async with models("ai.models.random()", random_seed=3) as world:
            seen = [await tried(world) for _ in range(16)]
            assert all(len(each) == 1 for each in seen)
            assert len({each[0] for each in seen}) > 2
        async with models("ai.models.randomize()", random_seed=3) as world:
            shuffled = [tuple(await tried(world)) for _ in range(8)]
            assert {frozenset(each) for each in shuffled} == {frozenset(("a1", "a2", "b1", "b2"))}
            assert len(set(shuffled)) > 2

    @pytest.mark.parametrize("scope", ["global", "region", "account", "endpoint"])
    async def test_ag_122_metrics_steer_models(self, scope: str) -> None:
        """A model that fails is left alone until its failures leave the window (AG-123)."""
        async with models(f"ai.models.filter(m, m.metrics.{scope}.error_rate.total < 0.5)", "ai.models") as world:
            world.provider.answers = {name: Say() for name in ("a2", "b1", "b2")}
            assert await tried(world) == ["a1", "a2"]
            assert await tried(world) == ["a2"]
            world.clock.advance(301.0)
            assert await tried(world) == ["a1", "a2"]

    async def test_ag_123_fresh_numbers(self) -> None:
        latency = "m.metrics.account.latency"
        fresh = (
            f"ai.models.filter(m, m.metrics.account.request_count == 0 && {latency}.upstream_ms_avg == 0 "
            f"&& {latency}.time_to_first_token_ms_avg == null)"
        )
        async with models(fresh) as world:
            world.provider.says = Say()
            assert [await tried(world) for _ in range(4)] == [["a1"], ["a2"], ["b1"], ["b2"]]
            assert await tried(world) == ["3805"]

    async def test_ag_122_numbers_of_a_key(self) -> None:
        """Safe whether the key has an entry or not (AG-108)."""
        known = "ai.models.filter(m, m.metrics.api_keys.exists(id, m.metrics.api_keys[id].request_count > 0))"
        async with keys() as world:
            await world.used()
        async with models(known, "ai.models.only(['b2'])") as world:
            world.provider.says = Say()
            assert await tried(world) == ["b2"]

    async def test_ag_228_estimates_are_made_for_strategies_that_read_them(self) -> None:
        busy = "ai.models.filter(m, m.metrics.account.token.estimated_input > 0)"
        async with models(busy, "ai.models.only(['b1'])") as world:
            world.provider.says = Say()
            assert await tried(world) == ["b1"]
            series = world.gateway.records[0].attempts[0].candidate.metrics.account
            assert series.token.estimated_input == 7  # "Hello": 1, and 3 + 3
            assert series.token.provider_input == 5
            assert series.token.estimated_output == 1
            assert await tried(world) == ["b1"]
