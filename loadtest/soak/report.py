"""Figures of a soak: the slope of the memory, and the report."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.machine import describe_commit, describe_machine, describe_versions

#: MiB per 100,000 requests (P01)
MAX_SLOPE_MIB = 1.0
#: the live windows remember five minutes; with their second turn the room that the first one took is used again
WARM_UP_S = 640.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory after so many requests and seconds."""

    requests: int
    seconds: float
    rss_kib: int


@dataclass(slots=True)
class Figures:
    """Everything that a soak found. ``warm_up``: requests before those that count."""

    requests: int
    warm_up: int
    seconds: float
    samples: list[Sample]
    #: gauge → (before, after)
    gauges: Mapping[str, tuple[float, float]]
    by_kind: Mapping[str, int]
    wrong: Mapping[str, int]
    status: int = 0

    @property
    def slope_mib(self) -> float:
        """MiB per 100,000 requests, after the warm-up."""
        return slope_mib([each for each in self.samples if each.requests >= self.warm_up])

    @property
    def problems(self) -> list[str]:
        """Why it is not passed; empty if it is."""
        found = [
            f"{name} is {after:g}, not {before:g}" for name, (before, after) in self.gauges.items() if after > before
        ]
        if self.slope_mib >= MAX_SLOPE_MIB:
            found.append(f"memory grows by {self.slope_mib:.2f} MiB per 100,000 requests")
        found += [f"{count} x {what}" for what, count in self.wrong.items()]
        if self.status:
            found.append(f"the gateway ended with status {self.status}")
        return found


def slope_mib(samples: Sequence[Sample]) -> float:
    """MiB per 100,000 requests, by least squares; 0.0 with fewer than two samples."""
    points = [(each.requests, each.rss_kib) for each in samples]
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread * 100_000 / 1_024 if spread else 0.0


def as_markdown(figures: Figures, command: str) -> str:
    """The report."""
    verdict = "pass" if not figures.problems else "FAIL: " + "; ".join(figures.problems)
    lines = [
        f"# Soak: {figures.requests:,} requests",
        "",
        f"**{verdict}.** Resident memory grows by {figures.slope_mib:.2f} MiB per 100,000 requests (limit"
        f" {MAX_SLOPE_MIB:g}), measured over {figures.requests:,} requests after a warm-up of {figures.warm_up:,}, in"
        " which caches and the five minutes of the live windows fill.",
        "",
        f"`{command}` · {_today()} · commit {describe_commit()}",
        "",
        f"{describe_machine()}. {describe_versions('aiohttp', 'uvloop')}. {figures.seconds:.0f} s,"
        f" {(figures.warm_up + figures.requests) / figures.seconds:.0f} requests per second; clients and demo provider"
        " share the machine.",
        "",
        "| Requests | Resident, MiB |",
        "|---:|---:|",
    ]
    lines += [f"| {each.requests:,} | {each.rss_kib / 1_024:.1f} |" for each in _some(figures.samples)]
    lines += ["", "| Gauge | Before | After |", "|---|---:|---:|"]
    lines += [f"| {name} | {before:g} | {after:g} |" for name, (before, after) in figures.gauges.items()]
    lines += ["", "| Requests | Times |", "|---|---:|"]
    lines += [f"| {name} | {count:,} |" for name, count in sorted(figures.by_kind.items(), key=lambda pair: -pair[1])]
    return "\n".join(lines) + "\n"


def _some(samples: Sequence[Sample]) -> list[Sample]:
    """At most 21 of them, the first and the last included."""
    step = max(1, (len(samples) - 1) // 20)
    return [*samples[:-1:step], *samples[-1:]]


def as_json(figures: Figures) -> str:
    """The same for programs."""
    about = {"date": _today(), "commit": describe_commit(), "slope_mib": figures.slope_mib}
    document: dict[str, Any] = {**about, **asdict(figures)}
    return json.dumps(document, indent=1) + "\n"


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()
