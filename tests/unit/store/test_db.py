"""The store's file, threads and failures (CP-10, CP-19, CP-108, P22, SV-24)."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gateway.clock import ManualClock
from gateway.store.audit import Head, verify
from gateway.store.db import AUDIT_HEAD, Store, StoreMismatchError, StoreOptions, StoreUnavailable, read_fact
from gateway.store.vaults import VAULTS, VaultRow


@pytest.fixture
def options(tmp_path):
    return StoreOptions(tmp_path / "state", busy_s=0.05)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(options, clock):
    store = Store.open(options, clock)
    yield store
    store.close()


def add_vault(name):
    def work(tx):
        now = tx.now_ms
        row = VaultRow(
            id=tx.new_id("vault_"), name=name, created_at=now, updated_at=now, created_by="system", updated_by="system"
        )
        VAULTS.insert(tx.db, row)
        tx.events.append({"event_type": "vault_created.v0", "object": name})
        tx.changed = True
        return row

    return work


def names(db):
    return [row.name for row in VAULTS.all(db)]


def test_cp_108_directory_and_files_are_the_owners_alone(store, options):
    store.write_now(add_vault("a"))
    assert options.data_dir.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in options.data_dir.iterdir()}
    assert set(modes) == {"gateway.db", "gateway.db-wal", "gateway.db-shm", "audit.log"}
    assert set(modes.values()) == {0o600}


def test_cp_108_a_newer_schema_refuses_to_start(options, clock):
    Store.open(options, clock).close()
    with sqlite3.connect(options.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreMismatchError, match="schema 99"):
        Store.open(options, clock)


async def test_a_write_that_raises_leaves_nothing_behind(store, options):
    def fails(tx):
        add_vault("half")(tx)
        raise LookupError("on purpose")

    with pytest.raises(LookupError):
        await store.write(fails)
    assert await store.read(names) == []
    assert not options.audit_path.exists()


async def test_cp_19_a_read_sees_every_finished_write(store):
    for number in range(20):
        await store.write(add_vault(f"v{number}"))
        assert len(await store.read(names)) == number + 1


def test_cp_10_ids_increase_across_restarts_and_a_clock_that_went_back(options):
    clock = ManualClock(now_s=2_000_000_000.0)
    ids: list[str] = []
    for _ in range(3):
        store = Store.open(options, clock)
        ids += [store.write_now(add_vault(f"{letter}{len(ids)}")).id for letter in "vw"]
        store.close()
        clock.advance(-1_000_000.0)
    assert ids == sorted(set(ids))
    assert {len(row_id) for row_id in ids} == {len("vault_") + 27}


async def test_sv_24_the_event_loop_runs_while_the_writer_waits_for_its_disk(store):
    entered, release = threading.Event(), threading.Event()

    def slow(tx):
        entered.set()
        release.wait(10)

    async with asyncio.TaskGroup() as group:
        writing = group.create_task(store.write(slow))
        await asyncio.to_thread(entered.wait, 10)
        assert await store.read(names) == [], "reads do not stand behind writes"
        assert not writing.done()
        release.set()


async def test_p22_a_full_disk_is_unavailable_and_heals(store):
    await store.write(add_vault("before"))

    def fill(tx):
        pages = tx.db.execute("PRAGMA page_count").fetchone()[0]
        tx.db.execute(f"PRAGMA max_page_count = {pages}")

    await store.write(fill)
    with pytest.raises(StoreUnavailable) as caught:
        await store.write(lambda tx: tx.set_fact("large", b"x" * 500_000))
    assert caught.value.trouble == "full"
    assert store.trouble == "full"
    assert await store.read(names) == ["before"], "reading goes on"
    await store.write(lambda tx: tx.db.execute("PRAGMA max_page_count = 1000000"))
    await store.write(add_vault("after"))
    assert store.trouble is None


async def test_p22_a_lock_held_by_another_process_is_unavailable_and_heals(store, options):
    other = sqlite3.connect(options.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.write(add_vault("a"))
    other.execute("ROLLBACK")
    other.close()
    await store.write(add_vault("a"))
    assert store.trouble is None


@pytest.mark.parametrize(("damage", "trouble"), [("garbage", "corrupt"), ("gone", "missing"), ("directory", "missing")])
async def test_p22_a_damaged_or_missing_file_is_unavailable_and_heals(store, options, damage, trouble):
    await store.write(add_vault("kept"))
    await store.read(lambda db: None)
    copy = options.path.with_suffix(".copy")
    with sqlite3.connect(options.path) as live, sqlite3.connect(copy) as backup:
        live.backup(backup)
        live.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    live.close()
    backup.close()
    away = options.path.with_suffix(".away")
    options.path.rename(away)
    if damage == "garbage":
        options.path.write_bytes(b"not a database" * 1_000)
    elif damage == "directory":
        options.path.mkdir()
    for attempt, work in ((store.write, add_vault("no")), (store.read, names)):
        with pytest.raises(StoreUnavailable) as caught:
            await attempt(work)
        assert caught.value.trouble == trouble
    assert damage != "gone" or not options.path.exists(), "no empty store is made in its place"
    if damage == "directory":
        options.path.rmdir()
    copy.replace(options.path)
    await store.write(add_vault("again"))
    assert await store.read(names) == ["kept", "again"]
    assert store.trouble is None


async def test_cp_116_a_change_whose_audit_line_cannot_be_written_fails(store, options):
    options.audit_path.mkdir()
    with pytest.raises(StoreUnavailable, match="audit log"):
        await store.write(add_vault("a"))
    assert await store.read(names) == []
    options.audit_path.rmdir()
    await store.write(add_vault("a"))
    assert verify(options.audit_path, await store.read(committed_head)).problem is None


async def test_closed_stores_say_so(store):
    await asyncio.to_thread(store.close)
    with pytest.raises(StoreUnavailable, match="busy"):
        await store.read(names)


def committed_head(db):
    return Head.unpack(read_fact(db, AUDIT_HEAD))


WRITER = """
import sys, pathlib
from gateway.clock import SystemClock
from gateway.store.db import Store, StoreOptions
sys.path.insert(0, sys.argv[2])
from test_db import add_vault
store = Store.open(StoreOptions(pathlib.Path(sys.argv[1])), SystemClock())
for number in range(100_000):
    store.write_now(add_vault(f"v{number}"))
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [1, 7, 40])
def test_cp_19_what_was_confirmed_survives_kill_9(options, clock, after):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(options.data_dir), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": os.environ["PATH"]},  # noqa: TID251
    )
    try:
        assert process.stdout is not None
        confirmed = -1
        while confirmed < after:
            confirmed = int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    # Not `communicate`: with a time limit it reads past what `readline` has already taken from the pipe.
    with process.stdout:
        confirmed += len(process.stdout.readlines())
    store = Store.open(options, clock)
    try:
        kept = store.read_now(names)
        assert set(kept) >= {f"v{number}" for number in range(confirmed + 1)}
        assert len(kept) <= confirmed + 2, "at most the one write that was under way"
        store.write_now(add_vault("afterwards"))
        report = verify(options.audit_path, store.read_now(committed_head))
        assert (report.problem, report.lines) == (None, len(kept) + 1)
    finally:
        store.close()


async def test_sv_24_trouble_with_the_audit_log_is_not_hidden_by_writes_without_events(store, options):
    """Usage goes on being written every half second; the audit log is still not there."""
    options.audit_path.mkdir()
    with pytest.raises(StoreUnavailable, match="audit log"):
        await store.write(lambda tx: tx.events.append({"event_id": "ev_1"}))
    await store.write(lambda tx: tx.set_fact("x", b"1"))
    assert store.trouble == "unable to write the audit log"
    with pytest.raises(StoreUnavailable, match="audit log"):
        await store.probe()
    options.audit_path.rmdir()
    await store.probe()
    assert store.trouble is None
    assert options.audit_path.stat().st_size == 0


@pytest.mark.parametrize(
    ("number", "trouble"), [(errno.ENOSPC, "full"), (errno.EFBIG, "full"), (errno.EROFS, "read-only")]
)
async def test_p22_a_full_disk_is_called_so_whoever_meets_it_first(store, monkeypatch, number, trouble):
    def refuse(events, head):
        raise OSError(number, "no")

    monkeypatch.setattr(store._audit, "append", refuse)
    with pytest.raises(StoreUnavailable, match=f"the store is {trouble}"):
        await store.write(lambda tx: tx.events.append({"event_id": "ev_1"}))
    assert store.trouble == trouble
