"""Gateway keys and admin keys: hashes, never tokens (CP-101)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.store.rows import Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminKeyRow(Row):
    """A key for the management API. ``public`` is the part of the token that may be shown."""

    event_name: ClassVar[str] = "ai_gateway_admin_key"

    public: str
    digest: bytes
    redacted: str
    name: str | None = None
    description: str | None = None
    metadata: str | None = None
    last_used: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayKeyRow(AdminKeyRow):
    """A key for model requests; both styles of the API show the same rows (CP-60)."""

    event_name: ClassVar[str] = "ai_gateway_api_key"

    endpoint_id: str | None = None
    configuration_id: str | None = None


GATEWAY_KEYS: Final = Table("gateway_keys", GatewayKeyRow)
ADMIN_KEYS: Final = Table("admin_keys", AdminKeyRow)


def gateway_identities(db: sqlite3.Connection) -> Iterator[tuple[str, str, bytes, str | None, str | None]]:
    """(id, public, digest, endpoint, configuration) of every gateway key: a start with many keys builds no rows."""
    return db.execute("SELECT id, public, digest, endpoint_id, configuration_id FROM gateway_keys")


def write_last_used(db: sqlite3.Connection, table: str, used: Mapping[str, int]) -> None:
    """Last uses of keys of one table; never moves a time back, keys that are gone are skipped (CP-67)."""
    db.executemany(
        f"UPDATE {table} SET last_used = ? WHERE id = ? AND coalesce(last_used, 0) < ?",  # noqa: S608 - our own name
        [(time_ms, key_id, time_ms) for key_id, time_ms in used.items()],
    )


def note_endpoint_key(db: sqlite3.Connection, endpoint_id: str, now_ms: int) -> None:
    """Remembers for good that a gateway key was made for this endpoint (AG-187)."""
    db.execute("INSERT INTO endpoints VALUES (?, ?) ON CONFLICT (id) DO NOTHING", (endpoint_id, now_ms))


def endpoints_with_keys(db: sqlite3.Connection) -> frozenset[str]:
    """Every endpoint a gateway key was ever made for; '' stands for keys of style A, which belong to none."""
    return frozenset(row[0] for row in db.execute("SELECT id FROM endpoints"))
