"""Budget alerts as events (CP-58)."""

from __future__ import annotations

import logging
from typing import Any

from gateway.auth.budgets import ACCOUNT, Budget, Counts, Ledger, Period, Reservation
from gateway.clock import ManualClock
from gateway.control.alerts import AlertSender


def test_cp_58_an_alert_goes_to_the_log_and_to_the_destinations(caplog):
    events: list[Any] = []
    clock = ManualClock()
    ledger = Ledger(clock.now, AlertSender(events.append, clock).send)
    ledger.put(Budget(id="aigb_1", key_id=ACCOUNT, period=Period.TOTAL, limit_usd=100), Counts(0))
    ledger.put(Budget(id="aigb_2", key_id="aigk_1", period=Period.TOTAL, limit_tokens=100), Counts(0))
    reservation = ledger.reserve("aigk_1")
    assert isinstance(reservation, Reservation)
    with caplog.at_level(logging.WARNING):
        ledger.book(reservation, usd=80, tokens=99)
    account, key = events
    assert account["event_type"] == "ai_gateway_budget.v0"
    assert (account["object"]["scope"], account["object"]["percent"]) == ("account", 80)
    assert (account["object"]["spentUsd"], account["object"]["limitTokens"]) == ("0.00080", None)
    assert (key["object"]["accessKeyId"], key["object"]["spentTokens"]) == ("aigk_1", 99)
    assert account["event_id"] < key["event_id"]
    assert "aigb_1: 80 %" in caplog.text
