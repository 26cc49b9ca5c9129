"""``/access-key-configurations``: scope and routing rules of gateway keys (CP-25 to CP-28)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson

from gateway.control.errors import IN_USE, NOT_FOUND, ApiError
from gateway.control.plane import Change, ControlPlane
from gateway.control.render import given, owned, page
from gateway.control.request import Call, Reply, Route
from gateway.control.router import READ_ROUTER, ROUTER, router_keys, settle_router, shown_router
from gateway.control.schema import ListOf, Member, Object
from gateway.control.texts import ANY, labels, list_of, picked, read_a
from gateway.control.view import View, compile_configuration
from gateway.store.configurations import CONFIGURATIONS, ConfigurationRow, link_keys
from gateway.store.keys import GATEWAY_KEYS

COLLECTION: Final = "access-key-configurations"
EVENT: Final = ConfigurationRow.event_name
_DIMENSION: Final = Object(Member("allow", ListOf(ANY)), title="AccessDimension")
ACCESS: Final = Object(Member("providers", _DIMENSION), Member("models", _DIMENSION), title="AccessScope")
_NAME, _DESCRIPTION, _METADATA = labels()
CREATE: Final = Object(
    replace(_NAME, required=True),
    _DESCRIPTION,
    _METADATA,
    Member("access", ACCESS),
    Member("router", ROUTER),
    title="AccessKeyConfigurationCreate",
)
UPDATE: Final = Object(
    *labels(nullable=True),
    Member("access", ACCESS, nullable=True),
    Member("router", ROUTER, nullable=True),
    title="AccessKeyConfigurationUpdate",
)
READ: Final = Object(
    *read_a(
        Member("name", ANY, required=True),
        Member("description", ANY),
        Member("metadata", ANY),
        Member("access", ACCESS),
        Member("router", READ_ROUTER),
    ),
    title="AccessKeyConfiguration",
)


async def list_configurations(plane: ControlPlane, call: Call) -> Reply:
    limit = call.limit

    def work(db: sqlite3.Connection) -> Any:
        rows = CONFIGURATIONS.page(db, call.before, limit + 1)
        return rows, {row.id: shown(call, db, row) for row in rows[:limit]}

    rows, bodies = await plane.read(work)
    return page(call, "aiGatewayAccessKeyConfigurations", rows, lambda row: bodies[row.id], limit)


async def get_configuration(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, await plane.read(lambda db: shown(call, db, _find(db, call.item))))


async def create_configuration(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        # Keys written inside the router come first: ids and references are checked before anything points at them.
        columns = _columns(change)
        row = ConfigurationRow(id=change.tx.new_id("aigac_"), **columns, **change.created)
        CONFIGURATIONS.insert(change.db, row)
        return _done(change, row, f"{EVENT}_created", ())

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row = _find(change.db, call.item)
        if not call.body:
            return shown(call, change.db, row)
        row = replace(row, **_columns(change), **change.updated)
        CONFIGURATIONS.update(change.db, row)
        return _done(change, row, f"{EVENT}_updated", tuple(call.body))

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = _find(change.db, call.item)
        if GATEWAY_KEYS.count(change.db, "configuration_id = ?", row.id):
            raise ApiError(IN_USE, reason="Access keys still use this configuration.")
        change.audit(f"{EVENT}_deleted", shown(call, change.db, row))
        CONFIGURATIONS.delete(change.db, row.id)
        change.effect(lambda view: _with(view, row.id, None))

    await plane.change(call, work)
    return Reply(204)


def shown(call: Call, db: sqlite3.Connection, row: ConfigurationRow) -> dict[str, Any]:
    """A configuration as the API shows it; provider keys redacted."""
    body = {
        **owned(call, row, COLLECTION),
        **given(description=row.description, metadata=row.metadata),
        "name": row.name or "",
    }
    if row.access is not None:
        body["access"] = orjson.loads(row.access)
    if row.router is not None:
        body["router"] = shown_router(db, orjson.loads(row.router))
    return body


def _columns(change: Change) -> dict[str, Any]:
    body = change.call.body
    columns = picked(body, ("name", "description", "metadata"))
    if "access" in body:
        columns["access"] = None if body["access"] is None else orjson.dumps(body["access"]).decode()
    if "router" in body:
        router = body["router"]
        columns["router"] = None if router is None else orjson.dumps(settle_router(change, router)).decode()
    return columns


def _done(change: Change, row: ConfigurationRow, event: str, changed: tuple[str, ...]) -> dict[str, Any]:
    link_keys(change.db, row.id, router_keys(orjson.loads(row.router)) if row.router else ())
    change.effect(lambda view: _with(view, row.id, row))
    body = shown(change.call, change.db, row)
    change.audit(event, body, changed)
    return body


def _with(view: View, row_id: str, row: ConfigurationRow | None) -> View:
    configurations = dict(view.access_keys.configurations)
    configurations.pop(row_id, None)
    if row is not None:
        configurations[row_id] = compile_configuration(row)
    return replace(view, access_keys=view.access_keys.with_configurations(configurations))


def _find(db: sqlite3.Connection, row_id: str) -> ConfigurationRow:
    row = CONFIGURATIONS.get(db, row_id)
    if row is None:
        raise ApiError(NOT_FOUND, what="Access key configuration")
    return row


_PATH: Final = "/access-key-configurations"
_PAGE: Final = ("beforeId", "limit")
ROUTES: Final = (
    Route(method="GET", path=_PATH, name="ListAccessKeyConfigurations", handler=list_configurations, query=_PAGE,
          head=True, result=list_of("aiGatewayAccessKeyConfigurations", READ)),
    Route(method="POST", path=_PATH, name="CreateAccessKeyConfiguration", handler=create_configuration, body=CREATE,
          status=201, result=READ),
    Route(method="GET", path=_PATH + "/{id}", name="GetAccessKeyConfiguration", handler=get_configuration, head=True,
          result=READ),
    Route(method="PATCH", path=_PATH + "/{id}", name="UpdateAccessKeyConfiguration", handler=update, body=UPDATE,
          result=READ),
    Route(method="DELETE", path=_PATH + "/{id}", name="DeleteAccessKeyConfiguration", handler=delete, status=204),
)  # fmt: skip
