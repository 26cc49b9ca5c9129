"""A streaming client on a plain socket: few instructions per event, so that it measures the gateway and not itself.

Under locust the socket is gevent's. Every stream is checked to the last byte: status, order and number of its tokens
(the demo provider's text is known beforehand), the end mark, and the end of the body.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field

from gateway.demo.text import seed_of, tokens

_READ = 65_536


class StreamError(Exception):
    """A stream that is not what was promised; ``kind`` groups them in the report."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


@dataclass
class Timing:
    """When what arrived, in seconds after the request was sent."""

    first_s: float = 0.0
    total_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    events: int = 0


class StreamClient:
    """One user's connection; kept alive, opened again after a failure."""

    def __init__(self, host: str, port: int, key: str, timeout_s: float = 30.0) -> None:
        self._address = (host, port)
        self._key = key
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._held = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._held = None, b""

    def chat(self, models: list[str], prompt: str, *, stream: bool, expect: int) -> Timing:
        """One completion of ``expect`` tokens; StreamError if anything about it is wrong."""
        body: dict[str, object] = {"messages": [{"role": "user", "content": prompt}], "stream": stream}
        body.update({"model": models[0]} if len(models) == 1 else {"models": models})
        try:
            timing = self._chat(json.dumps(body).encode(), prompt, stream, expect)
        except StreamError:
            self.close()
            raise
        except TimeoutError:
            self.close()
            raise StreamError("timeout") from None
        except OSError as error:
            self.close()
            raise StreamError("connection", type(error).__name__) from None
        return timing

    def _chat(self, body: bytes, prompt: str, stream: bool, expect: int) -> Timing:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, self._timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self._address[0]}:{self._address[1]}\r\n"
            "Content-Type: application/json\r\n"
            f"Authorization: Bearer {self._key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        started = time.perf_counter()
        self._socket.sendall(head.encode() + body)
        status, headers = self._read_head()
        if status != 200:
            self._read_exactly(int(headers.get("content-length", "0")))
            raise StreamError(f"status {status}")
        if stream:
            if not headers.get("content-type", "").startswith("text/event-stream"):
                raise StreamError("not a stream")
            return self._read_stream(started, headers.get("content-length"), prompt, expect)
        text = self._read_exactly(int(headers["content-length"]))
        answer = json.loads(text)
        _check_text(answer["model"], prompt, expect, answer["choices"][0]["message"]["content"])
        elapsed = time.perf_counter() - started
        return Timing(first_s=elapsed, total_s=elapsed)

    def _receive(self) -> None:
        if self._socket is None:
            raise StreamError("closed")
        received = self._socket.recv(_READ)
        if not received:
            raise StreamError("closed early")
        self._held += received

    def _read_head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._held:
            self._receive()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first[9:12]), headers

    def _read_exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            self._receive()
        piece, self._held = self._held[:count], self._held[count:]
        return piece

    def _read_stream(self, started: float, length: str | None, prompt: str, expect: int) -> Timing:
        """Chunk frames are peeled off as they come (a stream may also be sized); events end with a blank line."""
        timing, pieces, model, last = Timing(), [], "", 0.0
        pending, done, ended = b"", False, False
        while not ended:
            payload, ended = self._take_chunks() if length is None else (self._read_exactly(int(length)), True)
            now = time.perf_counter() - started
            pending += payload
            *events, pending = pending.split(b"\n\n")
            for event in events:
                if done:
                    raise StreamError("event after the end mark")
                if event == b"data: [DONE]":
                    done = True
                    continue
                token, model = _read_event(event, model)
                if not token:
                    continue
                pieces.append(token)
                if last:
                    timing.gaps_s.append(now - last)
                else:
                    timing.first_s = now
                last = now
        if not done or pending:
            raise StreamError("no end mark")
        timing.events, timing.total_s = len(pieces), last
        _check_text(model, prompt, expect, "".join(pieces))
        return timing

    def _take_chunks(self) -> tuple[bytes, bool]:
        """The payload of the complete chunks at hand, waiting for at least one; and whether the body has ended."""
        payload = b""
        while True:
            line_end = self._held.find(b"\r\n")
            if line_end < 0:
                if payload:
                    return payload, False
                self._receive()
                continue
            size = int(self._held[:line_end], 16)
            whole = line_end + 2 + size + 2
            if len(self._held) < whole:
                if payload:
                    return payload, False
                self._receive()
                continue
            payload += self._held[line_end + 2 : whole - 2]
            self._held = self._held[whole:]
            if size == 0:
                return payload, True


def _read_event(event: bytes, model: str) -> tuple[str, str]:
    """Token text ('' if it has none) and the model's name."""
    body = json.loads(event.partition(b"data: ")[2])
    if "error" in body:
        raise StreamError("error event", str(body["error"].get("code")))
    choices = body["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else "", model or body["model"]


def _check_text(model: str, prompt: str, expect: int, text: str) -> None:
    """Count, order and owner of every token at once: each request has a text of its own."""
    if text != "".join(tokens(seed_of(model, prompt), expect)):
        raise StreamError("wrong text", f"{len(text)} characters")
