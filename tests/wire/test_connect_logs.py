"""What ``log`` writes in ``on_tcp_connect`` (TP-425): one event, when the connection closes."""

from __future__ import annotations

import logging

import pytest

from tests.wire.running import RunningGateway, read_answer, request_bytes, settings_for
from tests.wire.serving import connect, until

LOGGING = """
on_tcp_connect:
  - type: log
    config: {{metadata: {{from: "${{conn.client_ip}}", number: 1}}}}
  - type: log
    config: {{metadata: {{second: [true]}}}}
{more}
on_http_request: [{{type: custom-response}}]
"""
EXPECTED = [{"metadata": {"from": "127.0.0.1", "number": 1}}, {"metadata": {"second": [True]}}]


def closings(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """The fields of every event of a closed connection."""
    return [
        getattr(record, "fields", {})
        for record in caplog.records
        if getattr(record, "event", "") == "tcp_connection_closed.v0"
    ]


async def test_the_event_comes_when_the_connection_closes_tp425(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with RunningGateway(settings_for(LOGGING.format(more=""))) as gateway:
        reader, writer = await connect(gateway)
        for _ in range(2):
            writer.write(request_bytes("/x", method="GET"))
            assert (await read_answer(reader))[0] == 200
        assert closings(caplog) == []
        writer.close()
        await until(lambda: closings(caplog))
        (event,) = closings(caplog)
        assert event["traffic_policy"] == {"logs": EXPECTED}
        assert event["client_ip"] == "127.0.0.1"
        assert event["endpoint"] == gateway.records[0].endpoint.id


async def test_refused_connections_are_logged_at_once_tp425(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with RunningGateway(settings_for(LOGGING.format(more="  - type: deny"))) as gateway:
        _, writer = await connect(gateway)
        await until(lambda: closings(caplog))
        writer.transport.abort()
        assert [event["traffic_policy"] for event in closings(caplog)] == [{"logs": EXPECTED}]


async def test_without_log_there_is_no_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    policy = (
        "on_tcp_connect: [{type: set-vars, config: {vars: [{a: 1}]}}]\non_http_request: [{type: custom-response}]\n"
    )
    async with RunningGateway(settings_for(policy)) as gateway:
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/x", method="GET"))
        assert (await read_answer(reader))[0] == 200
        writer.close()
        await until(lambda: not gateway.process.listeners[0].handler.connections)
        assert closings(caplog) == []
