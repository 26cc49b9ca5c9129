"""``/providers``: custom providers (CP-35 to CP-38)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from gateway.ai.surfaces import SURFACES
from gateway.control.errors import (
    BAD_VALUE,
    BASE_URL_LENGTH,
    BASE_URL_REFUSED,
    MODEL_ID_LENGTH,
    MODEL_ID_TWICE,
    NOT_FOUND,
    PARAM_LENGTH,
    PARAM_TWICE,
    PARAMS_TOO_MANY,
    PARAMS_WITHOUT_SURFACE,
    PROVIDER_ID_LENGTH,
    PROVIDER_ID_RESERVED,
    PROVIDER_ID_TAKEN,
    PROVIDER_IN_USE,
    PROVIDER_MEMBER_MISSING,
    PROVIDER_METADATA_LONG,
    PROVIDER_NAME_LENGTH,
    UNKNOWN_FORMAT,
    UNKNOWN_SURFACE,
    ApiError,
)
from gateway.control.plane import Change, ControlPlane
from gateway.control.render import given, owned, page
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import METADATA_LONGEST, ListOf, Member, Object, Text
from gateway.control.texts import ANY, list_of, read_a
from gateway.control.view import View, read_provider
from gateway.store.configurations import CONFIGURATIONS
from gateway.store.provider_keys import PROVIDER_KEYS
from gateway.store.providers import PROVIDERS, ProviderRow

COLLECTION: Final = "providers"
EVENT: Final = ProviderRow.event_name
RESERVED: Final = "ngrok"
PARAMS_MAXIMUM: Final = 100
_ID_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}", re.ASCII)
_FORMATS: Final = tuple(dict.fromkeys(surface.format.value for surface in SURFACES.values()))

_PARAM: Final = Object(Member("name", Text(255, PARAM_LENGTH, 1), required=True))
_SURFACE: Final = Object(
    Member("format", ANY, required=True, missing=PROVIDER_MEMBER_MISSING),
    Member("surface", ANY),
    Member("supportedParams", ListOf(_PARAM, PARAMS_MAXIMUM, PARAMS_TOO_MANY)),
    title="SupportedAPISurface",
)
_MODEL: Final = Object(Member("modelId", Text(255, MODEL_ID_LENGTH, 1), required=True, missing=PROVIDER_MEMBER_MISSING))
_NAME: Final = Text(255, PROVIDER_NAME_LENGTH, 1)
_BASE_URL: Final = Text(2_048, BASE_URL_LENGTH, 1)
_METADATA: Final = Text(METADATA_LONGEST, PROVIDER_METADATA_LONG)
CREATE: Final = Object(
    Member("providerId", Text(255, PROVIDER_ID_LENGTH, 1), required=True, missing=PROVIDER_MEMBER_MISSING),
    Member("name", _NAME, required=True, missing=PROVIDER_MEMBER_MISSING),
    Member("baseUrl", _BASE_URL, required=True, missing=PROVIDER_MEMBER_MISSING),
    Member("metadata", _METADATA),
    Member("supportedApiSurfaces", ListOf(_SURFACE)),
    Member("models", ListOf(_MODEL)),
    title="ProviderCreate",
)
UPDATE: Final = Object(
    Member("name", _NAME, nullable=True),
    Member("baseUrl", _BASE_URL),
    Member("metadata", _METADATA, nullable=True),
    Member("supportedApiSurfaces", ListOf(_SURFACE), nullable=True),
    Member("models", ListOf(_MODEL), nullable=True),
    title="ProviderUpdate",
)
READ: Final = Object(
    *read_a(
        Member("providerId", ANY, required=True),
        Member("name", ANY, required=True),
        Member("baseUrl", ANY, required=True),
        Member("metadata", ANY),
        Member("supportedApiSurfaces", ListOf(_SURFACE), required=True),
        Member("models", ListOf(Object(Member("id", ANY, required=True), Member("modelId", ANY, required=True)))),
    ),
    title="Provider",
)


async def list_providers(plane: ControlPlane, call: Call) -> Reply:
    limit = call.limit
    rows = await plane.read(lambda db: PROVIDERS.page(db, call.before, limit + 1))
    return page(call, "aiGatewayProviders", rows, lambda row: shown(call, row), limit)


async def get_provider(plane: ControlPlane, call: Call) -> Reply:
    return Reply(200, shown(call, await plane.read(lambda db: _find(db, call.item))))


async def create_provider(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        provider_id = call.body["providerId"]
        _check_id(change, provider_id)
        columns = {"base_url": "", **_columns(change, ())}
        row = ProviderRow(id=change.tx.new_id("aigp_"), provider_id=provider_id, **columns, **change.created)
        PROVIDERS.insert(change.db, row)
        return _done(change, row, f"{EVENT}_created", ())

    return Reply(201, await plane.change(call, work))


async def update(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> Mapping[str, Any]:
        row = _find(change.db, call.item)
        if not call.body:
            return shown(call, row)
        row = replace(row, **_columns(change, orjson.loads(row.models)), **change.updated)
        PROVIDERS.update(change.db, row)
        return _done(change, row, f"{EVENT}_updated", tuple(call.body))

    return Reply(200, await plane.change(call, work))


async def delete(plane: ControlPlane, call: Call) -> Reply:
    def work(change: Change) -> None:
        row = _find(change.db, call.item)
        if PROVIDER_KEYS.count(change.db, "provider_id = ?", row.provider_id):
            raise ApiError(PROVIDER_IN_USE, reason="Provider keys of this provider still exist.")
        if any(_names(orjson.loads(text), row) for text in _texts(change.db)):
            raise ApiError(PROVIDER_IN_USE, reason="An access key configuration still names this provider.")
        PROVIDERS.delete(change.db, row.id)
        change.audit(f"{EVENT}_deleted", shown(call, row))
        change.effect(lambda view: _with(view, row.id, None))

    await plane.change(call, work)
    return Reply(204)


def shown(call: Call, row: ProviderRow) -> dict[str, Any]:
    """A provider as the API shows it."""
    return {
        **owned(call, row, COLLECTION),
        **given(metadata=row.metadata),
        "providerId": row.provider_id,
        "name": row.name or "",
        "baseUrl": row.base_url,
        "supportedApiSurfaces": orjson.loads(row.surfaces) if row.surfaces is not None else [{"format": "openai"}],
        "models": orjson.loads(row.models),
    }


def _columns(change: Change, models: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The columns that a body sets; ``models`` are those the provider has."""
    body, columns = change.call.body, {}
    for name, column in (("name", "name"), ("metadata", "metadata")):
        if name in body:
            columns[column] = body[name]
    if "baseUrl" in body:
        columns["base_url"] = _checked_url(change.plane, body["baseUrl"])
    if "supportedApiSurfaces" in body:
        surfaces = body["supportedApiSurfaces"]
        columns["surfaces"] = None if surfaces is None else orjson.dumps(_checked_surfaces(surfaces)).decode()
    if "models" in body:
        columns["models"] = orjson.dumps(_checked_models(change, body["models"] or (), models)).decode()
    return columns


def _checked_url(plane: ControlPlane, url: str) -> str:
    fault = plane.surroundings.base_url_fault(url)
    if fault is None:
        return url
    raise ApiError(BASE_URL_REFUSED if fault.refused else BAD_VALUE, field="baseUrl", reason=fault.reason)


def _check_id(change: Change, provider_id: str) -> None:
    if not _ID_FORM.fullmatch(provider_id):
        reason = "it may have letters, digits, '.', '_' and '-', and begins with a letter or digit"
        raise ApiError(BAD_VALUE, field="providerId", reason=reason)
    if provider_id.lower() == RESERVED or change.plane.surroundings.primary_provider(provider_id) is not None:
        raise ApiError(PROVIDER_ID_RESERVED, field="providerId", name=provider_id)
    if PROVIDERS.count(change.db, "provider_id = ?", provider_id):
        raise ApiError(PROVIDER_ID_TAKEN, field="providerId", name=provider_id)


def _checked_surfaces(surfaces: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """AG-16, AG-17."""
    seen: set[tuple[str, str | None]] = set()
    for index, entry in enumerate(surfaces):
        place = f"supportedApiSurfaces[{index}]"
        format_name, name = entry["format"], entry.get("surface")
        if format_name not in _FORMATS:
            known = ", ".join(_FORMATS)
            raise ApiError(UNKNOWN_FORMAT, field=f"{place}.format", name=format_name, known=known)
        names = list(dict.fromkeys(found.name for found in SURFACES.values() if found.format.value == format_name))
        if name is not None and name not in names:
            raise ApiError(UNKNOWN_SURFACE, field=f"{place}.surface", name=name, known=", ".join(names))
        if (format_name, name) in seen:
            raise ApiError(BAD_VALUE, field=place, reason="this format and surface are listed twice")
        seen.add((format_name, name))
        if "supportedParams" in entry:
            if name is None:
                raise ApiError(PARAMS_WITHOUT_SURFACE, field=f"{place}.supportedParams")
            twice = _repeated(param["name"] for param in entry["supportedParams"])
            if twice is not None:
                raise ApiError(PARAM_TWICE, field=f"{place}.supportedParams", name=twice)
    return surfaces


def _checked_models(
    change: Change, models: Sequence[Mapping[str, str]], before: Sequence[Mapping[str, str]]
) -> list[dict[str, str]]:
    """Models with their ids; those that stay keep theirs (CP-37)."""
    twice = _repeated(model["modelId"] for model in models)
    if twice is not None:
        raise ApiError(MODEL_ID_TWICE, field="models", name=twice)
    known = {model["modelId"]: model["id"] for model in before}
    names = [model["modelId"] for model in models]
    return [{"id": known.get(name) or change.tx.new_id("aigpm_"), "modelId": name} for name in names]


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


def _texts(db: sqlite3.Connection) -> list[str]:
    """``access`` and ``router`` of every configuration."""
    return [text for row in CONFIGURATIONS.all(db) for text in (row.access, row.router) if text]


def _names(document: Mapping[str, Any], row: ProviderRow) -> bool:
    """Whether a scope or router names the provider, by either of its ids."""
    names = {row.id.lower(), row.provider_id.lower()}
    listed = [document.get(part, {}).get("allow", ()) for part in ("providers", "models")]
    rules = document.get("rules", ())
    entries = [*listed[0], *listed[1], *(rule.get(part, "") for rule in rules for part in ("provider", "model"))]
    return any(re.split("[:/]", entry.lower(), maxsplit=1)[0] in names for entry in entries)


def _done(change: Change, row: ProviderRow, event: str, changed: tuple[str, ...]) -> dict[str, Any]:
    change.effect(lambda view: _with(view, row.id, row))
    body = shown(change.call, row)
    change.audit(event, body, changed)
    return body


def _with(view: View, row_id: str, row: ProviderRow | None) -> View:
    providers = {known: provider for known, provider in view.providers.items() if known != row_id}
    if row is not None:
        providers[row_id] = read_provider(row)
    return replace(view, providers=providers)


def _find(db: sqlite3.Connection, row_id: str) -> ProviderRow:
    row = PROVIDERS.get(db, row_id)
    if row is None:
        raise ApiError(NOT_FOUND, what="Provider")
    return row


_PAGE: Final = ("beforeId", "limit")
ROUTES: Final = (
    Route(method="GET", path="/providers", name="ListProviders", handler=list_providers, query=_PAGE, head=True,
          result=list_of("aiGatewayProviders", READ)),
    Route(method="POST", path="/providers", name="CreateProvider", handler=create_provider, body=CREATE, status=201,
          result=READ),
    Route(method="GET", path="/providers/{id}", name="GetProvider", handler=get_provider, head=True, result=READ),
    Route(method="PATCH", path="/providers/{id}", name="UpdateProvider", handler=update, body=UPDATE, result=READ),
    Route(method="DELETE", path="/providers/{id}", name="DeleteProvider", handler=delete, status=204),
)  # fmt: skip
