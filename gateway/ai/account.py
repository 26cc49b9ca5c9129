"""What the account adds to every gateway: custom providers of the store, and the limits of shared mode (CP-35, CP-45).

Plain values: the composition root makes them of what the management side published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.ai.catalog import SurfaceTable
from gateway.secrets.secret import Secret

#: shared mode (AG-6)
SHARED_PER_REQUEST_S: Final = 60.0
SHARED_TOTAL_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of a custom provider (``universe.ModelSettings``): nothing but its id is known."""

    id: str
    id_aliases: tuple[str, ...] | None = None
    author_id: str | None = None
    display_name: str | None = None
    description: str | None = None
    disabled: bool | None = None
    metadata: Mapping[str, Any] | None = None
    input_modalities: tuple[str, ...] | None = None
    output_modalities: tuple[str, ...] | None = None
    max_context_window: int | None = None
    max_output_tokens: int | None = None
    supported_features: tuple[str, ...] | None = None
    unsupported_params: tuple[str, ...] | None = None
    provider_model_id: str | None = None
    pricing: Mapping[str, Any] | None = None
    datacenters: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProvider:
    """A custom provider (``universe.ProviderSettings``). Its keys are the account's, never its own."""

    id: str
    stored_id: str
    base_url: str
    display_name: str | None
    models: tuple[StoredModel, ...]
    surfaces: SurfaceTable
    id_aliases: tuple[str, ...] | None = None
    description: str | None = None
    website: str | None = None
    disabled: bool | None = None
    metadata: Mapping[str, Any] | None = None
    key_texts: tuple[Secret, ...] = ()
    credential_header: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One version of both; compared by value. Times in seconds."""

    providers: tuple[StoredProvider, ...] = ()
    per_request_timeout_s: float = SHARED_PER_REQUEST_S
    total_timeout_s: float = SHARED_TOTAL_S
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


NO_ACCOUNT: Final = Account()
"""Without a management side."""
