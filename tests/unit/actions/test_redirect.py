"""``redirect`` (TP-390 … TP-397, CL-61)."""

from __future__ import annotations

import pytest

from gateway.policy.action import Respond
from tests.unit.actions.policies import Policies, action, refused, report, result

FIELDS = dict[str, str]


def redirect(config: str, **request: str) -> Respond | None:
    policies = Policies()
    outcome = policies.run(policies.compile(action("redirect", config)), policies.exchange(**request))  # type: ignore[arg-type]
    assert outcome is None or isinstance(outcome, Respond)
    return outcome


def location(config: str, **request: str) -> str | None:
    outcome = redirect(config, **request)
    return None if outcome is None else outcome.headers.first("location")


@pytest.mark.parametrize(
    ("config", "request_fields", "expected"),
    [
        (r"{from: '^http://gateway\.example/old/(.*)$', to: 'https://new.example/$1'}", {"path": "/old/a/b"},
         "https://new.example/a/b"),
        ("{from: /old/, to: /new/}", {"path": "/old/old/x"}, "http://gateway.example/new/old/x"),
        ("{from: a, to: b}", {"path": "/aa"}, "http://gbtewby.exbmple/bb"),
        ("{to: 'https://elsewhere.example'}", {"path": "/x", "query": "q=1"}, "https://elsewhere.example"),
        ("{to: /login}", {"path": "/x", "query": "q=1"}, "http://gateway.example/login"),
        ("{to: //other.example/x}", {}, "http://other.example/x"),
        (r"{from: '\?.*$', to: ''}", {"path": "/x", "query": "y=1"}, "http://gateway.example/x"),
        (r"{from: '\?(.*)$', to: '/$1'}", {"path": "/x", "query": "y=1"}, "http://gateway.example/x/y=1"),
        (r"{from: '/(\d+)/(\w+)$', to: '/$2/$1/$9/$$1'}", {"path": "/17/post"}, "http://gateway.example/post/17//$1"),
        (r"{from: '/(?P<id>\d+)$', to: '/i-$id-$idx'}", {"path": "/17"}, "http://gateway.example/i-17-$idx"),
        ("{from: '^/old', to: /new}", {"path": "/old"}, None),
        ("{from: /x, to: '/a b\"<é>'}", {"path": "/x"}, "http://gateway.example/a%20b%22%3C%C3%A9%3E"),
        ("{from: /x, to: '/%20%zz'}", {"path": "/x"}, "http://gateway.example/%20%zz"),
        ("{from: /x, to: \"/${req.method}/$0\"}", {"path": "/x"}, "http://gateway.example/GET//x"),
        ("{location: 'https://elsewhere.example/'}", {}, "https://elsewhere.example/"),
        (r"{from: 'users?id=([0-9]+)', to: 'u/$1'}", {"path": "/users", "query": "id=1"}, None),
    ],
)  # fmt: skip
def test_where_to_tp390_tp394(config: str, request_fields: FIELDS, expected: str | None) -> None:
    assert location(config, **request_fields) == expected


def test_nothing_happens_when_the_url_stays_tp394() -> None:
    assert redirect("{from: gateway, to: gateway}") is None
    assert redirect("{to: 'http://gateway.example/'}", path="/") is None


def test_the_answer() -> None:
    outcome = redirect(
        '{to: /x, status_code: 301, headers: {x-why: "${req.method}", cache-control: no-store}}', path="/y"
    )
    assert outcome is not None
    assert (outcome.status, outcome.body, outcome.run_response_phase) == (301, b"", True)
    assert dict(outcome.headers.lines()) == {
        "x-why": "GET", "cache-control": "no-store", "location": "http://gateway.example/x", "content-length": "0",
    }  # fmt: skip


def test_302_is_the_default() -> None:
    outcome = redirect("{to: /x}", path="/y")
    assert outcome is not None
    assert outcome.status == 302


def test_no_header_can_be_smuggled_in_tp121() -> None:
    policies = Policies()
    policy = policies.compile(action("redirect", "{to: \"/x?${req.headers['x'][0]}\"}"))
    outcome = policies.run(policy, policies.exchange(headers={"x": "a\r\nset-cookie: b"}, path="/y"))
    assert isinstance(outcome, Respond)
    assert outcome.headers.first("location") == "http://gateway.example/x?a%0D%0Aset-cookie:%20b"


def test_other_3xx_are_tolerated_with_a_warning() -> None:
    problems = Policies().problems(action("redirect", "{to: /x, status_code: 304}"))
    assert not problems.failed
    assert any("301, 302, 303, 307, 308" in problem.message for problem in problems.warnings)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("{from: x}", ("ERR_NGROK_2234", 4, 7)),
        ("{to: /x, status_code: 200}", ("ERR_NGROK_2215", 4, 29)),
        ("{to: /x, from: '(?=a)'}", ("ERR_NGROK_2261", 4, 22)),
        ("{to: /x, from: '('}", ("ERR_NGROK_2261", 4, 22)),
        ("{to: /x, headers: {connection: close}}", ("ERR_NGROK_2219", 4, 26)),
        ("{to: '${vars.'}", ("ERR_NGROK_2224", 4, 13)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action("redirect", config))) == [place]


def test_a_pattern_that_is_invalid_after_interpolation_fails_closed_tp397() -> None:
    policies = Policies()
    policy = policies.compile(action("redirect", "{from: \"${req.headers['x'][0]}\", to: /y}"))
    error = refused(policies.run(policy, policies.exchange(headers={"x": "("})))
    assert (error.code, error.status) == ("ERR_NGROK_3901", 500)


@pytest.mark.parametrize("config", ["{to: ''}", "{from: '.*', to: ''}"])
def test_an_empty_url_fails_closed(config: str) -> None:
    policies = Policies()
    assert (
        refused(policies.run(policies.compile(action("redirect", config)), policies.exchange())).code
        == "ERR_NGROK_3904"
    )


def test_a_result_that_grows_without_bound_fails_closed() -> None:
    policies = Policies()
    policy = policies.compile(action("redirect", f"{{from: '.', to: {'x' * 2_000}}}"))
    assert refused(policies.run(policy, policies.exchange(path="/" + "a" * 100))).code == "ERR_NGROK_3904"


def test_result_variables_tp397() -> None:
    policies = Policies()
    policy = policies.compile(action("redirect", "{from: '/[a-z]', to: /x}"))
    exchange = policies.exchange(path="/a/b/7")
    policies.run(policy, exchange)
    shown = result(exchange, "redirect")
    assert (shown.matches, shown.url, shown.error) == (["/g", "/a", "/b"], "http://xateway.example/x/x/7", None)
    unchanged = policies.exchange(path="/7", host="1.example")
    policies.run(policies.compile(action("redirect", "{from: nowhere, to: /x}")), unchanged)
    assert (result(unchanged, "redirect").matches, result(unchanged, "redirect").url) == ([], "http://1.example/7")
