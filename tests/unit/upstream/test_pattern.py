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


def counted(number: int, text: str, *, last: bool = False, **members: object) -> bytes:
    """The Responses format; where the number stands depends on the provider."""
    count = {"sequence_number": number}
    document: dict[str, object] = {"type": "response.output_text.delta"}
    document = document | {"delta": text, **members} | count if last else document | count | {"delta": text, **members}
    return b"event: response.output_text.delta\ndata: %b\n\n" % json.dumps(document, separators=(",", ":")).encode()


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


@pytest.mark.parametrize("name", ["obfuscation", "p"])
def test_random_padding_stands_behind_the_text(name: str) -> None:
    pattern = learn(chat("a", **{name: "x1"}), chat("word", **{name: "tRf"}))
    assert pattern is not None
    assert pattern.event(b"else") == chat("else", **{name: ""})


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("one", "other", "digits"), [(4, 5, 1), (9, 0, 1), (123, 124, 3), (7, 7, 1)])
def test_events_that_are_counted(one: int, other: int, digits: int, last: bool) -> None:
    ones = "1" * digits
    event = counted(other, "word", last=last)
    pattern = learn(counted(one, "a", last=last), event)
    assert pattern is not None
    at = pattern.number_at
    assert (at < 0) == last
    assert event[at:][:digits] == b"%d" % other
    assert pattern.digits == digits
    assert pattern.event(b"else") == counted(0, "else", last=last).replace(b'number":0', f'number":{ones}'.encode())


def test_events_that_are_counted_and_padded() -> None:
    pattern = learn(counted(4, "a", logprobs=[], obfuscation="x1"), counted(5, "word", logprobs=[], obfuscation="tRf"))
    assert pattern is not None
    assert pattern.event(b"else") == counted(1, "else", logprobs=[], obfuscation="")


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
        (counted(9, "a"), counted(10, "b")),
        (counted(1, "a"), chat("b")),
        (counted(1, "a"), counted(2, "b", last=True)),
        (b'data: {"delta":"a","sequence_number":1,"obfuscation":"x"}\n\n',
         b'data: {"delta":"b","sequence_number":2,"obfuscation":"yy"}\n\n'),
        (b": comment 1\n\n", b": comment 2\n\n"),
        (b"", b""),
    ],
)  # fmt: skip
def test_events_that_differ_in_more_than_text_have_no_pattern(before: bytes, event: bytes) -> None:
    assert learn(before, event) is None
