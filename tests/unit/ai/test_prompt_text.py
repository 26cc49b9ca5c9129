"""``gateway.ai.prompt_text``: what of a request the estimate counts (AG-229)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ai.prompt_text import IMAGE_TOKENS, OTHER_TOKENS, prompt_of
from gateway.ai.surfaces import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES, SURFACES, Surface

USER = {"role": "user", "content": "Hello"}
CALL = {"function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
TOOL = {"type": "function", "function": {"name": "f"}}

CASES: list[tuple[str, Surface, dict[str, Any], list[str], int]] = [
    ("chat", CHAT, {"model": "m", "messages": [USER]}, ["Hello"], 6),
    ("chat-name", CHAT, {"messages": [{**USER, "name": "Ann"}]}, ["Hello", "Ann"], 6),
    ("chat-refusal", CHAT, {"messages": [{"role": "assistant", "refusal": "No."}]}, ["No."], 6),
    (
        "chat-parts", CHAT,
        {"messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:…"}},
            {"type": "input_audio", "input_audio": {}},
        ]}]},
        ["What is this?"], 6 + IMAGE_TOKENS + OTHER_TOKENS,
    ),
    ("chat-calls", CHAT, {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]},
     ["weather", '{"city":"Oslo"}'], 6),
    ("chat-function", CHAT, {"messages": [{"function_call": CALL["function"]}]}, ["weather", '{"city":"Oslo"}'], 6),
    ("chat-tools", CHAT, {"messages": [], "tools": [TOOL], "functions": [], "response_format": {"type": "json_object"}},
     ['[{"type":"function","function":{"name":"f"}}]', '{"type":"json_object"}'], 3),
    ("responses", RESPONSES, {"instructions": "Be brief.", "input": "Hello"}, ["Be brief.", "Hello"], 0),
    (
        "responses-items", RESPONSES,
        {"input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_image"}]},
            {"type": "function_call", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "output": "42"},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Thought."}]},
        ], "tools": [TOOL]},
        ["Hi", "f", "{}", "42", "Thought.", '[{"type":"function","function":{"name":"f"}}]'], 12 + IMAGE_TOKENS,
    ),
    (
        "messages", MESSAGES,
        {"system": [{"type": "text", "text": "Rules."}], "messages": [
            {"role": "user", "content": [{"type": "image"}, {"type": "document"}, {"type": "text", "text": "Read."}]},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "ok"}]}]},
        ], "tools": [{"name": "f"}]},
        ["Rules.", "Read.", "f", '{"a":1}', "ok", '[{"name":"f"}]'], 12 + IMAGE_TOKENS + OTHER_TOKENS,
    ),
    ("messages-system", MESSAGES, {"system": "Rules.", "messages": []}, ["Rules."], 3),
    ("completions", COMPLETIONS, {"prompt": "Once"}, ["Once"], 0),
    ("completions-list", COMPLETIONS, {"prompt": ["Once", "upon"]}, ["Once", "upon"], 0),
    ("completions-tokens", COMPLETIONS, {"prompt": [1, 2, 3]}, [], 3),
    ("embeddings", EMBEDDINGS, {"input": ["a", "b"]}, ["a", "b"], 0),
    ("embeddings-tokens", EMBEDDINGS, {"input": [[1, 2], [3]]}, [], 3),
    ("count-tokens", COUNT_TOKENS, {"messages": [USER]}, [], 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("surface", "body", "texts", "tokens"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_is_counted_ag_229(surface: Surface, body: dict[str, Any], texts: list[str], tokens: int) -> None:
    prompt = prompt_of(surface, body)
    assert (prompt.texts, prompt.tokens) == (texts, tokens)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["messages", "content", "type", "text", "input", "tool_calls", "function", "x"]),
            inner, max_size=4,
        )
    ),
    max_leaves=30,
)  # fmt: skip
MEMBERS = ["messages", "content", "input", "prompt", "system", "tools", "instructions", "functions", "response_format"]


@given(
    surface=st.sampled_from(list(SURFACES.values())), body=st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4)
)
def test_nothing_that_a_client_sends_raises(surface: Surface, body: dict[str, Any]) -> None:
    prompt = prompt_of(surface, body)
    assert prompt.tokens >= 0
    assert all(isinstance(text, str) for text in prompt.texts)


def test_numbers_beyond_64_bits_count_too() -> None:
    """AG-218: they pass through the gateway, so they reach the estimate."""
    assert prompt_of(CHAT, {"messages": [], "tools": [10**30]}).texts == [f"[{10**30}]"]


def test_results_within_results_end() -> None:
    """A client may nest what the API does not."""
    part: dict[str, Any] = {"type": "text", "text": "deep"}
    for _ in range(500):
        part = {"type": "tool_result", "content": [part]}
    prompt = prompt_of(MESSAGES, {"messages": [{"content": [part]}]})
    assert prompt.tokens == 6 + OTHER_TOKENS
