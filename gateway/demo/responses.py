"""The OpenAI dialect's responses surface: the body and its numbered events. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.demo.reply import Finish, Reply
from gateway.demo.text import make_hex_id

_INCOMPLETE = {Finish.LENGTH: "max_output_tokens", Finish.FILTER: "content_filter"}


def responses_body(reply: Reply) -> dict[str, Any]:
    """A finished ``response``."""
    status = "incomplete" if reply.finish in _INCOMPLETE else "completed"
    return _response(reply, status, list(_output(reply)))


def _response(reply: Reply, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    reason = _INCOMPLETE.get(reply.finish) if status == "incomplete" else None
    finished = status in ("completed", "incomplete")
    return {
        "id": make_hex_id("resp_", reply.number, 48), "object": "response", "created_at": reply.created_s,
        "status": status, "background": False, "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None, "max_output_tokens": reply.call.max_tokens, "model": reply.call.model, "output": output,
        "parallel_tool_calls": True, "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None}, "service_tier": "default", "store": False,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": _usage(reply) if finished and not reply.behaviour.no_usage else None,
        "user": None, "metadata": {},
    }  # fmt: skip


def _usage(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _reasoning_item(reply: Reply, *, done: bool) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": "".join(reply.thoughts)}] if done else []
    return {"id": make_hex_id("rs_", reply.number, 48), "type": "reasoning", "summary": summary}


def _message_item(reply: Reply, *, done: bool) -> dict[str, Any]:
    return {
        "id": make_hex_id("msg_", reply.number, 48), "type": "message",
        "status": "completed" if done else "in_progress", "role": "assistant",
        "content": [_text_part(reply.text)] if done else [],
    }  # fmt: skip


def _call_item(reply: Reply, place: int, *, done: bool) -> dict[str, Any]:
    call = reply.tool_calls[place]
    return {
        "id": make_hex_id("fc_", reply.number * 64 + place, 48), "type": "function_call",
        "status": "completed" if done else "in_progress", "arguments": call.arguments if done else "",
        "call_id": call.id, "name": call.name,
    }  # fmt: skip


def _output(reply: Reply) -> Iterator[dict[str, Any]]:
    if reply.thoughts:
        yield _reasoning_item(reply, done=True)
    for place in range(len(reply.tool_calls)):
        yield _call_item(reply, place, done=True)
    if not reply.tool_calls:
        yield _message_item(reply, done=True)


class ResponseStream:
    """``response.created`` to ``response.completed`` (or ``.incomplete``), each with the next sequence number."""

    malformed = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","del\n\n'
    ping = b": ping\n\n"

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._number = -1
        self._index = 0

    def opening(self) -> Iterator[bytes]:
        started = _response(self._reply, "in_progress", [])
        yield self._event("response.created", {"response": started})
        yield self._event("response.in_progress", {"response": started})

    def deltas(self) -> Iterator[bytes]:
        yield from self._reasoning()
        for place in range(len(self._reply.tool_calls)):
            yield from self._function_call(place)
        if self._reply.tool_calls:
            return
        yield self._item("added", _message_item(self._reply, done=False))
        place_in = self._place("msg_", self._reply.number)
        yield self._event("response.content_part.added", {**place_in, "part": _text_part("")})
        name = "response.output_text.delta"
        body = {"type": name, "sequence_number": 0, **place_in, "delta": "\0", "logprobs": []}
        before, _, rest = orjson.dumps(body).partition(b'"sequence_number":0')
        middle, _, after = rest.partition(b'"\\u0000"')
        before = b"event: " + name.encode() + b"\ndata: " + before + b'"sequence_number":'
        for token in self._reply.tokens():
            self._number += 1
            yield b"%b%d%b%b%b\n\n" % (before, self._number, middle, orjson.dumps(token), after)

    def _reasoning(self) -> Iterator[bytes]:
        if not self._reply.thoughts:
            return
        yield self._item("added", _reasoning_item(self._reply, done=False))
        place = {"item_id": make_hex_id("rs_", self._reply.number, 48), "output_index": self._index, "summary_index": 0}
        part = {"type": "summary_text", "text": ""}
        yield self._event("response.reasoning_summary_part.added", {**place, "part": part})
        for thought in self._reply.thoughts:
            yield self._event("response.reasoning_summary_text.delta", {**place, "delta": thought})
        text = "".join(self._reply.thoughts)
        yield self._event("response.reasoning_summary_text.done", {**place, "text": text})
        yield self._event("response.reasoning_summary_part.done", {**place, "part": {**part, "text": text}})
        yield self._item("done", _reasoning_item(self._reply, done=True))
        self._index += 1

    def _function_call(self, place: int) -> Iterator[bytes]:
        call = self._reply.tool_calls[place]
        item_id = make_hex_id("fc_", self._reply.number * 64 + place, 48)
        where = {"item_id": item_id, "output_index": self._index}
        yield self._item("added", _call_item(self._reply, place, done=False))
        for piece in call.pieces():
            yield self._event("response.function_call_arguments.delta", {**where, "delta": piece})
        done = {**where, "name": call.name, "arguments": call.arguments}
        yield self._event("response.function_call_arguments.done", done)
        yield self._item("done", _call_item(self._reply, place, done=True))
        self._index += 1

    def finishing(self) -> Iterator[bytes]:
        if self._reply.tool_calls:
            return
        place = self._place("msg_", self._reply.number)
        text = self._reply.text
        yield self._event("response.output_text.done", {**place, "text": text, "logprobs": []})
        yield self._event("response.content_part.done", {**place, "part": _text_part(text)})
        yield self._item("done", _message_item(self._reply, done=True))

    def end_mark(self) -> Iterator[bytes]:
        body = responses_body(self._reply)
        yield self._event(f"response.{body['status']}", {"response": body})

    def error(self, message: str, *, first: bool) -> bytes:
        """``error`` as the first event, ``response.failed`` later: clients must understand both."""
        if first:
            return self._event("error", {"code": "server_error", "message": message, "param": None})
        failed = {**_response(self._reply, "failed", []), "error": {"code": "server_error", "message": message}}
        return self._event("response.failed", {"response": failed})

    def _place(self, prefix: str, number: int) -> dict[str, Any]:
        return {"item_id": make_hex_id(prefix, number, 48), "output_index": self._index, "content_index": 0}

    def _item(self, what: str, item: dict[str, Any]) -> bytes:
        return self._event(f"response.output_item.{what}", {"output_index": self._index, "item": item})

    def _event(self, name: str, body: dict[str, Any]) -> bytes:
        self._number += 1
        event = {"type": name, "sequence_number": self._number, **body}
        return b"event: " + name.encode() + b"\ndata: " + orjson.dumps(event) + b"\n\n"
