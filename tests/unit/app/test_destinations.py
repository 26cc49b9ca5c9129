"""Events over real sockets: taken, retried, given up, never waited for (AG-332, CP-116)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from gateway.app.destinations import QUEUE_LIMIT, Destinations
from gateway.settings.model import EventDestination, EventsSettings

PATIENCE_S = 10.0


class Service:
    """An operator's service: answers as told, then with 204."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.headers: list[Any] = []
        self.asked = 0
        self.answers: list[web.Response | None] = []
        self.open = asyncio.Event()
        self.open.set()
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        await self.open.wait()
        answer = self.answers.pop(0) if self.answers else web.Response(status=204)
        if answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if answer.status < 300:
            self.events.append(await request.json())
            self.headers.append(dict(request.headers))
        return answer


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - conditions of many objects, none of which has an event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def listening() -> AsyncIterator[Service]:
    service = Service()
    application = web.Application()
    application.router.add_post("/secret-path", service.take)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}/secret-path"
    try:
        yield service
    finally:
        service.open.set()
        await runner.cleanup()


@asynccontextmanager
async def sending(*retry_s: float) -> AsyncIterator[Destinations]:
    async with asyncio.TaskGroup() as group:
        tasks = []
        destinations = Destinations(lambda work: tasks.append(group.create_task(work)), retry_s=retry_s)
        try:
            yield destinations
        finally:
            for task in tasks:
                task.cancel()
            await destinations.stop()


def to(*services: Service) -> EventsSettings:
    return EventsSettings(
        destinations=tuple(EventDestination(url=each.url, headers=(("x-token", "hidden"),)) for each in services)
    )


async def test_ag_332_every_destination_gets_every_event_in_order():
    async with listening() as first, listening() as second, sending() as destinations:
        for number in range(20):
            destinations.send({"event_id": number}, to(first, second))
        await until(lambda: len(first.events) == len(second.events) == 20)
        assert [event["event_id"] for event in first.events] == list(range(20))
        assert first.headers[0]["x-token"] == "hidden"
        assert first.headers[0]["Content-Type"] == "application/json"
        assert destinations.dropped == 0


@pytest.mark.parametrize("answer", [408, 425, 429, 500, 503, None])
async def test_trouble_that_may_pass_is_tried_again(answer):
    async with listening() as service, sending(0.01, 0.01, 0.01) as destinations:
        service.answers = [None if answer is None else web.Response(status=answer) for _ in range(3)]
        destinations.send({"event_id": 1}, to(service))
        destinations.send({"event_id": 2}, to(service))
        await until(lambda: len(service.events) == 2)
        assert [event["event_id"] for event in service.events] == [1, 2]
        assert destinations.dropped == 0


@pytest.mark.parametrize("answer", [400, 401, 404, 410, 302])
async def test_what_cannot_be_helped_is_given_up_at_once(answer, caplog):
    async with listening() as service, sending(5.0) as destinations:
        service.answers = [web.Response(status=answer, headers={"location": service.url})]
        with caplog.at_level(logging.WARNING):
            destinations.send({"event_id": 1}, to(service))
            destinations.send({"event_id": 2}, to(service))
            await until(lambda: service.events)
        assert [event["event_id"] for event in service.events] == [2]
        assert destinations.dropped == 1
        assert f"status {answer}" in caplog.text
        assert "secret-path" not in caplog.text


async def test_after_the_last_retry_the_next_event_has_its_turn():
    async with listening() as service, sending(0.01, 0.01) as destinations:
        service.answers = [web.Response(status=503) for _ in range(3)]
        destinations.send({"event_id": 1}, to(service))
        destinations.send({"event_id": 2}, to(service))
        await until(lambda: service.events)
        assert service.asked == 4
        assert (service.events[0]["event_id"], destinations.dropped) == (2, 1)


async def test_retry_after_is_waited_for():
    async with listening() as service, sending(600.0) as destinations:
        service.answers = [web.Response(status=429, headers={"retry-after": "0"})]
        destinations.send({"event_id": 1}, to(service))
        await until(lambda: service.events)  # not after ten minutes
        assert service.asked == 2


async def test_a_destination_that_hangs_holds_nobody_up_and_is_bounded(caplog):
    async with listening() as stuck, listening() as well, sending() as destinations:
        stuck.open.clear()
        for number in range(QUEUE_LIMIT + 50):
            destinations.send({"event_id": number}, to(stuck, well))
            if number % 100 == 0:
                await until(lambda: len(well.events) == number + 1)  # noqa: B023 - awaited within this turn
        await until(lambda: len(well.events) == QUEUE_LIMIT + 50)
        # one is on its way, the oldest made room
        assert destinations.dropped == 49
        assert caplog.text.count("are dropped") == 1


async def test_nobody_listens_and_the_name_means_nothing():
    async with sending(0.01) as destinations:
        settings = EventsSettings(
            destinations=(EventDestination(url="http://127.0.0.1:1/"), EventDestination(url="http://a..b/"))
        )
        destinations.send({"event_id": 1}, settings)
        await until(lambda: destinations.dropped == 2)


async def test_sv_20_a_reload_changes_the_destinations_and_keeps_counts():
    async with listening() as old, listening() as new, sending() as destinations:
        old.answers = [web.Response(status=400)]
        destinations.send({"event_id": 1}, to(old))
        destinations.send({"event_id": 2}, to(old))
        destinations.send({"event_id": 3}, to(new))
        await until(lambda: new.events and old.events and destinations.dropped)
        assert [event["event_id"] for event in old.events] == [2]
        assert [event["event_id"] for event in new.events] == [3]
        assert destinations.dropped == 1


async def test_without_destinations_nothing_is_opened():
    async with sending() as destinations:
        destinations.send({"event_id": 1}, EventsSettings())
        assert destinations._session is None
