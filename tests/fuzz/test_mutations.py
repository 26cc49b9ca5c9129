"""A short run of every mutation fuzzer, always the same one; ``tests/fuzz/README.md`` says how to run them for long."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pytest

from tests.fuzz.mutations import Fuzzer, HangError, Report
from tests.fuzz.targets import TARGETS

#: the corpus, and what takes a few seconds more
INPUTS = {"loader": 450, "cel": 3_500, "sse": 60}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_breaks(name: str) -> None:
    report = Fuzzer(TARGETS[name](), seed=1).run(lambda report: report.inputs >= INPUTS[name])
    assert not report.failures, report.failures
    assert len(report.behaviours) > 15, "the fuzzer does not reach much"


class Broken:
    """Fails for what holds an 'a' and a 'b'."""

    name = "broken"
    tokens: Sequence[str] = ["a", "b", "c"]

    def corpus(self) -> list[str]:
        return ["ccccccccc"]

    def check(self, text: str) -> Hashable:
        assert not ("a" in text and "b" in text)
        return "a" in text, "b" in text


class Stuck(Broken):
    def check(self, text: str) -> Hashable:
        raise HangError


def run(target: Broken) -> Report:
    return Fuzzer(target, seed=3).run(lambda report: report.inputs >= 5_000)


def test_a_failure_is_found_and_shortened() -> None:
    report = run(Broken())
    ((text, error),) = report.failures
    assert sorted(text) == ["a", "b"]
    assert isinstance(error, AssertionError)
    assert "1 failures" in str(report)


def test_a_hang_is_a_failure() -> None:
    assert run(Stuck()).failures[0][0] == "ccccccccc"


def test_the_same_seed_makes_the_same_inputs() -> None:
    def first(seed: int) -> list[str]:
        inputs = Fuzzer(TARGETS["sse"](), seed).inputs()
        return [next(inputs) for _ in range(50)]

    assert first(1) == first(1)
    assert first(1) != first(2)
