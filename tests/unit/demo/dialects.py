"""Event streams taken apart, for the tests of the three dialects."""

from __future__ import annotations

import json
from typing import Any

from gateway.demo.behaviour import PLAIN, Behaviour
from gateway.demo.call import Call, Surface
from gateway.demo.reply import EventStream, Reply, build_reply


def reply_for(surface: Surface, behaviour: Behaviour = PLAIN, *, include_usage: bool = False) -> Reply:
    call = Call(surface, "demo", True, include_usage, "Hello")
    return build_reply(call, behaviour, number=1, created_s=1_700_000_000)


def play(stream: EventStream) -> list[bytes]:
    """All events of a healthy stream."""
    return [*stream.opening(), *stream.deltas(), *stream.finishing(), *stream.end_mark()]


def payload(event: bytes) -> Any:
    """The JSON of an event; its name, if it has one, must be its type."""
    name, _, data = event.rpartition(b"data: ")
    body = json.loads(data)
    if name:
        assert name == b"event: %b\n" % body["type"].encode()
    assert event.endswith(b"\n\n")
    return body
