"""A fast OpenAI-shaped upstream: ready-made bytes, one system call per event.

The prompt steers it, because proxies hand that on whatever else they change: ``bench n=100 delay=20 pad=0 cut=0 ;``
(delay in ms; ``cut``: drop the connection after so many events). Each event carries the time at which it was sent, as
``@<nanoseconds>@``. ``GET /stats`` counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import time
from typing import cast

import uvloop

_HEADERS = (
    "openai-organization: org-bench\r\nopenai-processing-ms: 312\r\nopenai-version: 2020-10-01\r\n"
    "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-limit-tokens: 2000000\r\n"
    "x-ratelimit-remaining-requests: 9999\r\nx-ratelimit-remaining-tokens: 1999987\r\n"
    "x-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 0s\r\nx-request-id: req_0123456789abcdef\r\n"
    "strict-transport-security: max-age=31536000\r\nx-content-type-options: nosniff\r\nserver: bench\r\n"
    'alt-svc: h3=":443"; ma=86400\r\n'
)
_TEXT = "The gateway hands every token on as it comes, and nobody waits for the next. " * 5
_ID = '"id":"chatcmpl-B0000000000000000000000000000","created":1740000000,"model":"bench"'
_STEER = re.compile(rb"bench ((?:[a-z]+=[0-9.]+ )+);")
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


def _json_answer(body: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{_HEADERS}\r\n"
    return (head + body).encode()


def _frame(event: str) -> bytes:
    payload = event.encode()
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def _chunk(delta: str, finish: str = "null") -> str:
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
    return (
        f'data: {{{_ID},"object":"chat.completion.chunk","service_tier":"default","system_fingerprint":"fp_bench",'
        f'"choices":[{choice}],"usage":null}}\n\n'
    )


_USAGE = (
    '{"prompt_tokens":119,"completion_tokens":82,"total_tokens":201,"prompt_tokens_details":{"cached_tokens":0,'
    '"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}'
)
ANSWER = _json_answer(
    f'{{{_ID},"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"{_TEXT}",'
    f'"refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"stop"}}],"usage":{_USAGE},'
    '"service_tier":"default","system_fingerprint":"fp_bench"}'
)
MODELS = _json_answer('{"object":"list","data":[{"id":"bench","object":"model","created":1,"owned_by":"bench"}]}')
MISSING = _json_answer("{}", "404 Not Found")
SSE_HEAD = (
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    f"{_HEADERS}transfer-encoding: chunked\r\n\r\n"
).encode()
FIRST = _frame(_chunk('{"role":"assistant","content":"","refusal":null}'))
LAST = (
    _frame(_chunk("{}", '"stop"'))
    + _frame(f'data: {{{_ID},"object":"chat.completion.chunk","choices":[],"usage":{_USAGE}}}\n\n')
    + _frame("data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
#: where the time of sending goes; found nowhere else in an event
_STAMP = "1234567890123456789"


class Counters:
    """What ``/stats`` shows."""

    connections = 0
    requests = 0
    aborted = 0


class MockConnection(asyncio.Protocol):
    """Answers one request after the other; pipelined ones wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counters) -> None:
        self._loop = loop
        self._counters = counters
        self._buffer = b""
        self._left = 0
        self._paused = False
        self._event: tuple[bytes, bytes] = (b"", b"")
        self._delay_s = 0.0
        self._cut = 0
        self._due_s = 0.0
        self._sent = 0
        self._handle: asyncio.Handle | None = None
        self._transport: asyncio.Transport
        self._descriptor = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._counters.connections += 1

    def data_received(self, received: bytes) -> None:
        self._buffer = self._buffer + received if self._buffer else received
        if not self._left:
            self._serve()

    def connection_lost(self, exc: Exception | None) -> None:
        self._descriptor = -1
        if self._left:
            self._counters.aborted += 1
            self._left = 0
        if self._handle is not None:
            self._handle.cancel()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._left:
            self._handle = self._loop.call_soon(self._play)

    def _serve(self) -> None:
        while self._buffer and not self._left:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._buffer, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < whole:
                return
            head, body = self._buffer[:end], self._buffer[end + 4 : whole]
            self._buffer = self._buffer[whole:]
            self._counters.requests += 1
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST ") and b"/chat/completions" in head[:60]:
            if b'"stream":true' in body or b'"stream": true' in body:
                self._start(body)
            else:
                self._transport.write(ANSWER)
        elif head.startswith(b"GET /stats"):
            counted = {n: getattr(self._counters, n) for n in ("connections", "requests", "aborted")}
            self._transport.write(_json_answer(json.dumps(counted)))
        else:
            self._transport.write(MODELS if head.startswith(b"GET /v1/models") else MISSING)

    def _start(self, body: bytes) -> None:
        steer = {"n": 100.0, "delay": 0.0, "pad": 0.0, "cut": 0.0}
        found = _STEER.search(body)
        if found:
            steer.update((k, float(v)) for k, v in (w.split("=") for w in found[1].decode().split()))
        token = f"@{_STAMP}@ tok" + "x" * int(steer["pad"])
        before, _, after = _frame(_chunk(f'{{"content":"{token}"}}')).partition(_STAMP.encode())
        self._event = (before, after)
        self._left, self._delay_s, self._cut = int(steer["n"]), steer["delay"] / 1_000, int(steer["cut"])
        self._sent = 0
        self._send(SSE_HEAD + FIRST)
        self._due_s = self._loop.time()
        self._next()

    def _next(self) -> None:
        if self._delay_s:
            self._due_s = max(self._due_s + self._delay_s, self._loop.time())
            self._handle = self._loop.call_at(self._due_s, self._play)
        else:
            self._play()

    def _play(self) -> None:
        """Sends what is due: one event, or without delay all of them until the socket is full."""
        before, after = self._event
        while self._left and not self._paused:
            if self._cut and self._sent == self._cut:
                self._transport.abort()
                return
            self._sent += 1
            self._left -= 1
            self._send(b"%b%d%b" % (before, time.time_ns(), after))
            if self._delay_s and self._left:
                self._next()
                return
        if not self._left and self._descriptor >= 0:
            self._send(LAST)
            if self._buffer:
                self._handle = self._loop.call_soon(self._serve)

    def _send(self, piece: bytes) -> None:
        """Past the transport while that holds nothing: it would join the writes of a loop turn."""
        if not self._transport.get_write_buffer_size() and self._descriptor >= 0:
            try:
                sent = os.write(self._descriptor, piece)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._transport.abort()
                return
            if sent == len(piece):
                return
            piece = piece[sent:]
        self._transport.write(piece)


async def _main(port: int) -> None:
    loop = asyncio.get_running_loop()
    counters = Counters()
    server = await loop.create_server(lambda: MockConnection(loop, counters), "127.0.0.1", port, backlog=8_192)
    gc.collect()
    gc.freeze()
    gc.disable()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_main(parser.parse_args().port))
