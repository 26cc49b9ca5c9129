"""``gateway api usage export``: every attempt of a window as CSV or JSON lines, page after page, as it arrives.

A cell of the CSV that a spreadsheet would take for a formula gets an apostrophe in front: clients may make up names.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

COLUMNS: Final = (
    "id", "eventTime", "requestId", "accessKeyId", "provider", "providerDisplayName", "model", "modelDisplayName",
    "attemptNumber", "isFinalAttempt", "statusCode", "timedOut", "isError", "isStreaming", "stopReason", "inputTokens",
    "outputTokens", "cacheReadTokens", "reasoningTokens", "totalCost", "keySource", "providerKeyId",
    "providerKeyDisplayName",
)  # fmt: skip
FORMATS: Final = ("csv", "jsonl")
_PAGE: Final = "100"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

#: asks for one page: the query → (status, body)
Fetch = Callable[[Mapping[str, str]], tuple[int, Any]]


def export_usage(fetch: Fetch, query: Mapping[str, str], form: str) -> tuple[int, Any] | None:
    """Writes everything to standard output; the answer that stopped it, if one did."""
    write = _csv_lines if form == "csv" else _json_lines
    following: dict[str, str] | None = {**query, "limit": _PAGE}
    first = True
    while following is not None:
        status, page = fetch(following)
        if status >= 400:
            return status, page
        write(page["aiGatewayUsage"], first)
        first = False
        address = page["nextPageUri"]
        following = None if address is None else dict(parse_qsl(urlsplit(address).query))
    return None


def _csv_lines(events: Iterable[Mapping[str, Any]], first: bool) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if first:
        writer.writerow(COLUMNS)
    for event in events:
        writer.writerow([_cell(event.get(name, "")) for name in COLUMNS])


def _json_lines(events: Iterable[Mapping[str, Any]], first: bool) -> None:
    for event in events:
        print(json.dumps(event, ensure_ascii=False))


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
