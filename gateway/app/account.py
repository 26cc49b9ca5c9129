"""From the published view to what gateways are built with (AG-54, CP-35, CP-45)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gateway.ai.account import Account, StoredModel, StoredProvider
from gateway.ai.catalog import surface_table
from gateway.ai.providers import Target

if TYPE_CHECKING:
    from gateway.control.view import CustomProvider, View

log = logging.getLogger("gateway")


def account_of(view: View) -> Account:
    """The custom providers in the order in which they were made, and the limits of shared mode."""
    config = view.gateway_config
    return Account(
        providers=tuple(
            _provider(view.providers[stored_id])
            for stored_id in sorted(view.providers)
            if _has_address(view.providers[stored_id])
        ),
        per_request_timeout_s=config.per_request_timeout_s,
        total_timeout_s=config.total_timeout_s,
        max_input_tokens=config.max_input_tokens,
        max_output_tokens=config.max_output_tokens,
    )


def _has_address(provider: CustomProvider) -> bool:
    """The API checks addresses; one that an older version let pass must not keep the others from being served."""
    try:
        Target.parse(provider.base_url)
    except ValueError:
        log.warning("custom provider %s is left out: its base URL cannot be used", provider.id)
        return False
    return True


def _provider(provider: CustomProvider) -> StoredProvider:
    entries = [
        {"format": entry.format, "surface": entry.surface, "supported_params": entry.params}
        for entry in provider.surfaces
    ]
    return StoredProvider(
        id=provider.id,
        stored_id=provider.stored_id,
        base_url=provider.base_url,
        display_name=provider.name or None,
        models=tuple(map(StoredModel, provider.model_ids)),
        surfaces=surface_table(entries),
    )
