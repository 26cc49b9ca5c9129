"""OpenAI's formats (AG-65, AG-172, AG-244, AG-262, AG-300 to AG-302, lessons 2.2, 2.3)."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from gateway.ai.dialects.dialect import Problem
from gateway.ai.dialects.openai import ChatCodec, OpenAiDialect, ResponsesCodec, error_type
from gateway.ai.surfaces import CHAT, RESPONSES
from gateway.errors import ALL_FAILED, INTERNAL, NO_MODELS, GatewayError, failure
from gateway.upstream.sse import SseEvent, SseParser

DIALECT = OpenAiDialect()
CHAT_CODEC = ChatCodec(CHAT)
RESPONSES_CODEC = ResponsesCodec(RESPONSES)
USAGE_CHUNK = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
TEXT_CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"}}],"usage":null}\n\n'
DONE = b"data: [DONE]\n\n"


def event(raw: bytes) -> SseEvent:
    (only,) = SseParser().feed(raw)
    return only


def test_error_body():
    """AG-300, AG-301."""
    error = failure(NO_MODELS, reason="unknown model 'x'")
    assert json.loads(DIALECT.error_body(error, "id-1")) == {
        "error": {
            "message": "No matching models found: unknown model 'x' [ERR_NGROK_3804]",
            "type": "invalid_request_error",
            "param": "model",
            "code": "ERR_NGROK_3804",
        }
    }


def test_error_body_with_details_and_an_own_type():
    """AG-82, AG-180."""
    error = GatewayError(
        ALL_FAILED, {"reason": "\ud800"}, details={"attempts": [{"message": "\udc80"}]}, type="model_not_allowed"
    )
    body = json.loads(DIALECT.error_body(error, "id-1"))["error"]
    assert body["type"] == "model_not_allowed"
    assert body["details"] == {"attempts": [{"message": "?"}]}
    assert body["param"] is None
    assert "details" not in json.loads(DIALECT.error_body(failure(INTERNAL), "i"))["error"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, "invalid_request_error") for status in (400, 404, 405, 408, 409, 413, 414, 415, 422, 426, 431, 508)],
        (401, "authentication_error"), (403, "permission_error"), (429, "rate_limit_error"),
        *[(status, "server_error") for status in (500, 502, 503, 504)],
    ],
)  # fmt: skip
def test_types(status, expected):
    """AG-302."""
    assert error_type(status) == expected


def test_chat_error_event():
    """AG-172: no [DONE], no event line; a truthy ``error`` object is what SDKs raise on."""
    raw = CHAT_CODEC.error_event("ERR_NGROK_3800", "Could not reach", b"")
    assert raw.startswith(b"data: {")
    sent = event(raw)
    assert json.loads(sent.data or b"") == {
        "error": {
            "message": "Could not reach [ERR_NGROK_3800]",
            "type": "server_error",
            "param": None,
            "code": "ERR_NGROK_3800",
        }
    }
    assert CHAT_CODEC.first_event_error(sent) == "Could not reach [ERR_NGROK_3800]"


@pytest.mark.parametrize(
    ("last", "number"),
    [
        (b'data: {"type":"x","sequence_number":41}\n\n', 42),
        (b'data: {"sequence_number":1}\n\ndata: {"sequence_number" : 2}\n\n', 3),
        (b'1f\r\ndata: {"sequence_number":8}\n\n\r\n', 9),
        (b"", 0),
        (b'data: {"delta":"\\"sequence_number\\":7"}\n\n', 0),
    ],
)
def test_responses_error_event(last, number):
    """AG-172: numbers go on."""
    sent = event(RESPONSES_CODEC.error_event("E", "m", last))
    assert sent.event == "error"
    assert json.loads(sent.data or b"") == {
        "type": "error", "code": "E", "message": "m [E]", "param": None, "sequence_number": number,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b'data: {"error":{"message":"boom","type":"server_error","code":null}}\n\n',
            Problem("boom", "", "server_error", 500),
        ),
        (b'data: {"error":{"message":"slow down","code":429}}\n\n', Problem("slow down", "429", "", 429)),
        (b'data: {"error":"plain"}\n\n', Problem("plain")),
        (b'event: error\ndata: {"message":"named"}\n\n', Problem("named")),
        (b'data: {"error":null,"choices":[]}\n\n', None),
        (b'data: {"choices":[{"delta":{"content":"\\"error\\""}}]}\n\n', None),
        (b'data: {"choices":[{"error":{"message":"deeper"}}]}\n\n', None),
        (b'data: {"error": broken\n\n', None),
        (b"data: [DONE]\n\n", None),
        (b": comment\n\n", None),
        (TEXT_CHUNK, None),
    ],
)
def test_chat_errors(raw, expected):
    """AG-262."""
    assert CHAT_CODEC.problem(event(raw)) == expected


def test_a_nameless_error_is_still_one():
    assert CHAT_CODEC.first_event_error(event(b'data: {"error":{"x":1}}\n\n'))
    assert CHAT_CODEC.first_event_error(event(TEXT_CHUNK)) is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'event: error\ndata: {"type":"error","code":"server_error","message":"boom"}\n\n', "boom"),
        (b'data: {"type":"error","error":{"message":"nested"}}\n\n', "nested"),
        (b'event: response.failed\ndata: {"type":"response.failed","response":{"status":"failed",'
         b'"error":{"code":"rate_limit_exceeded","message":"limit"}}}\n\n', "limit"),
        (b'data: {"type":"response.created","response":{"error":null}}\n\n', None),
        (b'data: {"type":"response.output_text.delta","delta":"\\"error\\""}\n\n', None),
    ],
)  # fmt: skip
def test_responses_errors(raw, message):
    """AG-262."""
    assert RESPONSES_CODEC.first_event_error(event(raw)) == message


def test_response_failed_names_a_status():
    raw = b'data: {"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"m"}}}\n\n'
    assert RESPONSES_CODEC.problem(event(raw)) == Problem("m", "rate_limit_exceeded", "", 429)


def test_errors_in_the_middle_of_a_block():
    """AG-173."""
    block = TEXT_CHUNK + b'data: {"error":{"message":"late"}}\n\n' + DONE
    assert CHAT_CODEC.stream_problem(block) == Problem("late")
    assert CHAT_CODEC.stream_problem(TEXT_CHUNK) is None
    assert CHAT_CODEC.stream_problem(TEXT_CHUNK.replace(b'"x"', b'"an error"')) is None


@pytest.mark.parametrize(
    "raw", [DONE, b"data:[DONE]\n\n", b"data: [DONE]\r\n\r\n", b"data: [DONE]\r\r", b"e\r\ndata: [DONE]\n\n\r\n"]
)
def test_the_end_mark_of_chat(raw):
    assert any(mark in raw for mark in CHAT_CODEC.end_marks)


@pytest.mark.parametrize("text", ["[DONE]", "data: [DONE]\n\n", "[DONE]\r", "\ndata: [DONE]\n"])
def test_generated_text_is_no_end_mark(text):
    """A model that explains event streams does not end its own."""
    raw = b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % json.dumps(text).encode()
    assert not any(mark in raw for mark in CHAT_CODEC.end_marks)
    delta = b'event: x\ndata: {"type":"response.output_text.delta","delta":%b}\n\n'
    raw = delta % json.dumps('"type":"response.completed"').encode()
    assert not any(mark in raw for mark in RESPONSES_CODEC.end_marks)


@pytest.mark.parametrize("end", ["completed", "incomplete", "failed"])
def test_the_end_marks_of_responses(end):
    for separators in ((",", ":"), (", ", ": ")):
        data = json.dumps({"type": f"response.{end}", "response": {}}, separators=separators)
        assert any(mark in f"event: response.{end}\ndata: {data}\n\n".encode() for mark in RESPONSES_CODEC.end_marks)
    for other in (
        "response.created",
        "response.content_part.added",
        "response.output_text.done",
        "response.web_search_call.completed",
    ):
        assert not any(mark in f'data: {{"type":"{other}"}}\n\n'.encode() for mark in RESPONSES_CODEC.end_marks)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (USAGE_CHUNK, b""),
        (TEXT_CHUNK + USAGE_CHUNK + DONE, TEXT_CHUNK + DONE),
        (USAGE_CHUNK.replace(b":[]", b": []") + DONE, DONE),
        (USAGE_CHUNK.replace(b"\n", b"\r\n") + DONE, DONE),
        (USAGE_CHUNK + b"data: cut", b"data: cut"),
    ],
)
def test_the_usage_chunk_is_removed(events, expected):
    """AG-244."""
    assert CHAT_CODEC.strip_usage(events) == expected


@pytest.mark.parametrize(
    "events",
    [
        TEXT_CHUNK,
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n',
        b'data: {"choices":[],"usage":null}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":{"prompt_tokens":1}}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"logprobs":{"choices":[]}}],"usage":{"prompt_tokens":1}}\n\n',
    ],
)
def test_other_chunks_stay(events):
    assert CHAT_CODEC.strip_usage(events) == events


def test_responses_have_nothing_to_strip():
    assert RESPONSES_CODEC.strip_usage(USAGE_CHUNK) is USAGE_CHUNK


def test_models_list():
    """AG-65, lessons 2.4."""
    listed = SimpleNamespace(id="mine:x", owned_by="mine", model=SimpleNamespace(display_name="X"))
    assert json.loads(DIALECT.models_list([listed])) == {
        "object": "list",
        "data": [{"id": "mine:x", "object": "model", "created": 0, "owned_by": "mine"}],
    }
    assert DIALECT.model(listed)["id"] == "mine:x"
