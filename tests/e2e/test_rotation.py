"""``gateway admin rotate-master-key`` that is killed in the middle (CP-106)."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import SystemClock
from gateway.control.bootstrap import open_installation
from gateway.control.view import open_secret, secret_place
from gateway.secrets.master_key import KeySource
from gateway.store.db import Transaction
from gateway.store.vaults import SECRETS, VAULTS, SecretRow, VaultRow
from tests.e2e.serving_process import PATIENCE_S, environment, run

SECRETS_COUNT = 4_000


def fill(data: Path) -> None:
    """Enough values for some transactions of the rotation."""
    installation = open_installation(KeySource(data), SystemClock())
    box = installation.keys.box

    def work(tx: Transaction) -> None:
        owned: dict[str, Any] = {"created_at": 1, "updated_at": 1, "created_by": "system", "updated_by": "system"}
        owned |= {"description": "", "metadata": ""}
        VAULTS.insert(tx.db, VaultRow(id="vault_1", name="v", **owned))
        for number in range(SECRETS_COUNT):
            row_id = tx.new_id("secret_")
            sealed = box.seal(f"value {number}".encode(), secret_place(row_id))
            row = SecretRow(id=row_id, vault_id="vault_1", name=f"s{number}", sealed=sealed, **owned)
            SECRETS.insert(tx.db, row)

    installation.store.write_now(work)
    installation.store.close()


def opened(data: Path) -> tuple[int, int]:
    """(values that open to what they were, keys they are sealed with)."""
    installation = open_installation(KeySource(data), SystemClock())
    try:
        rows = installation.store.read_now(SECRETS.all)
        right = sum(
            open_secret(row, "v", installation.keys.box).value.reveal() == f"value {row.name[1:]}" for row in rows
        )
        return right, len({row.sealed[1:9] for row in rows})
    finally:
        installation.store.close()


async def killed_after(data: Path, seconds: float) -> bool:
    """Whether the command was killed before it was done."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "admin", "rotate-master-key", "--data-dir", str(data), env=environment(),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.sleep(seconds)
        if process.returncode is None:
            process.kill()
        return await process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("seed", [1, 2])
async def test_cp_106_a_rotation_that_is_killed_loses_nothing_and_goes_on(tmp_path: Path, seed: int) -> None:
    """After every kill everything opens, whichever key it is under; the next run finishes what was begun."""
    data, draw = tmp_path / "data", random.Random(seed)
    await asyncio.to_thread(fill, data)
    old_key = await asyncio.to_thread((data / "master-key").read_bytes)
    kills = 0
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert (await run("admin", "rotate-master-key", "--data-dir", str(data)))[0] == 0
    whole_s = loop.time() - begin
    for _ in range(5):
        # in the second half: before that the program is only loaded
        kills += await killed_after(data, whole_s * (0.5 + draw.random() / 2))
        right, _ = await asyncio.to_thread(opened, data)
        assert right == SECRETS_COUNT
    assert kills > 0
    code, text = await run("admin", "rotate-master-key", "--data-dir", str(data))
    assert code == 0, text
    assert await asyncio.to_thread(opened, data) == (SECRETS_COUNT, 1)
    assert await asyncio.to_thread((data / "master-key").read_bytes) != old_key
    assert not await asyncio.to_thread((data / "master-key.next").exists)
    # the old key is done for
    await asyncio.to_thread((data / "master-key").write_bytes, old_key)
    code, text = await run("admin", "audit", "verify", "--data-dir", str(data))
    assert code == 1
    assert "does not open this store" in text
