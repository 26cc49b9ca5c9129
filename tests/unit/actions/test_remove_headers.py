"""``remove-headers``: TP-372, TP-374, CL-60."""

from __future__ import annotations

import pytest

from gateway.policy.model import Phase
from tests.unit.policy.world import answer, compiled, load, refused, report, request, run, value_of


def policy(headers: str, phase: Phase = Phase.REQUEST) -> str:
    return f"{phase}:\n- type: remove-headers\n  config: {{headers: {headers}}}\n"


def test_all_lines_are_removed() -> None:
    """TP-372: whatever the case; a name that is not there is no error."""
    exchange = request(headers=[("X-A", "1"), ("x-a", "2"), ("x-b", "3"), ("Content-Type", "a/b")])
    assert value_of("req.content_type", exchange) == "a/b"
    assert run(compiled(policy("[x-A, none, content-type]")), exchange) is None
    assert dict(exchange.headers) == {"x-b": ["3"]}
    assert value_of("actions.ngrok.remove_headers.headers_removed", exchange) == ["x-a", "content-type"]
    assert value_of("req.content_type", exchange) == ""


def test_responses() -> None:
    exchange = request(headers=[("x-a", "1")], response=answer(200, [("X-A", "1"), ("x-b", "2")]))
    assert run(compiled(policy("[x-a]", Phase.RESPONSE), Phase.RESPONSE), exchange) is None
    assert exchange.response is not None
    assert dict(exchange.response.headers) == {"x-b": ["2"]}
    assert dict(exchange.headers) == {"x-a": ["1"]}
    assert value_of("res.headers['x-a']", exchange, Phase.RESPONSE) is None


def test_replacing() -> None:
    """TP-372: remove, then add."""
    exchange = request(headers=[("x-a", "1"), ("x-a", "2")])
    text = """\
        on_http_request:
          - actions:
              - {type: remove-headers, config: {headers: [x-a]}}
              - {type: add-headers, config: {headers: {x-a: new}}}
    """
    assert run(compiled(text), exchange) is None
    assert dict(exchange.headers) == {"x-a": ["new"]}


def test_a_response_phase_without_a_response_fails_closed() -> None:
    assert refused(run(compiled(policy("[a]", Phase.RESPONSE), Phase.RESPONSE), request())) == "ERR_NGROK_2300"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("[]", ["3:21 error 2223"]),
        ("a", ["3:21 error 2203"]),
        ("{a: b}", ["3:21 error 2203"]),
        ("[5, 'a b', User-Agent]", ["3:22 error 2203", "3:25 error 2208", "3:32 error 2219"]),
        ("[a, b, c, d, e, f, g, h, i, j, k]", ["3:21 error 2218"]),
    ],
)
def test_wrong_configurations(headers: str, expected: list[str]) -> None:
    assert report(load(policy(headers))[1]) == expected
