"""The soak in small: every kind of request gives what it should, the gauges go back, the slope is a slope."""

from __future__ import annotations

import json

import pytest

from gateway.demo.faults import parse_model
from loadtest.soak.__main__ import soak
from loadtest.soak.report import WINDOWS_S, Figures, Sample, as_json, as_markdown, slope_mib, warmed_up
from loadtest.soak.traffic import KINDS


@pytest.mark.timeout(120)
async def test_p01_nothing_stays_behind():
    figures = await soak(500, clients=8, seed=3)
    assert figures.wrong == {}
    assert {name: after for name, (before, after) in figures.gauges.items() if after != before} == {}
    assert figures.status == 0
    assert sum(figures.by_kind.values()) == 500
    assert len(figures.by_kind) >= 15
    report = as_markdown(figures, "x")
    assert "| aigw_inflight | 0 | 0 |" in report
    assert json.loads(as_json(figures))["requests"] == 500


def test_kinds_are_in_the_providers_grammar():
    for kind in KINDS:
        if kind.model.startswith("demo:"):
            parse_model(kind.model.removeprefix("demo:").replace("n={}", "n=5,in=7"))


def samples(*kib: int, seconds: float = 10.0, requests: int = 1_000) -> list[Sample]:
    return [Sample(requests * number, seconds * number, value) for number, value in enumerate(kib, 1)]


def test_slope():
    assert slope_mib(samples(*(100_000 + 10 * number for number in range(50)))) == pytest.approx(10 / 1_024 * 100)
    assert slope_mib(samples(5, 5, 5)) == 0.0
    assert slope_mib(samples(5)) == 0.0


def test_warm_up_is_as_long_as_the_windows():
    run = samples(*range(100), seconds=10.0)
    kept = warmed_up(run)
    assert kept[0].seconds >= WINDOWS_S
    assert kept[0].requests >= 40_000
    short = samples(*range(100), seconds=0.1)
    assert warmed_up(short) == short[50:]
    assert warmed_up([]) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"slope_mib": 1.0}, "memory grows"),
        ({"gauges": {"aigw_inflight": (0.0, 1.0)}}, "aigw_inflight is 1, not 0"),
        ({"wrong": {"plain: status 500": 2}}, "2 x plain: status 500"),
        ({"status": 1}, "status 1"),
    ],
)
def test_what_stays_behind_is_a_problem(change, problem):
    figures = Figures(
        requests=10, seconds=1.0, slope_mib=0.9, samples=samples(1, 2), gauges={"aigw_inflight": (0.0, 0.0)},
        by_kind={"plain": 10}, wrong={},
    )  # fmt: skip
    assert figures.problems == []
    for name, value in change.items():
        setattr(figures, name, value)
    assert problem in figures.problems[0]
    assert "FAIL" in as_markdown(figures, "x")
