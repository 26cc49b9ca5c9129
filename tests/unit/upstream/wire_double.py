"""Doubles for the two ends of a relay: a transport that records, a head as ``gateway.ai.inbound`` would parse it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar

from gateway.upstream.sse import SseEvent, events_of


class RecordingTransport(asyncio.Transport):
    """Records what is written and which flow control calls were made."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False
        self.closed = False
        self.reading = True

    @property
    def bytes_written(self) -> bytes:
        return b"".join(self.written)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.aborted or self.closed

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class PlainHead:
    """A response head with only what the transport reads of it."""

    content_length: int | None = None
    chunked: bool = False
    keep_alive: bool = True
    media_type: str = ""
    content_encoding: str = ""

    @property
    def is_event_stream(self) -> bool:
        return self.media_type == "text/event-stream"


def parse_plain_head(raw: bytes, minor: int) -> PlainHead:
    """Reads the few headers of ``PlainHead``."""
    head = PlainHead(keep_alive=minor == 1)
    for line in raw.decode().split("\r\n")[1:]:
        name, _, value = line.partition(":")
        value = value.strip().lower()
        if name.lower() == "content-length":
            head.content_length = int(value)
        elif name.lower() == "transfer-encoding":
            head.chunked = value == "chunked"
        elif name.lower() == "connection":
            head.keep_alive = value != "close"
        elif name.lower() == "content-type":
            head.media_type = value.partition(";")[0]
        elif name.lower() == "content-encoding":
            head.content_encoding = value
    return head


class ChatCodec:
    """The chat surface, as far as the transport needs it."""

    end_marks: ClassVar[tuple[bytes, ...]] = (b"[DONE]",)

    def first_event_error(self, event: SseEvent) -> str | None:
        return "boom" if event.data is not None and event.data.startswith(b'{"error"') else None

    def error_event(self, code: str, message: str, last_block: bytes) -> bytes:
        return f'data: {{"error": "{code}"}}\n\n'.encode()

    def has_ended(self, events: bytes) -> bool:
        return b"[DONE]" in events or b"finish_reason" in events

    def strip_usage(self, events: bytes) -> bytes:
        return b"".join(event.raw for event in events_of(events) if b'"choices":[]' not in event.raw)


@dataclass
class Tap:
    """Remembers the blocks it was shown."""

    blocks: list[bytes] = field(default_factory=list)

    def feed(self, block: bytes) -> None:
        self.blocks.append(block)


def dechunk(body: bytes) -> tuple[bytes, bool]:
    """(payload, whether the last frame is there) of a chunked body; asserts that the framing is valid."""
    payload = b""
    position = 0
    while position < len(body):
        line_end = body.index(b"\r\n", position)
        size = int(body[position:line_end], 16)
        position = line_end + 2
        if size == 0:
            assert body[position:] == b"\r\n"
            return payload, True
        payload += body[position : position + size]
        position += size
        assert body[position : position + 2] == b"\r\n"
        position += 2
    return payload, False


def chunk(*payloads: bytes, end: bool = True) -> bytes:
    """Chunk frames of payloads, with the last frame unless told otherwise."""
    frames = b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads)
    return frames + (b"0\r\n\r\n" if end else b"")
