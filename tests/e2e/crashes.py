"""``kill -9`` at random points while the management API is written to: what was acknowledged is there afterwards (P22).

    python -m tests.e2e.crashes --writes 10000

After every kill, with the process gone: the database is whole, every acknowledged change is in it, nothing that was
deleted is back, secrets open to the last acknowledged value, tokens match their hashes, and the audit chain holds to
its end with a line for each acknowledged change. The next start serves on.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from gateway.auth.tokens import Hasher
from gateway.clock import SystemClock
from gateway.control.bootstrap import open_installation
from gateway.control.maintenance import verify_audit
from gateway.control.view import open_secret
from gateway.secrets.master_key import KeySource
from gateway.store.db import AUDIT_FILE, DATABASE_FILE
from gateway.store.keys import GATEWAY_KEYS
from gateway.store.vaults import SECRETS
from tests.e2e.serving_process import ServingProcess, serving

CLIENTS: Final = 6
GONE: Final = "<gone>"
_STATES: Final = re.compile(rb'"operation_id":"(op_[0-9A-Za-z]+)"')


@dataclass
class Expected:
    """What has to be in the store. ``unsure``: what a change that was not answered may have left instead."""

    #: id → name of a key or value of a secret, or GONE
    states: dict[str, str] = field(default_factory=dict)
    unsure: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    operations: set[str] = field(default_factory=set)
    #: creations that were under way at a kill: rows that nobody was told of
    unanswered: int = 0
    acknowledged: int = 0

    def allows(self, row_id: str, found: str) -> bool:
        return found in (self.states[row_id], self.unsure.get(row_id, self.states[row_id]))


@dataclass
class Report:
    """Figures of a run."""

    writes: int = 0
    kills: int = 0
    unanswered_kept: int = 0
    checked_states: int = 0
    audit_lines: int = 0
    seconds: float = 0.0


class Client:
    """Changes one thing after another, always things of its own."""

    def __init__(
        self, session: aiohttp.ClientSession, expected: Expected, draw: random.Random, mine: list[str]
    ) -> None:
        self._session = session
        self._expected = expected
        self._draw = draw
        self._mine = mine

    async def run(self, stop: asyncio.Event) -> None:
        """Until the process is gone."""
        while not stop.is_set():
            try:
                await self._one()
            except aiohttp.ClientError:
                return

    async def _one(self) -> None:
        kind = self._draw.random()
        live = [row_id for row_id in self._mine if self._expected.states[row_id] != GONE]
        if kind < 0.5 or not live:
            await self._create()
            return
        row_id = self._draw.choice(live)
        path = f"/vault_secrets/{row_id}" if row_id.startswith("secret_") else f"/access-keys/{row_id}"
        if kind < 0.8:
            text = f"changed {self._draw.getrandbits(64):x}"
            body = {"value": text} if row_id.startswith("secret_") else {"name": text}
            await self._change("PATCH", path, row_id, text, body)
        else:
            await self._change("DELETE", path, row_id, GONE, None)

    async def _create(self) -> None:
        expected = self._expected
        text = f"made {self._draw.getrandbits(64):x}"
        secret = self._draw.random() < 0.4
        path = "/vault_secrets" if secret else "/access-keys"
        body = {"vault_name": "v", "name": text.replace(" ", "-"), "value": text} if secret else {"name": text}
        expected.unanswered += 1
        async with self._session.post(path, json=body) as answer:
            made = await answer.json()
            assert answer.status == 201, made
        expected.unanswered -= 1
        expected.states[made["id"]] = text
        self._mine.append(made["id"])
        if not secret:
            expected.tokens[made["id"]] = made["token"]
        self._acknowledge(answer)

    async def _change(self, method: str, path: str, row_id: str, text: str, body: Any) -> None:
        expected = self._expected
        expected.unsure[row_id] = text
        async with self._session.request(method, path, json=body) as answer:
            await answer.read()
            assert answer.status in (200, 204), await answer.text()
        expected.states[row_id] = text
        del expected.unsure[row_id]
        self._acknowledge(answer)

    def _acknowledge(self, answer: aiohttp.ClientResponse) -> None:
        self._expected.operations.add(answer.headers["x-operation-id"])
        self._expected.acknowledged += 1


async def crash(folder: Path, writes: int, *, per_life: int, seed: int | None = None) -> Report:
    """Lives and deaths until so many changes were acknowledged; AssertionError for the first thing that is wrong."""
    draw, expected, report, start = random.Random(seed), Expected(), Report(), time.monotonic()
    mine: list[list[str]] = [[] for _ in range(CLIENTS)]
    while expected.acknowledged < writes:
        async with serving(folder, "--listen", "127.0.0.1:0") as gateway:
            await _live(folder, gateway, draw, expected, mine, expected.acknowledged + draw.randint(1, 2 * per_life))
        report.kills += 1
        await asyncio.to_thread(check, folder / "data", expected, report)
    report.writes, report.seconds = expected.acknowledged, time.monotonic() - start
    return report


async def _live(
    folder: Path, gateway: ServingProcess, draw: random.Random, expected: Expected, mine: list[list[str]], until: int
) -> None:
    """One process: written to until it is killed in the middle of whatever it does."""
    admin = (await gateway.line(r"management listens on ([\d.:]+)"))[1]
    await gateway.url()
    token = (await asyncio.to_thread((folder / "data" / "admin-token").read_text)).strip()
    stop = asyncio.Event()
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"http://{admin}", headers=headers) as session:
        async with session.post("/vaults", json={"name": "v"}) as answer:
            assert answer.status in (201, 409)
        async with asyncio.TaskGroup() as group:
            for own in mine:
                group.create_task(Client(session, expected, random.Random(draw.random()), own).run(stop))
            while expected.acknowledged < until:  # noqa: ASYNC110 - what is waited for is a count
                await asyncio.sleep(0.001)
            await asyncio.sleep(draw.random() * 0.006)
            gateway.kill()
            stop.set()
    await gateway.exit_code()


def check(data_dir: Path, expected: Expected, report: Report) -> None:
    """The store of a process that is gone against what it had acknowledged."""
    with closing(sqlite3.connect(data_dir / DATABASE_FILE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    found, hashes = _stored(data_dir)
    for row_id in expected.states:
        state = found.pop(row_id, GONE)
        assert expected.allows(row_id, state), f"{row_id} is {state!r}, acknowledged {expected.states[row_id]!r}"
        # what the kill left open is settled now
        expected.states[row_id] = state
    expected.unsure.clear()
    assert len(found) <= report.unanswered_kept + expected.unanswered, "rows that nobody made"
    report.unanswered_kept, expected.unanswered = len(found), 0
    for row_id, (token_hash, of) in hashes.items():
        if row_id in expected.tokens:
            assert of(expected.tokens[row_id]) == token_hash
    audit = verify_audit(data_dir, KeySource(data_dir), SystemClock())
    assert audit.problem is None, audit.problem
    logged = {match[1].decode() for match in _STATES.finditer((data_dir / AUDIT_FILE).read_bytes())}
    assert expected.operations <= logged, "an acknowledged change has no audit line"
    report.checked_states += len(expected.states)
    report.audit_lines = audit.lines


def _stored(data_dir: Path) -> tuple[dict[str, str], dict[str, tuple[bytes, Any]]]:
    """Names and opened values by id; hashes of tokens with what makes them."""
    installation = open_installation(KeySource(data_dir), SystemClock())
    try:
        hasher = Hasher(installation.keys.pepper)
        keys = installation.store.read_now(GATEWAY_KEYS.all)
        secrets = installation.store.read_now(SECRETS.all)
        found = {row.id: row.name or "" for row in keys}
        found.update({row.id: open_secret(row, "v", installation.keys.box).value.reveal() for row in secrets})
        return found, {row.id: (row.digest, hasher.digest) for row in keys}
    finally:
        installation.store.close()


def main() -> int:
    """The full count by hand; 1 and what was wrong if anything was."""
    parser = argparse.ArgumentParser(description="Kills a process of its own while it is written to.")
    parser.add_argument("--writes", type=int, default=10_000, help="acknowledged changes (default: 10000)")
    parser.add_argument("--per-life", type=int, default=200, help="between two kills, on average (default: 200)")
    parser.add_argument("--seed", type=int, default=None, help="repeats what is written (default: random)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(crash(Path(folder), options.writes, per_life=options.per_life, seed=options.seed))
    print(
        f"{report.writes:,} acknowledged changes, {report.kills} kills, {report.seconds:.0f} s: nothing lost; "
        f"{report.unanswered_kept} creations without an answer were kept; {report.checked_states:,} states compared, "
        f"{report.audit_lines:,} audit lines hold"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
