"""What the store's troubles do to a running program, and to one that starts (P22, SV-24, CP-105, CP-108).

Running: changes answer 503 and say why, requests with the keys that are loaded go on, the log has one line about it,
``/readyz`` says degraded, and all of it ends without a restart. Starting: status 2, one sentence, nothing overwritten.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import aiohttp
import pytest

from gateway.demo.server import DemoProvider
from gateway.store.db import AUDIT_FILE, DATABASE_FILE
from tests.control_plane import running
from tests.e2e.serving_process import run
from tests.e2e.test_cp_142 import ANY, Program, program

Harm = Callable[[Program, Path], AbstractAsyncContextManager[None]]
SIDES = ("", "-wal", "-shm")


@asynccontextmanager
async def full_disk(gateway: Program, data: Path) -> AsyncIterator[None]:
    """No file of the process may grow: what a full disk is to a writer."""
    pid = gateway.gateway._process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@asynccontextmanager
async def locked(gateway: Program, data: Path) -> AsyncIterator[None]:
    """Another program holds the database."""
    database = await asyncio.to_thread(
        sqlite3.connect, data / DATABASE_FILE, isolation_level=None, check_same_thread=False
    )
    await asyncio.to_thread(database.execute, "BEGIN IMMEDIATE")
    yield
    await asyncio.to_thread(database.close)


@asynccontextmanager
async def missing(gateway: Program, data: Path) -> AsyncIterator[None]:
    await asyncio.to_thread(move, data, "gateway.db", "away.db")
    yield
    await asyncio.to_thread(move, data, "away.db", "gateway.db")


@asynccontextmanager
async def corrupt(gateway: Program, data: Path) -> AsyncIterator[None]:
    """Something else lies where the database was."""
    await asyncio.to_thread(move, data, "gateway.db", "away.db")
    await asyncio.to_thread((data / "gateway.db").write_bytes, b"this is no database" * 1_000)
    yield
    await asyncio.to_thread(move, data, "away.db", "gateway.db")


@asynccontextmanager
async def audit_log_gone_bad(gateway: Program, data: Path) -> AsyncIterator[None]:
    """CP-116: a change that cannot be recorded is none."""
    log = data / AUDIT_FILE
    await asyncio.to_thread(log.rename, data / "away.log")
    await asyncio.to_thread(log.mkdir)
    yield
    await asyncio.to_thread(log.rmdir)
    await asyncio.to_thread((data / "away.log").rename, log)


def move(data: Path, old: str, new: str) -> None:
    for suffix in SIDES:
        if (data / (old + suffix)).exists():
            (data / (old + suffix)).replace(data / (new + suffix))


@pytest.mark.parametrize(
    ("harm", "trouble"),
    [
        (full_disk, "full"), (locked, "locked"), (missing, "missing"), (corrupt, "corrupt"),
        (audit_log_gone_bad, "unable to write the audit log"),
    ],
)  # fmt: skip
async def test_p22_the_store_in_trouble_stops_changes_and_nothing_else(
    tmp_path: Path, harm: Harm, trouble: str
) -> None:
    data = tmp_path / "data"
    async with DemoProvider() as provider, program(tmp_path, provider) as gateway, aiohttp.ClientSession() as session:
        key = (await gateway.made("/access-keys", {"name": "before"}))["token"]
        gone = await gateway.made("/access-keys", {})
        assert await gateway.chat(key, session) == 200
        at = len(gateway.gateway.lines)
        async with harm(gateway, data):
            for method, path in (
                ("POST", "/access-keys"),
                ("DELETE", f"/access-keys/{gone['id']}"),
                ("POST", "/vaults"),
            ):
                async with gateway.admin.request(method, path, json={"name": "during"}) as answer:
                    body = await answer.json()
                    assert (answer.status, answer.headers["retry-after"]) == (503, "1"), body
                    assert trouble in body["msg"]
                assert await gateway.chat(key, session) == 200
                # a change that was refused has not happened
                assert await gateway.chat(gone["token"], session) == 200
            status, ready = await gateway.call("GET", "/readyz")
            assert (status, ready["status"], ready["store"]) == (200, "degraded", trouble)
            assert (await gateway.call("GET", "/healthz"))[0] == 200
            await gateway.gateway.line(f"store is {trouble}.*traffic goes on", at)
        await gateway.gateway.line("the store works again", at)
        made = await gateway.made("/access-keys", {"name": "after"})
        assert await gateway.chat(made["token"], session) == 200
        assert (await gateway.call("GET", "/readyz"))[1]["status"] == "ready"
        names = [row.get("name") for row in (await gateway.call("GET", "/access-keys"))[1]["aiGatewayAccessKeys"]]
        assert names == ["after", None, "before"]
        assert sum("traffic goes on" in line for line in gateway.gateway.lines) == 1
        assert "Traceback" not in gateway.gateway.text
        code, text = await run("admin", "audit", "verify", "--data-dir", str(data))
        assert (code, text) == (0, "audit.log: 4 lines hold\n")


def no_database(data: Path) -> None:
    (data / DATABASE_FILE).write_bytes(b"this is no database" * 1_000)


def newer(data: Path) -> None:
    with closing(sqlite3.connect(data / DATABASE_FILE)) as database:
        database.execute("PRAGMA user_version = 99")
        database.commit()


def swapped(data: Path) -> None:
    """Sealed values of two rows in each other's place (CP-104)."""
    with closing(sqlite3.connect(data / DATABASE_FILE)) as database:
        (first, one), (second, other) = database.execute("SELECT id, sealed FROM secrets").fetchall()
        database.execute("UPDATE secrets SET sealed = ? WHERE id = ?", (other, first))
        database.execute("UPDATE secrets SET sealed = ? WHERE id = ?", (one, second))
        database.commit()


def a_directory(data: Path) -> None:
    for suffix in SIDES:
        (data / (DATABASE_FILE + suffix)).unlink(missing_ok=True)
    (data / DATABASE_FILE).mkdir()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (no_database, "the store is corrupt"), (newer, "the store has schema 99"), (swapped, "is damaged or was moved"),
        (a_directory, "Is a directory"),
    ],
)  # fmt: skip
async def test_p22_a_store_that_cannot_be_used_refuses_to_start(
    tmp_path: Path, harm: Callable[[Path], None], words: str
) -> None:
    data = tmp_path / "data"
    async with running(data) as api:
        await api.created("/vaults", {"name": "v"})
        for name in ("one", "two"):
            await api.created("/vault_secrets", {"vault_name": "v", "name": name, "value": f"canary-{name}"})
    await asyncio.to_thread(checkpoint, data)
    await asyncio.to_thread(harm, data)
    before = await asyncio.to_thread(contents, data)
    code, text = await run("serve", "--listen", ANY, "--admin-listen", ANY, "--data-dir", str(data))
    assert code == 2
    assert words in text
    assert "Traceback" not in text
    assert "canary" not in text
    assert await asyncio.to_thread(contents, data) == before


def checkpoint(data: Path) -> None:
    """Everything in one file, as after a clean stop."""
    with closing(sqlite3.connect(data / DATABASE_FILE)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def contents(data: Path) -> dict[str, bytes]:
    """The files that matter; a start makes and removes others beside them."""
    kept = (path for path in data.iterdir() if path.is_file() and not path.name.endswith((".lock", "-wal", "-shm")))
    return {path.name: path.read_bytes() for path in kept}
