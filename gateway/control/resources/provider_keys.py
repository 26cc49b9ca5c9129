"""``/provider-keys``: all provider keys in style A (CP-32 to CP-34)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from gateway.control.errors import KEY_MEMBER_MISSING, NOT_FOUND, ApiError
from gateway.control.plane import Change, ControlPlane
from gateway.control.provider_keys import (
    DESCRIPTION,
    EVENT,
    METADATA,
    NAME,
    add_provider_key,
    checked_value,
    delete_provider_key,
    known_provider,
    primary_provider,
    rotate_provider_key,
    update_provider_key,
)
from gateway.control.render import given, optional_time, owned, page
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import Member, Object
from gateway.control.texts import ANY, TIME, list_of, picked, read_a
from gateway.store.provider_keys import PROVIDER_KEYS, ProviderKeyRow

COLLECTION: Final = "provider-keys"
CREATE: Final = Object(
    Member("providerId", ANY, required=True, missing=KEY_MEMBER_MISSING),
    Member("name", NAME, required=True, missing=KEY_MEMBER_MISSING),
    Member("value", ANY, required=True, missing=KEY_MEMBER_MISSING),
    Member("description", DESCRIPTION),
    Member("metadata", METADATA),
    title="ProviderKeyCreate",
)
UPDATE: Final = Object(
    Member("name", NAME, nullable=True),
    Member("description", DESCRIPTION, nullable=True),
    Member("metadata", METADATA, nullable=True),
    title="ProviderKeyUpdate",
)
ROTATE: Final = Object(
    Member("name", NAME, required=True, missing=KEY_MEMBER_MISSING),
    Member("value", ANY, required=True, missing=KEY_MEMBER_MISSING),
    title="ProviderKeyRotate",
)
READ: Final = Object(
    *read_a(
        Member("providerId", ANY, required=True),
        Member("name", ANY, required=True),
        Member("description", ANY),
        Member("metadata", ANY),
        Member("keyRedacted", ANY, required=True),
        Member("lastUsed", TIME, required=True, nullable=True),
    ),
    title="ProviderKey",
)


async def list_keys(plane: ControlPlane, call: Call) -> Reply:
    limit, provider = call.limit, call.query.get("provider")

    def work(db: sqlite3.Connection) -> list[ProviderKeyRow]:
        if provider is None:
            return PROVIDER_KEYS.page(db, call.before, limit + 1)
        primary = primary_provider(plane, db, provider) or provider
        return PROVIDER_KEYS.page(db, call.before, limit + 1, "provider_id = ?", [primary])

    rows = await plane.read(work)
    return page(call, "aiGatewayProviderKeys", rows, lambda row: shown(plane, call, row), limit)


async def get_key(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, shown(plane, call, await plane.read(lambda db: _find(db, call.item))))


async def create_key(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        provider_id = known_provider(change, call.body["providerId"], "providerId")
        value = checked_value(call.body["value"])
        row = add_provider_key(change, value=value, provider_id=provider_id, **_columns(call))
        body = shown(plane, call, row)
        change.audit(f"{EVENT}_created", body)
        return body

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        columns = _columns(call)
        body = shown(plane, call, update_provider_key(change, _find(change.db, call.item), columns))
        if columns:
            change.audit(f"{EVENT}_updated", body, list(columns))
        return body

    return Reply(200, await plane.change(call, work))


async def rotate(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row = _find(change.db, call.item)
        value = checked_value(call.body["value"])
        body = shown(plane, call, rotate_provider_key(change, row, call.body["name"], value))
        change.audit(f"{EVENT}_rotated", body, ["name", "value"])
        return body

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = _find(change.db, call.item)
        delete_provider_key(change, row)
        change.audit(f"{EVENT}_deleted", shown(plane, call, row))

    await plane.change(call, work)
    return Reply(204)


def shown(plane: ControlPlane, call: Call, row: ProviderKeyRow) -> dict[str, Any]:
    """A key as style A shows it; never its value (CP-33)."""
    return {
        **owned(call, row, COLLECTION),
        **given(description=row.description, metadata=row.metadata),
        "providerId": row.provider_id,
        "name": row.name or "",
        "keyRedacted": row.redacted,
        "lastUsed": optional_time(plane.last_used.latest(row.id, row.last_used), call.style),
    }


def _columns(call: Call) -> dict[str, Any]:
    return picked(call.body, ("name", "description", "metadata"))


def _find(db: sqlite3.Connection, row_id: str) -> ProviderKeyRow:
    row = PROVIDER_KEYS.get(db, row_id)
    if row is None:
        raise ApiError(NOT_FOUND, what="Provider key")
    return row


_PAGE: Final = ("beforeId", "limit", "provider")
_ITEM: Final = "/provider-keys/{id}"
ROUTES: Final = (
    Route(method="GET", path="/provider-keys", name="ListProviderKeys", handler=list_keys, query=_PAGE, head=True,
          result=list_of("aiGatewayProviderKeys", READ)),
    Route(method="POST", path="/provider-keys", name="CreateProviderKey", handler=create_key, body=CREATE, status=201,
          result=READ),
    Route(method="GET", path=_ITEM, name="GetProviderKey", handler=get_key, head=True, result=READ),
    Route(method="PATCH", path=_ITEM, name="UpdateProviderKey", handler=update, body=UPDATE, result=READ),
    Route(method="DELETE", path=_ITEM, name="DeleteProviderKey", handler=delete, status=204),
    Route(method="POST", path=_ITEM + "/rotate", name="RotateProviderKey", handler=rotate, body=ROTATE, result=READ),
)  # fmt: skip
