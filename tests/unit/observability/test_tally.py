"""Requests by how they ended (AG-331)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.ai.surfaces import CHAT, MESSAGES, Surface
from gateway.errors import ALL_FAILED, failure
from gateway.observability.tally import ROWS_LIMIT, EndpointTally, SurfaceTally, Tallies


def ended(status: int, error: Any = None, surface: Surface | None = CHAT) -> Any:
    """As much of an exchange as is counted."""
    call = None if surface is None else SimpleNamespace(surface_of=surface)
    return SimpleNamespace(status=status, error=error, ai=call)


def test_ag_331_requests_are_counted_by_surface_status_and_code():
    tally = EndpointTally()
    for exchange in (
        ended(200), ended(200), ended(503, failure(ALL_FAILED, reason="")), ended(200, surface=MESSAGES),
        ended(200, failure(ALL_FAILED, reason="")), ended(499), ended(404, surface=None),
    ):  # fmt: skip
        tally.count(exchange)
    assert sorted(tally.rows()) == [
        ("", "404", "", 1),
        ("chat-completions", "200", "", 2),
        ("chat-completions", "200", "ERR_NGROK_3807", 1),
        ("chat-completions", "499", "", 1),
        ("chat-completions", "503", "ERR_NGROK_3807", 1),
        ("messages", "200", "", 1),
    ]


def test_a_request_that_never_reached_a_surface_has_none():
    tally = EndpointTally()
    exchange = ended(404)
    exchange.ai.surface_of = None
    tally.count(exchange)
    assert list(tally.rows()) == [("", "404", "", 1)]


def test_p01_statuses_that_others_choose_are_bounded():
    tally = SurfaceTally()
    for status in range(200, 1_000):
        tally.note(status, None)
    rows = list(tally.rows("s"))
    assert len(rows) == ROWS_LIMIT + 1
    assert sum(row.number for row in rows) == 800
    assert rows[-1] == ("s", "other", "other", 800 - ROWS_LIMIT)


def test_an_endpoint_keeps_its_counts():
    tallies = Tallies()
    tallies.of("ep_1").count(ended(200))
    assert tallies.of("ep_1") is tallies.of("ep_1")
    assert [(name, list(tally.rows())) for name, tally in tallies.items()] == [
        ("ep_1", [("chat-completions", "200", "", 1)])
    ]
