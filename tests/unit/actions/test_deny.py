"""``deny``: TP-360, TP-362."""

from __future__ import annotations

import pytest

from gateway.policy.action import CloseConnection
from gateway.policy.model import Phase
from tests.unit.policy.world import compiled, load, report, request, responded, run


@pytest.mark.parametrize(("config", "status"), [("", 403), ("  config: {status_code: 404}\n", 404)])
def test_refusing(config: str, status: int) -> None:
    """No body, no further phase (TP-42, TP-43)."""
    response = responded(run(compiled(f"on_http_request:\n- type: deny\n{config}"), request()))
    assert (response.status, response.body, response.run_response_phase) == (status, b"", False)
    assert dict(response.headers) == {"content-length": ["0"]}


def test_refusing_a_connection() -> None:
    outcome = run(compiled("on_tcp_connect:\n- type: deny\n", Phase.TCP), request())
    assert outcome == CloseConnection()


def test_a_body_is_tolerated() -> None:
    """CL-72."""
    text = 'on_http_request:\n- type: deny\n  config: {body: "no ${req.method}"}\n'
    assert report(load(text)[1]) == ["3:12 warning 2203"]
    response = responded(run(compiled(text), request()))
    assert response.body == b"no GET"
    assert response.headers["content-type"] == ["text/plain; charset=utf-8"]
    head = responded(run(compiled(text), request(method="HEAD")))
    assert (head.body, head.headers["content-length"]) == (b"", ["7"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on_tcp_connect:\n- type: deny\n  config: {status_code: 403}\n", ["3:12 error 2203"]),
        ("on_http_request:\n- type: deny\n  config: {status_code: 100}\n", ["3:25 error 2215"]),
        ("on_http_response:\n- type: deny\n", ["2:9 error 2202"]),
        ("on_event_stream_message:\n- type: deny\n", ["2:9 error 2202"]),
    ],
)
def test_wrong_configurations(text: str, expected: list[str]) -> None:
    assert report(load(text)[1]) == expected
