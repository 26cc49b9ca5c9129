"""What 100,000 gateway keys cost beside 10 (budget B10): the start, memory, a request, a change of one key.

    python -m tests.bench.bench_keys

Two real processes over stores of their own, asked in turn through one demo provider; CPU of the gateway process only.
Aims: start ≤ 2 s more, request cost ≤ 1.1 times, ≤ 400 bytes per key beside its strings.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from gateway.auth.tokens import GATEWAY_MARK, Hasher, new_token, redact
from gateway.clock import SystemClock
from gateway.control.bootstrap import open_installation
from gateway.demo.server import DemoProvider
from gateway.secrets.master_key import KeySource
from gateway.store.db import Transaction
from gateway.store.keys import GATEWAY_KEYS, GatewayKeyRow
from tests.e2e.serving_process import ServingProcess, serving
from tests.wire.running import ai_policy
from tests.wire.serving import CHAT_PATH, chat_body, provider_entry

FEW, MANY = 10, 100_000
ROUNDS, REQUESTS, CLIENTS = 9, 1_500, 8
CHANGES = 40
#: that ask, of those that there are: first as many on either side, then more than the table remembers
ASKING = 10, 3_000


def fill(data_dir: Path, count: int) -> list[str]:
    """A store with this many keys; the tokens of those that will ask."""
    installation = open_installation(KeySource(data_dir), SystemClock())
    hasher = Hasher(installation.keys.pepper)
    asking: list[str] = []

    def work(tx: Transaction) -> None:
        for _ in range(count):
            token = new_token(GATEWAY_MARK)
            row = GatewayKeyRow(
                id=tx.new_id("aigk_"), public=token.public, digest=hasher.digest(token.text),
                redacted=redact(token.text), created_at=tx.now_ms, updated_at=tx.now_ms, created_by="system",
                updated_by="system",
            )  # fmt: skip
            GATEWAY_KEYS.insert(tx.db, row)
            if len(asking) < max(ASKING):
                asking.append(token.text)

    installation.store.write_now(work)
    installation.store.close()
    return asking


class Side:
    """One gateway and what was measured of it."""

    def __init__(self, gateway: ServingProcess, folder: Path, tokens: Sequence[str], start_s: float) -> None:
        self.gateway = gateway
        self.folder = folder
        self.tokens = tokens
        self.start_s = start_s
        #: by the number of keys that asked
        self.cpu_us: dict[int, list[tuple[float, float]]] = {}
        self.change_ms: list[float] = []

    @property
    def pid(self) -> int:
        return self.gateway._process.pid

    def cpu_s(self) -> tuple[float, float]:
        """CPU time of the event loop's thread, and of the rest: mostly the writer of usage and last uses."""
        whole, loop = (
            sum(map(int, Path(f"/proc/{self.pid}/{place}").read_text().rpartition(")")[2].split()[11:13]))
            for place in ("stat", f"task/{self.pid}/stat")
        )
        ticks = os.sysconf("SC_CLK_TCK")
        return loop / ticks, (whole - loop) / ticks

    def memory_kib(self) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])


async def ask(side: Side, asking: int) -> None:
    """One round: the same number of requests, spread over this many tokens."""
    url, body = await side.gateway.url() + CHAT_PATH, chat_body()
    before = side.cpu_s()

    async def client(session: aiohttp.ClientSession, first: int) -> None:
        for number in range(first, REQUESTS, CLIENTS):
            token = side.tokens[number % min(asking, len(side.tokens))]
            # no two heads are the same: what is remembered of a head on its connection does not count here
            headers = {"authorization": f"Bearer {token}", "x-number": str(number)}
            async with session.post(url, data=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for first in range(CLIENTS):
            group.create_task(client(session, first))
    loop, rest = ((now - then) / REQUESTS * 1e6 for now, then in zip(side.cpu_s(), before, strict=True))
    side.cpu_us.setdefault(asking, []).append((loop, rest))


async def change(side: Side) -> None:
    """Making and deleting keys through the API: each is durable and effective with the answer."""
    admin = (await side.gateway.line(r"management listens on ([\d.:]+)"))[1]
    token = (side.folder / "data" / "admin-token").read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"http://{admin}", headers=headers) as session:
        for _ in range(CHANGES):
            start = time.perf_counter()
            async with session.post("/access-keys", json={}) as answer:
                made = await answer.json()
            async with session.delete(f"/access-keys/{made['id']}") as answer:
                assert answer.status == 204
            side.change_ms.append((time.perf_counter() - start) * 500)


async def measure(folder: Path) -> list[Side]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(DemoProvider())
        policy = folder / "policy.yaml"
        policy.write_text(ai_policy([provider_entry(provider.base_url, "demo-key")]))
        config = folder / "gateway.json"
        endpoint = {"name": "default", "listen": "127.0.0.1:0", "traffic_policy_file": str(policy)}
        config.write_text(json.dumps({"endpoints": [endpoint]}))
        sides = []
        for count in (FEW, MANY):
            place = folder / str(count)
            tokens = await asyncio.to_thread(fill, place / "data", count)
            start_s = await _start_s(place, config)
            gateway = await stack.enter_async_context(serving(place, "--config", str(config)))
            await gateway.url()
            sides.append(Side(gateway, place, tokens, start_s))
        memory = [side.memory_kib() for side in sides]
        print(f"memory after the start: {memory[0]:,} and {memory[1]:,} KiB;", end=" ")
        print(f"{(memory[1] - memory[0]) * 1_024 / (MANY - FEW):.0f} bytes per key, strings and hash included")
        for _ in range(ROUNDS):
            for asking in ASKING:
                for side in sides:
                    await ask(side, asking)
        for side in sides:
            await change(side)
    return sides


async def _start_s(place: Path, config: Path) -> float:
    """The best of some starts, until it listens."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        async with serving(place, "--config", str(config)) as gateway:
            await gateway.url()
            found.append(time.perf_counter() - start)
    return min(found)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        few, many = asyncio.run(measure(Path(folder)))
    print(f"start to listening: {few.start_s:.2f} s with {FEW} keys, {many.start_s:.2f} s with {MANY:,}")
    for asking in ASKING:
        for part, name in enumerate(("event loop", "other threads")):
            cost = [[found[part] for found in side.cpu_us[asking]] for side in (few, many)]
            least = [min(found) for found in cost]
            # of neighbouring rounds: whatever else the machine does hits both
            ratio = statistics.median(more / less for less, more in zip(*cost, strict=True) if less)
            print(f"{asking:>5,} keys ask, CPU of {name}: {least[0]:.0f} and {least[1]:.0f} µs, {ratio:.2f} times")
    changes = [statistics.median(side.change_ms) for side in (few, many)]
    print(f"a change of one key, until it is effective: {changes[0]:.1f} and {changes[1]:.1f} ms (median)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
