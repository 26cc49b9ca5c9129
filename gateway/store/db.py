"""The store: one SQLite file, one writer thread, one reader thread, an async face (CP-19, CP-108).

Invariants
    1. A write is one transaction: the change, its ids, its audit lines. It is durable when its future is done.
    2. No statement runs on the event loop's thread.
    3. Trouble with the disk is a StoreUnavailable, never another answer; the next call tries again from scratch, so a
       disk that was emptied, a lock that was dropped or a file that was restored needs no restart (P22, SV-24).
    4. A missing file is never replaced by an empty one once the store was open.

Facts are single values: check values, the audit head, the highest id, the change counter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from gateway.clock import Clock
from gateway.store.audit import AuditFile, Head
from gateway.store.ids import IdSource
from gateway.store.lane import Lane, LaneFullError
from gateway.store.migrations import MIGRATIONS, SCHEMA_VERSION

Result = TypeVar("Result")

DATABASE_FILE: Final = "gateway.db"
AUDIT_FILE: Final = "audit.log"
HIGHEST_ID: Final = "highest_id"
CHANGES: Final = "changes"
AUDIT_HEAD: Final = "audit_head"
PROBE: Final = "probe"
_CLOSE_S: Final = 10.0

#: primary SQLite result code → what the operator reads in /readyz
_TROUBLE: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_READONLY: "read-only",
    sqlite3.SQLITE_IOERR: "failing",
    sqlite3.SQLITE_CANTOPEN: "missing",
    sqlite3.SQLITE_NOMEM: "out of memory",
}
#: the same for what the system says of the audit log
_DISK_TROUBLE: Final[Mapping[int, str]] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EROFS: "read-only",
    errno.EIO: "failing",
}
#: after these the connection itself is fine
_TRANSIENT: Final = frozenset({"full", "locked"})


class StoreUnavailable(Exception):  # noqa: N818 - what callers catch reads as what happened
    """The store cannot answer now. ``trouble``: one word of the table above, ``busy``, ``closed`` or ``audit log``."""

    def __init__(self, trouble: str) -> None:
        super().__init__(f"the store is {trouble}")
        self.trouble = trouble


class StoreMismatchError(Exception):
    """The file is no store of this version; start must fail."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """``busy_s``: how long a lock of another process is waited for."""

    data_dir: Path
    busy_s: float = 2.0

    @property
    def path(self) -> Path:
        return self.data_dir / DATABASE_FILE

    @property
    def audit_path(self) -> Path:
        return self.data_dir / AUDIT_FILE


class Transaction:
    """What a write may do beside statements on ``db``: draw ids, add audit events, say that published state changed."""

    __slots__ = ("_drawn", "_ids", "_now", "changed", "db", "events")

    def __init__(self, db: sqlite3.Connection, ids: IdSource, now_s: float) -> None:
        self.db = db
        self.events: list[Mapping[str, Any]] = []
        #: whether other processes and the data plane must notice
        self.changed = False
        self._ids = ids
        self._drawn = False
        self._now = now_s

    @property
    def highest_id(self) -> int | None:
        """The highest id time used here; None if no id was drawn."""
        return self._ids.last if self._drawn else None

    @property
    def now_ms(self) -> int:
        return int(self._now * 1_000)

    def new_id(self, prefix: str) -> str:
        self._drawn = True
        return self._ids.draw(prefix, int(self._now * 1e9))

    def new_numbers(self, count: int) -> int:
        """The first of so many numbers in a row, for rows that are kept by number (``ids.derived_id``)."""
        self._drawn = True
        return self._ids.reserve(count, int(self._now * 1e9))

    def fact(self, name: str) -> bytes | None:
        return read_fact(self.db, name)

    def set_fact(self, name: str, value: bytes) -> None:
        self.db.execute(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
        )


class Store:
    """Open with ``Store.open``; close when done."""

    def __init__(self, options: StoreOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._audit = AuditFile(options.audit_path)
        #: kept apart from the writer's: writes without events go on and must not hide it
        self._audit_trouble: str | None = None
        self._writer = _Side(options)
        self._reader = _Side(options, query_only=True)
        self._write_lane = Lane("store-writer")
        self._read_lane = Lane("store-reader")

    @classmethod
    def open(cls, options: StoreOptions, clock: Clock) -> Self:
        """Makes the directory and file if they are missing and brings the schema up to date; blocking, for start-up.

        Raises StoreMismatchError when the file is newer than this program, StoreUnavailable when it cannot be used.
        """
        options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(options.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        store = cls(options, clock)
        try:
            store._write_lane.submit(lambda: store._writer.guarded(_migrate)).result()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def trouble(self) -> str | None:
        """Why the last write or read failed; None if it did not."""
        return self._writer.trouble or self._reader.trouble or self._audit_trouble

    async def write(self, work: Callable[[Transaction], Result], *, durable: bool = True) -> Result:
        """Runs ``work`` in a transaction; rolled back if it raises. Not durable: a power cut may lose it (AG-288)."""
        try:
            return await self._write_lane.run(lambda: self._transact(work, durable))
        except LaneFullError:
            raise StoreUnavailable("busy") from None

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Runs ``work`` on one consistent view that holds every write whose future is done."""
        try:
            return await self._read_lane.run(lambda: self._reader.guarded(lambda db: _viewed(db, work)))
        except LaneFullError:
            raise StoreUnavailable("busy") from None

    async def probe(self) -> None:
        """Writes to the database and to the audit log and takes it back; raises StoreUnavailable as a change would."""

        def work(tx: Transaction) -> None:
            tx.set_fact(PROBE, str(tx.now_ms).encode())
            self._recorded(self._audit.probe)

        await self.write(work)

    def write_now(self, work: Callable[[Transaction], Result]) -> Result:
        """``write`` for commands without an event loop; blocks."""
        return self._write_lane.submit(lambda: self._transact(work, True)).result()

    def read_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """``read`` for commands without an event loop; blocks."""
        return self._read_lane.submit(lambda: self._reader.guarded(lambda db: _viewed(db, work))).result()

    def close(self) -> None:
        """Finishes queued work and closes the file; blocks for at most a few seconds."""
        self._read_lane.close(self._reader.close, timeout_s=_CLOSE_S)
        self._write_lane.close(self._writer.close, timeout_s=_CLOSE_S)

    def _transact(self, work: Callable[[Transaction], Result], durable: bool) -> Result:
        def run(db: sqlite3.Connection) -> Result:
            db.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            db.execute("BEGIN IMMEDIATE")
            # Read inside the transaction: a maintenance command may have written meanwhile.
            head = Head.unpack(read_fact(db, AUDIT_HEAD))
            tx = Transaction(db, IdSource(int(read_fact(db, HIGHEST_ID) or 0)), self._clock.now())
            try:
                result = work(tx)
                self._finish(tx, head)
                db.execute("COMMIT")
            except BaseException:
                self._undo(db, tx, head)
                raise
            return result

        return self._writer.guarded(run)

    def _finish(self, tx: Transaction, head: Head) -> None:
        if tx.highest_id is not None:
            tx.set_fact(HIGHEST_ID, str(tx.highest_id).encode())
        if tx.changed:
            tx.set_fact(CHANGES, str(int(tx.fact(CHANGES) or 0) + 1).encode())
        if tx.events:
            tx.set_fact(AUDIT_HEAD, self._recorded(lambda: self._audit.append(tx.events, head)).pack())

    def _recorded(self, work: Callable[[], Result]) -> Result:
        """Work on the audit log; what the disk says of it becomes StoreUnavailable."""
        try:
            result = work()
        except OSError as error:
            self._audit_trouble = _DISK_TROUBLE.get(error.errno or 0, "unable to write the audit log")
            raise StoreUnavailable(self._audit_trouble) from None
        self._audit_trouble = None
        return result

    def _undo(self, db: sqlite3.Connection, tx: Transaction, head: Head) -> None:
        if tx.events:
            # Failing that, the next append cuts what lies beyond the head.
            with contextlib.suppress(OSError):
                self._audit.cut(head)
        if db.in_transaction:
            db.execute("ROLLBACK")


class _Side:
    """One connection, used by one thread; reopened after trouble."""

    def __init__(self, options: StoreOptions, *, query_only: bool = False) -> None:
        self.trouble: str | None = None
        self._options = options
        self._query_only = query_only
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def guarded(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Runs ``work`` on an open connection; trouble with the file becomes StoreUnavailable."""
        try:
            result = work(self._connection())
        except sqlite3.Error as error:
            trouble = _TROUBLE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
            if trouble is None:
                raise
            self._failed(trouble)
            raise StoreUnavailable(trouble) from error
        except StoreUnavailable as error:
            self._failed(error.trouble)
            raise
        self.trouble = None
        return result

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _failed(self, trouble: str) -> None:
        self.trouble = trouble
        if trouble not in _TRANSIENT:
            try:
                self.close()
            except sqlite3.Error:
                self._db = None

    def _connection(self) -> sqlite3.Connection:
        try:
            status = self._options.path.stat()
        except OSError:
            raise StoreUnavailable("missing") from None
        if self._db is not None and self._file != (status.st_dev, status.st_ino):
            # The file was replaced: what we hold open is a file without a name.
            self.close()
        if self._db is None:
            self._db = self._connect()
            self._file = (status.st_dev, status.st_ino)
        return self._db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{self._options.path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=self._options.busy_s,
        )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        # Freed pages are overwritten: a deleted key's ciphertext does not linger.
        db.execute("PRAGMA secure_delete = ON")
        db.execute("PRAGMA trusted_schema = OFF")
        if self._query_only:
            db.execute("PRAGMA query_only = ON")
        return db


def read_fact(db: sqlite3.Connection, name: str) -> bytes | None:
    """One fact; None if it was never set."""
    row = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return bytes(row[0]) if row else None


def _viewed(db: sqlite3.Connection, work: Callable[[sqlite3.Connection], Result]) -> Result:
    db.execute("BEGIN")
    try:
        return work(db)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _migrate(db: sqlite3.Connection) -> None:
    """All missing steps in one transaction (CP-108)."""
    db.execute("BEGIN IMMEDIATE")
    try:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StoreMismatchError(
                f"the store has schema {version}, this program knows {SCHEMA_VERSION}: use a newer one"
            )
        for step in MIGRATIONS[version:]:
            for statement in step:
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
