"""The OpenAI dialect but for the responses surface: chat, legacy completions, embeddings, the list of models. Pure."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gateway.demo.call import Surface
from gateway.demo.reply import Finish, Reply
from gateway.demo.text import make_id, seed_of

FINGERPRINT = "fp_demo0a24"
DONE = b"data: [DONE]\n\n"


def render_usage(reply: Reply) -> dict[str, Any]:
    """``usage`` of chat and completions."""
    usage = reply.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning, "audio_tokens": 0, "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }  # fmt: skip


def chat_body(reply: Reply) -> dict[str, Any]:
    """A ``chat.completion``."""
    message: dict[str, Any] = {
        "role": "assistant", "content": None if reply.tool_calls else reply.text, "refusal": None, "annotations": [],
    }  # fmt: skip
    if reply.thoughts:
        message["reasoning_content"] = "".join(reply.thoughts)
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
    body = {
        "id": make_id("chatcmpl-", reply.number, 29), "object": "chat.completion", "created": reply.created_s,
        "model": reply.call.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish.value}],
        "usage": render_usage(reply), "service_tier": "default", "system_fingerprint": FINGERPRINT,
    }  # fmt: skip
    if reply.behaviour.no_usage:
        del body["usage"]
    return body


def completion_body(reply: Reply) -> dict[str, Any]:
    """A ``text_completion``."""
    finish = Finish.STOP if reply.finish is Finish.TOOLS else reply.finish
    body = {
        "id": make_id("cmpl-", reply.number, 29), "object": "text_completion", "created": reply.created_s,
        "model": reply.call.model,
        "choices": [{"text": reply.text, "index": 0, "logprobs": None, "finish_reason": finish.value}],
        "usage": render_usage(reply), "system_fingerprint": FINGERPRINT,
    }  # fmt: skip
    if reply.behaviour.no_usage:
        del body["usage"]
    return body


def embeddings_body(reply: Reply) -> dict[str, Any]:
    """A list of unit-free vectors that depend only on the input."""
    call = reply.call
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _vector(seed_of(call.prompt, str(index)), call)}
            for index in range(call.inputs)
        ],
        "model": call.model,
        "usage": {"prompt_tokens": reply.usage.input, "total_tokens": reply.usage.input},
    }


def _vector(seed: int, call: Any) -> list[float] | str:
    numbers = []
    for _ in range(call.dimensions):
        seed = (seed * 1_103_515_245 + 12_345) % 2**31
        numbers.append((seed / 2**30 - 1.0) / 16.0)
    if call.base64:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return numbers


def models_body(names: Sequence[str], created_s: int) -> dict[str, Any]:
    """``GET /v1/models`` for clients of the OpenAI dialect."""
    return {"object": "list", "data": [model_entry(name, created_s) for name in names]}


def model_entry(name: str, created_s: int) -> dict[str, Any]:
    """One model of the list."""
    return {"id": name, "object": "model", "created": created_s, "owned_by": "demo"}


class ChatStream:
    """``chat.completion.chunk`` events, or those of legacy completions; ends with ``[DONE]``."""

    malformed = b'data: {"id":"chatcmpl-broken","object":"chat.completion.chunk","choices":[{"del\n\n'
    ping = b": ping\n\n"

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._legacy = reply.call.surface is Surface.COMPLETIONS
        head: dict[str, Any] = {
            "id": make_id("cmpl-" if self._legacy else "chatcmpl-", reply.number, 29),
            "object": "text_completion" if self._legacy else "chat.completion.chunk",
            "created": reply.created_s, "model": reply.call.model,
        }  # fmt: skip
        if not self._legacy:
            head["service_tier"] = "default"
        head["system_fingerprint"] = FINGERPRINT
        self._head = head
        self._reports = reply.call.include_usage and not reply.behaviour.no_usage

    def opening(self) -> Iterator[bytes]:
        if not self._legacy:
            delta = {"role": "assistant", "content": None if self._reply.tool_calls else "", "refusal": None}
            yield self._event(delta, None)

    def deltas(self) -> Iterator[bytes]:
        if self._legacy:
            yield from self._spliced({"text": "\0", "index": 0, "logprobs": None, "finish_reason": None})
            return
        for thought in self._reply.thoughts:
            yield self._event({"reasoning_content": thought}, None)
        for index, call in enumerate(self._reply.tool_calls):
            function: dict[str, str] = {"name": call.name, "arguments": ""}
            first = {"index": index, "id": call.id, "type": "function", "function": function}
            yield self._event({"tool_calls": [first]}, None)
            for piece in call.pieces():
                yield self._event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, None)
        yield from self._spliced({"index": 0, "delta": {"content": "\0"}, "logprobs": None, "finish_reason": None})

    def _spliced(self, choice: dict[str, Any]) -> Iterator[bytes]:
        """One event per token, cut into a ready event where its text is NUL: ten times cheaper than building each."""
        before, _, after = self._render([choice]).partition(b'"\\u0000"')
        for token in self._reply.tokens():
            yield before + orjson.dumps(token) + after

    def finishing(self) -> Iterator[bytes]:
        finish = self._reply.finish.value
        if self._legacy:
            yield self._render([{"text": "", "index": 0, "logprobs": None, "finish_reason": finish}])
        else:
            yield self._event({}, finish)
        if self._reports:
            yield self._render([], render_usage(self._reply))

    def end_mark(self) -> Iterator[bytes]:
        yield DONE

    def error(self, message: str, *, first: bool) -> bytes:
        code = "server_error" if first else None
        error = {"message": message, "type": "server_error", "param": None, "code": code}
        return b"data: " + orjson.dumps({"error": error}) + b"\n\n"

    def _event(self, delta: dict[str, Any], finish: str | None) -> bytes:
        return self._render([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])

    def _render(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        body = {**self._head, "choices": choices}
        if self._reports:
            body["usage"] = usage
        return b"data: " + orjson.dumps(body) + b"\n\n"
