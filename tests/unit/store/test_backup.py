"""Copies: consistent while the store is written, checked before they are put back (CP-108)."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest

from gateway.clock import ManualClock
from gateway.store.audit import Head, verify
from gateway.store.backup import BackupError, back_up, check_copy, put_back, read_copied_facts
from gateway.store.db import AUDIT_HEAD, Store, StoreOptions
from gateway.store.vaults import VAULTS, VaultRow


@pytest.fixture
def store(tmp_path):
    store = Store.open(StoreOptions(tmp_path / "state"), ManualClock())
    yield store
    store.close()


def add_vault(tx):
    row_id = tx.new_id("vault_")
    owned: dict[str, Any] = {"created_at": 0, "updated_at": 0, "created_by": "system", "updated_by": "system"}
    VAULTS.insert(tx.db, VaultRow(id=row_id, name=row_id, **owned))
    tx.events.append({"event_type": "vault_created.v0", "object": row_id})


def test_a_copy_is_consistent_while_others_write(store, tmp_path):
    stop = threading.Event()

    def write():
        while not stop.is_set():
            store.write_now(add_vault)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy{number}"
            back_up(tmp_path / "state", copy)
            check_copy(copy)
            head = Head.unpack(read_copied_facts(copy, [AUDIT_HEAD])[AUDIT_HEAD])
            assert verify(copy / "audit.log", head).problem is None
            database = sqlite3.connect(copy / "gateway.db")
            assert database.execute("SELECT count(*) FROM vaults").fetchone()[0] == head.seq
            database.close()
    finally:
        stop.set()
        writer.join()


def test_putting_back_keeps_the_newer_log_beside(store, tmp_path):
    store.write_now(add_vault)
    back_up(tmp_path / "state", tmp_path / "copy")
    store.write_now(add_vault)
    store.close()
    newer = (tmp_path / "state" / "audit.log").read_bytes()
    put_back(tmp_path / "copy", tmp_path / "state")
    again = Store.open(StoreOptions(tmp_path / "state"), ManualClock())
    try:
        assert again.read_now(lambda db: VAULTS.count(db)) == 1
        again.write_now(add_vault)
        head = again.read_now(lambda db: Head.unpack(bytes(db.execute(
            "SELECT value FROM facts WHERE name = ?", (AUDIT_HEAD,)).fetchone()[0])))  # fmt: skip
        assert verify(tmp_path / "state" / "audit.log", head).problem is None
    finally:
        again.close()
    [kept] = (tmp_path / "state").glob("audit.log.replaced-*")
    assert kept.read_bytes() == newer


@pytest.mark.parametrize("version", [0, 99])
def test_a_copy_of_another_version_is_refused(store, tmp_path, version):
    back_up(tmp_path / "state", tmp_path / "copy")
    database = sqlite3.connect(tmp_path / "copy" / "gateway.db")
    database.execute(f"PRAGMA user_version = {version}")
    database.close()
    with pytest.raises(BackupError, match=f"schema {version}"):
        check_copy(tmp_path / "copy")


def test_a_copy_with_a_damaged_page_is_refused(store, tmp_path):
    for _ in range(200):
        store.write_now(add_vault)
    back_up(tmp_path / "state", tmp_path / "copy")
    path = tmp_path / "copy" / "gateway.db"
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(BackupError, match="damaged"):
        check_copy(tmp_path / "copy")
