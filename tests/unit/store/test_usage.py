"""Usage rows: windows, pages, days, retention (CP-50 to CP-52)."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.auth.usage import UsageEvent
from gateway.clock import ManualClock
from gateway.store.db import Store, StoreOptions
from gateway.store.ids import IdSource
from gateway.store.migrations import MIGRATIONS
from gateway.store.usage import (
    DAY_MS,
    ROWS_AT_ONCE,
    UsageQuery,
    UsageWriter,
    delete_older,
    overview,
    page_usage,
    spent,
)


def event(number, time, **more):
    values = {
        "request_id": "r", "access_key_id": "aigk_1", "provider": "openai", "provider_name": "OpenAI", "model": "m",
        "model_name": "M", "attempt": 1, "is_final": 1, "status": 200, "timed_out": 0, "is_error": 0,
        "is_streaming": 0, "stop_reason": "stop", "input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 0,
        "reasoning_tokens": 0, "cost": 100, "key_source": "user", "provider_key_id": None, "provider_key_name": None,
        "estimated": 0, "price_version": "",
    }  # fmt: skip
    return UsageEvent(event_time_ms=time, **{**values, **more}), number


def insert_usage(db, events):
    writer = UsageWriter(db)
    for start in range(0, len(events), ROWS_AT_ONCE):
        part = events[start : start + ROWS_AT_ONCE]
        writer.add([value for event, number in part for value in event.columns(number, writer)])


@pytest.fixture
def db():
    db = sqlite3.connect(":memory:", isolation_level=None)
    for step in MIGRATIONS:
        for statement in step:
            db.execute(statement)
    yield db
    db.close()


def ids(rows):
    return [row.number for row in rows]


def test_cp_50_windows_include_both_ends_and_pages_have_no_gap(db):
    insert_usage(db, [event(number, 100 + number // 3) for number in range(12)])
    seen, before = [], None
    while rows := page_usage(db, UsageQuery(start=101, end=103, limit=4, before=before)):
        seen += ids(rows)
        before = (rows[-1].event_time, rows[-1].number)
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


def kinds(db):
    return db.execute("SELECT day, model FROM usage_kinds ORDER BY day, model").fetchall()


def test_what_attempts_of_a_day_share_is_kept_once_and_goes_with_the_last_of_them(db):
    insert_usage(db, [event(number, number * DAY_MS // 4, model="ab"[number % 2]) for number in range(12)])
    insert_usage(db, [event(12, 2 * DAY_MS, model="b")])
    assert kinds(db) == [(day, model) for day in range(3) for model in "ab"]
    while delete_older(db, 2 * DAY_MS + 1):
        pass
    assert kinds(db) == [(2, "a"), (2, "b")]
    assert ids(page_usage(db, UsageQuery(start=0, end=9 * DAY_MS))) == [11, 10, 9]


def test_kinds_stay_as_long_as_older_events_wait_for_their_deletion(db, monkeypatch):
    monkeypatch.setattr("gateway.store.usage._DELETED_AT_ONCE", 2)
    insert_usage(db, [event(number, number) for number in range(5)])
    seen = []
    while delete_older(db, DAY_MS):
        seen.append(len(page_usage(db, UsageQuery(start=0, end=9))))
    assert (seen, kinds(db)) == ([3, 1, 0], [])


def test_cp_10_ids_of_events_follow_from_their_numbers(db):
    numbers = IdSource().reserve(3, 10**18), IdSource(10**18 + 2).reserve(1, 0)
    insert_usage(db, [event(number, 1) for number in range(numbers[0], numbers[0] + 3)] + [event(numbers[1], 1)])
    found = [row.id for row in page_usage(db, UsageQuery(start=0, end=9))]
    assert found == sorted(set(found), reverse=True)
    assert found == [row.id for row in page_usage(db, UsageQuery(start=0, end=9))]
    assert all(len(row_id) == 32 and row_id.startswith("aigu_") and row_id.isascii() for row_id in found)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_any_number_of_rows_is_written(db, count):
    insert_usage(db, [event(number, number, input_tokens=number) for number in range(count)])
    rows = page_usage(db, UsageQuery(start=0, end=count, limit=1_000))
    assert [(row.number, row.event_time, row.input_tokens) for row in rows] == [
        (number, number, number) for number in reversed(range(count))
    ]


def test_ag_288_a_batch_is_written_as_a_whole_or_not_at_all(tmp_path):
    """A statement that fails keeps what it has done: the transaction takes it back, kinds included."""
    store = Store.open(StoreOptions(tmp_path), ManualClock())
    good, bad = [event(number, number) for number in range(1, 70)], event(3, 3)
    with pytest.raises(sqlite3.IntegrityError):
        store.write_now(lambda tx: insert_usage(tx.db, [*good, bad]))
    assert store.read_now(lambda db: (page_usage(db, UsageQuery(start=0, end=99)), kinds(db))) == ([], [])
    store.write_now(lambda tx: insert_usage(tx.db, good))
    assert len(store.read_now(lambda db: page_usage(db, UsageQuery(start=0, end=99)))) == len(good)
    store.close()


def test_cp_108_events_of_older_stores_are_kept():
    db = sqlite3.connect(":memory:", isolation_level=None)
    for statement in (*MIGRATIONS[0], *MIGRATIONS[1]):
        db.execute(statement)
    source, old = IdSource(), []
    for time, stored in ((1, None), (2, "aigpk_1"), (DAY_MS, None)):
        values = {
            "id": source.draw("aigu_", 10**18), "event_time": time, "request_id": f"r{time}", "access_key_id": "aigk_1",
            "provider": "openai", "provider_name": "OpenAI", "model": "m", "model_name": "M", "attempt": 1,
            "is_final": 1, "status": 200, "timed_out": 0, "is_error": 0, "is_streaming": 0, "key_source": "user",
            "stop_reason": "stop", "input_tokens": 10, "output_tokens": 5, "cache_read_tokens": 4,
            "reasoning_tokens": 3, "cost": 100, "provider_key_id": stored,
            "provider_key_name": stored and "sk-***", "estimated": 0, "price_version": "input=1",
            "cache_write_tokens": 2,
        }  # fmt: skip
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        db.execute(f"INSERT INTO usage ({columns}) VALUES ({marks})", list(values.values()))
        old.append(values)
    for statement in MIGRATIONS[2]:
        db.execute(statement)
    rows = page_usage(db, UsageQuery(start=0, end=9 * DAY_MS))
    assert [row.id[:16] for row in rows] == [str(values["id"])[:16] for values in reversed(old)], "their times are kept"
    assert [row._asdict() | {"number": 0} for row in rows] == [
        {"number": 0, **{name: value for name, value in values.items() if name != "id"}} for values in reversed(old)
    ]
    assert kinds(db) == [(0, "m"), (0, "m"), (1, "m")]
    db.close()
