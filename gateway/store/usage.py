"""Usage events: one row per attempt, written in batches, read by page and by day (CP-50, CP-52).

A row is a dozen small columns. What it shares with other attempts of its day (names, keys, status, prices …) is a row
of ``usage_kinds``, which goes with the last event of that day; the view ``usage`` has both together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway.store.ids import derived_id

DAY_MS: Final = 86_400_000
_DELETED_AT_ONCE: Final = 5_000


class UsageRow(NamedTuple):
    """One attempt. ``estimated``: tokens were counted here, not reported (P03); ``price_version``: P24."""

    number: int
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
    cache_write_tokens: int

    @property
    def id(self) -> str:
        """Sorts as the events do."""
        return derived_id("aigu_", self.number, self.request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """A window, both ends included, in Unix milliseconds; ``before`` is (time, number) of the last row seen."""

    start: int
    end: int
    access_key_id: str | None = None
    final_only: bool = True
    before: tuple[int, int] | None = None
    limit: int = 100


class Bucket(NamedTuple):
    """One UTC day and group."""

    day: int
    group: str
    cost: int
    requests: int
    errors: int


#: in the order of ``auth.usage.UsageKind``
_KIND_COLUMNS: Final = (
    "day", "provider", "provider_name", "model", "model_name", "attempt", "is_final", "status", "timed_out", "is_error",
    "is_streaming", "key_source", "stop_reason", "provider_key_id", "provider_key_name", "estimated", "price_version",
)  # fmt: skip
_FIND_KIND: Final = f"SELECT kind FROM usage_kinds WHERE {' AND '.join(f'{name} = ?' for name in _KIND_COLUMNS)}"  # noqa: S608
_ADD_KIND: Final = (
    f"INSERT INTO usage_kinds ({', '.join(_KIND_COLUMNS)}) VALUES ({', '.join('?' * len(_KIND_COLUMNS))})"  # noqa: S608
)
#: number, event_time, request_id, access_key_id, kind, input, output, cache read, cache write, reasoning tokens, cost
_WIDTH: Final = 11
#: Each statement gives the interpreter's lock away and has to get it back from the event loop: so one for many rows.
ROWS_AT_ONCE: Final = 64
#: by the number of rows: few different ones, so that all of them stay prepared. OR FAIL, because whoever writes takes
#: the whole transaction back: else SQLite copies every page that a statement changes, to a file if there are many
_INSERTS: Final = {
    rows: "INSERT OR FAIL INTO usage_attempts VALUES " + ",".join([f"({','.join('?' * _WIDTH)})"] * rows)  # noqa: S608
    for rows in (1, 2, 4, 8, 16, 32, 64)
}
_COLUMNS: Final = ", ".join(UsageRow._fields)
_GROUPS: Final = {"provider": "provider", "accessKey": "access_key_id"}


class UsageWriter:
    """Adds one batch, within a transaction that is taken back as a whole: ``auth.usage.Kinds``."""

    __slots__ = ("_db", "_numbers", "known")

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._numbers: dict[tuple[Any, ...], int] = {}
        self.known: dict[Any, int] = {}

    def kind(self, kind: tuple[Any, ...]) -> int:
        """Its number."""
        number = self._numbers.get(kind)
        if number is None:
            found = self._db.execute(_FIND_KIND, kind).fetchone()
            number = found[0] if found else self._db.execute(_ADD_KIND, kind).lastrowid
            assert number is not None
            self._numbers[kind] = number
        return number

    def add(self, values: Sequence[Any]) -> None:
        """At most ``ROWS_AT_ONCE`` rows, their columns one after the other."""
        start, end = 0, len(values)
        while start < end:
            rows = 1 << ((end - start) // _WIDTH).bit_length() - 1
            stop = start + rows * _WIDTH
            self._db.execute(_INSERTS[rows], values if stop - start == end else values[start:stop])
            start = stop


def page_usage(db: sqlite3.Connection, query: UsageQuery) -> list[UsageRow]:
    """Newest first."""
    # the window ends with the page before, so that nothing is passed over twice
    end = query.end if query.before is None else min(query.end, query.before[0])
    conditions = ["event_time BETWEEN ? AND ?"]
    values: list[int | str] = [query.start, end]
    if query.access_key_id is not None:
        conditions.append("access_key_id = ?")
        values.append(query.access_key_id)
    if query.final_only:
        conditions.append("is_final")
    if query.before is not None:
        conditions.append("(event_time, number) < (?, ?)")
        values += query.before
    statement = (
        f"SELECT {_COLUMNS} FROM usage WHERE {' AND '.join(conditions)} ORDER BY event_time DESC, number DESC LIMIT ?"  # noqa: S608
    )
    return [UsageRow(*row) for row in db.execute(statement, [*values, query.limit])]


def overview(db: sqlite3.Connection, start: int, end: int, group_by: str) -> list[Bucket]:
    """Days with at least one attempt, by day and group; cost of all attempts, the rest of final ones."""
    group = _GROUPS[group_by]
    shared = "kind" if group == "provider" else f"kind, {group}"
    statement = f"""
        SELECT day * {DAY_MS} AS start, {group},
               sum(cost), sum(is_final * attempts), sum(is_final * is_error * attempts)
        FROM (SELECT {shared}, sum(cost) AS cost, count(*) AS attempts
              FROM usage_attempts WHERE event_time BETWEEN ? AND ? GROUP BY {shared})
        CROSS JOIN usage_kinds USING (kind) GROUP BY start, {group} ORDER BY start, {group}"""  # noqa: S608
    return [Bucket(*row) for row in db.execute(statement, (start, end))]


def spent(db: sqlite3.Connection, start: int, access_key_id: str | None) -> tuple[int, int]:
    """(cost, tokens) since ``start``; of one key, or of all."""
    condition, values = ("", [start]) if access_key_id is None else (" AND access_key_id = ?", [start, access_key_id])
    statement = f"SELECT coalesce(sum(cost), 0), coalesce(sum(input_tokens + output_tokens), 0) FROM usage_attempts WHERE event_time >= ?{condition}"  # noqa: S608, E501
    cost, tokens = db.execute(statement, values).fetchone()
    return int(cost), int(tokens)


def delete_older(db: sqlite3.Connection, before: int) -> int:
    """Deletes a bounded number of events that are past their retention; returns how many."""
    events = "SELECT number FROM usage_attempts WHERE event_time < ? LIMIT ?"
    deleted = db.execute(f"DELETE FROM usage_attempts WHERE number IN ({events})", (before, _DELETED_AT_ONCE)).rowcount  # noqa: S608
    if deleted < _DELETED_AT_ONCE:  # nothing is left of the days that are over
        kinds = "SELECT kind FROM usage_kinds WHERE day < ? LIMIT ?"
        statement = f"DELETE FROM usage_kinds WHERE kind IN ({kinds})"  # noqa: S608
        deleted += db.execute(statement, (before // DAY_MS, _DELETED_AT_ONCE)).rowcount
    return deleted
