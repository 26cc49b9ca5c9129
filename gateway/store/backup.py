"""Copies of a store: a consistent one while it is in use, and putting one back while it is not (CP-89, CP-108).

A copy holds the database and the audit log. The master key and the pepper are kept apart from it, on purpose.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.store.audit import Head
from gateway.store.db import AUDIT_FILE, AUDIT_HEAD, DATABASE_FILE, read_fact
from gateway.store.migrations import SCHEMA_VERSION

_SIDE_FILES: Final = ("-wal", "-shm")


class BackupError(Exception):
    """The copy cannot be made or used; nothing was changed."""


def back_up(data_dir: Path, target: Path) -> None:
    """Writes a copy into a new directory; the store may be in use."""
    if not (data_dir / DATABASE_FILE).exists():
        raise BackupError(f"there is no store in {data_dir}")
    try:
        target.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise BackupError(f"{target} exists already") from None
    copy = target / DATABASE_FILE
    _make_private(copy)
    source = sqlite3.connect(f"{(data_dir / DATABASE_FILE).absolute().as_uri()}?mode=ro", uri=True)
    database = sqlite3.connect(copy)
    try:
        source.backup(database)
        head = Head.unpack(read_fact(database, AUDIT_HEAD))
    finally:
        database.close()
        source.close()
    # Lines are only ever added, so those of the copied database are the first ones.
    _copy_start(data_dir / AUDIT_FILE, target / AUDIT_FILE, head.size)


def check_copy(source: Path) -> None:
    """Whether a copy is whole and of a version this program knows; BackupError if not."""
    path = source / DATABASE_FILE
    if not path.exists():
        raise BackupError(f"there is no copy of a store in {source}")
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        found = database.execute("PRAGMA integrity_check").fetchone()[0]
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{path} is damaged: {error}") from None
    finally:
        database.close()
    if found != "ok":
        raise BackupError(f"{path} is damaged: {found}")
    if not 0 < version <= SCHEMA_VERSION:
        raise BackupError(f"{path} has schema {version}; this program knows 1 to {SCHEMA_VERSION}")


def read_copied_facts(source: Path, names: Iterable[str]) -> dict[str, bytes | None]:
    """Facts of a copy, to see whether the keys here fit it."""
    database = sqlite3.connect(f"{(source / DATABASE_FILE).absolute().as_uri()}?mode=ro", uri=True)
    try:
        return {name: read_fact(database, name) for name in names}
    finally:
        database.close()


def put_back(source: Path, data_dir: Path) -> None:
    """Replaces the store of a stopped gateway by a copy that ``check_copy`` passed."""
    fresh = data_dir / f"{DATABASE_FILE}.restoring"
    _make_private(fresh)
    shutil.copyfile(source / DATABASE_FILE, fresh)
    for suffix in _SIDE_FILES:
        (data_dir / f"{DATABASE_FILE}{suffix}").unlink(missing_ok=True)
    fresh.replace(data_dir / DATABASE_FILE)
    log, copy = data_dir / AUDIT_FILE, source / AUDIT_FILE
    if log.exists():
        # What happened after the copy stays readable; it is no longer part of the chain.
        log.replace(log.with_name(f"{AUDIT_FILE}.replaced-{os.stat(log).st_mtime_ns}"))
    if copy.exists():
        _copy_start(copy, log, copy.stat().st_size)


def _make_private(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _copy_start(source: Path, target: Path, size: int) -> None:
    _make_private(target)
    if size and source.exists():
        with source.open("rb") as old, target.open("wb") as new:
            new.write(old.read(size))
            new.flush()
            os.fsync(new.fileno())
