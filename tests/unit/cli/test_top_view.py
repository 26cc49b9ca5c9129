"""Frames of ``gateway top``, printed into a text."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.cli.top_view import age, percent, plain, quota_bar, render, share_rows, size


def key(number: int = 1, **more: Any) -> dict[str, Any]:
    rate = {"total": 0.25, "rateLimit": 0.125, "timeout": 0.0, "client": 0.0, "server": 0.125}
    quota = {"requests": {"remaining": 600, "limit": 1_000}, "tokens": {"remaining": 5, "limit": None}}
    return {
        "provider": "demo", "key": f"kh_{number}", "attempts": 8, "errorRate": rate, "coolingSeconds": 12.2,
        "quota": quota, **more,
    }  # fmt: skip


def model(**more: Any) -> dict[str, Any]:
    return {
        "provider": "demo", "model": "demo", "attempts": 8, "errorRate": {"total": 0.0, "rateLimit": 0.0},
        "upstreamMs": 432, "upstreamMsP95": 876, "firstTokenMsP95": None, "tokensIn": 24, "tokensOut": 72,
        "costUsd": "0.00123", **more,
    }  # fmt: skip


def request(**more: Any) -> dict[str, Any]:
    return {
        "id": "req_1", "endpoint": "default", "method": "POST", "path": "/v1/messages", "models": ["demo"],
        "state": "streaming", "ageMs": 1_500, "attempts": 2, "provider": "demo", "model": "demo", "key": "kh_1",
        "bytes": 2_048, **more,
    }  # fmt: skip


def document(**more: Any) -> dict[str, Any]:
    requests = {"inflight": 1, "streams": 1, "connections": 3, "total": 100, "failed": 7}
    return {
        "time": 1_000.0, "state": "serving", "requests": requests, "live": [request()], "liveOmitted": 0,
        "keys": [key()], "models": [model()], **more,
    }  # fmt: skip


def printed(shown: dict[str, Any], before: dict[str, Any] | None = None, *, rows: int = 30, note: str = "") -> str:
    console = Console(width=180, file=io.StringIO(), force_terminal=False)
    console.print(render(shown, before, rows=rows, note=note))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_everything_is_shown():
    text = printed(document())
    for words in (
        "gateway serving", "1 in flight, 1 streams, 3 connections", "100 requests, 7 failed",
        "kh_1", "25.0 %", "12.5 %", "██████░░░░ 600/1000", "12 s", "432", "876", "0.00123",
        "1.5 s", "streaming", "POST /v1/messages", "2.0 KiB",
    ):  # fmt: skip
        assert words in text, words
    assert "requests/s" not in text


def test_rates_come_from_two_frames():
    before = document()
    after = document(time=1_002.0, requests={**before["requests"], "total": 150, "failed": 12})
    assert "25.0 requests/s, 10.0 % failed" in printed(after, before)
    assert "0.0 requests/s" in printed(document(time=1_001.0), before)


def test_a_gateway_that_does_not_answer_is_named():
    assert "cannot reach http://x" in printed(document(), note="cannot reach http://x")


def test_what_does_not_fit_is_counted():
    text = printed(document(keys=[key(number) for number in range(30)], live=[request()] * 20, liveOmitted=5), rows=12)
    assert "Keys, last 5 minutes: 30, 24 not shown" in text
    assert "oldest first: 25, 20 not shown" in text
    assert text.count("kh_") == 6 + 5


def test_empty():
    text = printed(document(live=[], keys=[], models=[]))
    assert "Keys, last 5 minutes: 0" in text


def test_clients_do_not_drive_the_terminal():
    evil = "\x1b[2J[red]x[/red]\n"
    text = printed(document(live=[request(path=evil, models=[evil], model="", endpoint=evil)]))
    assert "\x1b" not in text
    assert "\\x1b[2J[red]x[/red]\\n" in text


@given(st.integers(0, 200), st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_rows_are_shared(rows, wanted):
    shares = share_rows(rows, wanted)
    assert sum(shares) == min(rows, sum(wanted))
    assert all(share <= most for share, most in zip(shares, wanted, strict=True))
    short = [share for share, most in zip(shares, wanted, strict=True) if share < most]
    assert not short or max(shares) - min(short) <= 1  # nobody has many rows while another waits


@pytest.mark.parametrize(
    ("quota", "text"),
    [
        (None, ""),
        ({"remaining": None, "limit": 10}, ""),
        ({"remaining": 7, "limit": None}, "7"),
        ({"remaining": 0, "limit": 10}, "░░░░░░░░░░ 0/10"),
        ({"remaining": 1, "limit": 1_000}, "█░░░░░░░░░ 1/1000"),
        ({"remaining": 20, "limit": 10}, "██████████ 20/10"),
    ],
)
def test_quota_bars(quota, text):
    assert quota_bar(quota).plain == text


def test_numbers_for_people():
    assert [age(950), age(12_400), age(185_000)] == ["950 ms", "12.4 s", "3m05"]
    assert [size(900), size(12_390), size(3 << 20)] == ["900 B", "12.1 KiB", "3.0 MiB"]
    assert [percent(0), percent(0.0312), percent(1)] == ["0 %", "3.1 %", "100.0 %"]
    assert len(plain("x" * 100)) == 48
