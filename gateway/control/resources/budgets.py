"""``/ext/budgets``: spending limits (CP-56 to CP-58). Scope and key of a budget are fixed when it is made.

A new budget, or one with a new period, starts with what the recorded usage shows for the running period.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.auth.budgets import Budget, Counts, Period
from gateway.auth.money import parse_usd, to_text
from gateway.control.errors import BAD_VALUE, EXISTS, MEMBER_MISSING, NOT_FOUND, ApiError
from gateway.control.plane import Change, ControlPlane
from gateway.control.render import optional_time, owned, page
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import Flag, Member, Object, Whole, Words
from gateway.control.texts import ANY, TIME, list_of, read_a
from gateway.control.view import View
from gateway.store.budgets import BUDGETS, BudgetRow
from gateway.store.keys import GATEWAY_KEYS
from gateway.store.usage import spent

COLLECTION: Final = "ext/budgets"
EVENT: Final = BudgetRow.event_name
_PERIODS: Final = tuple(Period)
_SCOPES: Final = ("account", "accessKey")
_TOKENS: Final = Whole(1, 10**15)
CREATE: Final = Object(
    Member("scope", Words(_SCOPES), required=True),
    Member("accessKeyId", ANY),
    Member("period", Words(_PERIODS), required=True),
    Member("limitUsd", ANY),
    Member("limitTokens", _TOKENS),
    Member("enabled", Flag()),
    title="BudgetCreate",
)
UPDATE: Final = Object(
    Member("period", Words(_PERIODS)),
    Member("limitUsd", ANY, nullable=True),
    Member("limitTokens", _TOKENS, nullable=True),
    Member("enabled", Flag()),
    title="BudgetUpdate",
)
READ: Final = Object(
    *read_a(
        Member("scope", Words(_SCOPES), required=True),
        Member("accessKeyId", ANY),
        Member("period", Words(_PERIODS), required=True),
        Member("limitUsd", ANY, required=True, nullable=True),
        Member("limitTokens", _TOKENS, required=True, nullable=True),
        Member("enabled", Flag(), required=True),
        Member("spentUsd", ANY, required=True),
        Member("spentTokens", Whole(0, 2**63 - 1), required=True),
        Member("resetsAt", TIME, required=True, nullable=True),
    ),
    title="Budget",
)


async def list_budgets(plane: ControlPlane, call: Call) -> Reply:
    limit = call.limit
    rows = await plane.read(lambda db: BUDGETS.page(db, call.before, limit + 1))
    return page(call, "budgets", rows, lambda row: shown(plane, call, row), limit)


async def get_budget(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, shown(plane, call, await plane.read(lambda db: _find(db, call.item))))


async def create_budget(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> BudgetRow:
        body = call.body
        row = BudgetRow(
            id=change.tx.new_id("aigb_"),
            scope=body["scope"],
            access_key_id=_covered_key(change.db, body),
            period=body["period"],
            limit_usd=_limit_usd(body.get("limitUsd")),
            limit_tokens=body.get("limitTokens"),
            enabled=int(body.get("enabled", True)),
            **change.created,
        )
        row = _counted(change, row)
        _check(change.db, row)
        BUDGETS.insert(change.db, row)
        return _done(change, row, f"{EVENT}_created", ())

    row = await plane.change(call, work)
    return Reply(201, shown(plane, call, row))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> BudgetRow:
        row, body = _find(change.db, call.item), call.body
        if not body:
            return row
        columns: dict[str, Any] = {}
        if "limitUsd" in body:
            columns["limit_usd"] = _limit_usd(body["limitUsd"])
        if "limitTokens" in body:
            columns["limit_tokens"] = body["limitTokens"]
        if "enabled" in body:
            columns["enabled"] = int(body["enabled"])
        changed = replace(row, **columns, **change.updated)
        if body.get("period", row.period) != row.period:
            changed = _counted(change, replace(changed, period=body["period"]))
        _check(change.db, changed)
        BUDGETS.update(change.db, changed)
        return _done(change, changed, f"{EVENT}_updated", tuple(body))

    row = await plane.change(call, work)
    return Reply(200, shown(plane, call, row))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = _find(change.db, call.item)
        BUDGETS.delete(change.db, row.id)
        change.audit(f"{EVENT}_deleted", shown(plane, call, row))

        def effect(view: View) -> View:
            plane.ledger.remove(row.id)
            return view

        change.effect(effect)

    await plane.change(call, work)
    return Reply(204)


def budget_of(row: BudgetRow) -> tuple[Budget, Counts]:
    """A row as the ledger has it."""
    budget = Budget(
        id=row.id,
        key_id=row.access_key_id,
        period=Period(row.period),
        limit_usd=row.limit_usd,
        limit_tokens=row.limit_tokens,
        enabled=bool(row.enabled),
    )
    return budget, Counts(row.period_start, row.spent_usd, row.spent_tokens, row.alerted)


def shown(plane: ControlPlane, call: Call, row: BudgetRow) -> dict[str, Any]:
    """A budget with the ledger's counters, which are ahead of the row's."""
    counter = plane.ledger.counter(row.id)
    counts = counter.counts() if counter is not None else budget_of(row)[1]
    period = Period(row.period)
    limit = None if row.limit_usd is None else to_text(row.limit_usd)
    return {
        **owned(call, row, COLLECTION),
        "scope": row.scope,
        **({"accessKeyId": row.access_key_id} if row.access_key_id else {}),
        "period": row.period,
        "limitUsd": limit,
        "limitTokens": row.limit_tokens,
        "enabled": bool(row.enabled),
        "spentUsd": to_text(counts.spent_usd),
        "spentTokens": counts.spent_tokens,
        "resetsAt": optional_time(period.end(counts.period_start), call.style),
    }


def _covered_key(db: sqlite3.Connection, body: Mapping[str, Any]) -> str:
    key_id: str | None = body.get("accessKeyId")
    if body["scope"] == "account":
        if key_id is not None:
            raise ApiError(BAD_VALUE, field="accessKeyId", reason="a budget of the account has no key")
        return ""
    if key_id is None:
        raise ApiError(MEMBER_MISSING, field="accessKeyId")
    if GATEWAY_KEYS.get(db, key_id) is None:
        raise ApiError(NOT_FOUND, field="accessKeyId", what="Access key")
    return key_id


def _limit_usd(text: str | None) -> int | None:
    if text is None:
        return None
    units = parse_usd(text)
    if not units:
        reason = "it must be a decimal number above 0 with at most 5 places"
        raise ApiError(BAD_VALUE, field="limitUsd", reason=reason)
    return units


def _counted(change: Change, row: BudgetRow) -> BudgetRow:
    """The row with the counters of the running period, from the usage that is stored."""
    start = Period(row.period).start(change.tx.now_ms / 1_000)
    usd, tokens = spent(change.db, start, row.access_key_id or None)
    for note in change.plane.usage.waiting():  # what the batch writer has not written yet
        event = note.event()
        if event.event_time_ms >= start and row.access_key_id in ("", event.access_key_id):
            usd += event.cost
            tokens += event.input_tokens + event.output_tokens
    return replace(row, period_start=start, spent_usd=usd, spent_tokens=tokens, alerted=0)


def _check(db: sqlite3.Connection, row: BudgetRow) -> None:
    if row.limit_usd is None and row.limit_tokens is None:
        raise ApiError(MEMBER_MISSING, field="limitUsd")
    same = "scope = ? AND access_key_id = ? AND period = ? AND id <> ?"
    if BUDGETS.count(db, same, row.scope, row.access_key_id, row.period, row.id):
        raise ApiError(EXISTS, what="A budget for this scope and period", field="period")


def _done(change: Change, row: BudgetRow, event: str, changed: tuple[str, ...]) -> BudgetRow:
    change.audit(event, shown(change.plane, change.call, row), changed)
    ledger = change.plane.ledger

    def effect(view: View) -> View:
        ledger.put(*budget_of(row))
        return view

    change.effect(effect)
    return row


def _find(db: sqlite3.Connection, row_id: str) -> BudgetRow:
    row = BUDGETS.get(db, row_id)
    if row is None:
        raise ApiError(NOT_FOUND, what="Budget")
    return row


_PATH: Final = "/ext/budgets"
_PAGE: Final = ("beforeId", "limit")
ROUTES: Final = (
    Route(method="GET", path=_PATH, name="ListBudgets", handler=list_budgets, query=_PAGE, head=True,
          result=list_of("budgets", READ)),
    Route(method="POST", path=_PATH, name="CreateBudget", handler=create_budget, body=CREATE, status=201, result=READ),
    Route(method="GET", path=_PATH + "/{id}", name="GetBudget", handler=get_budget, head=True, result=READ),
    Route(method="PATCH", path=_PATH + "/{id}", name="UpdateBudget", handler=update, body=UPDATE, result=READ),
    Route(method="DELETE", path=_PATH + "/{id}", name="DeleteBudget", handler=delete, status=204),
)  # fmt: skip
