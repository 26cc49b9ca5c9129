"""The Anthropic dialect: messages, token counts, the list of models. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gateway.demo.reply import Finish, Reply
from gateway.demo.text import make_id

_STOP_REASONS = {
    Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens", Finish.TOOLS: "tool_use", Finish.FILTER: "refusal",
}  # fmt: skip
_LISTED_SINCE = "2025-01-01T00:00:00Z"


def messages_body(reply: Reply) -> dict[str, Any]:
    """A ``message``."""
    content: list[dict[str, Any]] = []
    if reply.thoughts:
        content.append({"type": "thinking", "thinking": "".join(reply.thoughts), "signature": _signature(reply)})
    if reply.tool_calls:
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": orjson.loads(call.arguments)}
            for call in reply.tool_calls
        ]
    else:
        content.append({"type": "text", "text": reply.text})
    return _message(reply, content, _STOP_REASONS[reply.finish], reply.usage.output)


def count_body(reply: Reply) -> dict[str, Any]:
    """The answer of ``count_tokens``."""
    return {"input_tokens": reply.usage.input}


def models_body(names: Sequence[str]) -> dict[str, Any]:
    """``GET /v1/models`` for clients that sent ``anthropic-version``."""
    return {
        "data": [model_entry(name) for name in names],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def model_entry(name: str) -> dict[str, Any]:
    """One model of the list."""
    return {"type": "model", "id": name, "display_name": name, "created_at": _LISTED_SINCE}


def _message(reply: Reply, content: list[dict[str, Any]], stop: str | None, output: int) -> dict[str, Any]:
    body = {
        "id": make_id("msg_01", reply.number, 22), "type": "message", "role": "assistant", "model": reply.call.model,
        "content": content, "stop_reason": stop, "stop_sequence": None, "usage": _usage(reply, output),
    }  # fmt: skip
    if reply.behaviour.no_usage:
        body["usage"] = {"input_tokens": 0, "output_tokens": 0}
    return body


def _usage(reply: Reply, output: int) -> dict[str, Any]:
    """The three input members are disjoint here: together they are the input."""
    usage = reply.usage
    return {
        "input_tokens": max(usage.input - usage.cached - usage.cache_write, 0),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": output,
        "service_tier": "standard",
    }


def _signature(reply: Reply) -> str:
    return base64.b64encode(make_id("thinking", reply.number, 48).encode()).decode()


def _event(name: str, body: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + orjson.dumps({"type": name, **body}) + b"\n\n"


class MessageStream:
    """Named events from ``message_start`` to ``message_stop``; the usage is in the first and in ``message_delta``."""

    malformed = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"del\n\n'
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._index = 0

    def opening(self) -> Iterator[bytes]:
        yield _event("message_start", {"message": _message(self._reply, [], None, 1)})
        yield self.ping

    def deltas(self) -> Iterator[bytes]:
        yield from self._thinking()
        for call in self._reply.tool_calls:
            yield self._start({"type": "tool_use", "id": call.id, "name": call.name, "input": {}})
            for piece in call.pieces():
                yield self._delta({"type": "input_json_delta", "partial_json": piece})
            yield self._stop()
        if not self._reply.tool_calls:
            yield self._start({"type": "text", "text": ""})
            before, _, after = self._delta({"type": "text_delta", "text": "\0"}).partition(b'"\\u0000"')
            for token in self._reply.tokens():
                yield before + orjson.dumps(token) + after

    def _thinking(self) -> Iterator[bytes]:
        if self._reply.thoughts:
            yield self._start({"type": "thinking", "thinking": "", "signature": ""})
            for thought in self._reply.thoughts:
                yield self._delta({"type": "thinking_delta", "thinking": thought})
            yield self._delta({"type": "signature_delta", "signature": _signature(self._reply)})
            yield self._stop()

    def finishing(self) -> Iterator[bytes]:
        if not self._reply.tool_calls:
            yield self._stop()
        delta = {"stop_reason": _STOP_REASONS[self._reply.finish], "stop_sequence": None}
        usage = {} if self._reply.behaviour.no_usage else {"output_tokens": self._reply.usage.output}
        yield _event("message_delta", {"delta": delta, "usage": usage or {"output_tokens": 0}})

    def end_mark(self) -> Iterator[bytes]:
        yield _event("message_stop", {})

    def error(self, message: str, *, first: bool) -> bytes:
        kind = "overloaded_error" if first else "api_error"
        return _event("error", {"error": {"type": kind, "message": message}})

    def _start(self, block: dict[str, Any]) -> bytes:
        return _event("content_block_start", {"index": self._index, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})

    def _stop(self) -> bytes:
        self._index += 1
        return _event("content_block_stop", {"index": self._index - 1})
