"""``/ai_gateway_provider_keys``: provider keys attached to a gateway key, style B (CP-68 to CP-70)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from gateway.control.errors import (
    GATEWAY_KEY_NOT_FOUND,
    KEY_DESCRIPTION_LONG,
    KEY_MEMBER_MISSING,
    KEY_METADATA_LONG,
    NOT_FOUND,
    ApiError,
)
from gateway.control.filter import FILTERED, filtered_page
from gateway.control.gateway_keys import find_key
from gateway.control.plane import Change, ControlPlane
from gateway.control.provider_keys import EVENT, attach_provider_key, delete_provider_key, update_provider_key
from gateway.control.render import optional_time, owned, page, reference
from gateway.control.request import Call, Reply, Route, Style
from gateway.control.schema import Member, Object
from gateway.control.texts import ANY, REF, TIME, list_of, notes, picked, read_b
from gateway.store.provider_keys import PROVIDER_KEYS, ProviderKeyRow

COLLECTION: Final = "ai_gateway_provider_keys"
_ATTACHED: Final = "gateway_key_id IS NOT NULL"
CREATE: Final = Object(
    Member("ai_gateway_api_key_id", ANY, required=True, missing=KEY_MEMBER_MISSING),
    Member("provider_id", ANY, required=True, missing=KEY_MEMBER_MISSING),
    Member("value", ANY, required=True, missing=KEY_MEMBER_MISSING),
    *notes(KEY_DESCRIPTION_LONG, KEY_METADATA_LONG),
    title="AttachedProviderKeyCreate",
)
UPDATE: Final = Object(
    *notes(KEY_DESCRIPTION_LONG, KEY_METADATA_LONG, nullable=True), title="AttachedProviderKeyUpdate"
)
READ: Final = Object(
    *read_b(
        Member("provider_id", ANY, required=True),
        Member("ai_gateway_api_key", REF, required=True, nullable=True),
        Member("display_name", ANY, required=True),
        Member("last_used", TIME, required=True, nullable=True),
    ),
    title="AttachedProviderKey",
)


async def list_keys(plane: ControlPlane, call: Call) -> Reply:
    limit, owner = call.limit, call.query.get("ai_gateway_api_key_id")
    condition, values = (_ATTACHED, []) if owner is None else ("gateway_key_id = ?", [owner])
    rows = await plane.read(
        lambda db: filtered_page(plane, call, db, PROVIDER_KEYS, limit + 1, condition=condition, values=values)
    )
    return page(call, "ai_gateway_provider_keys", rows, lambda row: shown(plane, call, row), limit)


async def get_key(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, shown(plane, call, await plane.read(lambda db: _find(db, call.item))))


async def create_key(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        owner = find_key(change, call.body["ai_gateway_api_key_id"], GATEWAY_KEY_NOT_FOUND)
        body = shown(plane, call, attach_provider_key(change, owner.id, call.body, ""))
        change.audit(f"{EVENT}_created", body)
        return body

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        columns = picked(call.body, ("description", "metadata"))
        body = shown(plane, call, update_provider_key(change, _find(change.db, call.item), columns))
        if columns:
            change.audit(f"{EVENT}_updated", body, list(columns))
        return body

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = _find(change.db, call.item)
        change.audit(f"{EVENT}_deleted", shown(plane, call, row))
        delete_provider_key(change, row)

    await plane.change(call, work)
    return Reply(204)


def shown(plane: ControlPlane, call: Call, row: ProviderKeyRow) -> dict[str, Any]:
    """An attached key as style B shows it; never its value (CP-68)."""
    owner = None if row.gateway_key_id is None else reference(call, "ai_gateway_api_keys", row.gateway_key_id)
    return {
        **owned(call, row, COLLECTION),
        "provider_id": row.provider_id,
        "description": row.description or "",
        "metadata": row.metadata or "",
        "ai_gateway_api_key": owner,
        "display_name": row.redacted,
        "last_used": optional_time(plane.last_used.latest(row.id, row.last_used), call.style),
    }


def _find(db: sqlite3.Connection, row_id: str) -> ProviderKeyRow:
    row = PROVIDER_KEYS.get(db, row_id)
    if row is None or row.gateway_key_id is None:
        raise ApiError(NOT_FOUND, what="Provider key")
    return row


_PATH: Final = "/ai_gateway_provider_keys"
_PAGE: Final = ("before_id", "limit", "ai_gateway_api_key_id", FILTERED)
ROUTES: Final = (
    Route(method="GET", path=_PATH, name="ListAttachedProviderKeys", handler=list_keys, style=Style.B, query=_PAGE,
          result=list_of("ai_gateway_provider_keys", READ, style_b=True)),
    Route(method="POST", path=_PATH, name="CreateAttachedProviderKey", handler=create_key, style=Style.B, body=CREATE,
          status=201, result=READ),
    Route(method="GET", path=_PATH + "/{id}", name="GetAttachedProviderKey", handler=get_key, style=Style.B,
          result=READ),
    Route(method="PATCH", path=_PATH + "/{id}", name="UpdateAttachedProviderKey", handler=update, style=Style.B,
          body=UPDATE, result=READ),
    Route(method="DELETE", path=_PATH + "/{id}", name="DeleteAttachedProviderKey", handler=delete, style=Style.B,
          status=204),
)  # fmt: skip
