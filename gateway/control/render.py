"""How rows look in answers: times, owners, pages, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.control.errors import ApiError
from gateway.control.request import Call, Reply, Style
from gateway.store.rows import SYSTEM, Row


def time_text(time_ms: int, style: Style) -> str:
    """``2026-11-22T19:03:00.123Z`` in style A, whole seconds in style B (CP-11)."""
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    text = moment.isoformat(timespec="milliseconds" if style is Style.A else "seconds")
    return text.replace("+00:00", "Z")


def optional_time(time_ms: int | None, style: Style) -> str | None:
    return None if time_ms is None else time_text(time_ms, style)


def actor(call: Call, key_id: str) -> dict[str, str]:
    """Who acted (CP-12); the server itself has no resource."""
    return {"id": key_id, "uri": "" if key_id == SYSTEM else call.uri("api-keys", key_id)}


def reference(call: Call, collection: str, row_id: str) -> dict[str, str]:
    return {"id": row_id, "uri": call.uri(collection, row_id)}


def owned(call: Call, row: Row, collection: str) -> dict[str, Any]:
    """Members that every resource has, in the call's style."""
    times = time_text(row.created_at, call.style), time_text(row.updated_at, call.style)
    actors = actor(call, row.created_by), actor(call, row.updated_by)
    if call.style is Style.A:
        names = ("createdAt", "updatedAt", "createdBy", "lastUpdatedBy")
    else:
        names = ("created_at", "updated_at", "created_by", "last_updated_by")
    values = dict(zip(names, (*times, *actors), strict=True))
    return {"id": row.id, "uri": call.uri(collection, row.id), **values}


def given(**texts: str | None) -> dict[str, str]:
    """Optional strings of style A: those that are set (CP-17)."""
    return {name: text for name, text in texts.items() if text is not None}


def page(call: Call, member: str, rows: list[Any], render: Callable[[Any], Mapping[str, Any]], limit: int) -> Reply:
    """A page of rows that were read with one more than ``limit`` (CP-15)."""
    cursor = "beforeId" if call.style is Style.A else "before_id"
    shown, following = call.page(rows, limit, lambda: {cursor: rows[limit - 1].id})
    next_name = "nextPageUri" if call.style is Style.A else "next_page_uri"
    return Reply(200, {member: [render(row) for row in shown], "uri": call.base + call.path, next_name: following})


def error_body(error: ApiError, style: Style, operation_id: str) -> dict[str, Any]:
    """CP-20."""
    if style is Style.B:
        return {
            "error_code": error.code.code,
            "status_code": error.status,
            "msg": error.message,
            "details": {"operation_id": operation_id},
        }
    details = {**({"field": error.field} if error.field else {}), **error.details, "operationId": operation_id}
    return {"errorCode": error.code.code, "statusCode": error.status, "msg": error.message, "details": details}


def without(body: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A resource as audit events hold it: without what is shown once (CP-116)."""
    hidden = set(names)
    return {name: value for name, value in body.items() if name not in hidden}
