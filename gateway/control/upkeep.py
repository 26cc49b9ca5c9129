"""What the management side does by itself: write usage and last uses, catch up with other processes, delete old events.

Started once, by the composition root: ``upkeep.run()`` in its task group; to end, ``stop()``, then ``await flush()``
before the store is closed. Cancelling instead may lose the batch that is being written. A store in trouble is tried
again at every turn; nothing is lost but what no longer fits the queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

from gateway.auth.usage import Noted
from gateway.control.plane import ControlPlane
from gateway.store.budgets import Spend, write_spends
from gateway.store.db import StoreUnavailable, Transaction
from gateway.store.keys import ADMIN_KEYS, GATEWAY_KEYS, write_last_used
from gateway.store.provider_keys import PROVIDER_KEYS
from gateway.store.usage import ROWS_AT_ONCE, UsageWriter, delete_older

TURN_S: Final = 0.5
LAST_USED_S: Final = 10.0
RETENTION_S: Final = 3_600.0
_BATCH: Final = 1_000

log = logging.getLogger("gateway.control")


class Upkeep:
    """The loop of one control plane."""

    def __init__(self, plane: ControlPlane, *, retention_s: float) -> None:
        self._plane = plane
        self._retention_ms = int(retention_s * 1_000)
        self._last_used_at = plane.clock.monotonic()
        self._retention_at = plane.clock.monotonic()
        self._troubled = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Until ``stop``; ends after the running round."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):
                    await self._stopping.wait()
            await self.turn()

    def stop(self) -> None:
        self._stopping.set()

    async def turn(self) -> None:
        """One round; trouble with the store is logged once, not raised."""
        try:
            await self._due()
        except StoreUnavailable as unavailable:
            if not self._troubled:
                log.warning("%s; traffic goes on, usage is kept in memory", unavailable)
            self._troubled = True
            return
        if self._troubled:
            log.warning("the store works again")
            self._troubled = False
        if self._plane.usage.losing:
            log.warning("%d usage events were dropped: the queue was full", self._plane.usage.take_dropped())

    async def flush(self) -> None:
        """Writes everything that is pending (SV-21). Raises StoreUnavailable."""
        while await self.write_usage():
            pass
        await self.write_last_used()

    async def write_usage(self) -> int:
        """One batch of events and the counters of budgets; how many events were written."""
        plane = self._plane
        events, counts = plane.usage.take(_BATCH), plane.ledger.take_changed()
        if not events and not counts:
            return 0

        def work(tx: Transaction) -> None:
            write_notes(tx, events)
            write_spends(
                tx.db,
                (
                    Spend(row_id, found.period_start, found.spent_usd, found.spent_tokens, found.alerted)
                    for row_id, found in counts
                ),
            )

        try:
            await plane.store.write(work, durable=False)
        except StoreUnavailable:
            plane.usage.put_back(events)
            plane.ledger.put_back(row_id for row_id, _ in counts)
            raise
        return len(events)

    async def write_last_used(self) -> None:
        """Last uses of keys (CP-67)."""
        used = self._plane.last_used.take()
        if not used:
            return

        def work(tx: Transaction) -> None:
            for table in (GATEWAY_KEYS, ADMIN_KEYS, PROVIDER_KEYS):
                write_last_used(tx.db, table.name, used)

        await self._plane.store.write(work, durable=False)
        self._plane.last_used.written(used)

    async def _due(self) -> None:
        plane, now = self._plane, self._plane.clock.monotonic()
        if plane.store.trouble is not None:
            # Nothing else may be due, and /readyz must not stay degraded for that.
            await plane.store.probe()
        await plane.refresh()
        while await self.write_usage() == _BATCH:
            pass
        if now - self._last_used_at >= LAST_USED_S:
            self._last_used_at = now
            await self.write_last_used()
        if now - self._retention_at >= RETENTION_S:
            self._retention_at = now
            await self.delete_old_usage()

    async def delete_old_usage(self) -> None:
        """Events past ``usage.retention`` (CP-51), a few thousand per transaction."""
        before = self._plane.now_ms() - self._retention_ms
        while await self._plane.store.write(lambda tx: delete_older(tx.db, before), durable=False):
            pass


def write_notes(tx: Transaction, notes: list[Noted]) -> None:
    """A part at a time: while a statement runs, the event loop has the interpreter."""
    usage, first = UsageWriter(tx.db), tx.new_numbers(len(notes))
    for start in range(0, len(notes), ROWS_AT_ONCE):
        values: list[Any] = []
        for number, note in enumerate(notes[start : start + ROWS_AT_ONCE], first + start):
            values += note.columns(number, usage)
        usage.add(values)
