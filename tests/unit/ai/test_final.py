"""The answer when every candidate has failed (AG-176 to AG-178, AG-180), row by row."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway import errors
from gateway.ai.final import Outcome, attempt_error, describe, details, final_error
from gateway.exchange import Attempt


def failed(kind: str, status: int = 0, *, code: str = "", message: str = "why", name: str = "m") -> Attempt:
    attempt = Attempt(SimpleNamespace(provider=SimpleNamespace(id="p"), name=name), None, 10.0)
    attempt.kind, attempt.status, attempt.code, attempt.message = kind, status, code, message
    attempt.completed = 10.25
    return attempt


def http(*statuses: int) -> list[Attempt]:
    return [failed("http", status) for status in statuses]


def outcome(attempts: list[Attempt], **more: bool) -> tuple[int, str]:
    error = final_error(Outcome(attempts, 60.0, **more))
    assert error.message  # every placeholder of every row is filled
    return error.status, error.code.removeprefix("ERR_NGROK_")


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        ([failed("no_key", code="ERR_NGROK_3802")] * 2, (400, "3802")),
        ([failed("key_selection", code="ERR_NGROK_3808")], (422, "3808")),
        ([failed("no_key", code="ERR_NGROK_3802"), failed("key_selection", code="ERR_NGROK_3808")], (503, "3807")),
        ([failed("timeout")] * 2, (504, "3810")),
        ([failed("timeout"), failed("no_key", code="ERR_NGROK_3802")], (504, "3810")),
        ([failed("connection")], (502, "3800")),
        ([failed("connection")] * 2, (503, "3807")),
        (http(429, 429), (429, "3807")),
        (http(429, 500), (503, "3807")),
        (http(400, 422), (422, "3807")),
        (http(400, 500), (503, "3807")),
        (http(401, 403), (503, "3807")),
        ([*http(429), failed("stream_error", 200)], (503, "3807")),
        ([*http(429), failed("no_key", code="ERR_NGROK_3802")], (503, "3807")),
        ([], (503, "3807")),
    ],
)
def test_rows_of_ag_176(attempts: list[Attempt], expected: tuple[int, str]) -> None:
    assert outcome(attempts) == expected


def test_the_total_time_comes_first_ag_176() -> None:
    assert outcome(http(429), total_expired=True) == (504, "3810")


def test_passthrough_shows_what_the_key_is_worth_ag_176() -> None:
    assert outcome(http(401, 403), passthrough=True) == (403, "3807")
    assert outcome(http(401, 500), passthrough=True) == (503, "3807")


def test_one_status_for_all_can_be_turned_off_ag_177() -> None:
    assert outcome(http(429, 429), uniform_status=False) == (503, "3807")


def test_the_limit_of_attempts_gives_way_to_429_only_ag_156() -> None:
    assert outcome(http(500, 500), limit_reached=True) == (503, "3812")
    assert outcome(http(400, 400), limit_reached=True) == (503, "3812")
    assert outcome(http(429, 429), limit_reached=True) == (429, "3807")


@pytest.mark.parametrize(("wait_s", "header"), [(0.2, "1"), (2.1, "3"), (30.0, "30")])
def test_retry_after_is_whole_seconds_ag_178(wait_s: float, header: str) -> None:
    error = final_error(Outcome(http(429), 60.0, retry_after_s=wait_s))
    assert error.headers == (("retry-after", header),)
    assert final_error(Outcome(http(400), 60.0, retry_after_s=wait_s)).headers == ()


def test_the_message_lists_every_attempt_ag_180() -> None:
    attempts = [failed("http", 429, message="slow down", name="a"), failed("timeout", message="no answer", name="b")]
    assert describe(attempts) == "[429] p/a: slow down; [timeout] p/b: no answer"
    assert describe(attempts) in final_error(Outcome(attempts, 60.0)).message


def test_details_have_a_limit_and_no_key_ag_180() -> None:
    entries = details([failed("http", 500, code="ERR_NGROK_27218")] * 60)
    assert len(entries) == 50
    assert entries[0] == {
        "provider": "p", "model": "m", "status_code": 500, "kind": "http", "code": "ERR_NGROK_27218", "message": "why",
        "latency_ms": 250,
    }  # fmt: skip
    assert final_error(Outcome([failed("connection")], 60.0)).details == {"attempts": details([failed("connection")])}


def test_codes_of_attempts_follow_the_status() -> None:
    assert attempt_error(429) is errors.UPSTREAM_RATE_LIMIT
    assert attempt_error(418) is errors.UPSTREAM_UNEXPECTED
    assert {attempt_error(status).status for status in (400, 401, 403, 404, 408, 413, 422)} == {
        400, 401, 403, 404, 408, 413, 422,
    }  # fmt: skip
