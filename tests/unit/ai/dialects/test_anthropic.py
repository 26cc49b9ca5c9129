"""Anthropic's format (AG-65, AG-172, AG-262, AG-300 to AG-302, lessons 2.2 to 2.4, P26)."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from gateway.ai.dialects.anthropic import AnthropicDialect, MessagesCodec, error_type
from gateway.ai.dialects.dialect import Problem
from gateway.ai.surfaces import MESSAGES
from gateway.errors import ALL_FAILED, GatewayError
from gateway.upstream.sse import SseEvent, SseParser

DIALECT = AnthropicDialect()
CODEC = MessagesCodec(MESSAGES)


def event(raw: bytes) -> SseEvent:
    (only,) = SseParser().feed(raw)
    return only


def test_error_body():
    """AG-300, AG-301."""
    error = GatewayError(ALL_FAILED, {"reason": "x"}, details={"attempts": []})
    assert json.loads(DIALECT.error_body(error, "id-1")) == {
        "type": "error",
        "error": {
            "type": "overloaded_error",
            "message": "All providers failed: x [ERR_NGROK_3807]",
            "code": "ERR_NGROK_3807",
            "details": {"attempts": []},
        },
        "request_id": "id-1",
    }
    plain = json.loads(DIALECT.error_body(GatewayError(ALL_FAILED, {"reason": "x"}, status=404, type="own"), "i"))
    assert plain["error"]["type"] == "own"
    assert "details" not in plain["error"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, "invalid_request_error") for status in (400, 405, 409, 414, 415, 422, 426, 431, 508)],
        (401, "authentication_error"), (403, "permission_error"), (404, "not_found_error"), (408, "timeout_error"),
        (413, "request_too_large"), (429, "rate_limit_error"), (503, "overloaded_error"),
        *[(status, "api_error") for status in (500, 502, 504)],
    ],
)  # fmt: skip
def test_types(status, expected):
    """AG-302."""
    assert error_type(status) == expected


def test_error_event():
    """AG-172: the SDK dispatches on the event line; no [DONE]."""
    sent = event(CODEC.error_event("ERR_NGROK_27207", "Too slow", b"x"))
    assert sent.event == "error"
    assert json.loads(sent.data or b"") == {
        "type": "error",
        "error": {"type": "api_error", "message": "Too slow [ERR_NGROK_27207]", "code": "ERR_NGROK_27207"},
    }
    assert CODEC.first_event_error(sent) == "Too slow [ERR_NGROK_27207]"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
            Problem("Overloaded", "", "overloaded_error", 529),
        ),
        (b'data: {"type":"error","error":{"type":"api_error","message":"m"}}\n\n', Problem("m", "", "api_error", 500)),
        (b"event: error\ndata: broken\n\n", Problem("")),
        (b'event: content_block_delta\ndata: {"delta":{"text":"\\"error\\""}}\n\n', None),
        (b'event: message_start\ndata: {"type":"message_start","message":{"error":null}}\n\n', None),
        (b'data: "error"\n\n', None),
        (b": ping\n\n", None),
    ],
)
def test_errors(raw, expected):
    """AG-262."""
    assert CODEC.problem(event(raw)) == expected


def test_the_end_mark():
    stop = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
    assert any(mark in stop for mark in CODEC.end_marks)
    text = (
        b'event: content_block_delta\ndata: {"delta":{"text":%b}}\n\n' % json.dumps('{"type":"message_stop"}').encode()
    )
    assert not any(mark in text for mark in CODEC.end_marks)


def test_nothing_is_stripped():
    block = b'data: {"choices":[],"usage":{}}\n\n'
    assert CODEC.strip_usage(block) is block


def test_models_list():
    """AG-65: ``has_more`` or the pager never stops."""
    listed = [SimpleNamespace(id=name, owned_by="o", model=SimpleNamespace(display_name=name.upper())) for name in "ab"]
    assert json.loads(DIALECT.models_list(listed)) == {
        "data": [
            {"type": "model", "id": "a", "display_name": "A", "created_at": "1970-01-01T00:00:00Z"},
            {"type": "model", "id": "b", "display_name": "B", "created_at": "1970-01-01T00:00:00Z"},
        ],
        "has_more": False,
        "first_id": "a",
        "last_id": "b",
    }
    assert json.loads(DIALECT.models_list([])) == {"data": [], "has_more": False, "first_id": None, "last_id": None}
