"""Windows and quotas against brute force: every attempt kept in a list (AG-123, AG-124, AG-131)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ai.key_metrics import MetricsRegistry
from gateway.ai.lifetime import BOUNDS_S, FIRST, GATEWAY, GATEWAY_BOUNDS_S, UPSTREAM
from gateway.ai.measure import Measure, Outcome
from gateway.ai.window_metrics import Window
from gateway.clock import ManualClock


@dataclass(frozen=True)
class Attempt:
    """One attempt as it is drawn; ``wait_s`` before it, times in seconds."""

    wait_s: float
    outcome: Outcome
    endpoint: int
    key: int
    gateway_s: float | None
    upstream_s: float | None
    first_s: float | None
    tokens: int
    read: bool


TIMES = st.one_of(st.floats(0, 0.002), st.floats(0.002, 5), st.floats(5, 3_600))
ATTEMPTS = st.builds(
    Attempt,
    wait_s=st.sampled_from([0.0, 0.0, 0.0, 0.5, 9.9, 10.0, 31.0, 150.0, 299.0, 301.0, 2_000.0]),
    outcome=st.sampled_from(list(Outcome)),
    endpoint=st.integers(0, 1),
    key=st.integers(0, 2),
    gateway_s=st.one_of(st.none(), TIMES),
    upstream_s=st.one_of(st.none(), TIMES),
    first_s=st.one_of(st.none(), TIMES),
    tokens=st.integers(0, 50),
    read=st.booleans(),
)


def measure_of(attempt: Attempt) -> Measure:
    known = {"gateway_s": attempt.gateway_s, "upstream_s": attempt.upstream_s}
    measure = Measure(attempt.outcome, **{name: value for name, value in known.items() if value is not None})
    if attempt.first_s is not None:
        measure.stream(first_s=attempt.first_s, last_s=attempt.first_s + 1, output_tokens=attempt.tokens)
    if attempt.tokens:
        measure.tokens((attempt.tokens, attempt.tokens + 1), (1, 2))
    return measure


def average(times: list[float]) -> float | None:
    return sum(times) / len(times) * 1_000 if times else None


def percentile(times: list[float]) -> float | None:
    return sorted(times)[math.ceil(0.95 * len(times)) - 1] * 1_000 if times else None


def close(shown: int | None, exact: float | None) -> bool:
    """Within 2 %, then rounded to a millisecond."""
    if exact is None:
        return not shown
    return shown is not None and abs(shown - exact) <= 0.02 * exact + 0.51


def check(window: Window, attempts: list[Attempt]) -> None:
    """Everything that the window shows, against the attempts it should hold."""
    count = len(attempts)
    assert window.request_count == count
    for name in ("timeout", "rate_limit", "client", "server"):
        wanted = sum(attempt.outcome.value == name for attempt in attempts)
        assert getattr(window.error_rate, name) == (wanted / count if count else 0.0)
    failed = sum(attempt.outcome is not Outcome.SUCCESS for attempt in attempts)
    assert window.error_rate.total == (failed / count if count else 0.0)
    firsts = [attempt for attempt in attempts if attempt.first_s is not None]
    kinds = {
        "gateway_ms": [a.gateway_s for a in attempts if a.gateway_s is not None],
        "upstream_ms": [a.upstream_s for a in attempts if a.upstream_s is not None],
        "time_to_first_token_ms": [a.first_s for a in firsts if a.first_s is not None],
        "time_per_output_token_ms": [1 / (a.tokens - 1) for a in firsts if a.tokens > 1],
    }
    for kind, times in kinds.items():
        assert close(getattr(window.latency, f"{kind}_avg"), average(times)), kind
        assert close(getattr(window.latency, f"{kind}_p95"), percentile(times)), kind
    assert window.token.provider_input == sum(attempt.tokens for attempt in attempts)
    assert window.token.provider_output == sum(attempt.tokens + 1 for attempt in attempts if attempt.tokens)
    assert window.token.estimated_output == sum(2 for attempt in attempts if attempt.tokens)


def check_lifetime(window: Window, attempts: list[Attempt]) -> None:
    """What a scrape reads counts every attempt there ever was (AG-331)."""
    whole = window.lifetime()
    assert whole.count == len(attempts)
    for name in ("timeout", "rate_limit", "client", "server", "connection"):
        assert getattr(whole, name) == sum(each.outcome.value == name for each in attempts)
    for kind, bounds_s, times in (
        (GATEWAY, GATEWAY_BOUNDS_S, [each.gateway_s for each in attempts if each.gateway_s is not None]),
        (UPSTREAM, BOUNDS_S, [each.upstream_s for each in attempts if each.upstream_s is not None]),
        (FIRST, BOUNDS_S, [each.first_s for each in attempts if each.first_s is not None]),
    ):
        assert whole.counts[kind] == len(times) == sum(whole.between[kind])
        assert whole.sums_us[kind] == sum(int(time * 1e6) for time in times)
        for bound, count in zip(bounds_s, accumulate(whole.between[kind]), strict=False):
            at_most = sum(time <= bound * 1.02 + 1e-6 for time in times)
            assert sum(time <= bound * 0.98 for time in times) <= count <= at_most


@settings(max_examples=100)
@given(st.lists(ATTEMPTS, max_size=120), st.sampled_from([0.0, 5.0, 100.0, 290.0, 400.0]))
def test_windows_equal_brute_force(attempts, rest_s):
    """All scopes of a model, with reads in between that must not disturb anything."""
    clock = ManualClock(monotonic_s=1_003.0)
    registry = MetricsRegistry(clock)
    views = [registry.model("openai", "gpt-4o", f"ep_{number}") for number in range(2)]
    log: list[tuple[float, Attempt]] = []
    for attempt in attempts:
        clock.advance(attempt.wait_s)
        keys = ((f"kh_{attempt.key}", registry.unknown_quota),)
        registry.record(views[attempt.endpoint], measure_of(attempt), keys)
        log.append((clock.monotonic(), attempt))
        if attempt.read:
            registry.settle()
            assert views[0].account.latency.upstream_ms_p95 >= 0
    clock.advance(rest_s)
    registry.settle()
    check_lifetime(views[0].series.account, attempts)
    oldest = int(clock.monotonic() // 10) - 29
    held = [attempt for at, attempt in log if int(at // 10) >= oldest]
    check(views[0].account, held)
    for number, view in enumerate(views):
        check(view.endpoint, [attempt for attempt in held if attempt.endpoint == number])
    for number in range(3):
        mine = [attempt for attempt in held if attempt.key == number]
        assert (f"kh_{number}" in views[0].api_keys) is bool(mine)
        if mine:
            check(views[0].api_keys[f"kh_{number}"], mine)


@given(st.lists(st.floats(0, 3_600), min_size=1, max_size=300))
def test_percentiles_are_within_two_percent_ag_124(times):
    registry = MetricsRegistry(ManualClock())
    metrics = registry.model("openai", "gpt-4o", "ep_1")
    for time_s in times:
        registry.record(metrics, Measure(Outcome.SUCCESS, upstream_s=time_s))
    registry.settle()
    assert close(metrics.account.latency.upstream_ms_p95, percentile(times))
