"""``/metrics``: what the process has counted, as Prometheus text (AG-331). Everything is computed here, on a scrape.

Where the numbers come from: requests from the endpoints' tallies (``observability.tally``); attempts and their times
from the sums that the live windows keep (``ai.window_metrics``), so that a request pays nothing for them; tokens and
money from what was booked (``ai.key_metrics.Booked``); quotas and 429s from the keys.

Invariants
    1. Label values come from configuration and catalog. Models whose names clients made up are ``other`` (AG-331); so
       are keys and models beyond ``KEYS_SHOWN`` and ``MODELS_SHOWN``, in the order in which they first appeared, so
       that no counter changes its name.
    2. Nothing secret: a key is its id (AG-120).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from gateway.ai.key_metrics import OTHERS
from gateway.ai.measure import counts_up_to
from gateway.observability.exposition import Exposition
from gateway.observability.tally import OTHER

if TYPE_CHECKING:
    from gateway.ai.key_metrics import KeySeries, MetricsRegistry, ModelSeries
    from gateway.ai.measure import Bucket
    from gateway.app.process import Process

KEYS_SHOWN: Final = 1_000
MODELS_SHOWN: Final = 1_000
#: seconds; the bins behind them are 3 % wide (ai.measure), far less than the steps between these
BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
#: the gateway's own share is short
GATEWAY_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)
#: kinds of time, as ``ai.measure.KINDS`` numbers them
_GATEWAY, _UPSTREAM, _FIRST = 0, 1, 2
_KINDS: Final = ("requests", "tokens")


class ModelSums:
    """What one pair of labels has counted."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(("success", "rate_limit", "client", "server", "timeout", "connection"), 0)
        self.tokens: dict[tuple[str, str], int] = {}
        self.cost_usd = Decimal(0)
        #: of all kinds; ``counts_up_to`` tells them apart
        self.bins: dict[int, int] = {}
        #: by kind
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
        counted = {name: getattr(bucket, name) for name in ("rate_limit", "client", "server", "timeout", "connection")}
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
        for index, count in bucket.histogram.items():
            self.bins[index] = self.bins.get(index, 0) + count

    @property
    def seen(self) -> bool:
        return any(self.outcomes.values()) or any(self.tokens.values())

    def histogram(self, kind: int, bounds_s: tuple[float, ...]) -> tuple[list[int], int, float]:
        """Counts up to each bound, count, sum in seconds."""
        up_to = counts_up_to(self.bins, kind, [bound * 1e6 for bound in bounds_s])
        return up_to, self.counts[kind], self.sums_us[kind] / 1e6


def render_metrics(process: Process | None, *, usage_dropped: int, events_dropped: int = 0) -> bytes:
    """The whole document. ``usage_dropped``: usage events lost to a full queue; the other: those of destinations."""
    shown = Exposition()
    if process is not None:
        _requests(shown, process)
        process.metrics.settle()
        _models(shown, process.metrics)
        _keys(shown, process.metrics)
    listeners = process.listeners if process is not None else []
    shown.gauge("aigw_inflight", "Requests being served.", [({}, sum(each.handler.inflight for each in listeners))])
    shown.gauge(
        "aigw_connections", "Client connections open.", [({}, sum(len(each.handler.connections) for each in listeners))]
    )
    shown.counter("aigw_usage_dropped_total", "Usage events lost because the store was away.", [({}, usage_dropped)])
    shown.counter("aigw_events_dropped_total", "Events that a destination did not take.", [({}, events_dropped)])
    return shown.text()


def _requests(shown: Exposition, process: Process) -> None:
    counted: dict[tuple[str, str, str, str], int] = {}
    for endpoint_id, tally in process.tallies.items():
        for surface, status, code, count in tally.rows():
            counted[endpoint_id, surface, status, code] = count
    for listener in process.listeners:
        for _, status, code, count in listener.handler.refused.rows(""):
            key = ("", "", status, code)  # refused before it was known which endpoint they were for
            counted[key] = counted.get(key, 0) + count
    shown.counter(
        "aigw_requests_total",
        "Client requests by how they ended; code is the gateway's error code.",
        (
            ({"endpoint": endpoint, "surface": surface, "status": status, "code": code}, count)
            for (endpoint, surface, status, code), count in counted.items()
        ),
    )


def _models(shown: Exposition, metrics: MetricsRegistry) -> None:
    sums = {labels: each for labels, each in _by_labels(metrics.all_models()).items() if each.seen}
    named = [({"provider": provider, "model": model}, each) for (provider, model), each in sums.items()]
    shown.counter(
        "aigw_attempts_total",
        "Finished attempts at upstreams; those whose client left are not counted.",
        (({**labels, "outcome": outcome}, count) for labels, each in named for outcome, count in each.outcomes.items()),
    )
    shown.counter(
        "aigw_tokens_total",
        "Tokens booked; estimated: counted by the gateway because the provider reported none.",
        (
            ({**labels, "direction": direction, "source": source}, count)
            for labels, each in named
            for (direction, source), count in each.tokens.items()
        ),
    )
    shown.counter(
        "aigw_cost_usd_total", "Cost of attempts at models whose price is known.",
        ((labels, each.cost_usd) for labels, each in named),
    )  # fmt: skip
    for name, kind, help_text in (
        ("aigw_upstream_seconds", _UPSTREAM, "Attempt: upstream request sent to response complete."),
        ("aigw_time_to_first_token_seconds", _FIRST, "Streamed attempt: request sent to the first byte of the body."),
    ):
        shown.histogram(
            name, help_text, BOUNDS_S, ((labels, *each.histogram(kind, BOUNDS_S)) for labels, each in named)
        )
    whole = ModelSums()
    for series in metrics.all_models():
        whole.add(series)
    shown.histogram(
        "aigw_gateway_seconds",
        "Attempt: client request received to upstream request sent.",
        GATEWAY_BOUNDS_S,
        [({}, *whole.histogram(_GATEWAY, GATEWAY_BOUNDS_S))] if whole.seen else [],
    )


def _by_labels(models: Iterable[ModelSeries]) -> dict[tuple[str, str], ModelSums]:
    """(provider, model) → sums, with ``other`` for what must not have a label of its own."""
    found: dict[tuple[str, str], ModelSums] = {}
    for series in models:
        name = series.model if series.known and len(found) < MODELS_SHOWN else OTHER
        found.setdefault((series.provider, name), ModelSums()).add(series)
    return found


def _keys(shown: Exposition, metrics: MetricsRegistry) -> None:
    limited: dict[tuple[str, str], int] = {}
    quotas: dict[tuple[str, str, str], int] = {}
    for number, series in enumerate(key for key in metrics.all_keys() if key.window.key_id):
        window = series.window
        name = window.key_id if number < KEYS_SHOWN and window.key_id != OTHERS else OTHER
        count = sum(bucket.rate_limit for bucket in window.lifetime())
        limited[window.provider, name] = limited.get((window.provider, name), 0) + count
        if name != OTHER:
            for kind, remaining in quota_left(series):
                quotas[window.provider, name, kind] = remaining
    shown.counter(
        "aigw_key_rate_limited_total",
        "Attempts with a provider key that were answered with 429.",
        (({"provider": provider, "key": key}, count) for (provider, key), count in limited.items()),
    )
    shown.gauge(
        "aigw_key_quota_remaining",
        "What the provider said is left; the least over the models that the key was used for.",
        (
            ({"provider": provider, "key": key, "kind": kind}, remaining)
            for (provider, key, kind), remaining in quotas.items()
        ),
    )


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
