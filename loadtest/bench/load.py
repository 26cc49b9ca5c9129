"""The load generator: a closed loop of requests or streams on many connections; prints its figures as JSON.

    json    one request after the other on each connection
    sse     streams flat out
    paced   streams whose events carry their time of sending, so the one-way delay of each is known

With ``--pid`` the CPU time of that process is read at the beginning and the end of the window.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import time
from collections.abc import Sequence
from typing import cast

import uvloop

from loadtest.bench.usage import read_cpu_s, read_rss_kib

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_STAMP = re.compile(rb"@([0-9]{19})@ tok")
_PROMPT_BYTES = 600
KEY = "sk-bench-1234567890"


def render_request(*, stream: bool, events: int, delay_ms: float, pad: int = 0, cut: int = 0) -> bytes:
    """A chat request as an SDK sends it, with the mock's orders in the prompt."""
    prompt = f"bench n={events} delay={delay_ms:g} pad={pad} cut={cut} ; "
    prompt += "Summarise the quarterly report in three short points. " * (_PROMPT_BYTES // 54)
    body: dict[str, object] = {
        "model": "bench", "messages": [{"role": "user", "content": prompt}], "max_tokens": 256, "temperature": 0.7,
    }  # fmt: skip
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    payload = json.dumps(body, separators=(",", ":")).encode()
    return render_post("/v1/chat/completions", payload)


def render_post(path: str, payload: bytes) -> bytes:
    """A POST with the headers that SDKs send."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        "Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python 3.54.0\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


class Tally:
    """What all connections count together; ``open`` while the window is."""

    def __init__(self) -> None:
        self.open = False
        self.ended = False
        self.requests = 0
        self.events = 0
        self.reads = 0
        self.latencies_s: list[float] = []
        self.firsts_s: list[float] = []
        self.delays_ns: list[int] = []
        self.errors: dict[str, int] = {}

    def fail(self, kind: str) -> None:
        if not self.ended:
            self.errors[kind] = self.errors.get(kind, 0) + 1


class Frames:
    """Takes chunk frames off a body; proxies may cut anywhere, even within a number."""

    __slots__ = ("_left", "_line", "_sized", "ended", "in_body")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Before the next answer."""
        #: bytes of the current chunk to come, with its line end
        self._left = 0
        self._line = b""
        self._sized = False
        self.ended = False
        self.in_body = False

    def begin(self, length: int | None) -> None:
        """The head has passed; ``length`` None: chunks follow."""
        self.in_body = True
        if length is not None:
            self._sized, self._left = True, length

    def peel(self, received: bytes) -> bytes:
        """The payload in these bytes."""
        if self._sized:
            self._left -= len(received)
            self.ended = self._left <= 0
            return received
        pieces, place, end = [], 0, len(received)
        while place < end:
            if self._left:
                take = min(self._left, end - place)
                payload = min(take, max(self._left - 2, 0))
                pieces.append(received[place : place + payload])
                self._left -= take
                place += take
                continue
            line_end = received.find(b"\n", place)
            if line_end < 0:
                self._line += received[place:]
                break
            line, self._line = self._line + received[place:line_end], b""
            place = line_end + 1
            if line.strip():
                size = int(line, 16)
                self._left = size + 2
                if size == 0:
                    self.ended = True
                    break
        return b"".join(pieces)


class LoadConnection(asyncio.Protocol):
    """One connection in a closed loop."""

    def __init__(self, request: bytes, tally: Tally, *, events: int, timed: bool) -> None:
        self._request = request
        self._tally = tally
        #: events that a stream must have; 0: a JSON answer is due
        self._expected = events
        self._timed = timed
        self._buffer = b""
        self._began_s = 0.0
        self._in_window = False
        self._events = 0
        self._frames = Frames()
        self._transport: asyncio.Transport
        self._descriptor = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.fail("connection lost")

    def close(self) -> None:
        self._transport.abort()

    def _ask(self) -> None:
        self._began_s = time.perf_counter()
        self._in_window = self._tally.open
        self._events = 0
        self._frames.reset()
        self._buffer = b""
        # Past the transport: a request always fits the empty socket of a closed loop, and this costs half as much.
        if os.write(self._descriptor, self._request) != len(self._request):
            self._tally.fail("short write")

    def data_received(self, received: bytes) -> None:
        if self._expected:
            self._take_stream(received)
            return
        held = self._buffer = self._buffer + received if self._buffer else received
        end = held.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(held, 0, end)
        if found is None or held[9:12] != b"200":
            self._wrong(held)
        elif len(held) >= end + 4 + int(found[1]):
            self._complete()

    def _take_stream(self, received: bytes) -> None:
        tally = self._tally
        if not self._frames.in_body:
            head, separator, received = (self._buffer + received).partition(b"\r\n\r\n")
            if not separator:
                self._buffer = head
                return
            if head[9:12] != b"200":
                self._wrong(head)
                return
            # A proxy that already holds the whole stream may well state its length.
            found = _LENGTH.search(head)
            self._frames.begin(int(found[1]) if found else None)
            self._buffer = b""
            if self._in_window:
                tally.firsts_s.append(time.perf_counter() - self._began_s)
        if tally.open:
            tally.reads += 1
        # The tail is too short to hold a whole mark: nothing is counted twice, nothing that was cut is lost.
        held = self._buffer + self._frames.peel(received)
        self._buffer = held[-24:]
        stamps = _STAMP.findall(held)
        self._events += len(stamps)
        if tally.open:
            tally.events += len(stamps)
            if self._timed and stamps:
                now = time.time_ns()
                tally.delays_ns.extend([now - int(stamp) for stamp in stamps])
        if self._frames.ended:
            if self._events != self._expected or not self._buffer.endswith(b"data: [DONE]\n\n"):
                tally.fail("incomplete stream")
            self._complete()

    def _complete(self) -> None:
        tally = self._tally
        if tally.open:
            tally.requests += 1
            if self._in_window:
                tally.latencies_s.append(time.perf_counter() - self._began_s)
        if not tally.ended:
            self._ask()

    def _wrong(self, head: bytes) -> None:
        self._tally.fail(f"status {head[9:12].decode('latin-1')}")
        self._transport.abort()


def quantile(values: Sequence[float], share: float) -> float:
    """Of a sorted sequence; 0 when empty."""
    return values[int(share * (len(values) - 1))] if values else 0.0


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Connects, warms up, measures, leaves."""
    loop = asyncio.get_running_loop()
    tally = Tally()
    stream = options.mode != "json"
    request = render_request(stream=stream, events=options.events, delay_ms=options.delay)
    connections = []
    for _ in range(options.connections):
        _, connection = await loop.create_connection(
            lambda: LoadConnection(
                request, tally, events=options.events if stream else 0, timed=options.mode == "paced"
            ),
            "127.0.0.1",
            options.port,
        )
        connections.append(connection)
        if options.ramp:
            await asyncio.sleep(options.ramp / 1_000 / options.connections)
    gc.collect()
    gc.freeze()
    gc.disable()
    await asyncio.sleep(options.warm)
    tally.errors.clear()
    cpu_s = read_cpu_s(options.pid) if options.pid else 0.0
    own_s, began_s = time.process_time(), time.perf_counter()
    tally.open = True
    await asyncio.sleep(options.seconds)
    tally.open = False
    cpu_s = read_cpu_s(options.pid) - cpu_s if options.pid else 0.0
    seconds, own_s = time.perf_counter() - began_s, time.process_time() - own_s
    rss_kib = read_rss_kib(options.pid) if options.pid else 0
    tally.ended = True
    for connection in connections:
        connection.close()
    return _figures(tally, seconds, cpu_s, own_s, rss_kib)


def _figures(tally: Tally, seconds: float, cpu_s: float, own_s: float, rss_kib: int) -> dict[str, object]:
    latencies, firsts, delays = sorted(tally.latencies_s), sorted(tally.firsts_s), sorted(tally.delays_ns)
    return {
        "seconds": seconds,
        "requests": tally.requests,
        "requests_per_s": tally.requests / seconds,
        "events_per_s": tally.events / seconds,
        "events_per_read": tally.events / tally.reads if tally.reads else 0.0,
        "latency_p50_ms": quantile(latencies, 0.5) * 1e3,
        "latency_p99_ms": quantile(latencies, 0.99) * 1e3,
        "first_p50_ms": quantile(firsts, 0.5) * 1e3,
        "delay_p50_ms": quantile(delays, 0.5) / 1e6,
        "delay_p99_ms": quantile(delays, 0.99) / 1e6,
        "cpu_share": cpu_s / seconds,
        "cpu_us_per_request": cpu_s * 1e6 / tally.requests if tally.requests else 0.0,
        "cpu_us_per_event": cpu_s * 1e6 / tally.events if tally.events else 0.0,
        "load_cpu_share": own_s / seconds,
        "rss_mib": rss_kib / 1024,
        "errors": tally.errors,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mode", choices=("json", "sse", "paced"), default="json")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--delay", type=float, default=0.0, help="ms between events")
    parser.add_argument("--ramp", type=float, default=0.0, help="ms over which connections start")
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--pid", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(parse()))))
