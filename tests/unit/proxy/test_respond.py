"""Answers that the gateway makes itself: heads, retry advice, bodies in the caller's dialect."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway import errors
from gateway.clock import ManualClock
from gateway.errors import GatewayError, failure
from gateway.exchange import Exchange
from gateway.proxy.respond import DateLine, complete_response, error_body, error_headers, id_lines, status_line


def _advice(status: int, *, retry_after: str | None = None, attempts: int = 1) -> tuple[str | None, str | None]:
    """(x-should-retry, retry-after-ms)"""
    headers = () if retry_after is None else (("retry-after", retry_after),)
    error = GatewayError(errors.ALL_FAILED, {"reason": ""}, status=status, headers=headers)
    made = error_headers(error, cast("Exchange", SimpleNamespace(attempts=[None] * attempts)))
    assert made.first("ngrok-error-code") == "ERR_NGROK_3807"
    assert made.first("retry-after") == retry_after
    return made.first("x-should-retry"), made.first("retry-after-ms")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 422])
def test_what_cannot_help_is_not_repeated_ag_179(status: int) -> None:
    assert _advice(status) == ("false", None)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_help_is_left_to_the_client_ag_179(status: int) -> None:
    assert _advice(status) == (None, None)


@pytest.mark.parametrize("status", [429, 503])
def test_a_short_wait_is_said_in_milliseconds_too_ag_179(status: int) -> None:
    assert _advice(status, retry_after="7", attempts=3) == (None, "7000")
    assert _advice(status, retry_after="61") == ("false", None)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_retries_of_the_gateway_are_not_multiplied_p35(status: int) -> None:
    assert _advice(status, attempts=2) == ("false", None)


def test_errors_before_any_exchange() -> None:
    assert error_headers(failure(errors.BAD_REQUEST, reason="x"), None).first("x-should-retry") == "false"


def test_bodies_follow_the_format_of_the_path_ag_300() -> None:
    error = failure(errors.NO_API_KEY)
    openai: dict[str, Any] = json.loads(error_body(error, "/v1/chat/completions", "req_1"))
    anthropic: dict[str, Any] = json.loads(error_body(error, "/v1/messages", "req_1"))
    assert openai["error"]["code"] == "ERR_NGROK_3802"
    assert (anthropic["type"], anthropic["request_id"]) == ("error", "req_1")
    assert anthropic["error"]["message"].endswith("[ERR_NGROK_3802]")


def test_status_lines() -> None:
    assert status_line(200) == b"HTTP/1.1 200 OK\r\n"
    assert status_line(599) == b"HTTP/1.1 599 Unknown\r\n"


def test_the_date_is_of_this_second() -> None:
    clock = ManualClock(now_s=784_111_777.0)
    date = DateLine(clock)
    assert date() == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert date() is date()
    clock.advance(1.0)
    assert date() == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_the_id_has_every_name_that_sdks_read_ag_221() -> None:
    assert id_lines("req_1") == b"x-gateway-request-id: req_1\r\nx-request-id: req_1\r\nrequest-id: req_1\r\n"


@pytest.mark.parametrize(
    ("status", "options", "expected"),
    [
        (200, {}, b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\n\r\nhi"),
        (200, {"head_only": True}, b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\n\r\n"),
        (200, {"keep_alive": False}, b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"),
        (
            200,
            {"keep_alive_10": True},
            b"HTTP/1.1 200 OK\r\na: b\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nhi",
        ),
        (204, {}, b"HTTP/1.1 204 No Content\r\na: b\r\n\r\n"),
        (304, {}, b"HTTP/1.1 304 Not Modified\r\na: b\r\n\r\n"),
    ],
)
def test_whole_responses_tp_223(status: int, options: dict[str, bool], expected: bytes) -> None:
    assert complete_response(status, b"a: b\r\n", b"hi", **{"keep_alive": True, **options}) == expected
