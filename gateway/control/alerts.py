"""Budget alerts: to the log and to the event destinations (CP-58, P38). Once per threshold and period: the ledger's."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gateway.auth.budgets import ACCOUNT, Alert
from gateway.auth.money import to_text
from gateway.clock import Clock
from gateway.control.render import time_text
from gateway.control.request import Style
from gateway.store.ids import IdSource
from gateway.store.rows import SYSTEM

log = logging.getLogger("gateway.budget")


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
