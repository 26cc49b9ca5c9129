"""Rows and the few statements every table needs. Column names come from the row classes, never from input."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

SYSTEM = "system"
"""Who acted when the server itself did (CP-12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every resource has. Times are Unix milliseconds; ``*_by`` are admin key ids or ``system``."""

    #: how a change of the row is called in audit events, e.g. ``ai_gateway_api_key``
    event_name: ClassVar[str] = ""

    id: str
    created_at: int
    updated_at: int
    created_by: str
    updated_by: str


RowT = TypeVar("RowT", bound=Row)


class Table(Generic[RowT]):
    """Statements for one table, built once from its row class."""

    def __init__(self, name: str, row: type[RowT]) -> None:
        columns = [field.name for field in fields(row)]
        listed = ", ".join(columns)
        self.name = name
        self._row = row
        self._columns = columns
        self._select = f"SELECT {listed} FROM {name}"  # noqa: S608 - names from the class
        self._insert = f"INSERT INTO {name} ({listed}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        self._update = f"UPDATE {name} SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?"  # noqa: S608
        self._delete = f"DELETE FROM {name} WHERE id = ?"  # noqa: S608

    def get(self, db: sqlite3.Connection, row_id: str) -> RowT | None:
        found = self.where(db, "id = ?", row_id)
        return found[0] if found else None

    def all(self, db: sqlite3.Connection) -> list[RowT]:
        return self._rows(db.execute(f"{self._select} ORDER BY id"))

    def where(self, db: sqlite3.Connection, condition: str, *arguments: Any) -> list[RowT]:
        """Rows by a condition written in this package or in ``control``; values only as arguments."""
        return self._rows(db.execute(f"{self._select} WHERE {condition} ORDER BY id", arguments))

    def page(
        self, db: sqlite3.Connection, before: str | None, limit: int, condition: str = "", arguments: Sequence[Any] = ()
    ) -> list[RowT]:
        """At most ``limit`` rows with ids below ``before``, highest first (CP-15)."""
        conditions = [part for part in (condition, "id < ?" if before is not None else "") if part]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        values = [*arguments, *([before] if before is not None else []), limit]
        return self._rows(db.execute(f"{self._select}{where} ORDER BY id DESC LIMIT ?", values))

    def count(self, db: sqlite3.Connection, condition: str = "TRUE", *arguments: Any) -> int:
        cursor = db.execute(f"SELECT count(*) FROM {self.name} WHERE {condition}", arguments)  # noqa: S608
        return int(cursor.fetchone()[0])

    def insert(self, db: sqlite3.Connection, row: RowT) -> None:
        db.execute(self._insert, self._values(row))

    def update(self, db: sqlite3.Connection, row: RowT) -> None:
        db.execute(self._update, [*self._values(row), row.id])

    def delete(self, db: sqlite3.Connection, row_id: str) -> bool:
        return db.execute(self._delete, (row_id,)).rowcount > 0

    def _values(self, row: RowT) -> list[Any]:
        return [getattr(row, column) for column in self._columns]

    def _rows(self, cursor: sqlite3.Cursor) -> list[RowT]:
        return [self._row(**dict(zip(self._columns, values, strict=True))) for values in cursor]
