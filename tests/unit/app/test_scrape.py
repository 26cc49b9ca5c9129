"""The bounds of ``/metrics`` and of the live document, whatever configurations and clients name (AG-331, P01)."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.ai.key_metrics import MetricsRegistry
from gateway.ai.measure import Measure, Outcome
from gateway.app import scrape
from gateway.app.live import ROWS, SERIES, live_document
from gateway.clock import ManualClock
from gateway.errors import BAD_REQUEST, failure
from gateway.headers import HeaderMap
from gateway.observability.tally import SurfaceTally, Tallies


class Stage:
    """As much of a process as is looked at."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic_s=1_000.0)
        self.metrics = MetricsRegistry(self.clock)
        self.tallies = Tallies()
        self.handler = SimpleNamespace(inflight=0, connections=set(), refused=SurfaceTally())
        self.process: Any = SimpleNamespace(
            metrics=self.metrics,
            tallies=self.tallies,
            listeners=[SimpleNamespace(handler=self.handler)],
            state="serving",
        )

    def attempt(self, provider: str, model: str, key: str, outcome: Outcome = Outcome.SUCCESS) -> None:
        metrics = self.metrics.model(provider, model, "ep_1")
        series = self.metrics.key(provider, key)
        measure = Measure(outcome, gateway_s=0.001, upstream_s=0.2)
        series.window.record(measure)
        self.metrics.record(metrics, measure)

    async def samples(self, name: str) -> dict[tuple[str, ...], float]:
        text = (await scrape.render_metrics(self.process, usage_dropped=3, events_dropped=4)).decode()
        return {
            tuple(sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_p01_keys_beyond_the_bound_are_counted_together(stage, monkeypatch):
    monkeypatch.setattr(scrape, "KEYS_SHOWN", 3)
    for number in range(10):
        stage.attempt("demo", "demo", f"kh_{number}", Outcome.RATE_LIMIT)
        stage.metrics.key("demo", f"kh_{number}").state("demo").observe(
            200, HeaderMap.from_raw([(b"x-ratelimit-remaining-tokens", b"5")])
        )
    assert (await stage.samples("aigw_key_rate_limited_total")) == {
        ("demo", "kh_0"): 1, ("demo", "kh_1"): 1, ("demo", "kh_2"): 1, ("demo", "other"): 7,
    }  # fmt: skip
    assert set(await stage.samples("aigw_key_quota_remaining")) == {("demo", f"kh_{n}", "tokens") for n in range(3)}


async def test_p01_models_beyond_the_bound_are_counted_together(stage, monkeypatch):
    monkeypatch.setattr(scrape, "MODELS_SHOWN", 2)
    for number in range(5):
        stage.attempt("demo", f"m{number}", "kh_1")
    found = await stage.samples("aigw_attempts_total")
    assert {labels[:2]: count for labels, count in found.items() if count} == {
        ("demo", "m0"): 1, ("demo", "m1"): 1, ("demo", "other"): 3,
    }  # fmt: skip
    buckets = await stage.samples("aigw_upstream_seconds_bucket")
    assert buckets["demo", "m0", "0.1"] == 0
    assert buckets["demo", "m0", "0.25"] == buckets["demo", "m0", "+Inf"] == 1
    assert (await stage.samples("aigw_gateway_seconds_count")) == {(): 5}


async def test_counters_outlast_the_windows_ag_331(stage):
    for _ in range(100):
        stage.attempt("demo", "demo", "kh_1", Outcome.RATE_LIMIT)
        stage.clock.advance(60.0)
    assert stage.metrics.key("demo", "kh_1").window.request_count <= 5
    assert (await stage.samples("aigw_key_rate_limited_total")) == {("demo", "kh_1"): 100}
    assert (await stage.samples("aigw_attempts_total"))["demo", "demo", "rate_limit"] == 100


async def test_a_scrape_lets_requests_go_on(stage, monkeypatch):
    monkeypatch.setattr(scrape, "SLICE_S", 0.0)
    for number in range(30):
        stage.attempt("demo", f"m{number}", f"kh_{number}")
    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    work = asyncio.get_running_loop().create_task(other_work())
    await stage.samples("aigw_inflight")
    in_scrape, turns = turns, 0
    await live_document(stage.process, stage.clock)
    work.cancel()
    assert in_scrape >= 90  # a model is read and written, a key is written: each is a slice
    assert turns >= 60


async def test_outcomes_add_up(stage):
    for outcome in Outcome:
        stage.attempt("demo", "demo", "kh_1", outcome)
    found = await stage.samples("aigw_attempts_total")
    # a stream that begins with an error has no outcome of its own
    assert {labels[2]: count for labels, count in found.items()} == {
        "success": 1, "rate_limit": 1, "client": 1, "server": 2, "timeout": 1, "connection": 1,
    }  # fmt: skip


async def test_refusals_losses_and_a_process_that_is_not_there_yet(stage):
    stage.handler.refused.note(400, failure(BAD_REQUEST, reason=""))
    assert (await stage.samples("aigw_requests_total")) == {("", "", "400", "ERR_AIGW_BAD_REQUEST"): 1}
    assert (await stage.samples("aigw_usage_dropped_total")) == {(): 3}
    assert (await stage.samples("aigw_events_dropped_total")) == {(): 4}
    assert b"aigw_inflight 0" in await scrape.render_metrics(None, usage_dropped=0)


class Connection:
    """A client's connection with a request."""

    def __init__(self, number: int, key: Any = None) -> None:
        provider = SimpleNamespace(id="demo")
        attempt = SimpleNamespace(candidate=SimpleNamespace(provider=provider, name="demo"), key=key)
        self.relay = SimpleNamespace(sent_bytes=7) if number % 2 else None
        self.exchange = SimpleNamespace(
            id=f"req_{number}", endpoint=SimpleNamespace(name="default"), method="POST", path="/v1/x",
            started=number / 10, streaming=bool(number % 2), sent_bytes=0, attempts=[attempt] if number else [],
            ai=SimpleNamespace(requested_models=["m"] * 20),
        )  # fmt: skip


async def test_p01_the_live_document_is_bounded(stage):
    stage.handler.connections = {Connection(number) for number in range(ROWS + 50)}
    for number in range(ROWS + 50):
        stage.attempt("demo", f"m{number}", f"kh_{number}")
    document = await live_document(stage.process, stage.clock)
    assert len(document["live"]) == ROWS
    assert len(document["keys"]) == len(document["models"]) == SERIES
    assert document["liveOmitted"] == 50
    assert document["requests"]["inflight"] == ROWS + 50
    oldest, second, third = document["live"][:3]
    assert (oldest["id"], oldest["state"], oldest["ageMs"]) == ("req_0", "deciding", 1_000_000)
    assert (second["state"], second["bytes"], third["state"]) == ("streaming", 7, "waiting")
    assert len(oldest["models"]) == 8


async def test_the_live_document_counts_clients_that_left_as_nobodys_failure(stage):
    tally = stage.tallies.of("ep_1")
    for status in (200, 304, 499, 404, 503):
        tally.count(SimpleNamespace(ai=None, error=None, status=status))
    assert (await live_document(stage.process, stage.clock))["requests"]["failed"] == 2
