"""The scorecard as Markdown and JSON."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict

from loadtest.machine import describe_commit, describe_machine, describe_versions
from loadtest.scorecard.model import Limits, Result

_MARKS = {"pass": "pass", "partial": "**partial**", "fail": "**FAIL**"}


def counted(results: Sequence[Result]) -> str:
    """``38 pass, 1 partial, 0 fail``."""
    return ", ".join(f"{sum(each.verdict == name for each in results)} {name}" for name in _MARKS)


def as_markdown(results: Sequence[Result], limits: Limits, command: str) -> str:
    """A table, worst first within the order of the scenarios."""
    lines = [
        "# Resilience scorecard",
        "",
        f"**{counted(results)}.** `{command}` · {_today()} · commit {describe_commit()}",
        "",
        f"{describe_machine()}. {describe_versions('aiohttp', 'uvloop')}. Time limits: {limits.attempt_s:g} s per"
        f" attempt, {limits.idle_s:g} s of silence in a stream. Two keys, and a fallback model where one is named."
        " *Attempts* are requests that reached the provider; an idle connection that turns out to be dead is replaced"
        " once within an attempt (AG-157). The books were compared in every scenario: one usage event per attempt, one"
        " final event per request, money for delivered tokens only.",
        "",
        "| Fault | Promise | Verdict | Requests | Attempts | Seconds |",
        "|---|---|---|---:|---:|---:|",
    ]
    for each in results:
        verdict = _MARKS[each.verdict] + (f": {each.reason}" if each.reason else "")
        lines.append(
            f"| {each.name} | {each.promise} | {verdict} | {each.requests} | {each.attempts} | {each.seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def as_json(results: Sequence[Result], limits: Limits) -> str:
    """The same for programs."""
    document = {
        "date": _today(),
        "commit": describe_commit(),
        "limits": asdict(limits),
        "results": [asdict(each) for each in results],
    }
    return json.dumps(document, indent=1) + "\n"


def as_text(results: Sequence[Result]) -> str:
    """For a terminal."""
    width = max(len(each.name) for each in results)
    lines = [
        f"{each.verdict:8}{each.name:{width}}  {each.attempts:3} attempts {each.seconds:5.1f} s  {each.reason}".rstrip()
        for each in results
    ]
    return "\n".join([*lines, "", counted(results)])


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
