"""The loads. ``unit`` is what CPU time is divided by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """Arguments of the load generator."""

    name: str
    what: str
    mode: str
    connections: int
    events: int = 100
    delay_ms: float = 0.0

    @property
    def unit(self) -> str:
        return "request" if self.mode == "json" else "event"

    def arguments(self) -> list[str]:
        """For ``loadtest.bench.load``; paced streams start spread over one delay."""
        return [
            "--mode", self.mode, "--connections", str(self.connections), "--events", str(self.events),
            "--delay", str(self.delay_ms), "--ramp", str(self.delay_ms),
        ]  # fmt: skip


#: what is run when nothing is named; ``open2000`` is for its memory figure and takes its time
DEFAULT_CASES = "json1,json32,sse16,paced100,fast100"

CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case("json1", "one connection, one request at a time", "json", 1),
        Case("json32", "32 connections, requests back to back", "json", 32),
        Case("sse16", "16 streams of 100 events, flat out", "sse", 16),
        Case("paced100", "100 streams, an event every 20 ms: 5,000 events per second", "paced", 100, 100, 20.0),
        Case("open2000", "2,000 open streams, an event every second: memory", "paced", 2_000, 600, 1_000.0),
        Case("fast100", "100 streams, an event every 5 ms: 20,000 events per second", "paced", 100, 400, 5.0),
    )
}
