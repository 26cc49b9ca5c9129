"""``/vault_secrets`` (also ``/secrets``) and ``/vaults/{id}/secrets``: write-only values (TP 9.2, TP 9.3, CP-72)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.control.errors import (
    BAD_VALUE,
    NO_VAULT,
    NOT_FOUND,
    SECRET_NAME,
    SECRET_NAME_EMPTY,
    SECRET_NAME_LONG,
    SECRET_NAME_TAKEN,
    SECRET_VALUE_EMPTY,
    SECRET_VALUE_LONG,
    VAULT_NAME_NOT_FOUND,
    ApiError,
)
from gateway.control.filter import FILTERED, filtered_page
from gateway.control.plane import Change, ControlPlane
from gateway.control.render import owned, page, reference
from gateway.control.request import Call, Reply, Route, Style
from gateway.control.resources.vaults import NAME_FORM, NAME_LONGEST, find_vault
from gateway.control.schema import Member, Object, Text
from gateway.control.texts import ANY, REF, list_of, notes, picked, read_b
from gateway.control.view import open_secret, secret_place
from gateway.store.vaults import SECRETS, VAULTS, SecretRow, VaultRow

COLLECTION: Final = "vault_secrets"
EVENT: Final = SecretRow.event_name
VALUE_MAXIMUM_BYTES: Final = 64 << 10
_NAME: Final = Text(NAME_LONGEST, SECRET_NAME_LONG, 1, SECRET_NAME_EMPTY)
CREATE: Final = Object(
    Member("name", _NAME, required=True, missing=SECRET_NAME_EMPTY),
    Member("value", ANY, required=True, missing=SECRET_VALUE_EMPTY),
    Member("vault_id", ANY),
    Member("vault_name", ANY),
    *notes(BAD_VALUE, BAD_VALUE),
    title="SecretCreate",
)
UPDATE: Final = Object(
    Member("name", _NAME), Member("value", ANY), *notes(BAD_VALUE, BAD_VALUE, nullable=True), title="SecretUpdate"
)
READ: Final = Object(
    *read_b(
        Member("name", ANY, required=True),
        Member("vault", REF, required=True),
        Member("vault_name", ANY, required=True),
    ),
    title="Secret",
)


async def list_secrets(plane: ControlPlane, call: Call) -> Reply:
    """All secrets, or those of the vault in the path."""
    limit = call.limit

    def work(db: sqlite3.Connection) -> tuple[list[SecretRow], dict[str, str]]:
        condition, values = ("", []) if not call.item else ("vault_id = ?", [find_vault(db, call.item).id])
        rows = filtered_page(plane, call, db, SECRETS, limit + 1, condition=condition, values=values)
        return rows, {vault.id: vault.name for vault in VAULTS.all(db)}

    rows, names = await plane.read(work)
    return page(call, "secrets", rows, lambda row: shown(call, row, names[row.vault_id]), limit)


async def get_secret(plane: ControlPlane, call: Call) -> Reply:
    row, vault = await plane.read(lambda db: _find(db, call.item))
    return Reply(200, shown(call, row, vault.name))


async def create_secret(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        vault = _named_vault(change.db, call.body)
        _check_name(change.db, vault, call.body["name"])
        row_id = change.tx.new_id("secret_")
        row = SecretRow(
            id=row_id,
            vault_id=vault.id,
            sealed=_sealed(change, row_id, call.body["value"]),
            **_columns(call),
            **change.created,
        )
        SECRETS.insert(change.db, row)
        return _done(change, row, vault, f"{EVENT}_created", ())

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row, vault = _find(change.db, call.item)
        if not call.body:
            return shown(call, row, vault.name)
        columns = _columns(call)
        if columns.get("name", row.name) != row.name:
            _check_name(change.db, vault, columns["name"])
        if "value" in call.body:
            columns["sealed"] = _sealed(change, row.id, call.body["value"])
        row = replace(row, **columns, **change.updated)
        SECRETS.update(change.db, row)
        return _done(change, row, vault, f"{EVENT}_updated", tuple(call.body))

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row, vault = _find(change.db, call.item)
        SECRETS.delete(change.db, row.id)
        change.audit(f"{EVENT}_deleted", shown(call, row, vault.name))
        change.effect(lambda view: replace(view, secrets=view.secrets.without(row.id)))

    await plane.change(call, work)
    return Reply(204)


def shown(call: Call, row: SecretRow, vault: str) -> dict[str, Any]:
    """A secret without its value (TP-615)."""
    return {
        **owned(call, row, COLLECTION),
        "name": row.name,
        "description": row.description,
        "metadata": row.metadata,
        "vault": reference(call, "vaults", row.vault_id),
        "vault_name": vault,
    }


def _done(change: Change, row: SecretRow, vault: VaultRow, event: str, changed: tuple[str, ...]) -> dict[str, Any]:
    opened = open_secret(row, vault.name, change.plane.box)
    change.effect(lambda view: replace(view, secrets=view.secrets.with_secrets([opened])))
    body = shown(change.call, row, vault.name)
    change.audit(event, body, changed)
    return body


def _sealed(change: Change, row_id: str, value: str) -> bytes:
    text = value.encode()
    if not text:
        raise ApiError(SECRET_VALUE_EMPTY, field="value")
    if len(text) > VALUE_MAXIMUM_BYTES:
        raise ApiError(SECRET_VALUE_LONG, field="value", maximum=VALUE_MAXIMUM_BYTES)
    return change.plane.box.seal(text, secret_place(row_id))


def _columns(call: Call) -> dict[str, Any]:
    return {name: text or "" for name, text in picked(call.body, ("name", "description", "metadata")).items()}


def _named_vault(db: sqlite3.Connection, body: Mapping[str, Any]) -> VaultRow:
    """The vault by id or name; one of them is required, both must agree."""
    vault_id, name = body.get("vault_id"), body.get("vault_name")
    if not vault_id and not name:
        raise ApiError(NO_VAULT)
    by_name = VAULTS.where(db, "name = ?", name) if name else []
    if name and not by_name:
        raise ApiError(VAULT_NAME_NOT_FOUND, field="vault_name", name=name)
    vault = find_vault(db, vault_id) if vault_id else by_name[0]
    if by_name and by_name[0].id != vault.id:
        raise ApiError(BAD_VALUE, field="vault_name", reason="it is not the name of the vault in 'vault_id'")
    return vault


def _check_name(db: sqlite3.Connection, vault: VaultRow, name: str) -> None:
    if not NAME_FORM.fullmatch(name):
        raise ApiError(SECRET_NAME, field="name")
    if SECRETS.count(db, "vault_id = ? AND name = ?", vault.id, name):
        raise ApiError(SECRET_NAME_TAKEN, field="name", name=name)


def _find(db: sqlite3.Connection, row_id: str) -> tuple[SecretRow, VaultRow]:
    row = SECRETS.get(db, row_id)
    if row is None:
        raise ApiError(NOT_FOUND, what="Secret")
    return row, find_vault(db, row.vault_id)


_PAGE: Final = ("before_id", "limit", FILTERED)


def _routes(path: str, suffix: str) -> Iterator[Route]:
    listed = list_of("secrets", READ, style_b=True)
    yield Route(method="GET", path=path, name=f"ListSecrets{suffix}", handler=list_secrets, style=Style.B,
                query=_PAGE, result=listed)  # fmt: skip
    yield Route(method="POST", path=path, name=f"CreateSecret{suffix}", handler=create_secret, style=Style.B,
                body=CREATE, status=201, result=READ)  # fmt: skip
    item = path + "/{id}"
    yield Route(method="GET", path=item, name=f"GetSecret{suffix}", handler=get_secret, style=Style.B, result=READ)
    yield Route(method="PATCH", path=item, name=f"UpdateSecret{suffix}", handler=update, style=Style.B, body=UPDATE,
                result=READ)  # fmt: skip
    yield Route(method="DELETE", path=item, name=f"DeleteSecret{suffix}", handler=delete, style=Style.B, status=204)


ROUTES: Final = (
    *_routes("/vault_secrets", ""),
    *_routes("/secrets", "Short"),
    Route(method="GET", path="/vaults/{id}/secrets", name="ListSecretsOfVault", handler=list_secrets, style=Style.B,
          query=_PAGE, result=list_of("secrets", READ, style_b=True)),
)  # fmt: skip
