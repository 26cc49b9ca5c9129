"""Cookies of requests and responses: TP 6.4, 6.5."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.headers import HeaderMap
from gateway.policy.cookies import Cookie, request_cookies, response_cookies


def requested(*lines: str) -> dict[str, list[str]]:
    found = request_cookies(HeaderMap.of([("cookie", line) for line in lines]))
    return {name: [cookie.value for cookie in cookies] for name, cookies in found.items()}


def set_by(*lines: str) -> list[Cookie]:
    found = response_cookies(HeaderMap.of([("set-cookie", line) for line in lines]))
    return [cookie for cookies in found.values() for cookie in cookies]


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        (["a=1; b=2; a=3"], {"a": ["1", "3"], "b": ["2"]}),
        (["a=1", "a=2"], {"a": ["1", "2"]}),
        (["A=1; a=2"], {"A": ["1"], "a": ["2"]}),
        (['a="x y"; b=c=d;;  ; =e; f; g='], {"a": ["x y"], "b": ["c=d"], "g": [""]}),
        ([], {}),
    ],
)
def test_request_cookies(lines: list[str], cookies: dict[str, list[str]]) -> None:
    """TP-92: names are case-sensitive, order is kept; what is no cookie is left out."""
    assert requested(*lines) == cookies


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", {"domain": "", "path": "", "same_site": "", "secure": False, "http_only": False, "expires": None}),
        ("; Domain=x.example; PATH=/a", {"domain": "x.example", "path": "/a"}),
        ("; Secure; HttpOnly; SameSite=Lax", {"secure": True, "http_only": True, "same_site": "Lax"}),
        ("; Max-Age=60", {"max_age": 60_000_000_000}),
        ("; Max-Age=-1", {"max_age": -1_000_000_000}),
        ("; Max-Age=soon", {"max_age": None, "unparsed_attributes": {"Max-Age": "soon"}}),
        ("; Expires=Sun, 06 Nov 1994 08:49:37 GMT", {"expires": 784_111_777_000_000_000}),
        ("; Expires=never", {"expires": None, "unparsed_attributes": {"Expires": "never"}}),
        ("; Partitioned; Priority=High", {"unparsed_attributes": {"Partitioned": "", "Priority": "High"}}),
    ],
)
def test_attributes(attributes: str, expected: dict[str, Any]) -> None:
    (cookie,) = set_by(f"a=1{attributes}")
    assert {name: getattr(cookie, name) for name in expected} == expected


def test_longest_path_first() -> None:
    """TP 6.5."""
    assert [cookie.value for cookie in set_by("a=1; Path=/", "a=2; Path=/x/y", "a=3; Path=/x", "a=4")] == [
        "2",
        "3",
        "1",
        "4",
    ]


def test_what_is_no_cookie() -> None:
    assert set_by("", "a", "=b", "; Path=/") == []
