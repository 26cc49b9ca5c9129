"""Budgets and what was spent of them in their running period (CP-56)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from gateway.store.rows import Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow(Row):
    """Money is whole units of 0.00001 USD. ``access_key_id`` is '' for the account's budget.

    ``alerted`` is the highest percentage already reported in the period (CP-58).
    """

    event_name: ClassVar[str] = "ai_gateway_budget"

    scope: str
    access_key_id: str = ""
    period: str
    limit_usd: int | None = None
    limit_tokens: int | None = None
    enabled: int = 1
    period_start: int = 0
    spent_usd: int = 0
    spent_tokens: int = 0
    alerted: int = 0


class Spend(NamedTuple):
    """The counters of one budget, as the ledger has them."""

    budget_id: str
    period_start: int
    spent_usd: int
    spent_tokens: int
    alerted: int


BUDGETS: Final = Table("budgets", BudgetRow)


def write_spends(db: sqlite3.Connection, spends: Iterable[Spend]) -> None:
    """Stores counters; budgets that are gone are skipped."""
    db.executemany(
        "UPDATE budgets SET period_start = ?, spent_usd = ?, spent_tokens = ?, alerted = ? WHERE id = ?",
        [(spend.period_start, spend.spent_usd, spend.spent_tokens, spend.alerted, spend.budget_id) for spend in spends],
    )
