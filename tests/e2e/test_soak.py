"""The soak in small: every kind of request gives what it should, the gauges go back, the slope is a slope."""

from __future__ import annotations

import json

import pytest

from gateway.demo.faults import parse_model
from loadtest.soak.__main__ import soak
from loadtest.soak.report import Figures, Sample, as_json, as_markdown, slope_mib
from loadtest.soak.traffic import KINDS


@pytest.mark.timeout(120)
async def test_p01_nothing_stays_behind():
    figures = await soak(500, clients=8, seed=3, warm_up_s=0.5)
    assert figures.wrong == {}
    assert {name: after for name, (before, after) in figures.gauges.items() if after != before} == {}
    assert figures.status == 0
    assert 500 <= figures.requests < 500 + 8
    assert sum(figures.by_kind.values()) == figures.warm_up + figures.requests
    assert figures.warm_up > 0
    assert len(figures.by_kind) >= 15
    report = as_markdown(figures, "x")
    assert "| aigw_inflight | 0 | 0 |" in report
    assert json.loads(as_json(figures))["requests"] == figures.requests


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


def test_the_warm_up_does_not_count():
    grown = samples(*range(0, 5_000, 100), *[5_000] * 50)
    figures = Figures(50_000, 50_000, 1.0, grown, {}, {}, {})
    assert figures.slope_mib == pytest.approx(0.0, abs=0.05)
    assert Figures(100_000, 0, 1.0, grown, {}, {}, {}).slope_mib > 3.0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"samples": samples(0, 1_000, 2_000)}, "memory grows by 97.66"),
        ({"gauges": {"aigw_inflight": (0.0, 1.0)}}, "aigw_inflight is 1, not 0"),
        ({"wrong": {"plain: status 500": 2}}, "2 x plain: status 500"),
        ({"status": 1}, "status 1"),
    ],
)
def test_what_stays_behind_is_a_problem(change, problem):
    figures = Figures(
        requests=10, warm_up=0, seconds=1.0, samples=samples(1, 1, 1), gauges={"aigw_inflight": (0.0, 0.0)},
        by_kind={"plain": 10}, wrong={},
    )  # fmt: skip
    assert figures.problems == []
    for name, value in change.items():
        setattr(figures, name, value)
    assert problem in figures.problems[0]
    assert "FAIL" in as_markdown(figures, "x")
