"""Access key configurations: scope and routing rules as JSON text, and which provider keys the rules name."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.store.rows import Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationRow(Row):
    """``access`` and ``router`` are JSON as the API writes them; in ``router`` keys stand as ``{"id"}``."""

    event_name: ClassVar[str] = "ai_gateway_access_key_configuration"

    name: str | None = None
    description: str | None = None
    metadata: str | None = None
    access: str | None = None
    router: str | None = None


CONFIGURATIONS: Final = Table("configurations", ConfigurationRow)


def link_keys(db: sqlite3.Connection, configuration_id: str, key_ids: Iterable[str]) -> None:
    """Replaces the provider keys that a configuration's rules name (for CP-34's conflict)."""
    db.execute("DELETE FROM configuration_keys WHERE configuration_id = ?", (configuration_id,))
    rows = [(configuration_id, key_id) for key_id in dict.fromkeys(key_ids)]
    db.executemany("INSERT INTO configuration_keys VALUES (?, ?)", rows)


def is_linked(db: sqlite3.Connection, key_id: str) -> bool:
    """Whether any configuration's rule names this provider key."""
    return db.execute("SELECT 1 FROM configuration_keys WHERE provider_key_id = ?", (key_id,)).fetchone() is not None
