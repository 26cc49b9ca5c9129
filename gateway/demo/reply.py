"""Reply: what is answered, before a dialect puts it into bytes. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from gateway.demo.behaviour import Behaviour
from gateway.demo.call import Call
from gateway.demo.text import big_count, big_tokens, estimate_tokens, make_id, seed_of, tokens

_MADE_UP_TOOL = "get_weather"
_MADE_UP_ARGUMENTS = b'{"location":"Paris","unit":"celsius"}'
_ARGUMENT_PIECE = 6
THOUGHTS = ("Let me think", " about what", " was asked,", " step", " by step,", " and then", " answer", " briefly.")


class Finish(enum.Enum):
    """Why the answer ends; each dialect has its own word."""

    STOP = "stop"
    LENGTH = "length"
    TOOLS = "tool_calls"
    FILTER = "content_filter"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One function call; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str

    def pieces(self) -> Iterator[str]:
        """The arguments as they are streamed."""
        for start in range(0, len(self.arguments), _ARGUMENT_PIECE):
            yield self.arguments[start : start + _ARGUMENT_PIECE]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as reported; ``input`` is the total, cached and written ones included, ``output`` includes reasoning."""

    input: int
    output: int
    cached: int
    cache_write: int
    reasoning: int


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    call: Call
    behaviour: Behaviour
    #: running number of the request; ids are made from it
    number: int
    created_s: int
    count: int
    finish: Finish
    tool_calls: tuple[ToolCall, ...]
    usage: Usage

    def tokens(self) -> Iterator[str]:
        """The text, token by token; empty where tools are called."""
        if self.tool_calls:
            return iter(())
        behaviour = self.behaviour
        if behaviour.big_bytes:
            return big_tokens(behaviour.big_bytes)
        seed = seed_of(self.call.model, self.call.prompt)
        return tokens(seed, self.count, unicode=behaviour.unicode, pad_bytes=behaviour.pad_bytes)

    @property
    def text(self) -> str:
        return "".join(self.tokens())

    @property
    def thoughts(self) -> tuple[str, ...]:
        return THOUGHTS if self.behaviour.think else ()


class EventStream(Protocol):
    """An answer as server-sent events in one dialect. Each item is one complete event.

    To be taken in the order opening, deltas, finishing, end_mark; ``error`` may come at any place.
    """

    #: an event whose payload is not JSON
    malformed: bytes
    #: an event or comment that says nothing
    ping: bytes

    def opening(self) -> Iterator[bytes]:
        """Before the first token."""
        ...

    def deltas(self) -> Iterator[bytes]:
        """One event for each token."""
        ...

    def finishing(self) -> Iterator[bytes]:
        """Finish reason and usage."""
        ...

    def end_mark(self) -> Iterator[bytes]:
        """What tells a client that the answer is complete."""
        ...

    def error(self, message: str, *, first: bool) -> bytes:
        """An error event; ``first``: nothing was sent before."""
        ...


def build_reply(call: Call, behaviour: Behaviour, *, number: int, created_s: int) -> Reply:
    """The answer to a call."""
    tool_calls = _call_tools(call, behaviour.tools, number) if behaviour.tools and not call.tools_answered else ()
    count = big_count(behaviour.big_bytes) if behaviour.big_bytes else behaviour.n
    finish = Finish.TOOLS if tool_calls else Finish.FILTER if behaviour.filtered else Finish.STOP
    if call.max_tokens is not None and call.max_tokens < count and not tool_calls and not behaviour.big_bytes:
        count, finish = call.max_tokens, Finish.LENGTH
    output = sum(estimate_tokens(t.arguments) + 4 for t in tool_calls) if tool_calls else count
    usage = Usage(
        input=behaviour.input_tokens if behaviour.input_tokens is not None else estimate_tokens(call.prompt) + 7,
        output=output + behaviour.reasoning_tokens,
        cached=behaviour.cached_tokens,
        cache_write=behaviour.cache_write_tokens,
        reasoning=behaviour.reasoning_tokens,
    )
    return Reply(call, behaviour, number, created_s, count, finish, tool_calls, usage)


def _call_tools(call: Call, count: int, number: int) -> tuple[ToolCall, ...]:
    prefix = "toolu_01" if call.surface.anthropic else "call_"
    calls = []
    for place in range(count):
        tool = call.tools[place % len(call.tools)] if call.tools else None
        arguments = _arguments_for(tool.parameters) if tool else _MADE_UP_ARGUMENTS
        name = tool.name if tool else _MADE_UP_TOOL
        calls.append(ToolCall(make_id(prefix, number * 64 + place, 22), name, arguments.decode()))
    return tuple(calls)


_SAMPLES: Mapping[str, object] = {
    "string": "Paris", "integer": 3, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None,
}  # fmt: skip


def _arguments_for(schema: Mapping[str, Any]) -> bytes:
    """One sample value for every property of a JSON schema."""
    properties = schema.get("properties")
    arguments: dict[str, object] = {}
    for name, shape in properties.items() if isinstance(properties, dict) else ():
        shape = shape if isinstance(shape, dict) else {}
        options = shape.get("enum")
        kind = shape.get("type")
        arguments[name] = options[0] if isinstance(options, list) and options else _SAMPLES.get(str(kind), "Paris")
    return orjson.dumps(arguments)
