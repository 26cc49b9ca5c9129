"""What is going on right now, as one JSON document: ``GET /ext/live`` and behind it ``gateway top``.

Computed when asked, in slices between which requests go on; a request pays one reference on its connection for being
found. Lists are bounded, whatever goes on: the oldest requests, the busiest keys and models. Nothing secret: keys by
their id (AG-120), no query strings, no headers, no bodies.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.ai.key_metrics import OTHERS
from gateway.app.scrape import Pace, quota_left

if TYPE_CHECKING:
    from gateway.ai.key_metrics import KeySeries, MetricsRegistry, ModelSeries
    from gateway.app.process import Process
    from gateway.clock import Clock
    from gateway.exchange import Attempt, Exchange
    from gateway.proxy.downstream import Downstream

#: requests
ROWS: Final = 200
#: keys, and models: their percentiles cost 0.3 ms each
SERIES: Final = 50
Series = TypeVar("Series")


async def live_document(process: Process, clock: Clock) -> dict[str, Any]:
    """The whole document; times in milliseconds and seconds as the names say."""
    now_s = process.metrics.settle()
    pace = Pace(clock.monotonic)
    serving = [
        (downstream, exchange)
        for listener in process.listeners
        for downstream in listener.handler.connections
        if (exchange := downstream.exchange) is not None
    ]
    serving.sort(key=lambda pair: pair[1].started)
    counted = list(_counted(process))
    return {
        "time": clock.now(),
        "state": process.state,
        "requests": {
            "inflight": len(serving),
            "streams": sum(exchange.streaming for _, exchange in serving),
            "connections": sum(len(listener.handler.connections) for listener in process.listeners),
            "total": sum(number for _, _, number in counted),
            "failed": sum(number for status, code, number in counted if _failed(status, code)),
        },
        "live": [_request(downstream, exchange, now_s) for downstream, exchange in serving[:ROWS]],
        "liveOmitted": max(0, len(serving) - ROWS),
        "keys": [_key(series, now_s) for series in await _busiest(_used_keys(process.metrics), _key_attempts, pace)],
        "models": [_model(series) for series in await _busiest(_used_models(process.metrics), _model_attempts, pace)],
    }


def _counted(process: Process) -> Iterator[tuple[str, str, int]]:
    """(status, code, how many) of everything since the start."""
    for tally in process.tallies.all():
        for _, status, code, number in tally.rows():
            yield status, code, number
    for listener in process.listeners:
        for _, status, code, number in listener.handler.refused.rows(""):
            yield status, code, number


def _failed(status: str, code: str) -> bool:
    """A client that left (499) is nobody's failure."""
    return bool(code) or not ("200" <= status < "400" or status == "499")


async def _busiest(series: Iterable[Series], attempts: Callable[[Series], int], pace: Pace) -> list[Series]:
    """Those that have most to do."""
    found: list[tuple[int, int, Series]] = []
    for each in series:
        found.append((attempts(each), len(found), each))
        await pace.breathe()
    return [each for _, _, each in heapq.nlargest(SERIES, found)]


def _key_attempts(series: KeySeries) -> int:
    return series.window.request_count


def _model_attempts(series: ModelSeries) -> int:
    return series.account.request_count


def _request(downstream: Downstream, exchange: Exchange, now_s: float) -> dict[str, Any]:
    call = exchange.ai
    relay = downstream.relay
    attempts = exchange.attempts
    last = attempts[-1] if attempts else None
    return {
        "id": exchange.id,
        "endpoint": exchange.endpoint.name,
        "method": exchange.method,
        "path": exchange.path,
        "models": list(call.requested_models)[:8] if call is not None else [],
        "state": _state(exchange, last, sending=relay is not None),
        "ageMs": int((now_s - exchange.started) * 1_000),
        "attempts": len(attempts),
        "provider": last.candidate.provider.id if last is not None else "",
        "model": last.candidate.name if last is not None else "",
        "key": last.key.id if last is not None and last.key is not None else "",
        "bytes": relay.sent_bytes if relay is not None else exchange.sent_bytes,
    }


def _state(exchange: Exchange, last: Attempt | None, *, sending: bool) -> str:
    if sending:
        return "streaming" if exchange.streaming else "sending"
    return "waiting" if last is not None else "deciding"


def _used_keys(metrics: MetricsRegistry) -> Iterator[KeySeries]:
    for series in list(metrics.all_keys()):
        if series.window.key_id not in ("", OTHERS) and (series.window.request_count or any(quota_left(series))):
            yield series


def _key(series: KeySeries, now_s: float) -> dict[str, Any]:
    window = series.window
    states = series.states.values()
    return {
        "provider": window.provider,
        "key": window.key_id,
        "attempts": window.request_count,
        "errorRate": _error_rate(series),
        "coolingSeconds": max(0.0, max((state.cool_until_s for state in states), default=0.0) - now_s),
        "quota": {
            kind: {
                "remaining": remaining,
                "limit": min(
                    (limit for state in states if (limit := getattr(state.quota, f"limit_{kind}")) is not None),
                    default=None,
                ),
            }
            for kind, remaining in quota_left(series)
        },
    }


def _used_models(metrics: MetricsRegistry) -> Iterator[ModelSeries]:
    return (series for series in list(metrics.all_models()) if series.account.request_count)


def _model(series: ModelSeries) -> dict[str, Any]:
    account = series.account
    latency, token = account.latency, account.token
    return {
        "provider": series.provider,
        "model": series.model,
        "attempts": account.request_count,
        "errorRate": {"total": account.error_rate.total, "rateLimit": account.error_rate.rate_limit},
        "upstreamMs": latency.upstream_ms_avg,
        "upstreamMsP95": latency.upstream_ms_p95,
        "firstTokenMsP95": latency.time_to_first_token_ms_p95,
        "tokensIn": token.provider_input or token.estimated_input,
        "tokensOut": token.provider_output or token.estimated_output,
        "costUsd": f"{series.booked.cost_usd:f}",
    }


def _error_rate(series: KeySeries) -> dict[str, float]:
    rate = series.window.error_rate
    return {
        "total": rate.total,
        "rateLimit": rate.rate_limit,
        "timeout": rate.timeout,
        "client": rate.client,
        "server": rate.server,
    }
