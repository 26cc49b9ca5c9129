"""``add-headers``: TP-370, TP-371, TP-374, CL-59, CL-60."""

from __future__ import annotations

import pytest

from gateway.policy.model import Phase
from tests.unit.policy.world import answer, compiled, load, refused, report, request, run, value_of


def policy(headers: str, phase: Phase = Phase.REQUEST) -> str:
    return f"{phase}:\n- type: add-headers\n  config: {{headers: {headers}}}\n"


def test_lines_are_appended() -> None:
    """TP-371: an existing header keeps its value."""
    exchange = request(headers=[("x-a", "1"), ("x-b", "2")])
    assert run(compiled(policy('{X-A: "${req.method}", x-c: true}')), exchange) is None
    assert dict(exchange.headers) == {"x-a": ["1", "GET"], "x-b": ["2"], "x-c": ["true"]}
    assert value_of("actions.ngrok.add_headers.headers_added", exchange) == {"x-a": "GET", "x-c": "true"}


def test_host_is_replaced() -> None:
    exchange = request(headers=[("host", "gateway.example")])
    assert run(compiled(policy("{Host: other.example}")), exchange) is None
    assert exchange.headers["host"] == ["other.example"]
    assert value_of("req.host + ' ' + req.url.host", exchange) == "other.example other.example"


def test_responses() -> None:
    """TP-370: the response towards the client; the request is left alone."""
    exchange = request(response=answer(200, [("x-a", "1")]))
    assert (
        run(
            compiled(policy('{x-a: "${res.status_code}", content-type: a/b}', Phase.RESPONSE), Phase.RESPONSE), exchange
        )
        is None
    )
    assert exchange.response is not None
    assert dict(exchange.response.headers) == {"x-a": ["1", "200"], "content-type": ["a/b"]}
    assert dict(exchange.headers) == {}
    assert value_of("res.content_type", exchange, Phase.RESPONSE) == "a/b"


def test_views_follow() -> None:
    """TP-141."""
    exchange = request()
    assert value_of("req.content_type", exchange) == ""
    assert run(compiled(policy("{content-type: a/b}")), exchange) is None
    assert value_of("req.content_type", exchange) == "a/b"


@pytest.mark.parametrize("phase", [Phase.REQUEST, Phase.RESPONSE])
def test_nothing_is_added_when_one_value_fails(phase: Phase) -> None:
    """TP-111."""
    exchange = request(response=answer())
    assert refused(run(compiled(policy('{a: b, c: "${vars.none}"}', phase), phase), exchange)) == "ERR_NGROK_2238"
    assert exchange.response is not None
    assert dict(exchange.headers) == dict(exchange.response.headers) == {}


def test_a_response_phase_without_a_response_fails_closed() -> None:
    exchange = request()
    assert refused(run(compiled(policy("{a: b}", Phase.RESPONSE), Phase.RESPONSE), exchange)) == "ERR_NGROK_2300"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("{}", ["3:21 error 2223"]),
        ("{User-Agent: x}", ["3:22 error 2219"]),
        ("{content-length: 1, connection: x}", ["3:22 error 2219", "3:41 error 2219"]),
        ("{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1}", ["3:21 error 2218"]),
    ],
)
def test_wrong_configurations(headers: str, expected: list[str]) -> None:
    """TP-204, TP-371."""
    assert report(load(policy(headers))[1]) == expected


def test_headers_are_required() -> None:
    assert report(load("on_http_request:\n- type: add-headers\n")[1]) == ["2:9 error 2234"]
