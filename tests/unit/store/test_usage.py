"""Usage rows: windows, pages, days, retention (CP-50 to CP-52)."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.store.migrations import MIGRATIONS
from gateway.store.usage import DAY_MS, UsageQuery, UsageRow, delete_older, insert_usage, overview, page_usage, spent


def event(number, time, **more):
    values = {
        "request_id": "r", "access_key_id": "aigk_1", "provider": "openai", "provider_name": "OpenAI", "model": "m",
        "model_name": "M", "attempt": 1, "is_final": 1, "status": 200, "timed_out": 0, "is_error": 0,
        "is_streaming": 0, "stop_reason": "stop", "input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 0,
        "reasoning_tokens": 0, "cost": 100, "key_source": "user", "provider_key_id": None, "provider_key_name": None,
        "estimated": 0, "price_version": "",
    }  # fmt: skip
    return UsageRow(id=f"aigu_{number:03}", event_time=time, **{**values, **more})


@pytest.fixture
def db():
    db = sqlite3.connect(":memory:", isolation_level=None)
    for step in MIGRATIONS:
        for statement in step:
            db.execute(statement)
    yield db
    db.close()


def ids(rows):
    return [int(row.id[5:]) for row in rows]


def test_cp_50_windows_include_both_ends_and_pages_have_no_gap(db):
    insert_usage(db, [event(number, 100 + number // 3) for number in range(12)])
    seen, before = [], None
    while rows := page_usage(db, UsageQuery(start=101, end=103, limit=4, before=before)):
        seen += ids(rows)
        before = (rows[-1].event_time, rows[-1].id)
    assert seen == [11, 10, 9, 8, 7, 6, 5, 4, 3]


def test_cp_50_filters(db):
    insert_usage(db, [event(1, 1), event(2, 2, is_final=0), event(3, 3, access_key_id="")])
    assert ids(page_usage(db, UsageQuery(start=0, end=9))) == [3, 1]
    assert ids(page_usage(db, UsageQuery(start=0, end=9, final_only=False))) == [3, 2, 1]
    assert ids(page_usage(db, UsageQuery(start=0, end=9, access_key_id=""))) == [3]


def test_cp_52_days_count_what_lies_in_the_window(db):
    insert_usage(
        db,
        [
            event(1, DAY_MS - 1, cost=1),
            event(2, DAY_MS, cost=2, is_error=1),
            event(3, DAY_MS + 5, cost=4, is_final=0, is_error=1),
            event(4, 2 * DAY_MS, cost=8, provider="anthropic", access_key_id=""),
            event(5, 2 * DAY_MS + 1, cost=16),
        ],
    )
    assert overview(db, DAY_MS, 2 * DAY_MS + 1, "provider") == [
        (DAY_MS, "openai", 6, 1, 1),
        (2 * DAY_MS, "anthropic", 8, 1, 0),
        (2 * DAY_MS, "openai", 16, 1, 0),
    ]
    assert [bucket.group for bucket in overview(db, 0, 9 * DAY_MS, "accessKey")] == ["aigk_1", "aigk_1", "", "aigk_1"]


def test_cp_56_spent_since(db):
    insert_usage(db, [event(1, 1), event(2, 2, access_key_id="aigk_2"), event(3, 3, is_final=0)])
    assert spent(db, 2, None) == (200, 30)
    assert spent(db, 0, "aigk_2") == (100, 15)
    assert spent(db, 9, None) == (0, 0)


def test_cp_51_retention_deletes_only_what_is_older(db):
    insert_usage(db, [event(number, number) for number in range(6)])
    assert delete_older(db, 4) == 4
    assert ids(page_usage(db, UsageQuery(start=0, end=9))) == [5, 4]
