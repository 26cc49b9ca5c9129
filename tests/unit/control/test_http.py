"""What reaches the management listener and is no HTTP."""

from __future__ import annotations

import asyncio
import logging

import orjson
import pytest

from tests.control_plane import running

CANARY = "ng-canary000000-a1-secretsecretsecretsecretsecretsecretsec"


async def exchanged(address: str, raw: bytes) -> bytes:
    """Everything that is answered until the connection closes."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "raw",
    [
        f"GET /vaults HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {CANARY}\x00\r\n\r\n",
        f"GET /vaults HTTP/1.1\r\nhost: localhost\r\n{CANARY}\x01: x\r\n\r\n",
        f"{CANARY}\r\n\r\n",
        f"GET /vaults?{CANARY} HTTP/9.9\r\nhost: localhost\r\n\r\n",
    ],
    ids=["header value", "header name", "no request line", "version"],
)
async def test_cp_107_an_unreadable_request_is_repeated_nowhere(tmp_path, caplog, raw):
    """CP-2, CP-5, CP-20: a refusal like any other; neither the answer nor the log holds what was sent."""
    with caplog.at_level(logging.DEBUG):
        async with running(tmp_path) as api:
            answer = await exchanged(str(api.server.listen), raw.encode())
            assert (await api.get("/healthz")).status == 200
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == b"400"
    assert b"cache-control: no-store" in head.lower()
    assert orjson.loads(body)["errorCode"] == "ERR_AIGW_BAD_REQUEST"
    assert CANARY.encode() not in answer
    assert CANARY not in caplog.text
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
