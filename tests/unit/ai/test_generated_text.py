"""``gateway.ai.generated_text``: the text of answers (AG-230)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ai.generated_text import Generated, read_body, read_events
from gateway.ai.surfaces import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, SURFACES, Surface


def event(document: dict[str, Any], name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


def chat(index: int = 0, **delta: Any) -> bytes:
    return event({"choices": [{"index": index, "delta": delta, "finish_reason": None}]})


def call(index: int, **function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": function}]}


STREAMS: list[tuple[str, Surface, list[bytes], list[str]]] = [
    ("chat", CHAT, [chat(role="assistant", content=""), chat(content="He"), chat(content="llo"), b"data: [DONE]\n\n"],
     ["Hello"]),
    ("chat-choices", CHAT, [chat(0, content="a"), chat(1, content="x"), chat(0, content="b")], ["ab", "x"]),
    ("chat-thoughts", CHAT, [chat(reasoning_content="Hm"), chat(refusal="No")], ["Hm", "No"]),
    ("chat-calls", CHAT, [chat(**call(0, name="f", arguments="")), chat(**call(0, arguments='{"a"')),
                          chat(**call(0, arguments=":1}"))], ["f", '{"a":1}']),
    ("completions", COMPLETIONS, [event({"choices": [{"index": 0, "text": "On"}]}),
                                  event({"choices": [{"index": 0, "text": "ce"}]})], ["Once"]),
    ("messages", MESSAGES, [
        event({"type": "message_start", "message": {"usage": {"input_tokens": 3}}}, "message_start"),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        event({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
        event({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "name": "f"}}),
        event({"type": "content_block_delta", "index": 1, "delta": {"partial_json": '{"a":1}'}}),
        event({"type": "content_block_delta", "index": 2, "delta": {"thinking": "Hm"}}),
        event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    ], ["Hi", "f", '{"a":1}', "Hm"]),
    ("responses", RESPONSES, [
        event({"type": "response.created", "response": {"status": "in_progress"}}),
        event({"type": "response.output_item.added", "output_index": 0, "item": {"name": "f"}}),
        event({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"}),
        event({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "He"}),
        event({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "llo"}),
        event({"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "Hello"}),
    ], ["f", "{}", "Hello"]),
    ("embeddings", EMBEDDINGS, [chat(content="x")], []),
]  # fmt: skip
NAMES = [stream[0] for stream in STREAMS]


def texts_of(surface: Surface, blocks: list[bytes]) -> list[str]:
    generated = Generated()
    read_events(generated, surface, blocks)
    return generated.texts()


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(("surface", "blocks", "texts"), [stream[1:] for stream in STREAMS], ids=NAMES)
def test_deltas_are_joined_ag_230(surface: Surface, blocks: list[bytes], texts: list[str]) -> None:
    """In blocks of one event and of several, with and without the framing in which they came."""
    assert texts_of(surface, blocks) == texts
    assert texts_of(surface, [b"".join(blocks)]) == texts
    assert texts_of(surface, [framed(block) for block in blocks]) == texts
    whole = b"".join(blocks)
    assert texts_of(surface, [framed(whole[:17]) + framed(whole[17:])]) == texts


@pytest.mark.parametrize(
    ("surface", "body", "texts"),
    [
        (CHAT, {"choices": [{"message": {"content": "Hi", "tool_calls": [{"function": {"name": "f"}}]}}]}, ["Hi", "f"]),
        (COMPLETIONS, {"choices": [{"text": "Once"}, {"text": "More"}]}, ["Once", "More"]),
        (MESSAGES, {"content": [{"type": "text", "text": "Hi"}, {"type": "tool_use", "name": "f", "input": {"a": 1}}]},
         ["Hi", "f", '{"a":1}']),
        (RESPONSES, {"output": [
            {"type": "reasoning", "summary": [{"text": "Hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
            {"type": "function_call", "name": "f", "arguments": "{}"},
        ]}, ["Hm", "Hi", "f", "{}"]),
        (EMBEDDINGS, {"data": [{"embedding": [0.1]}]}, []),
    ],
    ids=["chat", "completions", "messages", "responses", "embeddings"],
)  # fmt: skip
def test_bodies_ag_230(surface: Surface, body: dict[str, Any], texts: list[str]) -> None:
    generated = Generated()
    read_body(generated, surface, json.dumps(body).encode())
    assert generated.texts() == texts


@given(
    surface=st.sampled_from(list(SURFACES.values())),
    blocks=st.lists(st.binary(max_size=50) | st.sampled_from([b for s in STREAMS for b in s[2]]), max_size=6),
    cut=st.integers(0, 300),
)
def test_nothing_that_an_upstream_sends_raises(surface: Surface, blocks: list[bytes], cut: int) -> None:
    texts_of(surface, [*blocks, b"".join(blocks)[:cut]])
    generated = Generated()
    read_body(generated, surface, b"".join(blocks)[cut:])
    assert all(generated.texts())
