"""Gateway keys as rows, for both styles: making, changing and deleting one (CP-60, CP-61, CP-64, CP-66)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.auth.access_keys import STYLE_A
from gateway.auth.tokens import GATEWAY_MARK, new_token, redact
from gateway.control.errors import ApiError, Code
from gateway.control.plane import Change
from gateway.control.view import View, identity_of
from gateway.store.budgets import BUDGETS
from gateway.store.keys import GATEWAY_KEYS, GatewayKeyRow, note_endpoint_key
from gateway.store.provider_keys import PROVIDER_KEYS

EVENT: Final = GatewayKeyRow.event_name


def add_key(change: Change, **columns: Any) -> tuple[GatewayKeyRow, str]:
    """A new key and its token, which exists nowhere else (CP-102)."""
    token = new_token(GATEWAY_MARK)
    row = GatewayKeyRow(
        id=change.tx.new_id("aigk_"),
        public=token.public,
        digest=change.plane.hasher.digest(token.text),
        redacted=redact(token.text),
        **columns,
        **change.created,
    )
    GATEWAY_KEYS.insert(change.db, row)
    note_endpoint_key(change.db, row.endpoint_id or STYLE_A, change.tx.now_ms)
    change.effect(lambda view: replace(view, access_keys=view.access_keys.with_key(identity_of(row))))
    return row, token.text


def find_key(change: Change, row_id: str, missing: Code) -> GatewayKeyRow:
    row = GATEWAY_KEYS.get(change.db, row_id)
    if row is None:
        raise ApiError(missing, what="Access key")
    return row


def update_key(change: Change, row: GatewayKeyRow, columns: Mapping[str, Any]) -> GatewayKeyRow:
    """The row with these columns; unchanged if there are none."""
    if not columns:
        return row
    # A whole second row of the same key is never written: the id and the hash stay.
    changed = replace(row, **columns, **change.updated)
    GATEWAY_KEYS.update(change.db, changed)
    if changed.endpoint_id is not None:
        note_endpoint_key(change.db, changed.endpoint_id, change.tx.now_ms)
    change.effect(lambda view: replace(view, access_keys=view.access_keys.with_key(identity_of(changed))))
    return changed


def delete_key(change: Change, row: GatewayKeyRow) -> None:
    """The key, the provider keys attached to it and its budgets."""
    attached = [key.id for key in PROVIDER_KEYS.where(change.db, "gateway_key_id = ?", row.id)]
    budgets = [budget.id for budget in BUDGETS.where(change.db, "access_key_id = ?", row.id)]
    for budget_id in budgets:
        BUDGETS.delete(change.db, budget_id)
    GATEWAY_KEYS.delete(change.db, row.id)
    ledger = change.plane.ledger

    def effect(view: View) -> View:
        for budget_id in budgets:
            ledger.remove(budget_id)
        return replace(
            view,
            access_keys=view.access_keys.without_key(row.public),
            provider_keys=view.provider_keys.without(attached) if attached else view.provider_keys,
        )

    change.effect(effect)


def attached_keys(db: Any, row_ids: Sequence[str]) -> dict[str, list[Any]]:
    """Provider keys by the gateway key they are attached to, in order of attachment."""
    found: dict[str, list[Any]] = {row_id: [] for row_id in row_ids}
    for row_id in row_ids:
        found[row_id] = PROVIDER_KEYS.where(db, "gateway_key_id = ?", row_id)
    return found
