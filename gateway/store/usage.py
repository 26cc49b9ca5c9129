"""Usage events: one row per attempt, written in batches, read by page and by day (CP-50, CP-52)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, NamedTuple

DAY_MS: Final = 86_400_000
_DELETED_AT_ONCE: Final = 5_000


class UsageRow(NamedTuple):
    """One attempt. ``estimated``: tokens were counted here, not reported (P03); ``price_version``: P24."""

    id: str
    event_time: int
    request_id: str
    access_key_id: str
    provider: str
    provider_name: str
    model: str
    model_name: str
    attempt: int
    is_final: int
    status: int
    timed_out: int
    is_error: int
    is_streaming: int
    key_source: str
    stop_reason: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    reasoning_tokens: int
    cost: int
    provider_key_id: str | None
    provider_key_name: str | None
    estimated: int
    price_version: str
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A window, both ends included, in Unix milliseconds; ``before`` is (time, id) of the last row seen."""

    start: int
    end: int
    access_key_id: str | None = None
    final_only: bool = True
    before: tuple[int, str] | None = None
    limit: int = 100


class Bucket(NamedTuple):
    """One UTC day and group."""

    day: int
    group: str
    cost: int
    requests: int
    errors: int


_COLUMNS: Final = ", ".join(UsageRow._fields)
_VALUES: Final = f"({', '.join('?' * len(UsageRow._fields))})"
#: Each statement gives the interpreter's lock away and has to get it back from the event loop: so one for many rows.
_ROWS_AT_ONCE: Final = 64
_GROUPS: Final = {"provider": "provider", "accessKey": "access_key_id"}


def insert_usage(db: sqlite3.Connection, rows: Iterable[UsageRow]) -> None:
    """Adds a batch."""
    each = iter(rows)
    while part := list(islice(each, _ROWS_AT_ONCE)):
        db.execute(f"INSERT INTO usage ({_COLUMNS}) VALUES {', '.join([_VALUES] * len(part))}", list(chain(*part)))  # noqa: S608


def page_usage(db: sqlite3.Connection, query: UsageQuery) -> list[UsageRow]:
    """Newest first."""
    conditions, values = _window(query.start, query.end)
    if query.access_key_id is not None:
        conditions.append("access_key_id = ?")
        values.append(query.access_key_id)
    if query.final_only:
        conditions.append("is_final")
    if query.before is not None:
        conditions.append("(event_time, id) < (?, ?)")
        values += query.before
    statement = (
        f"SELECT {_COLUMNS} FROM usage WHERE {' AND '.join(conditions)} ORDER BY event_time DESC, id DESC LIMIT ?"  # noqa: S608
    )
    return [UsageRow(*row) for row in db.execute(statement, [*values, query.limit])]


def overview(db: sqlite3.Connection, start: int, end: int, group_by: str) -> list[Bucket]:
    """Days with at least one attempt, by day and group; cost of all attempts, the rest of final ones."""
    statement = f"""
        SELECT event_time / {DAY_MS} * {DAY_MS} AS day, {_GROUPS[group_by]} AS grouped,
               sum(cost), sum(is_final), sum(is_final AND is_error)
        FROM usage WHERE event_time BETWEEN ? AND ? GROUP BY day, grouped ORDER BY day, grouped"""  # noqa: S608
    return [Bucket(*row) for row in db.execute(statement, (start, end))]


def spent(db: sqlite3.Connection, start: int, access_key_id: str | None) -> tuple[int, int]:
    """(cost, tokens) since ``start``; of one key, or of all."""
    condition, values = ("", [start]) if access_key_id is None else (" AND access_key_id = ?", [start, access_key_id])
    statement = f"SELECT coalesce(sum(cost), 0), coalesce(sum(input_tokens + output_tokens), 0) FROM usage WHERE event_time >= ?{condition}"  # noqa: S608, E501
    cost, tokens = db.execute(statement, values).fetchone()
    return int(cost), int(tokens)


def delete_older(db: sqlite3.Connection, before: int) -> int:
    """Deletes a bounded number of events that are past their retention; returns how many."""
    statement = "DELETE FROM usage WHERE id IN (SELECT id FROM usage WHERE event_time < ? LIMIT ?)"
    return db.execute(statement, (before, _DELETED_AT_ONCE)).rowcount


def _window(start: int, end: int) -> tuple[list[str], list[int | str]]:
    values: Sequence[int | str] = (start, end)
    return ["event_time BETWEEN ? AND ?"], list(values)
