"""Provider keys as rows, for both styles and for keys written inside a router (CP-27, CP-32 to CP-34, CP-68)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.auth.tokens import redact
from gateway.control.errors import (
    BAD_VALUE,
    KEY_DESCRIPTION_LONG,
    KEY_METADATA_LONG,
    KEY_NAME_LONG,
    KEY_REFERENCED,
    KEY_VALUE_EMPTY,
    TOO_MANY_KEYS,
    UNKNOWN_PROVIDER,
    ApiError,
)
from gateway.control.plane import Change, ControlPlane
from gateway.control.schema import DESCRIPTION_LONGEST, METADATA_LONGEST, Text
from gateway.control.texts import NAME_LONGEST
from gateway.control.view import key_place, open_key
from gateway.store.configurations import is_linked
from gateway.store.provider_keys import PROVIDER_KEYS, ProviderKeyRow
from gateway.store.providers import PROVIDERS

EVENT: Final = ProviderKeyRow.event_name
VALUE_LONGEST: Final = 8_192
ATTACHED_MAXIMUM: Final = 15

NAME: Final = Text(NAME_LONGEST, KEY_NAME_LONG)
DESCRIPTION: Final = Text(DESCRIPTION_LONGEST, KEY_DESCRIPTION_LONG)
METADATA: Final = Text(METADATA_LONGEST, KEY_METADATA_LONG)


def checked_value(text: str, field: str = "value") -> str:
    """A key's value, trimmed; 1 … 8,192 printable ASCII characters (CP-33)."""
    value = text.strip()
    if not value:
        raise ApiError(KEY_VALUE_EMPTY, field=field)
    if len(value) > VALUE_LONGEST:
        raise ApiError(BAD_VALUE, field=field, reason=f"it has more than {VALUE_LONGEST} characters")
    if not all(" " <= character <= "~" for character in value):
        raise ApiError(BAD_VALUE, field=field, reason="it has characters that are not printable ASCII")
    return value


def primary_provider(plane: ControlPlane, db: sqlite3.Connection, name: str) -> str | None:
    """The primary id of a built-in or custom provider; a built-in's id or alias wins (CP-33)."""
    built_in = plane.surroundings.primary_provider(name)
    if built_in is not None:
        return built_in
    found = PROVIDERS.where(db, "provider_id = ?", name)
    return found[0].provider_id if found else None


def known_provider(change: Change, name: str, field: str) -> str:
    found = primary_provider(change.plane, change.db, name)
    if found is None:
        raise ApiError(UNKNOWN_PROVIDER, field=field, name=name)
    return found


def add_provider_key(change: Change, *, value: str, **columns: Any) -> ProviderKeyRow:
    """A new row; ``value`` is checked already, ``provider_id`` is primary."""
    row_id = change.tx.new_id("aigpk_")
    row = ProviderKeyRow(
        id=row_id,
        sealed=change.plane.box.seal(value.encode(), key_place(row_id)),
        redacted=redact(value),
        **columns,
        **change.created,
    )
    PROVIDER_KEYS.insert(change.db, row)
    _show(change, row)
    return row


def attach_provider_key(change: Change, gateway_key_id: str, entry: Mapping[str, Any], field: str) -> ProviderKeyRow:
    """A key for one gateway key (CP-68): at most fifteen per provider."""
    provider_id = known_provider(change, entry["provider_id"], f"{field}provider_id")
    value = checked_value(entry["value"], f"{field}value")
    count = PROVIDER_KEYS.count(change.db, "gateway_key_id = ? AND provider_id = ?", gateway_key_id, provider_id)
    if count >= ATTACHED_MAXIMUM:
        raise ApiError(TOO_MANY_KEYS, field=f"{field}provider_id", maximum=ATTACHED_MAXIMUM)
    texts = {name: entry.get(name) for name in ("name", "description", "metadata")}
    return add_provider_key(change, value=value, provider_id=provider_id, gateway_key_id=gateway_key_id, **texts)


def update_provider_key(change: Change, row: ProviderKeyRow, columns: Mapping[str, Any]) -> ProviderKeyRow:
    if not columns:
        return row
    changed = replace(row, **columns, **change.updated)
    PROVIDER_KEYS.update(change.db, changed)
    _show(change, changed)
    return changed


def rotate_provider_key(change: Change, row: ProviderKeyRow, name: str, value: str) -> ProviderKeyRow:
    """The same key with a new value; what was learnt about the old one no longer counts (CP-34)."""
    sealed = change.plane.box.seal(value.encode(), key_place(row.id))
    columns = {"name": name, "sealed": sealed, "redacted": redact(value), "rotation": row.rotation + 1}
    return update_provider_key(change, row, columns)


def delete_provider_key(change: Change, row: ProviderKeyRow) -> None:
    if is_linked(change.db, row.id):
        raise ApiError(KEY_REFERENCED)
    PROVIDER_KEYS.delete(change.db, row.id)
    change.effect(lambda view: replace(view, provider_keys=view.provider_keys.without([row.id])))


def _show(change: Change, row: ProviderKeyRow) -> None:
    key = open_key(row, change.plane.box)
    change.effect(lambda view: replace(view, provider_keys=view.provider_keys.with_keys([key])))
