"""What recording one attempt costs, in CPU microseconds: on the event loop, and in the thread that writes the store.

    python -m tests.bench.bench_usage

Aims: ≤ 1 µs on the event loop, ≤ 8 µs in the writer. On a shared machine compare with the first line: rows of the same
ids and numbers in a table without an index, written in the same batches by ``executemany``. The last line has a gateway
key for each attempt, the worst case for the index by key.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from gateway.ai.accounting import Accounting
from gateway.ai.entities import KeySource
from gateway.ai.pricing import build_pricing
from gateway.ai.request import parse_request
from gateway.ai.surfaces import CHAT
from gateway.ai.usage import Usage
from gateway.auth.budgets import Ledger
from gateway.auth.usage import Unwritten, UsageQueue
from gateway.clock import SystemClock
from gateway.control.upkeep import Upkeep
from gateway.exchange import Attempt
from gateway.secrets.secret import Secret
from gateway.store.db import Store, StoreOptions

BATCH = 1_000
BATCHES = 8
ROUNDS = 12
PRICES = {"text": {"input": 0.15, "output": 0.6, "input_cache_read": 0.075}}
REQUEST = parse_request(CHAT, b'{"model":"gpt-4o-mini"}')


class Traffic:
    """Requests that are over: four models with two stored keys each, one answer in sixteen a failure."""

    def __init__(self, gateway_keys: int) -> None:
        self.gateway_keys = [f"aigk_{number:027}" for number in range(gateway_keys)]
        self.candidates = [self._candidate(number) for number in range(4)]
        self.keys = [
            SimpleNamespace(source=KeySource.ACCOUNT, stored_id=f"aigpk_{number:027}", value=Secret(f"sk-{number:040}"))
            for number in range(8)
        ]
        self.clock = SystemClock()
        self.number = 0

    @staticmethod
    def _candidate(number: int) -> SimpleNamespace:
        element = SimpleNamespace(display_name=f"Model {number}", pricing=build_pricing(PRICES))
        provider = SimpleNamespace(id="openai", display_name="OpenAI")
        return SimpleNamespace(provider=provider, element=element, name=f"gpt-4o-mini-{number}")

    def exchange(self) -> SimpleNamespace:
        self.number = number = self.number + 1
        now = self.clock.monotonic()
        attempt = Attempt(self.candidates[number % 4], self.keys[number % 8], now)
        attempt.sent = attempt.completed = now
        attempt.status = 200
        if number % 16:
            attempt.usage = usage = Usage()
            usage.input, usage.output, usage.cached, usage.reported = (
                100 + number % 991,
                number % 499,
                number % 64,
                True,
            )
            usage.stop_reason = "stop"
        else:
            attempt.status, attempt.kind = 429, "http"
        scattered = number * 0x9E3779B97F4A7C15 % 2**64
        call = SimpleNamespace(gateway_key_id=self.gateway_keys[scattered % len(self.gateway_keys)], request=REQUEST)
        request_id = f"req_{scattered:016x}"
        return SimpleNamespace(id=request_id, attempts=[attempt], client_gone=False, streaming=False, ai=call)

    def exchanges(self) -> list[SimpleNamespace]:
        return [self.exchange() for _ in range(BATCH)]


class Recorder:
    """The real way from the settler to the store."""

    def __init__(self, directory: Path, traffic: Traffic) -> None:
        self.traffic = traffic
        self.queue, ledger = UsageQueue(), Ledger(traffic.clock.now)
        self.accounting = Accounting(traffic.clock)
        self.accounting.connect(usage=self.queue, ledger=ledger)
        self.store = Store.open(StoreOptions(directory), traffic.clock)
        plane = SimpleNamespace(usage=self.queue, ledger=ledger, store=self.store, clock=traffic.clock)
        self.upkeep = Upkeep(plane, retention_s=1e6)  # type: ignore[arg-type]
        self.loop = asyncio.new_event_loop()

    def settle(self, exchanges: list[SimpleNamespace]) -> float:
        settle = self.accounting.settle
        start = time.process_time()
        for exchange in exchanges:
            settle(exchange)  # type: ignore[arg-type]
        return time.process_time() - start

    def write(self) -> float:
        start = time.process_time()
        assert self.loop.run_until_complete(self.upkeep.write_usage()) == BATCH
        return time.process_time() - start

    def columns(self) -> float:
        """The part of ``write`` that holds the interpreter's lock, but for binding."""
        notes, kinds = self.queue.waiting(), Unwritten()
        values: list[object] = []
        start = time.process_time()
        for note in notes:
            values += note.columns(0, kinds)
        return time.process_time() - start

    def close(self) -> None:
        self.store.close()
        self.loop.close()


def reference(directory: Path) -> Callable[[], float]:
    """A batch of rows with a text and eight numbers."""
    db = sqlite3.connect(directory / "reference.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE plain (a TEXT, b, c, d, e, f, g, h, i)")
    rows = [(f"req_{number:016x}", *range(number, number + 8)) for number in range(BATCH)]

    def run() -> float:
        start = time.process_time()
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.execute("COMMIT")
        return time.process_time() - start

    return run


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        recorders = {
            "one gateway key": Recorder(directory / "one", Traffic(1)),
            "50 gateway keys": Recorder(directory / "few", Traffic(50)),
            "a gateway key each": Recorder(directory / "many", Traffic(100_000)),
        }
        plain = reference(directory)
        costs: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            total: dict[str, float] = {}
            for _ in range(BATCHES):
                total["reference"] = total.get("reference", 0.0) + plain()
                for kind, recorder in recorders.items():
                    exchanges = recorder.traffic.exchanges()
                    steps = {"settle": recorder.settle(exchanges), "columns": recorder.columns()}
                    del exchanges
                    steps["write"] = recorder.write()
                    for step, spent in steps.items():
                        what = f"{kind}: {step}"
                        total[what] = total.get(what, 0.0) + spent
            for what, spent in total.items():
                costs.setdefault(what, []).append(spent / BATCHES / BATCH * 1e6)
        first = min(costs["reference"])
        for what, each in costs.items():
            print(f"{what:28} {min(each):6.2f} µs   {min(each) / first:5.2f} x")
        for recorder in recorders.values():
            recorder.close()


if __name__ == "__main__":
    main()
