"""What both formats share: reading upstream errors, and JSON that always encodes (AG-180, AG-301)."""

from __future__ import annotations

import json

import pytest

from gateway.ai.dialects import codec_for
from gateway.ai.dialects.dialect import MESSAGE_LIMIT, Problem, SurfaceCodec, clean, coded, encode, read_problem
from gateway.ai.surfaces import CHAT, MESSAGES, RESPONSES, Surface


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"error": {"message": "Wrong key", "type": "invalid_request_error", "code": "invalid_api_key"}},
            Problem("Wrong key", "invalid_api_key", "invalid_request_error", 401),
        ),
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"},
            Problem("Overloaded", "", "overloaded_error", 529),
        ),
        (
            [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}],
            Problem("API key not valid.", "400", "INVALID_ARGUMENT", 400),
        ),
        ({"error": {"code": 429, "message": "Quota", "status": "X"}}, Problem("Quota", "429", "X", 429)),
        ({"error": "model not loaded"}, Problem("model not loaded")),
        ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400},
         Problem("too long", "400", "BadRequestError", 400)),
        ({"detail": "Not Found"}, Problem("Not Found")),
        ({"detail": [{"loc": ["body"], "msg": "field required"}]}, Problem("field required")),
        ({"error": {"error": {"message": "inner"}}}, Problem("inner")),
        ({"error": {}}, Problem("")),
        ({"error": None, "message": "m"}, Problem("m")),
        ({"error": {"message": ["a"]}}, Problem("")),
        ([], Problem("")),
        ("text", Problem("text")),
        (None, Problem("")),
        (7, Problem("7")),
    ],
)  # fmt: skip
def test_error_bodies(body, expected):
    """OpenAI, Anthropic, Google, FastAPI and less."""
    assert read_problem(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"upstream  connect\r\nerror\x00", "upstream connect error"),
        (b"<html><h1>502</h1></html>", ""),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"error": {"message": "cut', '{"error": {"message": "cut'),
    ],
)
def test_bodies_that_are_no_json(body, message):
    assert read_problem(body).message == message


def test_messages_are_one_short_line():
    """AG-180: at most 300 characters."""
    message = read_problem(json.dumps({"error": {"message": "a\n\tb\u0085" + "x" * 10_000}}).encode()).message
    assert message.startswith("a b x")
    assert len(message) == MESSAGE_LIMIT
    assert clean("x" * 300) == "x" * 300


def test_codes_stand_at_the_end_once():
    """AG-301."""
    assert coded("Broken.", "E") == "Broken. [E]"
    assert coded("Broken. [E]", "E") == "Broken. [E]"


def test_everything_encodes():
    value = {"s": "\ud800", 1: {"\udcff": (1, 2**70)}, "o": object, "set": {1}, "f": 1.5, "n": None, "b": True}
    decoded = json.loads(encode(value))
    assert decoded["s"] == "?"
    assert decoded["1"] == {"?": [1, str(2**70)]}
    assert (decoded["set"], decoded["f"], decoded["n"], decoded["b"]) == ([1], 1.5, None, True)


def test_a_codec_must_say_what_its_events_mean():
    with pytest.raises(TypeError, match="error_event"):
        SurfaceCodec(CHAT)  # type: ignore[abstract]  # which is what is tested


@pytest.mark.parametrize(
    ("surface", "events", "ended"),
    [
        (CHAT, b"data: [DONE]\n\n", True),
        (CHAT, b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', True),
        (CHAT, b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n\n', True),
        (CHAT, b'data: {"error":{"message":"no"}}\n\n', True),
        (CHAT, b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n', False),
        (CHAT, b'data: {"choices":[],"prompt_filter_results":[]}\n\n', False),
        (CHAT, b'data: {"choices":[{"delta":{"content":"\\"finish_reason\\":\\"stop\\""}}]}\n\n', False),
        (MESSAGES, b'event: message_stop\ndata: {"type":"message_stop"}\n\n', True),
        (MESSAGES, b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n', True),
        (MESSAGES, b'event: error\ndata: {"type":"error","error":{"message":"no"}}\n\n', True),
        (MESSAGES, b'data: {"type":"message_start","message":{"stop_reason":null}}\n\n', False),
        (RESPONSES, b'data: {"type":"response.completed"}\n\n', True),
        (RESPONSES, b'event: error\ndata: {"type":"error","message":"no"}\n\n', True),
        (RESPONSES, b'data: {"type":"response.output_text.delta","delta":"a"}\n\n', False),
    ],
)
def test_where_a_stream_may_end(surface: Surface, events: bytes, ended: bool) -> None:
    """P09: behind its end mark, an error of the provider, or a reason to finish; nowhere else."""
    assert codec_for(surface).has_ended(events) is ended
