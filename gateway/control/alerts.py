"""Alerts: to the log and to the event destinations (CP-58, AG-332, P38).

How often is not decided here: budgets alert once per threshold and period (the ledger's doing), keys that are rate
limited once until they were calm (``ai.rate_alerts``).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gateway.ai.rate_alerts import RateLimited
from gateway.auth.budgets import ACCOUNT, Alert
from gateway.auth.money import to_text
from gateway.clock import Clock
from gateway.control.render import time_text
from gateway.control.request import Style
from gateway.store.ids import IdSource
from gateway.store.rows import SYSTEM

log = logging.getLogger("gateway.alerts")


class AlertSender:
    """Turns alerts into events."""

    def __init__(self, emit: Callable[[Mapping[str, Any]], None], clock: Clock) -> None:
        self._emit = emit
        self._clock = clock
        self._ids = IdSource()

    def send(self, alert: Alert) -> None:
        budget, counts = alert.budget, alert.counts
        covered = (
            {"scope": "account"} if budget.key_id == ACCOUNT else {"scope": "accessKey", "accessKeyId": budget.key_id}
        )
        shown = {
            "id": budget.id,
            **covered,
            "period": str(budget.period),
            "percent": alert.percent,
            "limitUsd": None if budget.limit_usd is None else to_text(budget.limit_usd),
            "limitTokens": budget.limit_tokens,
            "spentUsd": to_text(counts.spent_usd),
            "spentTokens": counts.spent_tokens,
        }
        now = self._clock.now()
        log.warning("budget %s: %d %% of the %s limit is spent", budget.id, alert.percent, budget.period)
        self._emit(
            {
                "event_id": self._ids.draw("ev_", int(now * 1e9)),
                "event_type": "ai_gateway_budget.v0",
                "event_timestamp": time_text(int(now * 1_000), Style.A),
                "principal": SYSTEM,
                "object": shown,
            }
        )


class RateLimitSender:
    """Turns keys that are being rate limited into events (AG-332)."""

    def __init__(self, emit: Callable[[Mapping[str, Any]], None], clock: Clock) -> None:
        self._emit = emit
        self._clock = clock
        self._ids = IdSource()

    def send(self, alert: RateLimited) -> None:
        now = self._clock.now()
        log.warning(
            "key %s of %s: %.0f %% of %d attempts in %d s were rate limited",
            alert.key_id, alert.provider, 100 * alert.rate, alert.attempts, alert.window_s,
        )  # fmt: skip
        self._emit(
            {
                "event_id": self._ids.draw("ev_", int(now * 1e9)),
                "event_type": "ai_gateway_key_rate_limited.v0",
                "event_timestamp": time_text(int(now * 1_000), Style.A),
                "principal": SYSTEM,
                "object": {
                    "provider": alert.provider,
                    "keyId": alert.key_id,
                    "rate": round(alert.rate, 4),
                    "windowSeconds": alert.window_s,
                    "count": alert.attempts,
                },
            }
        )
