"""The order of keys against a plain model: random answers, headers and time (AG-126 to AG-132, AG-157, P16, P40).

The plain model keeps what it would keep on paper: the log of all attempts, the last quota of each key at each model,
when each key was refused. After every step the orders of both models are asked for and compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.ai.entities import Candidate, KeySource, ProviderKey
from gateway.ai.measure import Measure, Outcome
from gateway.ai.surfaces import CHAT
from gateway.headers import HeaderMap
from gateway.secrets.secret import Secret
from tests.unit.ai.selection_kit import Asks, World, exchange, provider, values

KEYS = ("sk-key-a-0123456789", "sk-key-b-0123456789", "sk-key-c-0123456789")
MODELS = ("m", "n")
KINDS = ("requests", "tokens")


class PlainQuota:
    """One kind of quota of one key at one model."""

    def __init__(self) -> None:
        self.remaining: int | None = None
        self.limit: int | None = None
        self.reset_s: float | None = None

    def pass_time(self, now_s: float) -> None:
        if self.reset_s is not None and self.reset_s <= now_s:
            self.remaining, self.reset_s = self.limit, None

    def observe(self, now_s: float, remaining: int | None, limit: int | None, reset: int | None) -> None:
        if limit is not None:
            self.limit = limit
        if remaining is not None:
            self.remaining = remaining
            self.reset_s = now_s + (60 if reset is None else reset)


class PlainState:
    """One key at one model."""

    def __init__(self) -> None:
        self.requests = PlainQuota()
        self.tokens = PlainQuota()
        self.cool_until_s = 0.0

    def pass_time(self, now_s: float) -> None:
        self.requests.pass_time(now_s)
        self.tokens.pass_time(now_s)

    def answer(self, now_s: float, status: int, said: dict[str, Any]) -> None:
        for kind in KINDS:
            getattr(self, kind).observe(now_s, *(said[kind][name] for name in ("remaining", "limit", "reset")))
        silent = all(said[kind][name] is None for kind in KINDS for name in ("remaining", "limit"))
        if status == 429 and silent:
            self.requests.observe(now_s, 0, None, said["retry"])
        self.pass_time(now_s)
        if status == 429 and said["retry"] is not None:
            self.cool_until_s = now_s + said["retry"]
        elif status == 429 and (resets := self.exhausted()):
            self.cool_until_s = max(resets)
        elif status in (401, 403, 429):
            self.cool_until_s = now_s + 60

    def exhausted(self) -> list[float]:
        quotas = (self.requests, self.tokens)
        return [quota.reset_s for quota in quotas if quota.remaining == 0 and quota.reset_s is not None]


class Plain:
    """One key: its attempts at all models, and its state at each."""

    def __init__(self) -> None:
        self.attempts: list[tuple[float, Outcome]] = []
        self.states = {model: PlainState() for model in MODELS}

    def rate(self, now_s: float, *outcomes: Outcome) -> float:
        window = [outcome for at, outcome in self.attempts if int(at // 10) > int(now_s // 10) - 30]
        return sum(outcome in outcomes for outcome in window) / len(window) if window else 0.0


class Seen(NamedTuple):
    """What a strategy sees of a key."""

    key: Plain
    model: str
    now_s: float

    @property
    def requests(self) -> PlainQuota:
        return self.key.states[self.model].requests

    @property
    def tokens(self) -> PlainQuota:
        return self.key.states[self.model].tokens

    def rate(self, *outcomes: Outcome) -> float:
        return self.key.rate(self.now_s, *outcomes)

    @property
    def total(self) -> float:
        return self.rate(*FAILURES)


FAILURES = tuple(outcome for outcome in Outcome if outcome is not Outcome.SUCCESS)
Verdict = bool | None
Predicate = Callable[[Seen], Verdict]


class Result(NamedTuple):
    """Places in the list of keys. ``shuffled``: in any order; ``one``: any single one of them."""

    places: list[int]
    shuffled: bool = False
    one: bool = False


Strategy = Callable[[Sequence[Seen]], Result]


# Three-valued logic: None is "cannot be told"


def more(value: int | None, least: int) -> Verdict:
    return None if value is None else value > least


def both(first: Verdict, second: Verdict) -> Verdict:
    if first is False or second is False:
        return False
    return None if first is None or second is None else True


def either(first: Verdict, second: Verdict) -> Verdict:
    if first or second:
        return True
    return None if first is None or second is None else False


def listed(keys: Sequence[Seen]) -> Result:
    return Result(list(range(len(keys))))


def nothing(keys: Sequence[Seen]) -> Result:
    return Result([])


def filtered(predicate: Predicate) -> Strategy:
    """The rule of AG-128."""

    def strategy(keys: Sequence[Seen]) -> Result:
        verdicts = [predicate(key) for key in keys]
        certain = [place for place, verdict in enumerate(verdicts) if verdict]
        unknown = [place for place, verdict in enumerate(verdicts) if verdict is None]
        return Result(certain + unknown if certain else [])

    return strategy


def first_of(strategy: Strategy) -> Strategy:
    """``[0]``: of nothing it is an error, which is nothing, too (AG-127)."""
    return lambda keys: Result(strategy(keys).places[:1])


def shuffled(strategy: Strategy) -> Strategy:
    return lambda keys: Result(strategy(keys).places, shuffled=True)


def one_of(strategy: Strategy) -> Strategy:
    return lambda keys: Result(strategy(keys).places, one=True)


def sorted_by(value: Callable[[Seen], float | None]) -> Strategy:
    """Ascending and stable; what has no value comes last."""

    def strategy(keys: Sequence[Seen]) -> Result:
        found = [(value(key), place) for place, key in enumerate(keys)]
        known = sorted((number, place) for number, place in found if number is not None)
        return Result([place for _, place in known] + [place for number, place in found if number is None])

    return strategy


def negative(value: int | None) -> float | None:
    return None if value is None else -value


QUOTA_500 = "ai.keys.filter(k, k.quota.remaining_requests > 500)"
HALF = "ai.keys.filter(k, k.error_rate.total < 0.5)"
half = filtered(lambda k: k.total < 0.5)
quota_500 = filtered(lambda k: more(k.requests.remaining, 500))

#: expression → the same on paper
POLICIES: tuple[tuple[tuple[str, Strategy], ...], ...] = (
    (
        (
            "ai.keys.filter(k, k.quota.remaining_requests > 500 && k.error_rate.rate_limit < 0.05)",
            filtered(lambda k: both(more(k.requests.remaining, 500), k.rate(Outcome.RATE_LIMIT) < 0.05)),
        ),
        (HALF, half),
        ("ai.keys", listed),
    ),
    (
        (
            "ai.keys.filter(k, k.quota.remaining_requests > 100 && k.quota.remaining_tokens > 1000)",
            filtered(lambda k: both(more(k.requests.remaining, 100), more(k.tokens.remaining, 1_000))),
        ),
        (QUOTA_500, quota_500),
    ),
    (
        (
            "ai.keys.filter(k, k.quota.remaining_tokens > 1000 || k.error_rate.client > 0.2)",
            filtered(lambda k: either(more(k.tokens.remaining, 1_000), k.rate(Outcome.CLIENT) > 0.2)),
        ),
        ("ai.keys", listed),
    ),
    (
        (
            "ai.keys.filter(k, k.quota.remaining_requests == null || k.quota.remaining_requests > 0)",
            filtered(lambda k: k.requests.remaining is None or k.requests.remaining > 0),
        ),
    ),
    (
        (
            "ai.keys.filter(k, k.error_rate.timeout < 0.3).filter(k, k.error_rate.server < 0.3)",
            filtered(lambda k: k.rate(Outcome.TIMEOUT) < 0.3 and k.rate(Outcome.SERVER) < 0.3),
        ),
        ("ai.keys[5]", nothing),
        ("ai.keys[1]", lambda keys: Result([1])),
    ),
    (("ai.keys.sortBy(k, k.error_rate.total)", sorted_by(lambda k: k.total)),),
    (("ai.keys.sortBy(k, -k.quota.remaining_tokens)", sorted_by(lambda k: negative(k.tokens.remaining))),),
    ((f"{QUOTA_500}[0]", first_of(quota_500)), ("[ai.keys[2], ai.keys[0], ai.keys[2]]", lambda keys: Result([2, 0]))),
    ((f"{QUOTA_500}.randomize()", shuffled(quota_500)), ("ai.keys.randomize()", shuffled(listed))),
    ((f"{HALF}.random()", one_of(half)), ("ai.keys", listed)),
    (
        (
            f"size({HALF}) > 1 ? {HALF} : ai.keys.filter(k, k.quota.limit_requests >= 5000)",
            lambda keys: (
                half(keys)
                if len(half(keys).places) > 1
                else filtered(lambda k: more(k.requests.limit, 4_999))(keys)
            ),
        ),
        ("ai.keys.filter(k, false)", nothing),
    ),
)  # fmt: skip


class KeyOrder(RuleBasedStateMachine):
    """Three keys of one provider at two models."""

    world: World
    candidates: dict[str, Candidate]

    policy: tuple[tuple[str, Strategy], ...]
    plain: list[Plain]
    cooling: bool
    computed: bool

    @initialize(
        policy=st.sampled_from((*POLICIES, (), (), ())), cooling=st.sampled_from([True, True, False]),
        computed=st.booleans(),
    )  # fmt: skip
    def start(self, policy, cooling, computed) -> None:
        self.policy = policy
        self.cooling = cooling
        #: keys come out of expressions, as they do from vaults
        self.computed = computed
        self.plain = [Plain() for _ in KEYS]
        self.load(None)

    def load(self, before: World | None) -> None:
        keys = [f"${{vars.k{number}}}" for number in range(len(KEYS))] if self.computed else KEYS
        self.world = World(
            provider("mine", *MODELS, keys=keys),
            key_strategies=[source for source, _ in self.policy],
            cooling=self.cooling,
            clock=before.clock if before is not None else None,
            registry=before.registry if before is not None else None,
        )
        plan = self.world.universe.plan(None, tuple(f"mine:{name}" for name in MODELS), CHAT)
        self.candidates = {candidate.name: candidate for candidate in plan.candidates}

    @property
    def now_s(self) -> float:
        return self.world.clock.monotonic()

    def order(self, model: str) -> Any:
        variables: dict[str, Any] = {f"k{number}": key for number, key in enumerate(KEYS)}
        return self.world.order(self.candidates[model], Asks(exchange(**variables)))

    def key(self, place: int, model: str) -> ProviderKey:
        return self.world.ring.key(self.candidates[model], Secret(KEYS[place]), KeySource.POLICY)

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.5, 10.0, 29.75, 60.25, 299.0, 1_000.0]))
    def wait(self, seconds) -> None:
        self.world.clock.advance(seconds)

    @rule(
        place=st.integers(0, 2),
        model=st.sampled_from(MODELS),
        status=st.sampled_from([200, 200, 200, 401, 403, 404, 429, 429, 500]),
        said=st.fixed_dictionaries(
            {
                **dict.fromkeys(
                    KINDS,
                    st.fixed_dictionaries(
                        {
                            "remaining": st.sampled_from([None, None, 0, 400, 501, 4_999]),
                            "limit": st.sampled_from([None, 5_000, 0]),
                            "reset": st.sampled_from([None, 0, 2, 30, 360]),
                        }
                    ),
                ),
                "retry": st.sampled_from([None, 0, 5, 90]),
            }
        ),
        openai=st.booleans(),
        read=st.booleans(),
    )
    def answered(self, place, model, status, said, openai, read) -> None:
        headers = HeaderMap()
        for kind in KINDS:
            for name in ("remaining", "limit", "reset"):
                if said[kind][name] is not None:
                    value = f"{said[kind][name]}s" if name == "reset" else str(said[kind][name])
                    headers.set(f"x-ratelimit-{name}-{kind}" if openai else f"anthropic-ratelimit-{kind}-{name}", value)
        if said["retry"] is not None:
            headers.set("retry-after", str(said["retry"]))
        self.key(place, model).observe(status, headers)
        state = self.plain[place].states[model]
        state.pass_time(self.now_s)
        state.answer(self.now_s, status, said)
        self.measured(place, model, Outcome.of_status(status), read)

    @rule(
        place=st.integers(0, 2), model=st.sampled_from(MODELS), read=st.booleans(),
        outcome=st.sampled_from([Outcome.TIMEOUT, Outcome.CONNECTION, Outcome.ERROR]),
    )  # fmt: skip
    def failed(self, place, model, outcome, read) -> None:
        """Without a head: nothing is learned of quotas."""
        self.measured(place, model, outcome, read)

    def measured(self, place: int, model: str, outcome: Outcome, read: bool) -> None:
        self.key(place, model).window.record(Measure(outcome))
        self.plain[place].attempts.append((self.now_s, outcome))
        if read:
            self.world.registry.settle()

    @rule()
    def reload(self) -> None:
        """Numbers belong to the process, not to the snapshot."""
        self.load(self.world)

    @invariant()
    def order_is_the_plain_one(self) -> None:
        if not hasattr(self, "world"):
            return
        now_s = self.now_s
        for key in self.plain:
            for state in key.states.values():
                state.pass_time(now_s)
        for model in MODELS:
            self.compare(model, now_s)

    def compare(self, model: str, now_s: float) -> None:
        order = self.order(model)
        found = [KEYS.index(value) for value in values(order.keys)]
        expected = self.expected(model, now_s)
        if expected.one and expected.places:
            assert len(found) == 1
            assert found[0] in expected.places
        elif expected.shuffled:
            assert sorted(found) == sorted(expected.places)
        else:
            assert found == expected.places
        assert (order.error is None) == bool(order.keys)
        if not self.policy and self.cooling:
            # moved back, never left out
            cooling = [key for place, key in enumerate(KEYS) if self.plain[place].states[model].cool_until_s > now_s]
            assert {self.world.ring.key_id(key) for key in cooling} == set(order.cooling)

    def expected(self, model: str, now_s: float) -> Result:
        keys = [Seen(key, model, now_s) for key in self.plain]
        if not self.policy:
            places = listed(keys).places
            if self.cooling:
                places.sort(key=lambda place: self.plain[place].states[model].cool_until_s > now_s)
            return Result(places)
        for _, strategy in self.policy:
            chosen = strategy(keys)
            if chosen.places:
                return chosen
        return Result([])


KeyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestKeyOrder = KeyOrder.TestCase
