"""``gateway.upstream.pattern``: what two events have in common."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.pattern import learn


def chat(text: str, *, finish: str | None = None, **members: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    document = {"id": "chatcmpl-1", "choices": [choice], **members}
    return b"data: %b\n\n" % json.dumps(document, separators=(",", ":")).encode()


def message(text: str) -> bytes:
    document = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    return b"event: content_block_delta\ndata: %b\n\n" % json.dumps(document).encode()


PLAIN = st.text(st.characters(blacklist_characters='"\\', min_codepoint=32, max_codepoint=126), max_size=20)


@given(one=PLAIN, other=PLAIN, third=PLAIN)
@pytest.mark.parametrize("event", [chat, message])
def test_the_events_of_a_stream_have_their_text_between_head_and_foot(
    event: object, one: str, other: str, third: str
) -> None:
    assert callable(event)
    pattern = learn(event(one), event(other))
    if one != other:
        assert pattern is not None
        assert pattern.event(third.encode()) == event(third)
        assert not pattern.between


def test_random_padding_stands_behind_the_text() -> None:
    pattern = learn(chat("a", obfuscation="x1"), chat("word", obfuscation="tRf"))
    assert pattern is not None
    assert pattern.event(b"else") == chat("else", obfuscation="")


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (chat("a"), chat("a")),
        (chat("a"), chat("b", finish="stop")),
        (chat("a", finish=""), chat("", finish="stop")),
        (chat("a"), chat("b") + chat("c")),
        (chat("a"), chat("b", usage={"prompt_tokens": 1})),
        (chat("a", created=1), chat("b", created=2)),
        (chat("a", id="x"), chat("a", id="y")),
        (chat('a"'), chat('b"')),
        (chat("a")[:-1] + b"\r\n", chat("b")[:-1] + b"\r\n"),
        (b'event: ping\ndata: {"text":"1"}\n\n', b'event: ping\ndata: {"text":"2"}\n\n'),
        (b'data: {"type":"text_start"}\n\n', b'data: {"type":"text_stop"}\n\n'),
        (b'data: {"n":"a","delta":":"},"x":1}\n\n', b'data: {"n":"a","delta":":"}},"x":1}\n\n'),
        (b": comment 1\n\n", b": comment 2\n\n"),
        (b"", b""),
    ],
)  # fmt: skip
def test_events_that_differ_in_more_than_text_have_no_pattern(before: bytes, event: bytes) -> None:
    assert learn(before, event) is None
