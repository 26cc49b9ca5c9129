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
from gateway.ai.lifetime import BOUNDS_S, FIRST, GATEWAY, GATEWAY_BOUNDS_S, UPSTREAM, Lifetime
from gateway.observability.exposition import Exposition, Family, labels_text
from gateway.observability.tally import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ai.key_metrics import Booked, KeySeries, MetricsRegistry, ModelSeries
    from gateway.app.process import Process

KEYS_SHOWN: Final = 1_000
MODELS_SHOWN: Final = 1_000
SLICE_S: Final = 0.003
_KINDS: Final = ("requests", "tokens")
_FAILURES: Final = ("rate_limit", "client", "server", "timeout", "connection")


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
        self.lifetime = Lifetime()
        #: by direction and source
        self.tokens: dict[tuple[str, str], int] = {}
        self.cost_usd = Decimal(0)

    def add(self, series: ModelSeries, lifetime: Lifetime) -> None:
        """Adds one model."""
        self.lifetime.add(lifetime)
        booked = series.booked
        for direction, source, count in (
            ("input", "provider", booked.input),
            ("output", "provider", booked.output),
            ("input", "estimated", booked.estimated_input),
            ("output", "estimated", booked.estimated_output),
        ):
            self.tokens[direction, source] = self.tokens.get((direction, source), 0) + count
        self.cost_usd += booked.cost_usd

    def outcomes(self) -> Iterator[tuple[str, int]]:
        """(outcome, attempts)."""
        lifetime = self.lifetime
        yield "success", lifetime.count - lifetime.failed
        counted = {name: getattr(lifetime, name) for name in _FAILURES}
        # what failed behind a status of success, such as a stream that begins with an error, is the server's doing
        counted["server"] += lifetime.failed - sum(counted.values())
        yield from counted.items()


def _times(lifetime: Lifetime, kind: int) -> tuple[list[int], int, float]:
    """Counts between the bounds, count of all, sum in seconds."""
    return lifetime.between[kind], lifetime.counts[kind], lifetime.sums_us[kind] / 1e6


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
    whole = Lifetime()
    for (provider, model), sums in (await _by_labels(metrics, pace)).items():
        labels = labels_text(provider=provider, model=model)
        for outcome, count in sums.outcomes():
            attempts.add(count, f'{labels},outcome="{outcome}"')
        for (direction, source), count in sums.tokens.items():
            tokens.add(count, f'{labels},direction="{direction}",source="{source}"')
        cost.add(sums.cost_usd, labels)
        upstream.add_counts(*_times(sums.lifetime, UPSTREAM), labels)
        first.add_counts(*_times(sums.lifetime, FIRST), labels)
        whole.add_times(sums.lifetime, GATEWAY)
        await pace.breathe()
    gateway = shown.histogram(
        "aigw_gateway_seconds", "Attempt: client request received to upstream request sent.", GATEWAY_BOUNDS_S
    )
    gateway.add_counts(*_times(whole, GATEWAY))


async def _by_labels(metrics: MetricsRegistry, pace: Pace) -> dict[tuple[str, str], ModelSums]:
    """(provider, model) → sums, with ``other`` for what must not have a label of its own; only what was ever tried."""
    found: dict[tuple[str, str], ModelSums] = {}
    named = 0
    for series in list(metrics.all_models()):
        named += series.known
        lifetime = series.account.lifetime()
        if not lifetime.count and _nothing_booked(series.booked):
            continue
        name = series.model if series.known and named <= MODELS_SHOWN else OTHER
        found.setdefault((series.provider, name), ModelSums()).add(series, lifetime)
        await pace.breathe()
    return found


def _nothing_booked(booked: Booked) -> bool:
    return not (booked.input or booked.output or booked.estimated_input or booked.estimated_output)


async def _keys(shown: Exposition, metrics: MetricsRegistry, pace: Pace) -> None:
    limited = shown.counter("aigw_key_rate_limited_total", "Attempts with a provider key that were answered with 429.")
    quota = shown.gauge(
        "aigw_key_quota_remaining",
        "What the provider said is left; the least over the models that the key was used for.",
    )
    others: dict[str, int] = {}
    for number, series in enumerate([key for key in metrics.all_keys() if key.window.key_id]):
        window = series.window
        count = window.lifetime().rate_limit
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
