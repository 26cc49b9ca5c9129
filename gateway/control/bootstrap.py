"""Opening an installation: store, keys, view, budgets, the first admin key (CP-101, CP-105, CP-110).

Blocking, and only used before the event loop serves anything, or by commands.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.auth.budgets import Ledger
from gateway.auth.tokens import ADMIN_MARK, Hasher, Token, new_token, parse_token
from gateway.clock import Clock
from gateway.control.alerts import AlertSender
from gateway.control.plane import SYSTEM_CALL, Change, ControlPlane, Surroundings
from gateway.control.resources.admin_keys import add_admin_key
from gateway.control.resources.budgets import budget_of
from gateway.control.view import Publisher, load_view
from gateway.secrets.master_key import Keys, KeySource, StoreFacts, load_keys, pepper_check
from gateway.store.budgets import BUDGETS
from gateway.store.db import Store, StoreOptions, Transaction, read_fact
from gateway.store.keys import ADMIN_KEYS

ACCOUNT_ID: Final = "account_id"
MASTER_CHECK: Final = "master_key_check"
PEPPER_CHECK: Final = "pepper_check"
TOKEN_FILE: Final = "admin-token"  # noqa: S105 - a file name


class BootstrapError(Exception):
    """The given first admin key is not usable; start must fail."""


@dataclass(frozen=True, slots=True)
class Installation:
    """An opened store with the keys that fit it."""

    store: Store
    keys: Keys
    account_id: str
    data_dir: Path


def open_installation(source: KeySource, clock: Clock, *, busy_s: float = 2.0) -> Installation:
    """Opens or makes the installation; raises StoreMismatchError, StoreUnavailable or MasterKeyError."""
    store = Store.open(StoreOptions(source.data_dir, busy_s), clock)
    try:
        facts = store.read_now(lambda db: StoreFacts(read_fact(db, MASTER_CHECK), read_fact(db, PEPPER_CHECK)))
        keys = load_keys(source, facts)
        account_id = store.write_now(lambda tx: _settle(tx, keys))
    except BaseException:
        store.close()
        raise
    return Installation(store, keys, account_id, source.data_dir)


def build_plane(
    installation: Installation, clock: Clock, publisher: Publisher, surroundings: Surroundings
) -> ControlPlane:
    """The plane with everything loaded; not yet published."""
    hasher = Hasher(installation.keys.pepper)
    store = installation.store
    ledger = Ledger(clock.now, AlertSender(surroundings.emit, clock).send)
    for row in store.read_now(BUDGETS.all):
        ledger.put(*budget_of(row))
    return ControlPlane(
        store=store,
        box=installation.keys.box,
        hasher=hasher,
        clock=clock,
        publisher=publisher,
        surroundings=surroundings,
        account_id=installation.account_id,
        view=store.read_now(lambda db: load_view(db, hasher, installation.keys.box)),
        ledger=ledger,
    )


def ensure_admin_key(plane: ControlPlane, data_dir: Path, given: str | None) -> str | None:
    """Makes the first admin key if there is none; returns its token only if it was made here (CP-110).

    ``given`` is GATEWAY_BOOTSTRAP_API_KEY. A made token is also written to ``admin-token``, for its owner alone.
    """
    if plane.store.read_now(ADMIN_KEYS.count):
        return None
    token = parse_token(given) if given is not None else new_token(ADMIN_MARK)
    if token is None or token.mark != ADMIN_MARK:
        raise BootstrapError(
            "GATEWAY_BOOTSTRAP_API_KEY must have the form ng-<public>-a1-<secret> with at least 32 letters and digits"
        )
    if given is None:
        write_token(data_dir, token.text)
    make_admin_key(plane, token, "bootstrap")
    return token.text if given is None else None


def make_admin_key(plane: ControlPlane, token: Token, name: str) -> None:
    """An admin key by the server itself, in the plane's view at once."""

    def work(tx: Transaction) -> Change:
        change = Change(tx, SYSTEM_CALL, plane)
        add_admin_key(change, token, name=name)
        tx.changed = True
        return change

    plane.store.write_now(work)
    plane.view = plane.store.read_now(lambda db: load_view(db, plane.hasher, plane.box))


def write_token(data_dir: Path, text: str) -> None:
    """``admin-token``, mode 0600; replaces an older one."""
    path = data_dir / TOKEN_FILE
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")


def _settle(tx: Transaction, keys: Keys) -> str:
    """Facts of a first start; the account's id."""
    if tx.fact(MASTER_CHECK) is None:
        tx.set_fact(MASTER_CHECK, keys.box.check_value())
    if tx.fact(PEPPER_CHECK) is None:
        tx.set_fact(PEPPER_CHECK, pepper_check(keys.pepper))
    if tx.fact(ACCOUNT_ID) is None:
        tx.set_fact(ACCOUNT_ID, tx.new_id("ac_").encode())
    return (tx.fact(ACCOUNT_ID) or b"").decode()
