"""Vaults and the secrets in them (TP-600, TP-601)."""

from __future__ import annotations

from dataclasses import dataclass
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
