"""Custom providers (CP-35)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from gateway.store.rows import Row, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRow(Row):
    """``surfaces`` (None: the default) and ``models`` (``[{id, modelId}]``) are JSON text."""

    event_name: ClassVar[str] = "ai_gateway_provider"

    provider_id: str
    name: str | None = None
    base_url: str
    metadata: str | None = None
    surfaces: str | None = None
    models: str = "[]"


PROVIDERS: Final = Table("providers", ProviderRow)
