"""Every fault of the demo provider with a single key, in both dialects, streamed and not: what the client gets.

The table is the demo provider's own list; a fault that is missing here fails the test. Each cell is

    ok                  a complete answer: status 200, its end mark (or complete JSON), nothing of an error
    cut                 a stream whose last event is the gateway's error event, without end mark (AG-172)
    unmarked            a stream with a finish reason whose provider leaves out the end mark: as it came (AG-260)
    theirs              a stream that ends with the provider's own error event (AG-173)
    aborted             the connection breaks in the middle of a body that is no stream (AG-172)
    307                 relayed (AG-158)
    status code         the gateway's error (AG-176)
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from gateway.demo.faults import FAULTS
from tests.wire.serving import CHAT_PATH, MESSAGES_PATH, chat_body, serving

OK, CUT, UNMARKED, THEIRS, MOVED = "ok", "cut", "unmarked", "theirs", "307"
ALL_FAILED, UNREACHABLE, TIMED_OUT = "503 ERR_NGROK_3807", "502 ERR_NGROK_3800", "504 ERR_NGROK_3810"
CALLER, LIMITED = "400 ERR_NGROK_3807", "429 ERR_NGROK_3807"

#: fault with its argument → (not streamed, streamed); where the dialects differ: four cells, chat first
TABLE: dict[str, tuple[str, ...]] = {
    "fast": (OK, OK),
    "slow": (OK, OK),
    "long": (OK, OK),
    "late-100ms": (OK, OK),
    "late-token-100ms": (OK, OK),
    "big-1MiB": (OK, OK),
    "tools": (OK, OK),
    "think": (OK, OK),
    "unicode": (OK, OK),
    "content-filter-finish": (OK, OK),
    "no-usage": (OK, OK),
    "500": (ALL_FAILED, ALL_FAILED),
    "context-length": (CALLER, CALLER),
    "content-filter": (CALLER, CALLER),
    "insufficient-quota": (LIMITED, LIMITED),
    "overloaded": (ALL_FAILED, ALL_FAILED),
    "echo-key": (ALL_FAILED, ALL_FAILED),
    "retry-after-3": (OK, OK),
    "retry-after-ms-3": (OK, OK),
    "retry-after-date-3": (OK, OK),
    "html": (OK, OK),
    "500-html": (ALL_FAILED, ALL_FAILED),
    "numeric-code": (OK, OK),
    "500-numeric-code": (ALL_FAILED, ALL_FAILED),
    "redirect": (MOVED, MOVED),
    "flap-1000": (ALL_FAILED, ALL_FAILED),
    "reset": (UNREACHABLE, UNREACHABLE),
    "close": (UNREACHABLE, UNREACHABLE),
    "silent": (TIMED_OUT, TIMED_OUT),
    "garbage": (UNREACHABLE, UNREACHABLE),
    "head-cut": (UNREACHABLE, UNREACHABLE),
    "cut-5": (UNREACHABLE, CUT),
    "end-5": (UNREACHABLE, CUT),
    "stop-5": (OK, CUT),
    "stall-5": (TIMED_OUT, CUT),
    "malformed-5": (OK, OK),
    "bad-chunk-5": (OK, CUT),
    "error-mid-5": (ALL_FAILED, THEIRS),
    "error-first": (ALL_FAILED, ALL_FAILED),
    "deaf": (OK, OK),
    "no-done": (OK, UNMARKED),
    "no-finish": (OK, OK),
    "done-hang": (OK, OK),
    "done-reset": (OK, OK),
    "json-for-stream": (OK, ALL_FAILED),
    "sse-for-json": (OK, OK),
    "truncated-json": (UNREACHABLE, OK),
    "invalid-json": (OK, OK),
    "empty": (UNREACHABLE, ALL_FAILED),
    "ping-only": (OK, TIMED_OUT),
    "gzip": (OK, OK),
    "deflate": (OK, OK),
    "br": (OK, OK),
    "zstd": (OK, OK),
    "coding-unknown": (OK, OK),
    "crlf": (OK, OK),
    "comments": (OK, OK),
    "split-3": (OK, OK),
    "merge-3": (OK, OK),
    "conn-close": (OK, OK),
    "no-length": (OK, OK),
    "early-hints": (OK, OK),
    "big-head-20KiB": (OK, OK),
}


def fault_of(row: str) -> str:
    """``late-100ms`` → ``late``"""
    if row == "500":
        return "STATUS"
    return max((name for name in FAULTS if row == name or row.startswith(f"{name}-")), key=len, default=row)


def test_every_fault_is_in_the_table() -> None:
    assert set(FAULTS) - {fault_of(row) for row in TABLE} == set()


async def outcome(client: aiohttp.ClientSession, path: str, fault: str, *, stream: bool) -> str:
    """What came of one request, in the words of the table."""
    pace = "" if fault == "slow" else ":delay=0ms"
    body = chat_body(f"demo:demo-{fault}{pace}", stream=stream, max_tokens=3000)
    try:
        async with client.post(path, data=body, allow_redirects=False) as answer:
            payload = await answer.read()
            status, coding = answer.status, answer.headers.get("content-encoding")
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
        return "aborted"
    assert coding in (None, "x-demo"), coding
    if status == 307:
        return MOVED
    if status != 200:
        return f"{status} {json.loads(payload)['error']['code']}"
    return judge_stream(payload, path) if payload[:1] in b"de:" else judge_body(payload)


def judge_body(payload: bytes) -> str:
    try:
        answer = json.loads(payload)
    except ValueError:
        return "ok" if payload else "empty"  # a complete body that is no JSON is the provider's affair (AG-222)
    return "ok" if "choices" in answer or "content" in answer else payload.decode()


def judge_stream(payload: bytes, path: str) -> str:
    marked = b"data: [DONE]" in payload if path == CHAT_PATH else b"event: message_stop" in payload
    last: Any = payload.replace(b"\r\n", b"\n").rstrip().rpartition(b"data: ")[2]
    if b'"error"' not in last:
        return OK if marked else UNMARKED
    assert not marked, payload[-300:]
    return CUT if b"ERR_" in last else THEIRS


@pytest.mark.parametrize("path", [CHAT_PATH, MESSAGES_PATH])
async def test_single_key(path: str) -> None:
    """AG-152, AG-153, AG-158, AG-171 to AG-173, AG-176, AG-217, AG-222, AG-262, AG-264."""
    first = 2 if path == MESSAGES_PATH else 0
    wanted = {
        f"{fault} {'streamed' if stream else 'whole'}": cells[(first if len(cells) == 4 else 0) + stream]
        for fault, cells in TABLE.items()
        for stream in (False, True)
    }
    ai = {"stream_idle_timeout_s": 0.8}
    async with (
        serving(per_request_timeout="2s", total_timeout="3s", ai=ai) as (_, gateway),
        gateway.session as client,
        asyncio.TaskGroup() as group,
    ):
        tasks = {
            name: group.create_task(outcome(client, path, name.split()[0], stream=name.endswith("streamed")))
            for name in wanted
        }
    assert {name: task.result() for name, task in tasks.items()} == wanted
    assert [record.id for record in gateway.records if record.status == 500] == []
    assert len(gateway.records) == len(wanted)
