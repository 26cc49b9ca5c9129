"""Writing usage, counters and last uses; what happens while the store is away (CP-51, CP-67, AG-288, P22)."""

from __future__ import annotations

import asyncio
import logging

import pytest

from gateway.auth.budgets import Reservation
from gateway.auth.usage import UsageQueue
from gateway.clock import ManualClock
from gateway.control.upkeep import Upkeep
from gateway.store.budgets import BUDGETS
from gateway.store.db import Store, StoreUnavailable
from tests.control_plane import running
from tests.unit.control.resources.test_usage import event


@pytest.fixture
async def api(tmp_path):
    async with running(tmp_path, clock=ManualClock(now_s=200 * 86_400.0)) as found:
        yield found


async def stored(api):
    return await api.plane.read(lambda db: db.execute("SELECT count(*) FROM usage").fetchone()[0])


async def test_ag_288_events_are_written_in_batches(api):
    for number in range(2_500):
        api.plane.usage.put(event(number))
    assert [await api.upkeep.write_usage() for _ in range(4)] == [1_000, 1_000, 500, 0]
    assert await stored(api) == 2_500


async def test_p22_nothing_is_lost_or_doubled_while_the_store_is_away(api, monkeypatch, caplog):
    budget = await api.created("/ext/budgets", {"scope": "account", "period": "total", "limitTokens": 10})
    write = Store.write

    async def refuse(*args, **options):
        raise StoreUnavailable("full")

    monkeypatch.setattr(Store, "write", refuse)
    with caplog.at_level(logging.WARNING, "gateway.control"):
        for number in range(5):
            api.plane.usage.put(event(number))
            reservation = api.plane.ledger.reserve("")
            assert isinstance(reservation, Reservation)
            api.plane.ledger.book(reservation, usd=1, tokens=1)
            await api.upkeep.turn()
        monkeypatch.setattr(Store, "write", write)
        await api.upkeep.turn()
    assert await stored(api) == 5
    assert [record.message for record in caplog.records] == [
        "the store is full; traffic goes on, usage is kept in memory", "the store works again",
    ]  # fmt: skip
    row = await api.plane.read(lambda db: BUDGETS.get(db, budget["id"]))
    assert (row.spent_usd, row.spent_tokens) == (5, 5)


async def test_ag_288_what_a_full_queue_drops_is_told(api, monkeypatch, caplog):
    """SV-24: /readyz says so until it is over; the log has the number once."""
    monkeypatch.setattr(api.plane, "usage", UsageQueue(3))
    write = Store.write

    async def refuse(*args, **options):
        raise StoreUnavailable("full")

    monkeypatch.setattr(Store, "write", refuse)
    for number in range(5):
        api.plane.usage.put(event(number))
    await api.upkeep.turn()
    shown = (await api.get("/readyz")).json
    assert (shown["status"], shown["usage"]) == ("degraded", "dropping")
    monkeypatch.setattr(Store, "write", write)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "gateway.control"):
        await api.upkeep.turn()
        await api.upkeep.turn()
    assert [record.message for record in caplog.records] == [
        "the store works again", "2 usage events were dropped: the queue was full",
    ]  # fmt: skip
    assert (await api.get("/readyz")).json["usage"] == "ok"
    assert (await stored(api), api.plane.usage.dropped) == (3, 2)


async def test_cp_57_counters_survive_a_restart(tmp_path):
    async with running(tmp_path / "s") as api:
        budget = await api.created("/ext/budgets", {"scope": "account", "period": "month", "limitTokens": 10})
        reservation = api.plane.ledger.reserve("")
        assert isinstance(reservation, Reservation)
        api.plane.ledger.book(reservation, usd=0, tokens=9)
        await api.upkeep.flush()
    async with running(tmp_path / "s") as api:
        shown = (await api.get(f"/ext/budgets/{budget['id']}")).json
        assert shown["spentTokens"] == 9
        reservation = api.plane.ledger.reserve("")
        assert isinstance(reservation, Reservation)
        api.plane.ledger.book(reservation, usd=0, tokens=1)
        assert [found["object"]["percent"] for found in api.data_plane.events] == [100], "80 was reported before"


async def test_cp_56_a_new_budget_counts_what_its_period_shows(api):
    now = api.plane.now_ms()
    for time_ms in (now - 86_400_000, now - 1_000):
        api.plane.usage.put(event(time_ms, cost=100, input_tokens=7, output_tokens=1))
    await api.upkeep.flush()
    day = await api.created("/ext/budgets", {"scope": "account", "period": "day", "limitUsd": "1"})
    total = await api.created("/ext/budgets", {"scope": "account", "period": "total", "limitUsd": "1"})
    await api.patch(f"/ext/budgets/{day['id']}", {"limitUsd": "2"})
    assert [(found["spentUsd"], found["spentTokens"]) for found in (await api.get("/ext/budgets")).json["budgets"]] == [
        ("0.00200", 16), ("0.00100" if now % 86_400_000 > 1_000 else "0.00000", 8 if now % 86_400_000 > 1_000 else 0),
    ]  # fmt: skip
    assert total["spentTokens"] == 16


async def test_cp_56_a_new_budget_counts_what_is_not_written_yet(api):
    now = api.plane.now_ms()
    for key_id, time_ms in (("aigk_1", now), ("", now), ("", now - 86_400_000)):
        api.plane.usage.put(event(time_ms, access_key_id=key_id, cost=100, input_tokens=7, output_tokens=1))
    made = await api.created("/access-keys", {})
    api.plane.usage.put(event(now, access_key_id=made["id"], cost=1, input_tokens=1, output_tokens=0))
    day = await api.created("/ext/budgets", {"scope": "account", "period": "day", "limitUsd": "1"})
    mine = {"scope": "accessKey", "accessKeyId": made["id"], "period": "total", "limitUsd": "1"}
    assert (day["spentUsd"], day["spentTokens"]) == ("0.00201", 17)
    assert (await api.created("/ext/budgets", mine))["spentTokens"] == 1


async def test_cp_67_last_uses_are_written_at_most_every_ten_seconds(api):
    made = await api.created("/access-keys", {})
    api.plane.last_used.touch(made["id"], 5_000)

    async def on_disk():
        return await api.plane.read(
            lambda db: db.execute("SELECT last_used FROM gateway_keys WHERE id = ?", (made["id"],)).fetchone()[0]
        )

    await api.upkeep.turn()
    assert await on_disk() is None
    api.plane.clock.advance(10)
    await api.upkeep.turn()
    assert await on_disk() == 5_000


async def test_cp_51_old_events_go_hourly(api):
    upkeep = Upkeep(api.plane, retention_s=90 * 86_400)
    now = api.plane.now_ms()
    for age_days in (91, 89):
        api.plane.usage.put(event(now - age_days * 86_400_000))
    await upkeep.turn()
    assert await stored(api) == 2
    api.plane.clock.advance(3_600)
    await upkeep.turn()
    assert await stored(api) == 1


async def test_sv_24_trouble_ends_without_other_writes(api, monkeypatch):
    api.plane.store._writer.trouble = "full"
    assert (await api.get("/readyz")).json["status"] == "degraded"
    await api.upkeep.turn()
    assert (await api.get("/readyz")).json["status"] == "ready"


async def test_the_loop_ends_after_its_round(api):
    api.plane.usage.put(event(1))
    async with asyncio.TaskGroup() as group:
        group.create_task(api.upkeep.run())
        await asyncio.sleep(0)
        api.upkeep.stop()
    assert await stored(api) == 1
