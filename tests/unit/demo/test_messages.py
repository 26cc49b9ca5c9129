"""Messages as events."""

from __future__ import annotations

from gateway.demo.behaviour import Behaviour
from gateway.demo.call import Surface
from gateway.demo.messages import MessageStream, messages_body
from tests.unit.demo.dialects import payload, play, reply_for


def names(behaviour: Behaviour) -> list[str]:
    """Event types, repetitions left out."""
    found: list[str] = []
    for event in play(MessageStream(reply_for(Surface.MESSAGES, behaviour))):
        kind = payload(event)["type"]
        if not found or found[-1] != kind:
            found.append(kind)
    return found


BLOCK = ["content_block_start", "content_block_delta", "content_block_stop"]


def test_the_order_of_events():
    assert names(Behaviour()) == ["message_start", "ping", *BLOCK, "message_delta", "message_stop"]
    assert names(Behaviour(think=True)) == ["message_start", "ping", *BLOCK * 2, "message_delta", "message_stop"]
    assert names(Behaviour(tools=2)) == ["message_start", "ping", *BLOCK * 2, "message_delta", "message_stop"]


def test_block_indices_rise():
    events = [payload(e) for e in play(MessageStream(reply_for(Surface.MESSAGES, Behaviour(think=True))))]
    starts = [(e["index"], e["content_block"]["type"]) for e in events if e["type"] == "content_block_start"]
    assert starts == [(0, "thinking"), (1, "text")]
    assert [e["index"] for e in events if e["type"] == "content_block_stop"] == [0, 1]


def test_usage_is_split_over_start_and_delta():
    behaviour = Behaviour(input_tokens=50, cached_tokens=20, cache_write_tokens=5)
    events = [payload(e) for e in play(MessageStream(reply_for(Surface.MESSAGES, behaviour)))]
    usage = events[0]["message"]["usage"]
    assert [usage[f"{n}input_tokens"] for n in ("", "cache_read_", "cache_creation_")] == [25, 20, 5]
    assert events[-2]["usage"] == {"output_tokens": 24}


def test_bodies_carry_the_same_usage():
    behaviour = Behaviour(input_tokens=50, cached_tokens=20)
    assert messages_body(reply_for(Surface.MESSAGES, behaviour))["usage"]["input_tokens"] == 30
    assert messages_body(reply_for(Surface.MESSAGES, Behaviour(no_usage=True)))["usage"]["output_tokens"] == 0
