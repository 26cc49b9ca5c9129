"""What choosing costs: a plan, the order of keys, a strategy over 400 models with live metrics (B9), an attempt booked.

    python -m tests.bench.bench_selection

Best of many short rounds, in microseconds. The figure of the model strategy stands beside a hand-written comprehension
over the same objects, because only that ratio survives another machine.
"""

from __future__ import annotations

import random
import sys
import time
import timeit
from collections.abc import Callable

from gateway.ai.candidates import Limits
from gateway.ai.catalog import load_shipped
from gateway.ai.measure import Measure, Outcome
from gateway.ai.surfaces import CHAT
from gateway.headers import HeaderMap
from tests.unit.ai.selection_kit import Asks, World, exchange, provider, quota_headers

KEYS = ("sk-upstream-one-0123456789", "sk-upstream-two-0123456789", "sk-upstream-three-0123456789")
BENCH_POLICY = (
    "ai.keys.filter(k, k.quota.remaining_requests > 500 && k.error_rate.rate_limit < 0.05)",
    "ai.keys.filter(k, k.error_rate.total < 0.5)",
    "ai.keys",
)
LIVE = (
    "ai.models.filter(m, m.metrics.global.latency.upstream_ms_avg < 1000 && m.metrics.global.error_rate.total < 0.05)"
)
MINE = Limits(only_configured_providers=True)


def cost_us(call: Callable[[], object], number: int = 1_000, rounds: int = 30) -> float:
    """Microseconds per call."""
    return min(timeit.repeat(call, number=number, repeat=rounds)) / number * 1e6


def show(what: str, us: float, budget: str = "") -> None:
    """One line of the report."""
    sys.stdout.write(f"{what:<62}{us:9.2f} µs  {budget}\n")


def plans() -> None:
    """Resolution."""
    world = World()
    reach = world.universe.reach(token="client")
    show("plan, cached", cost_us(lambda: world.universe.plan("gpt-4o", (), CHAT, reach)), "≤ 0.5")
    names = ("gpt-4o", "claude-sonnet-4-5", "groq:openai/gpt-oss-20b")

    def fresh() -> object:
        world.universe._plans.clear()
        return world.universe.plan(None, names, CHAT, reach)

    show("plan, three names, not cached", cost_us(fresh, 100))
    show(
        "plan, unknown name with its closest",
        cost_us(lambda: world.universe.plan("gtp-4x-turbo", (), CHAT, reach), 100),
    )
    started = time.perf_counter()
    catalog = load_shipped()
    loaded = time.perf_counter()
    World(catalog=catalog)
    show("catalog, loaded", (loaded - started) * 1e6)
    show("universe and key ring of 103 models, built", (time.perf_counter() - loaded) * 1e6)


def key_orders() -> None:
    """Rows 4 with and without strategies."""
    request = Asks(exchange())
    plain = World(provider("mock", "gpt-4o", keys=KEYS))
    (candidate,) = plain.universe.plan("mock:gpt-4o", (), CHAT).candidates
    show("3 literal keys, no strategy, none cooling", cost_us(lambda: plain.ring.order(candidate, request)), "≤ 1")
    plain.ring.order(candidate, request).keys[0].observe(429, HeaderMap())
    show("3 literal keys, one cooling", cost_us(lambda: plain.ring.order(candidate, request)))
    world = World(provider("mock", "gpt-4o", keys=KEYS), key_strategies=BENCH_POLICY)
    (chosen,) = world.universe.plan("mock:gpt-4o", (), CHAT).candidates
    show("bench policy, no number changed", cost_us(lambda: world.ring.order(chosen, request)), "≤ 5")
    left = [9_000]

    def again() -> object:
        key = world.ring.order(chosen, request).keys[0]
        left[0] -= 1
        key.observe(200, quota)
        return key

    heads = [quota_headers(remaining, 10_000, "6ms") for remaining in (9_998, 9_999)]
    quota = heads[0]
    same = cost_us(again)
    show("bench policy, with a head that says the same again", same, "≤ 5")

    def changing() -> object:
        key = world.ring.order(chosen, request).keys[0]
        left[0] = 9_000 if left[0] < 1_000 else left[0] - 1
        heads[0]["x-ratelimit-remaining-requests"][0] = str(left[0])
        key.observe(200, heads[0])
        return key

    heads[0]["x-ratelimit-reset-requests"][0] = "6m0s"
    show("bench policy, with a head that says something new", cost_us(changing))


def model_strategies() -> None:
    """B9."""
    models = [f"model-{number}" for number in range(400)]
    world = World(provider("many", *models), model_strategies=[LIVE], limits=MINE)
    elements = [model for each in world.universe.providers if each.id == "many" for model in each.models]
    chance = random.Random(1)
    for model in elements:
        for _ in range(3):
            measure = Measure(Outcome.SUCCESS, gateway_s=0.001, upstream_s=chance.uniform(0.1, 0.9))
            world.registry.record(model.metrics, measure)
    windows = [getattr(model.metrics, "global") for model in elements]

    def by_hand() -> object:
        return [w for w in windows if w.latency.upstream_ms_avg < 1_000 and w.error_rate.total < 0.05]

    def strategy() -> object:
        return world.universe.plan(None, (), CHAT)

    assert len(world.universe.plan(None, (), CHAT).candidates) == 400
    # interleaved, so that a busy spell meets both
    pairs = [(cost_us(by_hand, 50, 1), cost_us(strategy, 50, 1)) for _ in range(60)]
    hand, ours = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    verdict = f"≤ 60, reach for 30; {ours / hand:.1f} times by hand ({hand:.1f})"
    show("400 models, live metrics, plan included", ours, verdict)

    def one_changed() -> object:
        world.registry.record(elements[7].metrics, Measure(Outcome.SUCCESS, upstream_s=0.3))
        return world.universe.plan(None, (), CHAT)

    show("400 models, one changed since", cost_us(one_changed, 100))
    constant = World(provider("many", *models), model_strategies=["ai.models.onlyProviders(['many'])"], limits=MINE)
    show("400 models, catalog fields only", cost_us(lambda: constant.universe.plan(None, (), CHAT)))


def bookings() -> None:
    """After an answer."""
    world = World(provider("mock", "gpt-4o", keys=KEYS))
    (candidate,) = world.universe.plan("mock:gpt-4o", (), CHAT).candidates
    key = world.order(candidate).keys[0]

    def book() -> None:
        measure = Measure(Outcome.SUCCESS, gateway_s=0.001, upstream_s=0.2)
        measure.tokens((100, 20), (99, 20))
        key.window.record(measure)
        world.registry.record(candidate.metrics, measure, ((key.id, key.quota),))

    show("one attempt booked in four windows", cost_us(book))
    head = quota_headers(9_999)
    show("one head observed, quota headers", cost_us(lambda: key.observe(200, head)))
    none = HeaderMap()
    show("one head observed, none", cost_us(lambda: key.observe(200, none)))


def main() -> None:
    """Prints the report."""
    for part in (plans, key_orders, model_strategies, bookings):
        part()


if __name__ == "__main__":
    main()
