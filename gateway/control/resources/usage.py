"""``/usage`` and ``/usage/overview``: what requests used (CP-50 to CP-52)."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from gateway.auth.money import to_text
from gateway.control.errors import BAD_TIME, WRONG_TYPE, ApiError
from gateway.control.plane import ControlPlane
from gateway.control.render import time_text
from gateway.control.request import Call, Reply, Route
from gateway.control.schema import Flag, ListOf, Member, Object, Whole, Words
from gateway.control.texts import ANY, TIME
from gateway.store.usage import UsageQuery, UsageRow, overview, page_usage

_GROUPS: Final = ("provider", "accessKey")
_COUNT: Final = Whole(0, 2**63 - 1)
_TEXTS: Final = ("id", "requestId", "accessKeyId", "provider", "providerDisplayName", "model", "modelDisplayName",
                 "stopReason", "totalCost")  # fmt: skip
_COUNTS: Final = ("attemptNumber", "statusCode", "inputTokens", "outputTokens", "cacheReadTokens", "reasoningTokens")
_FLAGS: Final = ("isFinalAttempt", "timedOut", "isError", "isStreaming")
EVENT: Final = Object(
    *(Member(name, ANY, required=True) for name in _TEXTS),
    *(Member(name, _COUNT, required=True) for name in _COUNTS),
    *(Member(name, Flag(), required=True) for name in _FLAGS),
    Member("eventTime", TIME, required=True),
    Member("keySource", Words(("user", "ngrok")), required=True),
    Member("providerKeyId", ANY),
    Member("providerKeyDisplayName", ANY),
    title="UsageEvent",
)
LIST: Final = Object(
    Member("aiGatewayUsage", ListOf(EVENT), required=True),
    Member("uri", ANY, required=True),
    Member("nextPageUri", ANY, required=True, nullable=True),
    title="UsageList",
)
_SUMS: Final = (
    Member("cost", ANY, required=True),
    Member("requests", _COUNT, required=True),
    Member("errors", _COUNT, required=True),
)
OVERVIEW: Final = Object(
    Member("uri", ANY, required=True),
    Member(
        "buckets",
        ListOf(Object(Member("bucketStart", TIME, required=True), Member("groupKey", ANY, required=True), *_SUMS)),
        required=True,
    ),
    Member("totals", Object(*_SUMS), required=True),
    title="UsageOverview",
)


async def list_usage(plane: ControlPlane, call: Call) -> Reply:
    start, end = _window(plane, call)
    limit = call.limit
    query = UsageQuery(
        start=start,
        end=end,
        access_key_id=call.query.get("accessKeyId"),
        final_only=not call.flag("includeRetries"),
        before=_read_cursor(call.query.get("cursor")),
        limit=limit + 1,
    )
    rows = await plane.read(lambda db: page_usage(db, query))
    # The window is fixed by the first page: an open end would move between pages.
    shown, following = call.page(
        rows, limit, lambda: {"cursor": _cursor(rows[limit - 1]), "endTime": time_text(end, call.style)}
    )
    events = [_event(call, row) for row in shown]
    return Reply(200, {"aiGatewayUsage": events, "uri": call.base + call.path, "nextPageUri": following})


async def usage_overview(plane: ControlPlane, call: Call) -> Reply:
    start, end = _window(plane, call)
    group_by = call.query.get("groupBy", "provider")
    if group_by not in _GROUPS:
        raise ApiError(WRONG_TYPE, field="groupBy", wanted=f"one of: {', '.join(_GROUPS)}")
    found = await plane.read(lambda db: overview(db, start, end, group_by))
    buckets = [
        {
            "bucketStart": time_text(bucket.day, call.style),
            "groupKey": bucket.group,
            "cost": to_text(bucket.cost),
            "requests": bucket.requests,
            "errors": bucket.errors,
        }
        for bucket in found
    ]
    totals = {
        "cost": to_text(sum(bucket.cost for bucket in found)),
        "requests": sum(bucket.requests for bucket in found),
        "errors": sum(bucket.errors for bucket in found),
    }
    return Reply(200, {"uri": call.base + call.path, "buckets": buckets, "totals": totals})


def _window(plane: ControlPlane, call: Call) -> tuple[int, int]:
    start, end = call.time_ms("startTime"), call.time_ms("endTime")
    if start is None:
        raise ApiError(BAD_TIME, field="startTime", reason="'startTime' is required.")
    if end is None:
        end = plane.now_ms()
        # A start in the future of an open window is an empty window, not an error.
        return start, max(start, end)
    if end < start:
        raise ApiError(BAD_TIME, field="endTime", reason="'endTime' is before 'startTime'.")
    return start, end


def _cursor(row: UsageRow) -> str:
    return base64.urlsafe_b64encode(f"{row.event_time}.{row.number}".encode()).decode().rstrip("=")


def _read_cursor(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        moment, _, number = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii").partition(".")
    except (binascii.Error, ValueError):
        moment = number = ""
    if not (moment.isdigit() and number.isdigit()) or len(moment) > 15 or len(number) > 19:
        raise ApiError(WRONG_TYPE, field="cursor", wanted="a cursor of this API")
    return int(moment), min(int(number), 2**63 - 1)


def _event(call: Call, row: UsageRow) -> dict[str, Any]:
    event = {
        "id": row.id,
        "eventTime": time_text(row.event_time, call.style),
        "requestId": row.request_id,
        "accessKeyId": row.access_key_id,
        "provider": row.provider,
        "providerDisplayName": row.provider_name,
        "model": row.model,
        "modelDisplayName": row.model_name,
        "attemptNumber": row.attempt,
        "isFinalAttempt": bool(row.is_final),
        "statusCode": row.status,
        "timedOut": bool(row.timed_out),
        "isError": bool(row.is_error),
        "isStreaming": bool(row.is_streaming),
        "stopReason": row.stop_reason,
        "inputTokens": row.input_tokens,
        "outputTokens": row.output_tokens,
        "cacheReadTokens": row.cache_read_tokens,
        "reasoningTokens": row.reasoning_tokens,
        "totalCost": to_text(row.cost),
        "keySource": row.key_source,
    }
    if row.provider_key_id is not None:
        event["providerKeyId"] = row.provider_key_id
        event["providerKeyDisplayName"] = row.provider_key_name or ""
    return event


_QUERY: Final = ("startTime", "endTime", "accessKeyId", "includeRetries", "cursor", "limit")
ROUTES: Final = (
    Route(method="GET", path="/usage", name="ListUsage", handler=list_usage, query=_QUERY, result=LIST),
    Route(method="GET", path="/usage/overview", name="GetUsageOverview", handler=usage_overview,
          query=("startTime", "endTime", "groupBy"), result=OVERVIEW),
)  # fmt: skip
