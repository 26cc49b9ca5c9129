"""``/ai_gateway_api_keys``: gateway keys in style B (CP-62 to CP-66)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from gateway.control.errors import (
    B_MEMBER_MISSING,
    ENDPOINT_NOT_FOUND,
    ENDPOINT_WITHOUT_GATEWAY,
    GATEWAY_KEY_NOT_FOUND,
    KEY_MEMBER_MISSING,
    ApiError,
)
from gateway.control.filter import FILTERED, filtered_page
from gateway.control.gateway_keys import EVENT, add_key, attached_keys, delete_key, find_key, update_key
from gateway.control.plane import Change, ControlPlane
from gateway.control.provider_keys import DESCRIPTION, METADATA, NAME, attach_provider_key
from gateway.control.provider_keys import EVENT as PROVIDER_KEY_EVENT
from gateway.control.render import optional_time, owned, page, reference
from gateway.control.request import Call, Reply, Route, Style
from gateway.control.resources import attached_keys as attached
from gateway.control.schema import ListOf, Member, Object
from gateway.control.texts import ANY, REF, TIME, list_of, notes, picked, read_b
from gateway.store.keys import GATEWAY_KEYS, GatewayKeyRow

COLLECTION: Final = "ai_gateway_api_keys"
_NEW_KEY: Final = Object(
    Member("provider_id", ANY, required=True, missing=KEY_MEMBER_MISSING),
    Member("value", ANY, required=True, missing=KEY_MEMBER_MISSING),
    Member("name", NAME),
    Member("description", DESCRIPTION),
    Member("metadata", METADATA),
)
CREATE: Final = Object(
    Member("endpoint_id", ANY, required=True, missing=B_MEMBER_MISSING),
    *notes(),
    Member("provider_keys", ListOf(_NEW_KEY)),
    title="GatewayAPIKeyCreate",
)
UPDATE: Final = Object(Member("endpoint_id", ANY), *notes(nullable=True), title="GatewayAPIKeyUpdate")
READ: Final = Object(
    *read_b(
        Member("endpoint", REF, required=True, nullable=True),
        Member("token", ANY),
        Member("display_name", ANY, required=True),
        Member("last_used", TIME, required=True, nullable=True),
        Member("provider_keys", ListOf(attached.READ), required=True),
    ),
    title="GatewayAPIKey",
)


async def list_keys(plane: ControlPlane, call: Call) -> Reply:
    limit = call.limit

    def work(db: sqlite3.Connection) -> Any:
        rows = filtered_page(plane, call, db, GATEWAY_KEYS, limit + 1)
        return rows, {row.id: shown(plane, call, db, row) for row in rows[:limit]}

    rows, bodies = await plane.read(work)
    return page(call, "ai_gateway_api_keys", rows, lambda row: bodies[row.id], limit)


async def get_key(plane: ControlPlane, call: Call) -> Reply:
    def work(db: sqlite3.Connection) -> Mapping[str, Any]:
        row = GATEWAY_KEYS.get(db, call.item)
        if row is None:
            raise ApiError(GATEWAY_KEY_NOT_FOUND)
        return shown(plane, call, db, row)

    return Reply(200, await plane.read(work))


async def create_key(plane: ControlPlane, call: Call) -> Reply:
    endpoint_id = known_endpoint(plane, call.body["endpoint_id"])

    def work(change: Change) -> Mapping[str, Any]:
        texts = picked(call.body, ("description", "metadata"))
        row, token = add_key(change, endpoint_id=endpoint_id, **texts)
        for index, entry in enumerate(call.body.get("provider_keys", ())):
            key = attach_provider_key(change, row.id, entry, f"provider_keys[{index}].")
            change.audit(f"{PROVIDER_KEY_EVENT}_created", attached.shown(plane, call, key))
        body = shown(plane, call, change.db, row)
        change.audit(f"{EVENT}_created", body)
        return {**body, "token": token}

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    columns = picked(call.body, ("endpoint_id", "description", "metadata"))
    if "endpoint_id" in columns:
        known_endpoint(plane, columns["endpoint_id"])

    def work(change: Change) -> Mapping[str, Any]:
        row = update_key(change, find_key(change, call.item, GATEWAY_KEY_NOT_FOUND), columns)
        body = shown(plane, call, change.db, row)
        if columns:
            change.audit(f"{EVENT}_updated", body, list(columns))
        return body

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = find_key(change, call.item, GATEWAY_KEY_NOT_FOUND)
        body = shown(plane, call, change.db, row)
        for key in body["provider_keys"]:
            change.audit(f"{PROVIDER_KEY_EVENT}_deleted", key)
        change.audit(f"{EVENT}_deleted", body)
        delete_key(change, row)

    await plane.change(call, work)
    return Reply(204)


def known_endpoint(plane: ControlPlane, endpoint_id: str) -> str:
    """An endpoint that a key may be bound to (CP-70)."""
    for endpoint in plane.surroundings.endpoints():
        if endpoint.id == endpoint_id:
            if not endpoint.ai_gateway:
                raise ApiError(ENDPOINT_WITHOUT_GATEWAY, field="endpoint_id")
            return endpoint_id
    raise ApiError(ENDPOINT_NOT_FOUND, field="endpoint_id")


def shown(plane: ControlPlane, call: Call, db: sqlite3.Connection, row: GatewayKeyRow) -> dict[str, Any]:
    """A key as style B shows it, without its token."""
    keys = attached_keys(db, [row.id])[row.id]
    return {
        **owned(call, row, COLLECTION),
        "description": row.description or "",
        "metadata": row.metadata or "",
        "endpoint": None if row.endpoint_id is None else reference(call, "endpoints", row.endpoint_id),
        "display_name": row.redacted,
        "last_used": optional_time(plane.last_used.latest(row.id, row.last_used), call.style),
        "provider_keys": [attached.shown(plane, call, key) for key in keys],
    }


_PAGE: Final = ("before_id", "limit", FILTERED)
ROUTES: Final = (
    Route(method="GET", path="/ai_gateway_api_keys", name="ListGatewayAPIKeys", handler=list_keys, style=Style.B,
          query=_PAGE, result=list_of("ai_gateway_api_keys", READ, style_b=True)),
    Route(method="POST", path="/ai_gateway_api_keys", name="CreateGatewayAPIKey", handler=create_key, style=Style.B,
          body=CREATE, status=201, result=READ),
    Route(method="GET", path="/ai_gateway_api_keys/{id}", name="GetGatewayAPIKey", handler=get_key, style=Style.B,
          result=READ),
    Route(method="PATCH", path="/ai_gateway_api_keys/{id}", name="UpdateGatewayAPIKey", handler=update, style=Style.B,
          body=UPDATE, result=READ),
    Route(method="DELETE", path="/ai_gateway_api_keys/{id}", name="DeleteGatewayAPIKey", handler=delete,
          style=Style.B, status=204),
)  # fmt: skip
