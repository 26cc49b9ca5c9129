"""A client's API call: routed, authenticated, validated as the real services do. Refusals are values, not answers.

Source of the messages: the public behaviour of the two services' errors (status, type, param, code); the wording is
kept close, so that client code that shows or matches it meets what it will meet in production.
"""

from __future__ import annotations

import enum
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.demo.wire import MAX_BODY, Request


class Surface(enum.Enum):
    """What was called; the value ends the path, whatever base path a client puts before it."""

    CHAT = "/chat/completions"
    COMPLETIONS = "/completions"
    EMBEDDINGS = "/embeddings"
    RESPONSES = "/responses"
    COUNT_TOKENS = "/messages/count_tokens"
    MESSAGES = "/messages"

    @property
    def anthropic(self) -> bool:
        return self in (Surface.MESSAGES, Surface.COUNT_TOKENS)


class RefusedError(Exception):
    """The call is refused before any model is asked."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        #: the dialect's error type; '' is the usual one of the status
        self.kind = kind
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A valid request, reduced to what the answer depends on."""

    surface: Surface
    model: str
    stream: bool = False
    #: ``stream_options.include_usage``
    include_usage: bool = False
    #: all text of the prompt, for usage and for the seed
    prompt: str = ""
    max_tokens: int | None = None
    tools: tuple[Tool, ...] = ()
    #: the conversation already holds tool results
    tools_answered: bool = False
    #: embeddings: number of inputs, vector length, base64 instead of numbers
    inputs: int = 1
    dimensions: int = 256
    base64: bool = False


def find_surface(path: str) -> Surface | None:
    """``/v1/chat/completions``, ``/openai/deployments/d/chat/completions`` → CHAT."""
    for surface in Surface:
        if path.endswith(surface.value):
            return surface
    return None


def bearer_key(request: Request, *, anthropic: bool) -> str:
    """The credential in the order the dialect reads it; '' if there is none."""
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    named = request.header("x-api-key" if anthropic else "api-key") or ""
    return (named or bearer) if anthropic else (bearer or named)


def check_key(key: str, *, anthropic: bool, listed: Collection[str]) -> None:
    """Keys that begin with ``demo-`` and listed ones are accepted."""
    if key and (key.startswith("demo-") or key in listed):
        return
    if anthropic:
        raise RefusedError(401, "invalid x-api-key" if key else "x-api-key header is required")
    if not key:
        raise RefusedError(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer"
            " auth (i.e. Authorization: Bearer YOUR_KEY).",
            kind="invalid_request_error",
        )
    shown = f"{key[:4]}{'*' * 8}{key[-4:]}" if len(key) >= 12 else "***"
    raise RefusedError(
        401, f"Incorrect API key provided: {shown}. Keys of the demo provider begin with demo-.",
        kind="invalid_request_error", code="invalid_api_key",
    )  # fmt: skip


def read_call(request: Request, surface: Surface) -> Call:
    """The validated call; RefusedError otherwise."""
    body = _read_object(request, surface)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RefusedError(400, "model: Field required" if surface.anthropic else "you must provide a model parameter")
    if surface.anthropic:
        return _read_anthropic(request, surface, body, model)
    if surface is Surface.EMBEDDINGS:
        return _read_embeddings(body, model)
    return _read_openai(surface, body, model)


def _read_object(request: Request, surface: Surface) -> dict[str, Any]:
    try:
        body = orjson.loads(_decode(request))
    except ValueError:
        body = None
    if not isinstance(body, dict):
        message = (
            "The request body is not valid JSON"
            if surface.anthropic
            else "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP"
            " library correctly. The API expects a JSON payload.)"
        )
        raise RefusedError(400, message)
    return body


def _decode(request: Request) -> bytes:
    coding = (request.header("content-encoding") or "identity").lower()
    if coding == "identity":
        return request.body
    if coding not in ("gzip", "deflate"):
        raise RefusedError(415, f"Unsupported content-encoding: {coding}")
    inflater = zlib.decompressobj(47)
    try:
        body = inflater.decompress(request.body, MAX_BODY)
    except zlib.error:
        raise RefusedError(400, "The request body could not be decoded") from None
    if inflater.unconsumed_tail:
        raise RefusedError(413, "Request body too large")
    return body


# OpenAI

_PROMPT_MEMBER = {Surface.CHAT: "messages", Surface.COMPLETIONS: "prompt", Surface.RESPONSES: "input"}
_LIMIT_MEMBERS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def _read_openai(surface: Surface, body: dict[str, Any], model: str) -> Call:
    member = _PROMPT_MEMBER[surface]
    prompt = body.get(member)
    if prompt is None:
        raise RefusedError(
            400, f"Missing required parameter: '{member}'.", code="missing_required_parameter", param=member
        )
    if surface is Surface.CHAT:
        _check_messages(prompt)
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise _wrong_type("stream", "a boolean", stream)
    options = body.get("stream_options")
    if options is not None and not stream:
        raise RefusedError(
            400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    if body.get("n", 1) not in (1, None):
        raise RefusedError(400, "The demo provider gives one choice: 'n' must be 1.", code="invalid_value", param="n")
    _check_temperature(body.get("temperature"))
    return Call(
        surface, model, stream,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        prompt=_text_of(body.get("instructions")) + _text_of(prompt),
        max_tokens=_read_limit(body, _LIMIT_MEMBERS),
        tools=_read_tools(body.get("tools")),
        tools_answered=_has_tool_results(prompt),
    )  # fmt: skip


def _wrong_type(param: str, expected: str, value: object) -> RefusedError:
    got = {bool: "a boolean", str: "a string", int: "an integer", list: "an array", dict: "an object"}
    return RefusedError(
        400, f"Invalid type for '{param}': expected {expected}, but got {got.get(type(value), 'something else')}"
        " instead.", code="invalid_type", param=param,
    )  # fmt: skip


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise _wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise RefusedError(
            400, "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array"
            " instead.", code="empty_array", param="messages",
        )  # fmt: skip
    for number, message in enumerate(messages):
        if not isinstance(message, dict):
            raise _wrong_type(f"messages[{number}]", "an object", message)
        if not isinstance(message.get("role"), str):
            raise RefusedError(
                400, f"Missing required parameter: 'messages[{number}].role'.", code="missing_required_parameter",
                param=f"messages[{number}].role",
            )  # fmt: skip


def _check_temperature(value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong_type("temperature", "a decimal", value)
    if not 0 <= value <= 2:
        bound, code = ("maximum", "decimal_above_max_value") if value > 2 else ("minimum", "decimal_below_min_value")
        raise RefusedError(
            400, f"Invalid 'temperature': the {bound} is {2 if value > 2 else 0}, but got {value}.", code=code,
            param="temperature",
        )  # fmt: skip


def _read_limit(body: dict[str, Any], members: tuple[str, ...]) -> int | None:
    for member in members:
        value = body.get(member)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(member, "an integer", value)
        if value < 1:
            raise RefusedError(
                400, f"Invalid '{member}': integer below minimum value. Expected a value >= 1, but got {value}"
                " instead.", code="integer_below_min_value", param=member,
            )  # fmt: skip
        return value
    return None


def _read_embeddings(body: dict[str, Any], model: str) -> Call:
    given = body.get("input")
    if given in (None, "", []):
        raise RefusedError(400, "'$.input' is invalid. Please check the API reference.", param=None)
    several = isinstance(given, list) and not isinstance(given[0], int)
    dimensions = body.get("dimensions") or 256
    if not isinstance(dimensions, int) or not 1 <= dimensions <= 4_096:
        raise RefusedError(400, "Invalid 'dimensions'.", code="invalid_value", param="dimensions")
    return Call(
        Surface.EMBEDDINGS, model, prompt=_text_of(given), inputs=len(given) if several else 1,
        dimensions=dimensions, base64=body.get("encoding_format") == "base64",
    )  # fmt: skip


def _read_tools(given: object) -> tuple[Tool, ...]:
    """All dialects: ``{function: {name, parameters}}``, ``{name, parameters}``, ``{name, input_schema}``."""
    tools = []
    for entry in given if isinstance(given, list) else ():
        function = entry.get("function", entry) if isinstance(entry, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            schema = function.get("parameters") or function.get("input_schema")
            tools.append(Tool(function["name"], schema if isinstance(schema, dict) else {}))
    return tuple(tools)


def _has_tool_results(prompt: object) -> bool:
    last = prompt[-1] if isinstance(prompt, list) and prompt else None
    if not isinstance(last, dict):
        return False
    if last.get("role") == "tool" or last.get("type") == "function_call_output":
        return True
    content = last.get("content")
    return isinstance(content, list) and any(isinstance(p, dict) and p.get("type") == "tool_result" for p in content)


def _text_of(value: object) -> str:
    """Every text in a prompt, in order: strings, ``content``, ``text`` and ``input`` members."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return " ".join(filter(None, map(_text_of, value)))
    if isinstance(value, dict):
        return _text_of(value.get("content") or value.get("text") or value.get("output") or "")
    return ""


# Anthropic


def _read_anthropic(request: Request, surface: Surface, body: dict[str, Any], model: str) -> Call:
    if not request.header("anthropic-version"):
        raise RefusedError(400, "anthropic-version: header is required")
    messages = body.get("messages")
    _check_turns(messages)
    limit = body.get("max_tokens")
    if surface is Surface.MESSAGES:
        if limit is None:
            raise RefusedError(400, "max_tokens: Field required")
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise RefusedError(400, "max_tokens: Input should be greater than or equal to 1")
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise RefusedError(400, "stream: Input should be a valid boolean")
    return Call(
        surface, model, stream, include_usage=True, prompt=_text_of(body.get("system")) + _text_of(messages),
        max_tokens=limit if isinstance(limit, int) else None, tools=_read_tools(body.get("tools")),
        tools_answered=_has_tool_results(messages),
    )  # fmt: skip


def _check_turns(messages: object) -> None:
    if messages is None:
        raise RefusedError(400, "messages: Field required")
    if not isinstance(messages, list):
        raise RefusedError(400, "messages: Input should be a valid list")
    if not messages:
        raise RefusedError(400, "messages: at least one message is required")
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise RefusedError(400, f"messages.{number}.role: Input should be 'user' or 'assistant'")
