"""Local maintenance without the API: reset-key, rotate-master-key, backup, restore, audit verify (CP-89, CP-106).

Blocking; used by commands. What wants the gateway stopped takes the directory's lock first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.auth.tokens import ADMIN_MARK, Hasher, new_token, redact
from gateway.clock import Clock
from gateway.control.bootstrap import MASTER_CHECK, PEPPER_CHECK, Installation, open_installation
from gateway.control.plane import SYSTEM_CALL, envelope
from gateway.control.view import key_place, secret_place
from gateway.secrets.crypto import Place, SealBox
from gateway.secrets.master_key import (
    KeySource,
    MasterKeyError,
    StoreFacts,
    begin_rotation,
    finish_rotation,
    load_keys,
)
from gateway.store.audit import AuditReport, Head, verify
from gateway.store.backup import back_up, check_copy, put_back, read_copied_facts
from gateway.store.db import AUDIT_FILE, AUDIT_HEAD, Transaction, read_fact
from gateway.store.keys import ADMIN_KEYS, AdminKeyRow
from gateway.store.lock import DirectoryLock
from gateway.store.provider_keys import PROVIDER_KEYS
from gateway.store.vaults import SECRETS

_AT_ONCE: Final = 500


@contextmanager
def opened(source: KeySource, clock: Clock) -> Iterator[Installation]:
    """The installation, closed at the end."""
    installation = open_installation(source, clock)
    try:
        yield installation
    finally:
        installation.store.close()


@contextmanager
def stopped(data_dir: Path) -> Iterator[None]:
    """Nobody else uses the directory meanwhile; DirectoryInUseError if somebody does."""
    lock = DirectoryLock(data_dir)
    try:
        yield
    finally:
        lock.release()


def reset_key(source: KeySource, clock: Clock) -> str:
    """A new admin key; a running gateway knows it within a second."""
    with opened(source, clock) as installation:
        token = new_token(ADMIN_MARK)
        digest = Hasher(installation.keys.pepper).digest(token.text)

        def work(tx: Transaction) -> None:
            row = AdminKeyRow(
                id=tx.new_id("aigak_"),
                public=token.public,
                digest=digest,
                redacted=redact(token.text),
                name="reset-key",
                created_at=tx.now_ms,
                updated_at=tx.now_ms,
                created_by=SYSTEM_CALL.principal,
                updated_by=SYSTEM_CALL.principal,
            )
            ADMIN_KEYS.insert(tx.db, row)
            shown = {"id": row.id, "name": row.name, "keyRedacted": row.redacted}
            event = envelope(tx, SYSTEM_CALL, f"{AdminKeyRow.event_name}_created")
            tx.events.append({**event, "object": shown, "changed": []})
            tx.changed = True

        installation.store.write_now(work)
        return token.text


def rotate_master_key(source: KeySource, clock: Clock, new_value: str | None = None) -> int:
    """Seals every value under a new master key; gives their number. Interrupted, it goes on when called again (CP-106).

    ``new_value`` is base64, for installations whose key is given by value or file; else a new key file is made.
    """
    if new_value is None and source.value is not None:
        raise MasterKeyError("the master key comes from the environment: give the new one with --new-key-file")
    with stopped(source.data_dir), opened(source, clock) as installation:
        new_key = begin_rotation(source, new_value)
        box = installation.keys.box.under(new_key)
        count = sum(_reseal(installation, box, table, place) for table, place in _SEALED.items())
        installation.store.write_now(lambda tx: tx.set_fact(MASTER_CHECK, box.check_value()))
        if new_value is None:
            finish_rotation(source)
        return count


def verify_audit(data_dir: Path, source: KeySource, clock: Clock) -> AuditReport:
    """Follows the chain of the audit log to the store's head; the gateway may run."""
    with opened(source, clock) as installation:
        head = installation.store.read_now(lambda db: Head.unpack(read_fact(db, AUDIT_HEAD)))
        while True:
            report = verify(data_dir / AUDIT_FILE, head)
            before, head = head, installation.store.read_now(lambda db: Head.unpack(read_fact(db, AUDIT_HEAD)))
            # What a running gateway writes meanwhile is no problem.
            if report.problem is None or head == before:
                return report


def backup(data_dir: Path, target: Path) -> None:
    """A copy of the store; the gateway may run."""
    back_up(data_dir, target)


def restore(source: KeySource, copy: Path) -> None:
    """Puts a copy back; refused when it is damaged, or when the keys here do not open it."""
    with stopped(source.data_dir):
        check_copy(copy)
        facts = read_copied_facts(copy, (MASTER_CHECK, PEPPER_CHECK))
        load_keys(source, StoreFacts(facts[MASTER_CHECK], facts[PEPPER_CHECK]))
        put_back(copy, source.data_dir)


_SEALED: Final[dict[str, Callable[[str], Place]]] = {PROVIDER_KEYS.name: key_place, SECRETS.name: secret_place}


def _reseal(installation: Installation, box: SealBox, table: str, place: Callable[[str], Place]) -> int:
    """One table, in transactions of a few hundred values; skips what is done."""

    def some(tx: Transaction) -> list[Any]:
        select = f"SELECT id, sealed FROM {table} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - our own name
        rows = tx.db.execute(select, (after, _AT_ONCE)).fetchall()
        resealed = [(box.reseal(sealed, place(row_id)), row_id) for row_id, sealed in rows]
        update = f"UPDATE {table} SET sealed = coalesce(?, sealed) WHERE id = ?"  # noqa: S608 - our own name
        tx.db.executemany(update, resealed)
        return rows

    count, after = 0, ""
    while rows := installation.store.write_now(some):
        count += len(rows)
        after = rows[-1][0]
    return count
