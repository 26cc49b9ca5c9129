"""The order of keys against a plain model: random answers, headers and time (AG-126 to AG-131, AG-157, P16)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.ai.entities import Candidate
from gateway.ai.measure import Measure, Outcome
from gateway.ai.surfaces import CHAT
from gateway.headers import HeaderMap
from tests.unit.ai.selection_kit import World, provider, values

KEYS = ("sk-key-a-0123456789", "sk-key-b-0123456789", "sk-key-c-0123456789")


class Plain:
    """One key, kept as it would be on paper: the log of its attempts, its last quota, its cooling."""

    def __init__(self) -> None:
        self.attempts: list[tuple[float, Outcome]] = []
        self.remaining: int | None = None
        self.limit: int | None = None
        self.reset_s: float | None = None
        self.cool_until_s = 0.0

    def pass_time(self, now_s: float) -> None:
        if self.reset_s is not None and self.reset_s <= now_s:
            self.remaining, self.reset_s = self.limit, None

    def answer(self, now_s: float, status: int, answer: dict[str, Any]) -> None:
        remaining, limit = answer["remaining"], answer["limit"]
        if limit is not None:
            self.limit = limit
        if remaining is not None:
            self.remaining = remaining
            self.reset_s = now_s + (60 if answer["reset"] is None else answer["reset"])
        if status == 429 and remaining is None and limit is None:
            self.remaining = 0
            self.reset_s = now_s + (60 if answer["retry"] is None else answer["retry"])
        self.pass_time(now_s)
        if status == 429 and answer["retry"] is not None:
            self.cool_until_s = now_s + answer["retry"]
        elif status == 429 and self.remaining == 0 and self.reset_s is not None:
            self.cool_until_s = self.reset_s
        elif status in (401, 403, 429):
            self.cool_until_s = now_s + 60

    def rate(self, now_s: float, *outcomes: Outcome) -> float:
        window = [outcome for at, outcome in self.attempts if int(at // 10) > int(now_s // 10) - 30]
        return sum(outcome in outcomes for outcome in window) / len(window) if window else 0.0


FAILURES = tuple(outcome for outcome in Outcome if outcome is not Outcome.SUCCESS)
Verdict = bool | None
Predicate = Callable[[Plain, float], Verdict]


def healthy(key: Plain, now_s: float) -> Verdict:
    """``remaining_requests > 500 && rate_limit < 0.05``: false wins over unknown."""
    if key.rate(now_s, Outcome.RATE_LIMIT) >= 0.05:
        return False
    return None if key.remaining is None else key.remaining > 500


def mostly_working(key: Plain, now_s: float) -> Verdict:
    return key.rate(now_s, *FAILURES) < 0.5


def unlimited(key: Plain, now_s: float) -> Verdict:
    return key.remaining is None or key.remaining > 0


def filtered(predicate: Predicate, keys: Sequence[Plain], now_s: float) -> list[int]:
    """The rule of AG-128."""
    verdicts = [predicate(key, now_s) for key in keys]
    certain = [place for place, verdict in enumerate(verdicts) if verdict]
    unknown = [place for place, verdict in enumerate(verdicts) if verdict is None]
    return certain + unknown if certain else []


#: expression → the same in Python; None: all keys
POLICIES: tuple[tuple[tuple[str, Predicate | None], ...], ...] = (
    (),
    (
        ("ai.keys.filter(k, k.quota.remaining_requests > 500 && k.error_rate.rate_limit < 0.05)", healthy),
        ("ai.keys.filter(k, k.error_rate.total < 0.5)", mostly_working),
        ("ai.keys", None),
    ),
    (
        ("ai.keys.filter(k, k.error_rate.total < 0.5)", mostly_working),
        ("ai.keys.filter(k, k.error_rate.rate_limit < 0.05 && k.quota.remaining_requests > 500)", healthy),
    ),
    (("ai.keys.filter(k, k.quota.remaining_requests == null || k.quota.remaining_requests > 0)", unlimited),),
)


class KeyOrder(RuleBasedStateMachine):
    """Three keys of one provider at one model."""

    world: World
    candidate: Candidate

    @initialize(policy=st.sampled_from((*POLICIES, (), ())), cooling=st.sampled_from([True, True, False]))
    def start(self, policy, cooling) -> None:
        self.policy = policy
        self.cooling = cooling
        self.plain = [Plain() for _ in KEYS]
        self.load(None)

    def load(self, before: World | None) -> None:
        self.world = World(
            provider("mine", "m", keys=KEYS),
            key_strategies=[source for source, _ in self.policy],
            cooling=self.cooling,
            clock=before.clock if before is not None else None,
            registry=before.registry if before is not None else None,
        )
        (self.candidate,) = self.world.universe.plan("mine:m", (), CHAT).candidates

    @property
    def now_s(self) -> float:
        return self.world.clock.monotonic()

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.5, 10.0, 29.75, 60.25, 299.0, 1_000.0]))
    def wait(self, seconds) -> None:
        self.world.clock.advance(seconds)

    @rule(
        place=st.integers(0, 2),
        status=st.sampled_from([200, 200, 200, 401, 403, 404, 429, 429, 500]),
        answer=st.fixed_dictionaries(
            {
                "remaining": st.sampled_from([None, None, 0, 400, 501, 4_999]),
                "limit": st.sampled_from([None, 5_000, 0]),
                "reset": st.sampled_from([None, 0, 2, 30, 360]),
                "retry": st.sampled_from([None, 0, 5, 90]),
            }
        ),
        family=st.sampled_from(["x-ratelimit-{}-requests", "anthropic-ratelimit-requests-{}"]),
        read=st.booleans(),
    )
    def attempt(self, place, status, answer, family, read) -> None:
        headers = HeaderMap()
        for name in ("remaining", "limit", "reset"):
            if answer[name] is not None:
                headers.set(family.format(name), f"{answer[name]}s" if name == "reset" else str(answer[name]))
        if answer["retry"] is not None:
            headers.set("retry-after", str(answer["retry"]))
        self.world.order(self.candidate)
        key = self.candidate.keys.order.keys[place]
        key.observe(status, headers)
        outcome = Outcome.of_status(status)
        key.window.record(Measure(outcome))
        plain = self.plain[place]
        plain.pass_time(self.now_s)
        plain.answer(self.now_s, status, answer)
        plain.attempts.append((self.now_s, outcome))
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
            key.pass_time(now_s)
        order = self.world.order(self.candidate)
        assert values(order.keys) == [KEYS[place] for place in self.expected(now_s)]
        assert (order.error is None) == bool(order.keys)

    def expected(self, now_s: float) -> list[int]:
        places = list(range(len(KEYS)))
        if not self.policy:
            if self.cooling:
                places.sort(key=lambda place: self.plain[place].cool_until_s > now_s)
            return places
        for _, predicate in self.policy:
            chosen = places if predicate is None else filtered(predicate, self.plain, now_s)
            if chosen:
                return chosen
        return []


KeyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestKeyOrder = KeyOrder.TestCase
