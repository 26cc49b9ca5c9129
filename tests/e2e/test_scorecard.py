"""Every fault of the scorecard, with short time limits: each scenario passes, and the judges can fail."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.demo.faults import parse_key
from loadtest.scorecard.judges import agree, booked, broken_stream, refused, served, tolerant
from loadtest.scorecard.model import FAST, Card, Limits, Run, Seen
from loadtest.scorecard.report import as_json, as_markdown, as_text, counted
from loadtest.scorecard.scenarios import build_scenarios
from loadtest.scorecard.stage import configuration, staged

LIMITS = Limits(attempt_s=1.0, idle_s=0.8)


@pytest.mark.timeout(120)
async def test_every_scenario_passes():
    scenarios = build_scenarios(LIMITS)
    async with staged(scenarios, LIMITS) as stage:
        results = await stage.run(scenarios)
    assert {each.name: each.reason for each in results if each.verdict != "pass"} == {}
    *rows, accounting = results
    assert accounting.attempts == sum(each.attempts for each in rows) > 90
    assert f"**{len(scenarios) + 1} pass, 0 partial, 0 fail.**" in as_markdown(results, LIMITS, "x")
    assert len(json.loads(as_json(results, LIMITS))["results"]) == len(scenarios) + 1
    assert counted(results) in as_text(results)


def test_names_are_unique_and_keys_differ():
    scenarios = build_scenarios(FAST)
    assert len({each.name for each in scenarios}) == len(scenarios)
    config = configuration(scenarios, "http://127.0.0.1:1/v1", FAST)
    action = config["endpoints"][0]["traffic_policy"]["on_http_request"][0]["config"]
    keys = [key["value"] for provider in action["providers"] for key in provider["api_keys"]]
    assert len(set(keys)) == 2 * len(scenarios)
    assert {parse_key(key).input_tokens for key in keys} == {100 + number for number in range(len(scenarios))}


def good(**more: Any) -> Seen:
    body = json.dumps({"choices": [{"message": {"content": "well done"}}]}).encode()
    return Seen(**{"status": 200, "body": body, **more})


def event(**more: Any) -> dict[str, Any]:
    return {
        "requestId": "r", "isFinalAttempt": True, "attemptNumber": 1, "inputTokens": 100, "outputTokens": 24,
        "totalCost": "0.12400", "statusCode": 200, "isError": False, **more,
    }  # fmt: skip


class Upstream:
    """As much of a received request as judges look at."""

    def __init__(self, model: str = "demo-fast", status: int = 200) -> None:
        self.model = model
        self.status = status
        self.aborted = False


def judged(judge: Any, run: Run) -> Card:
    card = Card()
    judge(run, card)
    return card


def run_of(*seen: Seen, upstream: Any = (), usage: Any = ()) -> Run:
    return Run(list(seen), list(upstream), list(usage), FAST)


def test_judges_know_a_good_answer():
    assert judged(served(attempts=1), run_of(good(), upstream=[Upstream()])).verdict == "pass"


@pytest.mark.parametrize(
    ("judge", "run", "verdict"),
    [
        (served(attempts=1), run_of(good(status=503), upstream=[Upstream()]), "fail"),
        (served(attempts=1), run_of(good(broken=True), upstream=[Upstream()]), "fail"),
        (served(attempts=1), run_of(good(body=b"{}"), upstream=[Upstream()]), "fail"),
        (served(attempts=1), run_of(good(), upstream=[Upstream()] * 2), "partial"),
        (served(attempts=1), run_of(good(), upstream=[Upstream("demo-503")]), "partial"),
        (served(attempts=1, stream=True), run_of(good(texts=["a"] * 23, done=True), upstream=[Upstream()]), "fail"),
        (served(attempts=1, stream=True), run_of(good(texts=["a"] * 24), upstream=[Upstream()]), "fail"),
        (broken_stream(code="c", texts=1), run_of(good(texts=["a"], done=True), upstream=[Upstream()]), "fail"),
        (broken_stream(code="c", texts=1), run_of(good(texts=["a"]), upstream=[Upstream()]), "fail"),
        (broken_stream(code="c", texts=1), run_of(good(texts=["a"], error={}), upstream=[Upstream()]), "partial"),
        (tolerant(done=False, finish="", texts=1), run_of(good(texts=["a"], done=True), upstream=[Upstream()]), "fail"),
        (refused(status=503, attempts=1), run_of(good(), upstream=[Upstream()]), "fail"),
    ],
)
def test_judges_see_what_is_wrong(judge, run, verdict):
    assert judged(judge, run).verdict == verdict


@pytest.mark.parametrize(
    "usage",
    [
        [],
        [event(), event()],
        [event(isFinalAttempt=False)],
        [event(attemptNumber=2)],
        [event(totalCost="0.12300")],
        [event(outputTokens=0, totalCost="0.10000")],
        [event(statusCode=503, isError=True)],
        [event(requestId="r"), event(requestId="s")],
    ],
)
def test_the_books_are_compared(usage):
    card = Card()
    booked(run_of(good(), upstream=[Upstream()], usage=usage), card, 0)
    assert card.verdict == "partial"


@pytest.mark.parametrize(
    ("requests", "meters"),
    [
        (2, {"p": (124, Decimal("0.124"))}),
        (1, {"p": (123, Decimal("0.124"))}),
        (1, {"p": (124, Decimal("0.125"))}),
        (1, {}),
    ],
)
def test_books_and_counters_are_compared(requests, meters):
    card = Card()
    agree(card, requests, [event(provider="p")], meters)
    assert card.verdict == "fail"


def test_books_and_counters_agree():
    card = Card()
    agree(card, 1, [event(provider="p")], {"p": (124, Decimal("0.12400"))})
    assert card.verdict == "pass"


def test_good_books():
    card = Card()
    booked(run_of(good(), upstream=[Upstream()], usage=[event()]), card, 0)
    assert card.verdict == "pass"
