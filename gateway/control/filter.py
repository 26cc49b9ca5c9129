"""``filter`` on lists: an expression over ``obj``, in the language of policies (CP-73, TP-620).

obj.name == "prod" && obj.created_at > timestamp(time.now).subtract("7d")
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final

from gateway.cel.compile import compile_expression
from gateway.cel.env import BOOL, STRING, TIMESTAMP, CelType, Environment, Function, object_of
from gateway.cel.errors import CelError, Failure
from gateway.cel.times import checked_timestamp
from gateway.cel.values import Timestamp
from gateway.control.errors import BAD_FILTER, ApiError
from gateway.control.plane import ControlPlane
from gateway.control.request import Call
from gateway.store.rows import RowT, Table

FILTERED: Final = "filter"
_LONGEST: Final = 4_096
_SCANNED_AT_ONCE: Final = 500
_SPAN: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d|w)", re.ASCII)
_NANOSECONDS: Final = {
    "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9, "w": 604_800 * 10**9,
}  # fmt: skip


class FilteredObject:
    """One row as a filter sees it."""

    __slots__ = ("_row",)
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "id": STRING,
        "name": STRING,
        "description": STRING,
        "metadata": STRING,
        "created_at": TIMESTAMP,
        "updated_at": TIMESTAMP,
    }

    def __init__(self, row: Any) -> None:
        self._row = row

    @property
    def id(self) -> str:
        return str(self._row.id)

    @property
    def name(self) -> str:
        return self._row.name or ""

    @property
    def description(self) -> str:
        return self._row.description or ""

    @property
    def metadata(self) -> str:
        return self._row.metadata or ""

    @property
    def created_at(self) -> Timestamp:
        return Timestamp(self._row.created_at * 10**6)

    @property
    def updated_at(self) -> Timestamp:
        return Timestamp(self._row.updated_at * 10**6)


class _Time:
    __slots__ = ("now",)

    def __init__(self, now: Timestamp) -> None:
        self.now = now


class _Scope:
    """What an expression is evaluated over."""

    __slots__ = ("obj", "time")

    def __init__(self, now: Timestamp) -> None:
        self.time = _Time(now)
        self.obj: FilteredObject | None = None


def _moved(moment: int, span: str, sign: int) -> Timestamp:
    found = _SPAN.fullmatch(span)
    if found is None:
        raise Failure("a span is a number with ms, s, m, h, d or w")
    return checked_timestamp(moment + sign * int(found[1]) * _NANOSECONDS[found[2]])


def _later(moment: int, span: str) -> Timestamp:
    return _moved(moment, span, 1)


def _earlier(moment: int, span: str) -> Timestamp:
    return _moved(moment, span, -1)


_ENVIRONMENT: Final = Environment(
    {"obj": object_of(FilteredObject), "time.now": TIMESTAMP},
    (
        Function("add", (TIMESTAMP, STRING), TIMESTAMP, lambda moment, span: _moved(moment, span, 1), method=True),
        Function(
            "subtract", (TIMESTAMP, STRING), TIMESTAMP, lambda moment, span: _moved(moment, span, -1), method=True
        ),
    ),
)


def compile_filter(text: str, now_ms: int) -> Callable[[Any], bool]:
    """A predicate over rows; ApiError 250 when it is no filter, or cannot be applied to a row."""
    if len(text) > _LONGEST:
        raise ApiError(BAD_FILTER, field=FILTERED, reason=f"it has more than {_LONGEST} characters")
    try:
        program = compile_expression(text, _ENVIRONMENT, expect=BOOL)
    except CelError as error:
        raise ApiError(BAD_FILTER, field=FILTERED, reason=str(error)) from None
    scope = _Scope(Timestamp(now_ms * 10**6))

    def matches(row: Any) -> bool:
        scope.obj = FilteredObject(row)
        try:
            return program.evaluate(scope) is True
        except Exception as error:  # noqa: BLE001 - compiled expressions raise anything
            raise ApiError(BAD_FILTER, field=FILTERED, reason=f"{type(error).__name__} at {row.id}") from None

    return matches


def filtered_page(
    plane: ControlPlane, call: Call, db: sqlite3.Connection, table: Table[RowT], limit: int, *,
    condition: str = "", values: Sequence[Any] = (),
) -> list[RowT]:  # fmt: skip
    """Like ``Table.page``, with the call's ``filter`` if there is one; scans in bounded steps."""
    text = call.query.get(FILTERED)
    if text is None:
        return table.page(db, call.before, limit, condition, values)
    matches = compile_filter(text, plane.now_ms())
    found: list[RowT] = []
    before = call.before
    while True:
        rows = table.page(db, before, _SCANNED_AT_ONCE, condition, values)
        found += [row for row in rows if matches(row)]
        if len(found) >= limit or len(rows) < _SCANNED_AT_ONCE:
            return found[:limit]
        before = rows[-1].id
