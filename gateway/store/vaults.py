"""Vaults and the secrets in them (TP-600, TP-601)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from gateway.store.rows import Row, Table

VALUE_COLUMN: Final = "value"
"""The column name that values are bound to when sealed (CP-104)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRow(Row):
    """A named group of secrets."""

    event_name: ClassVar[str] = "vault"

    name: str
    description: str = ""
    metadata: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRow(Row):
    """A sealed text; a JSON object of strings is a key-value secret (TP-601)."""

    event_name: ClassVar[str] = "secret"

    vault_id: str
    name: str
    sealed: bytes
    description: str = ""
    metadata: str = ""


VAULTS: Final = Table("vaults", VaultRow)
SECRETS: Final = Table("secrets", SecretRow)


def secret_names(database: Path) -> frozenset[tuple[str, str]] | None:
    """(vault, secret) of every row, for commands that only look; None if there is no database that can be read."""
    if not database.is_file():
        return None
    query = "SELECT vaults.name, secrets.name FROM secrets JOIN vaults ON vaults.id = secrets.vault_id"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return frozenset(db.execute(query))
    except sqlite3.Error:
        return None
