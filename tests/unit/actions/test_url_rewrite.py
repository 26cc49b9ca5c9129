"""``url-rewrite`` (TP-390 … TP-397, CL-62, CL-86, CL-88)."""

from __future__ import annotations

import pytest

from gateway.exchange import Exchange
from tests.unit.actions.policies import Policies, action, refused, report, result


def rewritten(config: str, path: str, query: str = "") -> tuple[str, str]:
    policies = Policies()
    exchange = policies.exchange(path=path, query=query)
    assert policies.run(policies.compile(action("url-rewrite", config)), exchange) is None
    return exchange.path, exchange.query


@pytest.mark.parametrize(
    ("config", "path", "query", "expected"),
    [
        ("{from: '/v1/old$', to: /v1/new}", "/v1/old", "", ("/v1/new", "")),
        (r"{from: '/users/(\d+)(/\w+)?$', to: '/u?id=$1&part=$2'}", "/users/7", "", ("/u", "id=7&part=")),
        (r"{from: '/(\d{4})/(\d\d)/(.*)$', to: '/blog/$3?y=$1&m=$2'}", "/2024/05/hi", "", ("/blog/hi", "y=2024&m=05")),
        ("{from: '^/api', to: /v2}", "/api", "", ("/api", "")),
        ("{from: '^gateway.example/api', to: /v2}", "/api", "", ("/api", "")),
        (
            r"{from: '^${req.url.scheme}://${req.url.authority}/api', to: 'http://h/v2'}",
            "/api/x",
            "q=1",
            ("/v2/x", "q=1"),
        ),
        ("{from: 'users?id=([0-9]+)', to: 'u/$1'}", "/users", "id=1", ("/users", "id=1")),
        ("{to: /whole?x=1}", "/a", "b=c", ("/whole", "x=1")),
        ("{from: /a, to: '/x y'}", "/a", "", ("/x%20y", "")),
        ("{from: /a, to: '/b/../c/%61'}", "/a", "", ("/c/a", "")),
        ("{from: /a, to: '/b#fragment'}", "/a", "", ("/b", "")),
    ],
)
def test_what_the_upstream_gets_tp395(config: str, path: str, query: str, expected: tuple[str, str]) -> None:
    assert rewritten(config, path, query) == expected


@pytest.mark.parametrize("config", ["{from: '^.*$', to: nonsense}", "{from: 'http://[^/]*', to: ' '}", "{to: 'x'}"])
def test_a_result_that_is_not_a_url_fails_closed_tp395(config: str) -> None:
    policies = Policies()
    exchange = policies.exchange(path="/a")
    error = refused(policies.run(policies.compile(action("url-rewrite", config)), exchange))
    assert error.code == "ERR_NGROK_3904"
    assert exchange.path == "/a", "nothing is changed in part"


def run_then(text: str) -> Exchange:
    policies = Policies()
    exchange = policies.exchange(path="/a", query="q=1")
    policies.run(policies.compile(text), exchange)
    return exchange


def test_later_rules_see_the_new_url_and_the_raw_one_stays_tp141() -> None:
    exchange = run_then(
        action("url-rewrite", "{from: '/a', to: '/b'}")
        + "  - type: set-vars\n    config:\n      vars:\n"
        + '        - now: "${req.url.path}?${req.url.query}"\n        - raw: "${req.url.raw_path}"\n'
    )
    assert exchange.vars == {"now": "/b?q=1", "raw": "/a"}


def test_the_second_rewrite_sees_the_first_tp391() -> None:
    exchange = run_then(
        action("url-rewrite", "{from: '/a', to: '/b'}") + "  - type: url-rewrite\n    config: {from: '/b', to: '/c'}\n"
    )
    assert exchange.path == "/c"


def test_result_variables_tp397() -> None:
    exchange = run_then(action("url-rewrite", "{from: '[aq]', to: 'x'}"))
    shown = result(exchange, "url_rewrite")
    expected = (["a", "a", "a", "a", "q"], "http://gxtewxy.exxmple/x?x=1", None)
    assert (shown.matches, shown.url, shown.error) == expected


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("{from: x}", ("ERR_NGROK_2234", 4, 7)),
        ("{from: '(?!a)', to: /x}", ("ERR_NGROK_2261", 4, 14)),
        ("{to: /x, status_code: 302}", ("ERR_NGROK_2203", 4, 16)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action("url-rewrite", config))) == [place]


def test_an_invalid_pattern_at_run_time_fails_closed_tp397() -> None:
    policies = Policies()
    policy = policies.compile(action("url-rewrite", "{from: \"${req.headers['x'][0]}\", to: /y}"))
    assert refused(policies.run(policy, policies.exchange(headers={"x": "["}))).code == "ERR_NGROK_3901"
