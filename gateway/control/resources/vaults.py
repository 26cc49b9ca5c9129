"""``/vaults``: groups of secrets (TP 9.2, TP 9.3)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.control.errors import (
    BAD_VALUE,
    VAULT_NAME,
    VAULT_NAME_EMPTY,
    VAULT_NAME_LONG,
    VAULT_NAME_TAKEN,
    VAULT_NOT_EMPTY,
    VAULT_NOT_FOUND,
    ApiError,
)
from gateway.control.filter import FILTERED, filtered_page
from gateway.control.plane import Change, ControlPlane
from gateway.control.render import owned, page
from gateway.control.request import Call, Reply, Route, Style
from gateway.control.schema import Member, Object, Text
from gateway.control.texts import ANY, list_of, notes, picked, read_b
from gateway.control.view import View
from gateway.store.vaults import SECRETS, VAULTS, VaultRow

COLLECTION: Final = "vaults"
EVENT: Final = VaultRow.event_name
NAME_LONGEST: Final = 128
NAME_FORM: Final = re.compile(r"[A-Za-z0-9_/.-]+", re.ASCII)
_NAME: Final = Text(NAME_LONGEST, VAULT_NAME_LONG, 1, VAULT_NAME_EMPTY)
CREATE: Final = Object(
    Member("name", _NAME, required=True, missing=VAULT_NAME_EMPTY), *notes(BAD_VALUE, BAD_VALUE), title="VaultCreate"
)
UPDATE: Final = Object(Member("name", _NAME), *notes(BAD_VALUE, BAD_VALUE, nullable=True), title="VaultUpdate")
READ: Final = Object(*read_b(Member("name", ANY, required=True), actor=ANY), title="Vault")


async def list_vaults(plane: ControlPlane, call: Call) -> Reply:
    limit = call.limit
    rows = await plane.read(lambda db: filtered_page(plane, call, db, VAULTS, limit + 1))
    return page(call, "vaults", rows, lambda row: shown(call, row), limit)


async def get_vault(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, shown(call, await plane.read(lambda db: find_vault(db, call.item))))


async def create_vault(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        _check_name(change.db, call.body["name"])
        row = VaultRow(id=change.tx.new_id("vault_"), **_columns(call), **change.created)
        VAULTS.insert(change.db, row)
        body = shown(call, row)
        change.audit(f"{EVENT}_created", body)
        return body

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row, columns = find_vault(change.db, call.item), _columns(call)
        if not columns:
            return shown(call, row)
        if columns.get("name", row.name) != row.name:
            _check_name(change.db, columns["name"])
        row = replace(row, **columns, **change.updated)
        VAULTS.update(change.db, row)
        change.effect(lambda view: _renamed(view, row))
        body = shown(call, row)
        change.audit(f"{EVENT}_updated", body, list(columns))
        return body

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = find_vault(change.db, call.item)
        if SECRETS.count(change.db, "vault_id = ?", row.id):
            raise ApiError(VAULT_NOT_EMPTY)
        VAULTS.delete(change.db, row.id)
        change.audit(f"{EVENT}_deleted", shown(call, row))

    await plane.change(call, work)
    return Reply(204)


def find_vault(db: sqlite3.Connection, row_id: str) -> VaultRow:
    row = VAULTS.get(db, row_id)
    if row is None:
        raise ApiError(VAULT_NOT_FOUND)
    return row


def shown(call: Call, row: VaultRow) -> dict[str, Any]:
    """A vault; who acted is an id here, not a reference (CP-12)."""
    return {
        **owned(call, row, COLLECTION),
        "created_by": row.created_by,
        "last_updated_by": row.updated_by,
        "name": row.name,
        "description": row.description,
        "metadata": row.metadata,
    }


def _columns(call: Call) -> dict[str, Any]:
    return {name: text or "" for name, text in picked(call.body, ("name", "description", "metadata")).items()}


def _check_name(db: sqlite3.Connection, name: str) -> None:
    if not NAME_FORM.fullmatch(name):
        raise ApiError(VAULT_NAME, field="name")
    if VAULTS.count(db, "name = ?", name):
        raise ApiError(VAULT_NAME_TAKEN, field="name", name=name)


def _renamed(view: View, row: VaultRow) -> View:
    """Secrets are looked up by their vault's name."""
    moved = [replace(secret, vault=row.name) for secret in view.secrets.of_vault(row.id) if secret.vault != row.name]
    return replace(view, secrets=view.secrets.with_secrets(moved)) if moved else view


_PAGE: Final = ("before_id", "limit", FILTERED)
ROUTES: Final = (
    Route(method="GET", path="/vaults", name="ListVaults", handler=list_vaults, style=Style.B, query=_PAGE,
          result=list_of("vaults", READ, style_b=True)),
    Route(method="POST", path="/vaults", name="CreateVault", handler=create_vault, style=Style.B, body=CREATE,
          status=201, result=READ),
    Route(method="GET", path="/vaults/{id}", name="GetVault", handler=get_vault, style=Style.B, result=READ),
    Route(method="PATCH", path="/vaults/{id}", name="UpdateVault", handler=update, style=Style.B, body=UPDATE,
          result=READ),
    Route(method="DELETE", path="/vaults/{id}", name="DeleteVault", handler=delete, style=Style.B, status=204),
)  # fmt: skip
