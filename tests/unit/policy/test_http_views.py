"""``req`` and ``res``: TP 6.4, 6.5, TP-90 to TP-94, TP-140, TP-141."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.headers import HeaderMap, ValueList
from gateway.policy.http_views import ContentType, query_values, split_authority
from gateway.policy.model import Phase
from gateway.policy.variables import request_changed, response_changed, scope_of
from tests.unit.policy.world import CLOCK, answer, request, value_of

REQUEST = request(
    "/v1/../%61%2fb?q=1&q=%C3%A4+x&flag&=e", method="POST", host="user:pw@api.example:8443", content_length=17,
    headers=[
        ("Content-Type", 'Application/JSON; charset="utf-8"; Boundary=x'), ("content-encoding", "GZIP, br"),
        ("X-Two", "1"), ("x-two", " 2 "), ("x-empty", ""), ("cookie", "a=1; b=2; a=3"), ("User-Agent", "curl/8.5.0"),
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("req.id", "req_1"),
        ("req.method", "POST"),
        ("req.version", "HTTP/1.1"),
        ("req.host", "user:pw@api.example:8443"),
        ("req.headers['X-TWO']", ["1", "2"]),
        ("req.headers['x-empty']", [""]),
        ("req.headers['none']", None),
        ("'X-Two' in req.headers", True),
        ("req.headers['x-two'].contains('2')", True),
        ("req.headers.size()", 6),
        ("req.headers.exists(k, k == 'x-two')", True),
        ("req.trailers", {}),
        ("req.trailers['x']", None),
        ("req.content_type", "application/json"),
        ("req.content_type.raw", 'Application/JSON; charset="utf-8"; Boundary=x'),
        ("req.content_type.parameters['charset']", "utf-8"),
        ("req.content_type.parameters['boundary']", "x"),
        ("req.content_type.parameters['none']", None),
        ("req.content_encoding", ["gzip", "br"]),
        ("req.content_length", 17),
        ("req.location", ""),
        ("req.cookies['a'].map(c, c.value)", ["1", "3"]),
        ("req.cookies['a'][1].name", "a"),
        ("req.cookies['a'][9].name", None),
        ("req.cookies['A']", None),
        ("req.url", "https://user:pw@api.example:8443/a%2Fb?q=1&q=%C3%A4+x&flag&=e"),
        ("req.url.scheme", "https"),
        ("req.url.authority", "user:pw@api.example:8443"),
        ("req.url.user_password", "user:pw"),
        ("req.url.host", "api.example"),
        ("req.url.port", 8443),
        ("req.url.path", "/a%2Fb"),
        ("req.url.query", "q=1&q=%C3%A4+x&flag&=e"),
        ("req.url.uri", "/a%2Fb?q=1&q=%C3%A4+x&flag&=e"),
        ("req.url.raw", "https://user:pw@api.example:8443/v1/../%61%2fb?q=1&q=%C3%A4+x&flag&=e"),
        ("req.url.raw_path", "/v1/../%61%2fb"),
        ("req.url.query_params['q']", ["1", "ä x"]),
        ("req.url.query_params['flag'][0]", ""),
        ("req.url.query_params['Q']", None),
        ("req.url.startsWith('https://')", True),
        ("req.user_agent", "curl/8.5.0"),
        ("req.user_agent.name", "curl"),
        ("int(req.ts.header_received)", int(CLOCK.now())),
        ("req.ts.body_received", None),
        ("getReqHeader('X-Two')", ["1", "2"]),
        ("getReqHeader('none')", []),
        ("getReqHeader('none')[0]", None),
        ("hasReqHeader('X-EMPTY')", True),
        ("hasReqHeader('none')", False),
        ("getQueryParam('q')[1]", "ä x"),
        ("getQueryParam('none')", []),
        ("hasQueryParam('flag')", True),
        ("hasQueryParam('none')", False),
        ("getReqCookie('a').value", "1"),
        ("getReqCookie('a').http_only", False),
        ("getReqCookie('none')", None),
        ("hasReqCookie('b')", True),
        ("hasReqCookie('none')", False),
    ],
)
def test_request_variables(expression: str, value: Any) -> None:
    assert value_of(expression, REQUEST) == value


RESPONSE = request(
    response=answer(
        404,
        [
            ("Content-Type", "text/HTML"), ("content-length", "12"), ("location", "/x"), ("x", "1"), ("x", "2"),
            ("set-cookie", "a=1; Path=/; Secure"), ("set-cookie", "a=2; Path=/deep"), ("set-cookie", "b=3"),
        ],
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("res.status_code", 404),
        ("res.headers['X']", ["1", "2"]),
        ("res.trailers", {}),
        ("res.content_type", "text/html"),
        ("res.content_type.parameters", {}),
        ("res.content_encoding", []),
        ("res.content_length", 12),
        ("res.location", "/x"),
        ("res.cookies['a'].map(c, c.value)", ["2", "1"]),
        ("res.cookies['a'][1].secure", True),
        ("getResHeader('X')", ["1", "2"]),
        ("getResHeader('none')", []),
        ("hasResHeader('x')", True),
        ("getResCookie('a').value", "2"),
        ("getResCookie('none')", None),
        ("hasResCookie('b')", True),
        ("req.method", "GET"),
    ],
)
@pytest.mark.parametrize("phase", [Phase.RESPONSE, Phase.STREAM])
def test_response_variables(expression: str, value: Any, phase: Phase) -> None:
    assert value_of(expression, RESPONSE, phase) == value


def test_views_follow_changes() -> None:
    """TP-141: the rewritten URL and the changed headers; ``raw`` stays."""
    exchange = request("/old?x=1", headers=[("content-type", "text/plain"), ("cookie", "a=1")])
    scope = scope_of(exchange, CLOCK.now)
    req = scope.req
    assert (req.url.path, req.content_type, req.cookies["a"][0].value) == ("/old", "text/plain", "1")
    exchange.path, exchange.query, exchange.host = "/new", "y=2", "other.example"
    exchange.headers = HeaderMap.of([("content-type", "text/html"), ("cookie", "a=2"), ("user-agent", "x/1")])
    request_changed(exchange)
    assert (str(req.url), req.url.raw_path) == ("https://other.example/new?y=2", "/old")
    assert req.url.query_params == {"y": ["2"]}
    assert (req.content_type, req.cookies["a"][0].value, req.user_agent) == ("text/html", "2", "x/1")
    assert req.headers is exchange.headers


def test_the_answer_may_be_replaced() -> None:
    exchange = request(response=answer(200, [("content-type", "text/plain")]))
    scope = scope_of(exchange, CLOCK.now)
    assert (scope.res.status_code, scope.res.content_type) == (200, "text/plain")
    exchange.response = answer(500)
    response_changed(exchange)
    assert (scope.res.status_code, scope.res.content_type) == (500, "")


@pytest.mark.parametrize("length", ["", "x", "-1", "1" * 30, "\uff11"])
def test_odd_lengths_are_absent(length: str) -> None:
    exchange = request(response=answer(200, [("content-length", length)]))
    assert scope_of(exchange, CLOCK.now).res.content_length is None


@pytest.mark.parametrize(
    ("authority", "parts"),
    [
        ("", ("", "", None)), ("a", ("", "a", None)), ("a:80", ("", "a", 80)), ("u@a", ("u", "a", None)),
        ("u:p@a:1", ("u:p", "a", 1)), ("[::1]", ("", "[::1]", None)), ("[::1]:80", ("", "[::1]", 80)),
        ("a:", ("", "a:", None)), ("a:x", ("", "a:x", None)), ("a@b@c", ("a@b", "c", None)),
        ("a:999999", ("", "a", None)),
    ],
)  # fmt: skip
def test_authorities(authority: str, parts: tuple[str, str, int | None]) -> None:
    assert split_authority(authority) == parts


def test_queries() -> None:
    """TP-92."""
    assert query_values("a=1&A=2&a=%zz+b&&c=d=e&%26=x") == {"a": ["1", "%zz b"], "A": ["2"], "c": ["d=e"], "&": ["x"]}
    assert isinstance(query_values("a")["a"], ValueList)


def test_content_types() -> None:
    found = ContentType.of(HeaderMap.of([("content-type", "; ; =x; a=b=c; A=d")]))
    assert (str(found), found.parameters) == ("", {"a": "b=c"})
    assert ContentType.of(HeaderMap()).raw == ""


@pytest.mark.parametrize(
    ("target", "raw", "raw_path"),
    [
        ("http://other/a/../b", "http://other/a/../b", "/a/../b"), ("http://other", "http://other", "/"),
        ("*", "*", "*"), ("/a?b", "https://gateway.example/a?b", "/a"),
    ],
)  # fmt: skip
def test_targets_as_received(target: str, raw: str, raw_path: str) -> None:
    url = scope_of(request(target), CLOCK.now).req.url
    assert (url.raw, url.raw_path) == (raw, raw_path)
