"""URLs after a change (TP-391, TP-394, TP-395)."""

from __future__ import annotations

import pytest

from gateway.policy.url_change import current_url, is_absolute, percent_encoded
from tests.unit.actions.policies import Policies, action


@pytest.mark.parametrize(
    ("url", "encoded"),
    [
        ("http://h/a?b=c&d#e", "http://h/a?b=c&d#e"),
        ("/a b", "/a%20b"),
        ("/%20%zz%", "/%20%zz%"),
        ("/ä日\udcff", "/%C3%A4%E6%97%A5%FF"),
        ('/"<>\\^`{|}', "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("/\r\n\t\x00\x7f", "/%0D%0A%09%00%7F"),
        ("http://[::1]:80/;,'()*!~$", "http://[::1]:80/;,'()*!~$"),
    ],
)
def test_whatever_may_not_stand_in_a_url_is_escaped_tp394(url: str, encoded: str) -> None:
    assert percent_encoded(url) == encoded


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("http://h", True),
        ("x+y.z-1://h/p", True),
        ("http:///p", False),
        ("//h/p", False),
        ("/p", False),
        ("h:80/p", False),
    ],
)
def test_absolute_urls(url: str, absolute: bool) -> None:
    assert is_absolute(url) is absolute


def test_the_current_url_has_no_empty_query_tp391() -> None:
    policies = Policies()
    assert current_url(policies.exchange(path="/a")) == "http://gateway.example/a"
    exchange = policies.exchange(path="/a", query="b=%20", scheme="https", host="h:8443")
    assert current_url(exchange) == "https://h:8443/a?b=%20"


@pytest.mark.parametrize("type", ["redirect", "url-rewrite"])
@pytest.mark.parametrize(
    ("pattern", "warned"),
    [
        ("^/api/", True),
        ("^${req.url.authority}/api", True),
        ("^${ req.host }/", True),
        ("^${req.url.path}$", True),
        ("^https?://[^/]+/api", False),
        ("^${req.url.scheme}://${req.url.authority}/api", False),
        ("/api", False),
        ("^.*/api", False),
    ],
)
def test_patterns_that_never_match_are_a_warning_tp396(type: str, pattern: str, warned: bool) -> None:
    """P34: TP-390 says that ``^/api`` never matches; a policy that has it loads, and says so."""
    problems = Policies().problems(action(type, f"{{from: '{pattern}', to: /x}}"))
    assert not problems.errors
    found = [problem for problem in problems.warnings if "never matches" in problem.message]
    assert [(problem.code, problem.line) for problem in found] == ([("ERR_NGROK_2207", 4)] if warned else [])
