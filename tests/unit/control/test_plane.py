"""Changes: serialised, published in order, found again when nobody published them (CP-19, CP-66, P15)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.control.plane import SYSTEM_CALL
from gateway.control.view import View
from gateway.store.db import CHANGES
from gateway.store.keys import GATEWAY_KEYS


async def test_p15_views_are_published_in_the_order_of_commits(api):
    order: list[int] = []
    publish = api.data_plane.publish

    async def slow(view):
        # The first publication is the slowest: without one turn per change the later ones would pass it.
        await asyncio.sleep(0.02 / (1 + len(order)))
        order.append(view.version)
        await publish(view)

    api.data_plane.publish = slow
    await asyncio.gather(*(api.post("/access-keys", {"name": str(number)}) for number in range(8)))
    assert order == sorted(order)
    assert len(api.data_plane.view.access_keys) == 8


async def test_cp_19_the_answer_waits_for_the_publication(api):
    published = asyncio.Event()
    publish = api.data_plane.publish

    async def held(view):
        await published.wait()
        await publish(view)

    api.data_plane.publish = held
    async with asyncio.TaskGroup() as group:
        answer = group.create_task(api.post("/access-keys", {}))
        await asyncio.sleep(0.1)
        assert not answer.done()
        published.set()
    token = answer.result().json["token"]
    assert api.data_plane.view.access_keys.find(token) is not None


async def test_a_change_that_raises_changes_nothing(api):
    def work(change):
        GATEWAY_KEYS.delete(change.db, "x")
        change.audit("vault_created", {})
        change.effect(lambda view: replace(view, version=999))
        raise LookupError

    views = api.data_plane.views
    with pytest.raises(LookupError):
        await api.plane.change(SYSTEM_CALL, work)
    assert (api.data_plane.views, api.data_plane.events) == (views, [])


async def test_cp_89_changes_of_another_process_are_found(api):
    made = await api.created("/access-keys", {})

    def elsewhere(tx):
        GATEWAY_KEYS.delete(tx.db, made["id"])
        tx.changed = True

    assert await api.plane.refresh() is False
    await api.plane.store.write(elsewhere)
    assert api.data_plane.view.access_keys.find(made["token"]) is not None
    await api.upkeep.turn()
    assert api.data_plane.view.access_keys.find(made["token"]) is None


async def test_a_change_on_top_of_another_processes_sees_both(api):
    first = await api.created("/access-keys", {})

    def elsewhere(tx):
        GATEWAY_KEYS.delete(tx.db, first["id"])
        tx.changed = True

    await api.plane.store.write(elsewhere)
    second = await api.created("/access-keys", {})
    keys = api.data_plane.view.access_keys
    assert (keys.find(first["token"]), keys.find(second["token"]).id) == (None, second["id"])


async def test_a_view_counts_the_changes_of_the_store(api):
    await api.created("/vaults", {"name": "v"})
    stored = await api.plane.store.write(lambda tx: int(tx.fact(CHANGES) or 0))
    assert isinstance(api.data_plane.view, View)
    assert api.data_plane.view.version == stored


async def test_cp_116_an_event_never_holds_what_is_shown_once(api):
    def work(change):
        change.audit("vault_created", {"id": "x", "token": "t-secret", "value": "v-secret"})

    await api.plane.change(SYSTEM_CALL, work)
    assert api.data_plane.events[-1]["object"] == {"id": "x"}
