"""Provider keys: sealed values, either the account's or attached to one gateway key (CP-60)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.store.rows import Row, Table

VALUE_COLUMN: Final = "value"
"""The column name that values are bound to when sealed (CP-104)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKeyRow(Row):
    """``rotation`` counts changes of the value; metrics of an older one do not apply to it (CP-34)."""

    event_name: ClassVar[str] = "ai_gateway_provider_key"

    provider_id: str
    name: str | None = None
    description: str | None = None
    metadata: str | None = None
    gateway_key_id: str | None = None
    sealed: bytes
    redacted: str
    rotation: int = 0
    last_used: int | None = None


PROVIDER_KEYS: Final = Table("provider_keys", ProviderKeyRow)
