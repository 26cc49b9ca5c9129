"""``/access-keys``: gateway keys in style A (CP-22, section 2.1)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from gateway.control.errors import NOT_FOUND, ApiError
from gateway.control.gateway_keys import EVENT, add_key, delete_key, find_key, update_key
from gateway.control.plane import Change, ControlPlane
from gateway.control.render import given, optional_time, owned, page
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import Member, Object
from gateway.control.texts import ANY, TIME, labels, list_of, picked, read_a
from gateway.store.configurations import CONFIGURATIONS
from gateway.store.keys import GATEWAY_KEYS, GatewayKeyRow

COLLECTION: Final = "access-keys"
CREATE: Final = Object(*labels(), Member("accessKeyConfigurationId", ANY), title="AccessKeyCreate")
UPDATE: Final = Object(
    *labels(nullable=True), Member("accessKeyConfigurationId", ANY, nullable=True), title="AccessKeyUpdate"
)
LINK: Final = Object(
    Member("id", ANY, required=True),
    Member("uri", ANY, required=True),
    Member("name", ANY, required=True),
    title="AccessKeyConfigurationLink",
)
READ: Final = Object(
    *read_a(
        Member("name", ANY),
        Member("description", ANY),
        Member("metadata", ANY),
        Member("token", ANY),
        Member("keyRedacted", ANY, required=True),
        Member("lastUsed", TIME, required=True, nullable=True),
        Member("accessKeyConfiguration", LINK, required=True, nullable=True),
    ),
    title="AccessKey",
)


async def list_keys(plane: ControlPlane, call: Call) -> Reply:
    limit = call.limit

    def work(db: sqlite3.Connection) -> Any:
        rows = GATEWAY_KEYS.page(db, call.before, limit + 1)
        return rows, {row.id: shown(plane, call, db, row) for row in rows[:limit]}

    rows, bodies = await plane.read(work)
    return page(call, "aiGatewayAccessKeys", rows, lambda row: bodies[row.id], limit)


async def get_key(plane: ControlPlane, call: Call) -> Reply:
    def work(db: sqlite3.Connection) -> Mapping[str, Any]:
        row = GATEWAY_KEYS.get(db, call.item)
        if row is None:
            raise ApiError(NOT_FOUND, what="Access key")
        return shown(plane, call, db, row)

    return Reply(200, await plane.read(work))


async def create_key(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row, token = add_key(change, **columns(change))
        body = shown(plane, call, change.db, row)
        change.audit(f"{EVENT}_created", body)
        return {**body, "token": token}

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row = update_key(change, find_key(change, call.item, NOT_FOUND), columns(change))
        body = shown(plane, call, change.db, row)
        if call.body:
            change.audit(f"{EVENT}_updated", body, list(call.body))
        return body

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = find_key(change, call.item, NOT_FOUND)
        change.audit(f"{EVENT}_deleted", shown(plane, call, change.db, row))
        delete_key(change, row)

    await plane.change(call, work)
    return Reply(204)


def columns(change: Change) -> dict[str, Any]:
    """The columns that a body sets."""
    body = change.call.body
    found = picked(body, ("name", "description", "metadata"))
    if "accessKeyConfigurationId" in body:
        linked = body["accessKeyConfigurationId"]
        if linked is not None and CONFIGURATIONS.get(change.db, linked) is None:
            raise ApiError(NOT_FOUND, field="accessKeyConfigurationId", what="Access key configuration")
        found["configuration_id"] = linked
    return found


def shown(plane: ControlPlane, call: Call, db: sqlite3.Connection, row: GatewayKeyRow) -> dict[str, Any]:
    """A key as style A shows it, without its token."""
    linked = None
    if row.configuration_id is not None and (found := CONFIGURATIONS.get(db, row.configuration_id)) is not None:
        uri = call.uri("access-key-configurations", found.id)
        linked = {"id": found.id, "uri": uri, "name": found.name or ""}
    return {
        **owned(call, row, COLLECTION),
        **given(name=row.name, description=row.description, metadata=row.metadata),
        "keyRedacted": row.redacted,
        "lastUsed": optional_time(plane.last_used.latest(row.id, row.last_used), call.style),
        "accessKeyConfiguration": linked,
    }


_PAGE: Final = ("beforeId", "limit")
ROUTES: Final = (
    Route(method="GET", path="/access-keys", name="ListAccessKeys", handler=list_keys, query=_PAGE, head=True,
          result=list_of("aiGatewayAccessKeys", READ)),
    Route(method="POST", path="/access-keys", name="CreateAccessKey", handler=create_key, body=CREATE, status=201,
          result=READ),
    Route(method="GET", path="/access-keys/{id}", name="GetAccessKey", handler=get_key, head=True, result=READ),
    Route(method="PATCH", path="/access-keys/{id}", name="UpdateAccessKey", handler=update, body=UPDATE, result=READ),
    Route(method="DELETE", path="/access-keys/{id}", name="DeleteAccessKey", handler=delete, status=204),
)  # fmt: skip
