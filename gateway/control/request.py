"""What a handler is given: one authenticated, checked call; and what it gives back."""

from __future__ import annotations

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from gateway.control.errors import (
    BAD_LIMIT,
    BAD_TIME,
    REPEATED_PARAMETER,
    UNKNOWN_PARAMETER,
    WRONG_TYPE,
    ApiError,
)
from gateway.control.schema import Object

if TYPE_CHECKING:
    from gateway.control.plane import ControlPlane

PAGE_MAXIMUM: Final = 100
_RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Style(enum.Enum):
    """Which generation's spelling and error body a path has."""

    A = "a"
    B = "b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. ``body`` holds only members that were sent; ``query`` only known parameters."""

    style: Style
    path: str
    #: scheme and authority that ``uri`` values begin with (CP-13)
    base: str
    operation_id: str
    principal: str = "system"
    source_ip: str = ""
    item: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)

    def uri(self, *parts: str) -> str:
        """``call.uri("access-keys", "aigk_1")`` → an absolute URI."""
        return "/".join((self.base, *parts))

    @property
    def limit(self) -> int:
        text = self.query.get("limit")
        if text is None:
            return PAGE_MAXIMUM
        if not text.isascii() or not text.isdigit() or len(text) > 3 or not 1 <= int(text) <= PAGE_MAXIMUM:
            raise ApiError(BAD_LIMIT, field="limit")
        return int(text)

    @property
    def before(self) -> str | None:
        return self.query.get("beforeId" if self.style is Style.A else "before_id")

    def flag(self, name: str) -> bool:
        """A boolean parameter; False if it is not given."""
        text = self.query.get(name, "false")
        if text not in ("true", "false"):
            raise ApiError(WRONG_TYPE, field=name, wanted="true or false")
        return text == "true"

    def time_ms(self, name: str) -> int | None:
        """An RFC 3339 parameter as Unix milliseconds."""
        text = self.query.get(name)
        if text is None:
            return None
        found = parse_time(text)
        if found is None:
            raise ApiError(BAD_TIME, field=name, reason=f"'{name}' is not an RFC 3339 time.")
        return found

    def page(self, rows: list[Any], limit: int, last: Callable[[], Mapping[str, str]]) -> tuple[list[Any], str | None]:
        """Cuts ``limit + 1`` rows to a page, with the URI of the next if there is more; ``last``: its parameters."""
        if len(rows) <= limit:
            return rows, None
        query = {**self.query, **last()}
        return rows[:limit], f"{self.base}{self.path}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; no body with 204."""

    status: int
    body: Any = None
    content_type: str = "application/json"


Handler = Callable[["ControlPlane", Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation. ``result`` None: an answer without body. HEAD is added to a GET with ``head`` (CP-16)."""

    method: str
    path: str
    name: str
    handler: Handler
    style: Style = Style.A
    summary: str = ""
    body: Object | None = None
    query: tuple[str, ...] = ()
    status: int = 200
    result: Object | None = None
    head: bool = False
    #: answered without an admin key
    public: bool = False


def read_query(pairs: Mapping[str, list[str]], known: tuple[str, ...]) -> dict[str, str]:
    """The query parameters of a call (CP-8)."""
    unknown = [name for name in pairs if name not in known]
    if unknown:
        raise ApiError(UNKNOWN_PARAMETER, field=unknown[0], names=", ".join(unknown))
    for name, values in pairs.items():
        if len(values) > 1:
            raise ApiError(REPEATED_PARAMETER, field=name, name=name)
    return {name: values[0] for name, values in pairs.items()}


def parse_time(text: str) -> int | None:
    """RFC 3339 with a zone → Unix milliseconds; None for anything else."""
    if not _RFC_3339.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        # Whole numbers all the way: a float would lose a millisecond now and then.
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        return None
