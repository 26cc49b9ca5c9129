"""``gateway.ai.going_on``: when a further attempt is made (AG-156, AG-165; P35, P36)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.ai.going_on import SHORTEST_S, check, is_pointless
from gateway.ai.measure import Measure, Outcome
from gateway.ai.surfaces import CHAT
from gateway.errors import GatewayError
from tests.unit.ai.selection_kit import World, provider


class Search:
    """A call that has tried something, and the model it would try next."""

    def __init__(self) -> None:
        self.world = World(provider("mine", "m", keys=["sk-0123456789"]))
        (self.candidate,) = self.world.universe.plan("mine:m", (), CHAT).candidates
        options = SimpleNamespace(per_request_timeout_s=60.0, max_attempts=3)
        self.call: Any = SimpleNamespace(
            gateway=SimpleNamespace(options=options, metrics=self.world.registry),
            request=SimpleNamespace(stream=False),
            deadline=100.0,
            limit_reached=False,
            outcome=self.outcome,
        )

    def outcome(self, now: float) -> Any:
        return SimpleNamespace(
            attempts=[], total_expired=now >= self.call.deadline, limit_reached=self.call.limit_reached,
            total_timeout_s=60.0, uniform_status=True, passthrough=False, retry_after_s=None, input_tokens=0,
            max_input_tokens=None,
        )  # fmt: skip

    def has_taken(self, upstream_s: float, *, first_s: float | None = None, times: int = 10) -> None:
        for _ in range(times):
            measure = Measure(Outcome.SUCCESS, upstream_s=upstream_s)
            if first_s is not None:
                measure.stream(first_s=first_s, last_s=upstream_s, output_tokens=5)
            self.world.registry.record(self.candidate.metrics, measure)

    def pointless(self, left_s: float) -> bool:
        return is_pointless(self.call, self.candidate, left_s)


def test_p36_without_numbers_every_second_is_used() -> None:
    search = Search()
    assert not search.pointless(1.0)
    assert search.pointless(SHORTEST_S / 2)


def test_p36_a_fraction_of_the_usual_time_is_too_little() -> None:
    search = Search()
    search.has_taken(40.0)
    assert search.pointless(9.0)
    assert not search.pointless(11.0)


def test_few_attempts_tell_nothing() -> None:
    search = Search()
    search.has_taken(40.0, times=9)
    assert not search.pointless(1.0)


def test_a_whole_attempt_is_never_pointless() -> None:
    search = Search()
    search.has_taken(400.0)
    assert not search.pointless(60.0)


def test_of_a_stream_the_first_token_counts() -> None:
    search = Search()
    search.call.request.stream = True
    search.has_taken(40.0, first_s=1.0)
    assert not search.pointless(9.0)
    assert search.pointless(0.2)


@pytest.mark.parametrize(
    ("sent", "now", "code"),
    [(0, 100.0, "3810"), (1, 100.1, "3810"), (1, 99.99, "3810"), (3, 10.0, "3807"), (2, 10.0, None), (0, 10.0, None)],
)
def test_ag_156_ag_165_the_budget_of_a_call(sent: int, now: float, code: str | None) -> None:
    search = Search()
    if code is None:
        check(search.call, search.candidate, sent, now)
        return
    with pytest.raises(GatewayError) as refused:
        check(search.call, search.candidate, sent, now)
    assert refused.value.code.endswith(code)
    assert search.call.limit_reached == (sent == 3)
