"""``/api-keys``: keys for this API (CP-30)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.auth.tokens import ADMIN_MARK, Token, new_token, redact
from gateway.control.errors import IN_USE, NOT_FOUND, ApiError
from gateway.control.plane import Change, ControlPlane
from gateway.control.render import given, optional_time, owned, page
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import Member, Object
from gateway.control.texts import ANY, TIME, labels, list_of, picked, read_a
from gateway.control.view import identity_of
from gateway.store.keys import ADMIN_KEYS, AdminKeyRow

COLLECTION: Final = "api-keys"
EVENT: Final = AdminKeyRow.event_name
CREATE: Final = Object(*labels(), title="APIKeyCreate")
UPDATE: Final = Object(*labels(nullable=True), title="APIKeyUpdate")
READ: Final = Object(
    *read_a(
        Member("name", ANY),
        Member("description", ANY),
        Member("metadata", ANY),
        Member("token", ANY),
        Member("keyRedacted", ANY, required=True),
        Member("lastUsed", TIME, required=True, nullable=True),
    ),
    title="APIKey",
)


async def list_keys(plane: ControlPlane, call: Call) -> Reply:
    limit = call.limit
    rows = await plane.read(lambda db: ADMIN_KEYS.page(db, call.before, limit + 1))
    return page(call, "aiGatewayApiKeys", rows, lambda row: shown(plane, call, row), limit)


async def get_key(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, shown(plane, call, await plane.read(lambda db: _find(db, call.item))))


async def create_key(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row, token = add_admin_key(change, new_token(ADMIN_MARK), **_columns(call))
        return {**shown(plane, call, row), "token": token}

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row, columns = _find(change.db, call.item), _columns(call)
        if not columns:
            return shown(plane, call, row)
        row = replace(row, **columns, **change.updated)
        ADMIN_KEYS.update(change.db, row)
        body = shown(plane, call, row)
        change.audit(f"{EVENT}_updated", body, list(columns))
        return body

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = _find(change.db, call.item)
        if ADMIN_KEYS.count(change.db) == 1:
            raise ApiError(IN_USE, reason="The last admin key cannot be deleted.")
        ADMIN_KEYS.delete(change.db, row.id)
        change.audit(f"{EVENT}_deleted", shown(plane, call, row))
        change.effect(lambda view: replace(view, admin_keys=view.admin_keys.without_key(row.public)))

    await plane.change(call, work)
    return Reply(204)


def add_admin_key(change: Change, token: Token, **texts: Any) -> tuple[AdminKeyRow, str]:
    """A new key for this token, with its audit event."""
    row = AdminKeyRow(
        id=change.tx.new_id("aigak_"),
        public=token.public,
        digest=change.plane.hasher.digest(token.text),
        redacted=redact(token.text),
        **texts,
        **change.created,
    )
    ADMIN_KEYS.insert(change.db, row)
    change.audit(f"{EVENT}_created", shown(change.plane, change.call, row))
    change.effect(lambda view: replace(view, admin_keys=view.admin_keys.with_key(identity_of(row))))
    return row, token.text


def shown(plane: ControlPlane, call: Call, row: AdminKeyRow) -> dict[str, Any]:
    """A key without its token."""
    return {
        **owned(call, row, COLLECTION),
        **given(name=row.name, description=row.description, metadata=row.metadata),
        "keyRedacted": row.redacted,
        "lastUsed": optional_time(plane.last_used.latest(row.id, row.last_used), call.style),
    }


def _columns(call: Call) -> dict[str, Any]:
    return picked(call.body, ("name", "description", "metadata"))


def _find(db: sqlite3.Connection, row_id: str) -> AdminKeyRow:
    row = ADMIN_KEYS.get(db, row_id)
    if row is None:
        raise ApiError(NOT_FOUND, what="API key")
    return row


_PAGE: Final = ("beforeId", "limit")
ROUTES: Final = (
    Route(method="GET", path="/api-keys", name="ListAPIKeys", handler=list_keys, query=_PAGE, head=True,
          result=list_of("aiGatewayApiKeys", READ)),
    Route(method="POST", path="/api-keys", name="CreateAPIKey", handler=create_key, body=CREATE, status=201,
          result=READ),
    Route(method="GET", path="/api-keys/{id}", name="GetAPIKey", handler=get_key, head=True, result=READ),
    Route(method="PATCH", path="/api-keys/{id}", name="UpdateAPIKey", handler=update, body=UPDATE, result=READ),
    Route(method="DELETE", path="/api-keys/{id}", name="DeleteAPIKey", handler=delete, status=204),
)  # fmt: skip
