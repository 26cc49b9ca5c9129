"""How ``gateway top`` looks: one live document (``GET /ext/live``) → something that rich can print. Pure.

What clients sent (paths, model names) is shown with its control characters escaped and never as markup: it must not
drive the operator's terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

BAR: Final = 10
_STATE_STYLE: Final = {"streaming": "green", "sending": "green", "waiting": "yellow", "deciding": "cyan"}


def render(document: Mapping[str, Any], before: Mapping[str, Any] | None, *, rows: int, note: str = "") -> Group:
    """One frame. ``before``: the document of the frame before, for rates; ``rows``: for all tables together."""
    live, keys, models = document["live"], document["keys"], document["models"]
    shares = share_rows(rows, [len(keys), len(models), len(live)])
    parts: list[RenderableType] = [_summary(document, before)]
    if note:
        parts.append(Text(note, style="red"))
    parts.append(_keys(keys, shares[0]))
    parts.append(_models(models, shares[1]))
    parts.append(_live(live, shares[2], document["liveOmitted"]))
    return Group(*parts)


def share_rows(rows: int, wanted: Sequence[int]) -> list[int]:
    """Divides the rows of a screen: nobody gets more than wanted, and what is left goes to the others.

    ``share_rows(12, [2, 3, 40]) == [2, 3, 7]``
    """
    shares = [0] * len(wanted)
    left = rows
    while left > 0 and shares != list(wanted):
        for place, most in enumerate(wanted):
            if shares[place] < most and left > 0:
                shares[place] += 1
                left -= 1
    return shares


def _summary(document: Mapping[str, Any], before: Mapping[str, Any] | None) -> Text:
    requests = document["requests"]
    text = Text.assemble(
        ("gateway ", "bold"), (document["state"], "bold green" if document["state"] == "serving" else "bold yellow"),
        f"   {requests['inflight']} in flight, {requests['streams']} streams, {requests['connections']} connections",
        f"   {requests['total']} requests, {requests['failed']} failed",
    )  # fmt: skip
    if before is not None and (seconds := document["time"] - before["time"]) > 0:
        total = requests["total"] - before["requests"]["total"]
        failed = requests["failed"] - before["requests"]["failed"]
        text.append(f"   {total / seconds:.1f} requests/s")
        if total:
            text.append(f", {percent(failed / total)} failed", style="red" if failed else "")
    return text


def _keys(keys: Sequence[Mapping[str, Any]], rows: int) -> Table:
    table = _table("Keys, last 5 minutes", keys, rows)
    for name in ("provider", "key"):
        table.add_column(name, no_wrap=True)
    for name in ("attempts", "errors", "429", "5xx", "time-outs"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("requests left", "tokens left", "cooling"):
        table.add_column(name, no_wrap=True)
    for key in keys[:rows]:
        rate = key["errorRate"]
        shares = [rate["total"], rate["rateLimit"], rate["server"], rate["timeout"]]
        table.add_row(
            plain(key["provider"]), plain(key["key"]), str(key["attempts"]),
            *(Text(percent(share), style="red" if share >= 0.1 else "") for share in shares),
            quota_bar(key["quota"].get("requests")), quota_bar(key["quota"].get("tokens")),
            f"{key['coolingSeconds']:.0f} s" if key["coolingSeconds"] else "",
        )  # fmt: skip
    return table


def _models(models: Sequence[Mapping[str, Any]], rows: int) -> Table:
    table = _table("Models, last 5 minutes", models, rows)
    for name in ("provider", "model"):
        table.add_column(name, no_wrap=True)
    for name in ("attempts", "errors", "ms", "ms p95", "first token p95", "tokens in", "tokens out", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    for model in models[:rows]:
        share = model["errorRate"]["total"]
        first = model["firstTokenMsP95"]
        table.add_row(
            plain(model["provider"]), plain(model["model"]), str(model["attempts"]),
            Text(percent(share), style="red" if share >= 0.1 else ""),
            str(model["upstreamMs"]), str(model["upstreamMsP95"]), "" if first is None else str(first),
            str(model["tokensIn"]), str(model["tokensOut"]), model["costUsd"],
        )  # fmt: skip
    return table


def _live(live: Sequence[Mapping[str, Any]], rows: int, omitted: int) -> Table:
    table = _table("Requests in flight, oldest first", live, rows, omitted)
    for name, justify in (("age", "right"), ("state", "left"), ("endpoint", "left"), ("request", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type] # a literal, twice
    for name in ("model", "provider", "key"):
        table.add_column(name, no_wrap=True)
    for name in ("attempts", "sent"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in live[:rows]:
        table.add_row(
            age(each["ageMs"]), Text(each["state"], style=_STATE_STYLE.get(each["state"], "")), plain(each["endpoint"]),
            plain(f"{each['method']} {each['path']}"), plain(each["model"] or ",".join(each["models"])),
            plain(each["provider"]), plain(each["key"]), str(each["attempts"]), size(each["bytes"]),
        )  # fmt: skip
    return table


def _table(title: str, entries: Sequence[object], rows: int, omitted: int = 0) -> Table:
    more = len(entries) + omitted - min(rows, len(entries))
    words = f"{title}: {len(entries) + omitted}" + (f", {more} not shown" if more else "")
    return Table(title=words, title_justify="left", title_style="bold", box=None, pad_edge=False, expand=False)


def plain(text: str) -> Text:
    """Text of others: no markup, no control characters, not endless."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return Text(shown if len(shown) <= 48 else shown[:47] + "…")


def quota_bar(quota: Mapping[str, int | None] | None) -> Text:
    """``██████░░░░ 600/1000``; only the number where the limit is unknown."""
    if quota is None or (remaining := quota["remaining"]) is None:
        return Text("")
    limit = quota["limit"]
    if not limit:
        return Text(str(remaining))
    share = min(1.0, remaining / limit)
    filled = max(round(share * BAR), 1 if remaining else 0)
    style = "red" if share < 0.1 else "yellow" if share < 0.3 else "green"
    return Text.assemble(("█" * filled + "░" * (BAR - filled), style), f" {remaining}/{limit}")


def percent(share: float) -> str:
    """``0.0312`` → ``3.1 %``."""
    return f"{share * 100:.1f} %" if share else "0 %"


def age(milliseconds: int) -> str:
    """``350 ms``, ``12.4 s``, ``3m05``."""
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1_000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}m{int(seconds) % 60:02d}"


def size(count: int) -> str:
    """``900 B``, ``12.1 KiB``."""
    if count < 1_024:
        return f"{count} B"
    return f"{count / 1_024:.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MiB"
