"""``circuit-breaker``: refuses requests while an upstream fails (TP 8.15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import CIRCUIT_OPEN, GatewayError, Source
from gateway.limiter.breaker import Breaker, Pass, Thresholds
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps, Refuse, maybe
from gateway.policy.model import Phase
from gateway.schema.shapes import boolean, duration, field, integer, number, record

if TYPE_CHECKING:
    from gateway.exchange import Exchange

_FAILURES = frozenset(("timeout", "connection", "stream_error"))
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Config:
    error_threshold: float
    volume_threshold: int
    window_duration: float
    tripped_duration: float
    num_buckets: int
    enforce: bool


def failed(exchange: Exchange) -> bool | None:
    """Whether the upstream or the AI gateway failed; None when the client left first (TP-491).

    A status that the policy itself answers with is no failure of an upstream.
    """
    if exchange.client_gone:
        return None
    error = exchange.error
    if error is not None:
        upstream = error.spec.source is Source.UPSTREAM and error.spec is not CIRCUIT_OPEN
        return upstream and error.status >= _SERVER_ERROR
    if exchange.attempts:
        last = exchange.attempts[-1]
        return last.kind in _FAILURES or last.status >= _SERVER_ERROR
    return exchange.upstream_wait_s > 0 and exchange.status >= _SERVER_ERROR


def compile_circuit_breaker(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-491 to TP-494. The state belongs to this occurrence at this endpoint, and survives reloads."""
    if not config.enforce:  # never trips
        return CompiledAction("circuit-breaker", lambda exchange: None)
    thresholds = Thresholds(
        config.error_threshold, config.volume_threshold, config.window_duration, config.tripped_duration
    )
    breaker = deps.state(("circuit-breaker", thresholds), lambda: Breaker(thresholds))
    monotonic = deps.clock.monotonic

    def run(exchange: Exchange) -> Refuse | None:
        admitted = breaker.admit(monotonic())
        if not isinstance(admitted, Pass):
            return Refuse(GatewayError(CIRCUIT_OPEN, headers=(("retry-after", str(admitted)),)))

        def settle(exchange: Exchange) -> None:
            breaker.finished(admitted, monotonic(), failed=failed(exchange))

        exchange.settlers.append(settle)
        return None

    return CompiledAction("circuit-breaker", run)


SPEC = ActionSpec(
    type="circuit-breaker",
    phases=frozenset((Phase.REQUEST,)),
    shape=record(
        Config,
        error_threshold=field(number(0.0, 1.0), 0.5, doc="share of failed requests that trips"),
        error_threshold_percentage=field(
            number(0.0, 1.0), None, alias_of="error_threshold",
            tolerated="'error_threshold_percentage' is the older name of 'error_threshold'",
        ),
        volume_threshold=field(integer(1, 2_000_000_000), 10, doc="requests in the window before it may trip"),
        window_duration=field(duration(minimum_s=1.0, maximum_s=120.0), 10.0, doc="how long requests count"),
        rolling_window=field(
            duration(minimum_s=1.0, maximum_s=120.0), None, alias_of="window_duration",
            tolerated="'rolling_window' is the older name of 'window_duration'",
        ),
        tripped_duration=field(duration(minimum_s=1.0, maximum_s=120.0), 10.0, doc="how long it refuses, then a trial"),
        num_buckets=field(integer(10, 10), 10, doc="only 10"),
        enforce=field(boolean(), True, doc="false: never trips"),
    ),
    compile=compile_circuit_breaker,
    terminates=maybe,
    doc="Refuses requests for a while when too many of them fail.",
)  # fmt: skip
