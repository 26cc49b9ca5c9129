"""``/metrics``: what the process has counted, as Prometheus text (AG-331). Everything is computed here, on a scrape.

Where the numbers come from: requests from the endpoints' tallies (``observability.tally``); attempts and their times
from the sums that the live windows keep (``ai.window_metrics``), so that a request pays nothing for them; tokens and
money from what was booked (``ai.key_metrics.Booked``); quotas and 429s from the keys.

Invariants
    1. Label values come from configuration and catalog. Models whose names clients made up are ``other`` (AG-331); so
       are keys and models beyond ``KEYS_SHOWN`` and ``MODELS_SHOWN``, in the order in which they first appeared, so
       that no counter changes its name.
    2. Nothing secret: a key is its id (AG-120).
    3. Requests go on meanwhile: after ``SLICE_S`` the loop has its turn. Each model and key is read in one piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from gateway.ai.key_metrics import OTHERS
from gateway.ai.measure import Bounds, count_by_bounds
from gateway.observability.exposition import Exposition, Family, labels_text
from gateway.observability.tally import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ai.key_metrics import KeySeries, MetricsRegistry, ModelSeries
    from gateway.ai.measure import Bucket
    from gateway.app.process import Process

KEYS_SHOWN: Final = 1_000
MODELS_SHOWN: Final = 1_000
SLICE_S: Final = 0.003
#: seconds; the bins behind them are 3 % wide (ai.measure), far less than the steps between these
BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: the gateway's own share is short
GATEWAY_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)
#: kinds of time, as ``ai.measure.KINDS`` numbers them
_GATEWAY, _UPSTREAM, _FIRST = 0, 1, 2
_BOUNDS: Final = (
    Bounds(*(bound * 1e6 for bound in GATEWAY_BOUNDS_S)),
    Bounds(*(bound * 1e6 for bound in BOUNDS_S)),
    Bounds(*(bound * 1e6 for bound in BOUNDS_S)),
)
_KINDS: Final = ("requests", "tokens")
_OUTCOMES: Final = ("success", "rate_limit", "client", "server", "timeout", "connection")


class Pace:
    """Work in slices: ``breathe`` lets the loop run when a slice is used up."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since_s = monotonic()

    async def breathe(self) -> None:
        """Between two pieces of work."""
        if self._monotonic() - self._since_s >= SLICE_S:
            await asyncio.sleep(0)
            self._since_s = self._monotonic()


class ModelSums:
    """What one pair of labels has counted."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(_OUTCOMES, 0)
        #: by direction and source
        self.tokens: dict[tuple[str, str], int] = {}
        self.cost_usd = Decimal(0)
        #: by kind: values between the bounds, all values, their sum
        self.between = [[0] * (len(bounds.values_us) + 1) for bounds in _BOUNDS]
        self.counts = [0, 0, 0]
        self.sums_us = [0, 0, 0]

    def add(self, series: ModelSeries) -> None:
        """Adds one model."""
        for bucket in series.account.lifetime():
            self._add_outcomes(bucket)
            self._add_times(bucket)
        booked = series.booked
        for direction, source, count in (
            ("input", "provider", booked.input),
            ("output", "provider", booked.output),
            ("input", "estimated", booked.estimated_input),
            ("output", "estimated", booked.estimated_output),
        ):
            self.tokens[direction, source] = self.tokens.get((direction, source), 0) + count
        self.cost_usd += booked.cost_usd

    def _add_outcomes(self, bucket: Bucket) -> None:
        counted = {name: getattr(bucket, name) for name in _OUTCOMES if name != "success"}
        # what failed behind a status of success, such as a stream that begins with an error, is the server's doing
        counted["server"] += bucket.failed - sum(counted.values())
        counted["success"] = bucket.count - bucket.failed
        for name, count in counted.items():
            self.outcomes[name] += count

    def _add_times(self, bucket: Bucket) -> None:
        for kind, count, us in (
            (_GATEWAY, bucket.gateway_count, bucket.gateway_us),
            (_UPSTREAM, bucket.upstream_count, bucket.upstream_us),
            (_FIRST, bucket.first_count, bucket.first_us),
        ):
            self.counts[kind] += count
            self.sums_us[kind] += us
        count_by_bounds(bucket.histogram, _BOUNDS, self.between)

    def add_gateway(self, other: ModelSums) -> None:
        """Adds the gateway's seconds of another."""
        self.between[_GATEWAY] = [a + b for a, b in zip(self.between[_GATEWAY], other.between[_GATEWAY], strict=True)]
        self.counts[_GATEWAY] += other.counts[_GATEWAY]
        self.sums_us[_GATEWAY] += other.sums_us[_GATEWAY]

    def histogram(self, kind: int) -> tuple[list[int], int, float]:
        """Counts between the bounds, count of all, sum in seconds."""
        return self.between[kind], self.counts[kind], self.sums_us[kind] / 1e6


async def render_metrics(process: Process | None, *, usage_dropped: int, events_dropped: int = 0) -> bytes:
    """The whole document. ``usage_dropped``: usage events lost to a full queue; the other: those of destinations."""
    shown = Exposition()
    if process is not None:
        pace = Pace(process.metrics.clock.monotonic)
        _requests(shown, process)
        process.metrics.settle()
        await _models(shown, process.metrics, pace)
        await _keys(shown, process.metrics, pace)
    listeners = process.listeners if process is not None else []
    inflight = shown.gauge("aigw_inflight", "Requests being served.")
    inflight.add(sum(listener.handler.inflight for listener in listeners))
    connections = shown.gauge("aigw_connections", "Client connections open.")
    connections.add(sum(len(listener.handler.connections) for listener in listeners))
    shown.counter("aigw_usage_dropped_total", "Usage events lost because the store was away.").add(usage_dropped)
    shown.counter("aigw_events_dropped_total", "Events that a destination did not take.").add(events_dropped)
    return shown.text()


def _requests(shown: Exposition, process: Process) -> None:
    family = shown.counter(
        "aigw_requests_total", "Client requests by how they ended; code is the gateway's error code."
    )
    for endpoint_id, tally in process.tallies.items():
        for surface, status, code, number in tally.rows():
            family.add(number, labels_text(endpoint=endpoint_id, surface=surface, status=status, code=code))
    refused: dict[tuple[str, str], int] = {}  # before it was known which endpoint they were for
    for listener in process.listeners:
        for _, status, code, number in listener.handler.refused.rows(""):
            refused[status, code] = refused.get((status, code), 0) + number
    for (status, code), number in refused.items():
        family.add(number, labels_text(endpoint="", surface="", status=status, code=code))


async def _models(shown: Exposition, metrics: MetricsRegistry, pace: Pace) -> None:
    attempts = shown.counter(
        "aigw_attempts_total", "Finished attempts at upstreams; those whose client left are not counted."
    )
    tokens = shown.counter(
        "aigw_tokens_total", "Tokens booked; estimated: counted by the gateway because the provider reported none."
    )
    cost = shown.counter("aigw_cost_usd_total", "Cost of attempts at models whose price is known.")
    upstream = shown.histogram(
        "aigw_upstream_seconds", "Attempt: upstream request sent to response complete.", BOUNDS_S
    )
    first = shown.histogram(
        "aigw_time_to_first_token_seconds", "Streamed attempt: request sent to the first byte of the body.", BOUNDS_S
    )
    whole = ModelSums()
    for (provider, model), sums in (await _by_labels(metrics, pace)).items():
        labels = labels_text(provider=provider, model=model)
        for outcome, count in sums.outcomes.items():
            attempts.add(count, f'{labels},outcome="{outcome}"')
        for (direction, source), count in sums.tokens.items():
            tokens.add(count, f'{labels},direction="{direction}",source="{source}"')
        cost.add(sums.cost_usd, labels)
        upstream.add_counts(*sums.histogram(_UPSTREAM), labels)
        first.add_counts(*sums.histogram(_FIRST), labels)
        whole.add_gateway(sums)
        await pace.breathe()
    gateway = shown.histogram(
        "aigw_gateway_seconds", "Attempt: client request received to upstream request sent.", GATEWAY_BOUNDS_S
    )
    gateway.add_counts(*whole.histogram(_GATEWAY))


async def _by_labels(metrics: MetricsRegistry, pace: Pace) -> dict[tuple[str, str], ModelSums]:
    """(provider, model) → sums, with ``other`` for what must not have a label of its own; only what was ever tried."""
    found: dict[tuple[str, str], ModelSums] = {}
    named = 0
    for series in list(metrics.all_models()):
        named += series.known
        if _untouched(series):
            continue
        name = series.model if series.known and named <= MODELS_SHOWN else OTHER
        found.setdefault((series.provider, name), ModelSums()).add(series)
        await pace.breathe()
    return found


def _untouched(series: ModelSeries) -> bool:
    booked = series.booked
    return not (
        any(bucket.count for bucket in series.account.lifetime())
        or booked.input or booked.output or booked.estimated_input or booked.estimated_output
    )  # fmt: skip


async def _keys(shown: Exposition, metrics: MetricsRegistry, pace: Pace) -> None:
    limited = shown.counter("aigw_key_rate_limited_total", "Attempts with a provider key that were answered with 429.")
    quota = shown.gauge(
        "aigw_key_quota_remaining",
        "What the provider said is left; the least over the models that the key was used for.",
    )
    others: dict[str, int] = {}
    for number, series in enumerate([key for key in metrics.all_keys() if key.window.key_id]):
        window = series.window
        count = sum(bucket.rate_limit for bucket in window.lifetime())
        if number < KEYS_SHOWN and window.key_id != OTHERS:
            _key(limited, quota, series, count)
        else:
            others[window.provider] = others.get(window.provider, 0) + count
        await pace.breathe()
    for provider, count in others.items():
        limited.add(count, labels_text(provider=provider, key=OTHER))


def _key(limited: Family, quota: Family, series: KeySeries, count: int) -> None:
    labels = labels_text(provider=series.window.provider, key=series.window.key_id)
    limited.add(count, labels)
    for kind, remaining in quota_left(series):
        quota.add(remaining, f'{labels},kind="{kind}"')


def quota_left(series: KeySeries) -> Iterator[tuple[str, int]]:
    """(kind, remaining) for the quotas that are known."""
    for kind in _KINDS:
        known = [
            remaining
            for state in series.states.values()
            if (remaining := getattr(state.quota, f"remaining_{kind}")) is not None
        ]
        if known:
            yield kind, min(known)
