"""The limits of TP 8, both sides of each: the last value that loads, and the first that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.policy.options import PolicyOptions
from tests.unit.actions.policies import Policies

POLICIES = Policies(PolicyOptions(has_builtin_gateway=True))
Config = dict[str, Any]

LIMIT: Config = {
    "name": "n", "algorithm": "sliding_window", "capacity": 1, "rate": "60s", "bucket_key": ["conn.client_ip"],
}  # fmt: skip
REQUEST: Config = {"url": "http://a.internal"}
PAIR = {"from": "a", "to": "b"}
TOKEN = {"type": "jwt", "method": "header", "name": "a"}
JWT: Config = {
    "issuer": {"allow_list": [{"value": "i"}]},
    "http": {"tokens": [TOKEN]},
    "jws": {"allowed_algorithms": ["RS256"], "keys": {"sources": {"additional_jkus": ["https://a.example/jwks"]}}},
}


def named(count: int) -> dict[str, str]:
    """So many headers."""
    return {f"x-{number}": "v" for number in range(count)}


def nested(depth: int) -> Any:
    """A value of so many levels."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def jwt(**changes: Any) -> Config:
    return {**JWT, **changes}


def sources(count: int) -> Config:
    urls = [f"https://a.example/{number}" for number in range(count)]
    return jwt(jws={"allowed_algorithms": ["RS256"], "keys": {"sources": {"additional_jkus": urls}}})


#: action, what makes a configuration of a value, values that load, values that do not and their codes
Row = tuple[str, Callable[[Any], Config], list[Any], dict[Any, str]]
ROWS: list[Row] = [
    ("custom-response", lambda v: {"status_code": v}, [200, 599, "404"], {199: "2215", 600: "2215", "x": "2203"}),
    ("custom-response", lambda v: {"headers": named(v)}, [0, 10], {11: "2218"}),
    ("custom-response", lambda v: {"headers": {"a" * v: "x"}}, [256], {257: "2209"}),
    ("custom-response", lambda v: {"headers": {"a": "x" * v}}, [0, 8_192], {8_193: "2211"}),
    ("set-vars", lambda v: {"vars": [{f"v{n}": 1} for n in range(v)]}, [1, 100], {0: "2223", 101: "2218"}),
    ("set-vars", lambda v: {"vars": [{"v": nested(v)}]}, [0, 16], {17: "2250"}),
    ("rate-limit", lambda v: {**LIMIT, "name": "n" * v}, [1, 1_023], {0: "2223", 1_024: "2255"}),
    ("rate-limit", lambda v: {**LIMIT, "capacity": v}, [1, 2_000_000_000], {0: "2215", 2_000_000_001: "2215"}),
    ("rate-limit", lambda v: {**LIMIT, "rate": v}, ["1s", "59s", "60s", "24h"],
     {"500ms": "2225", "61s": "2222", "24h10s": "2221", "60": "2228"}),
    ("rate-limit", lambda v: {**LIMIT, "bucket_key": ["1"] * v}, [1, 10], {0: "2223", 11: "2218"}),
    ("rate-limit", lambda v: {**LIMIT, "algorithm": v}, ["sliding_window"], {"fixed_window": "2222"}),
    ("jwt-validation", sources, [1, 100], {0: "7184", 101: "7193"}),
    ("jwt-validation", lambda v: jwt(http={"tokens": [TOKEN] * v}), [1], {0: "7178", 2: "7189"}),
    ("jwt-validation", lambda v: jwt(issuer={"allow_list": [{"value": "i"}] * v}), [1], {0: "7172", 2: "7187"}),
    ("jwt-validation", lambda v: jwt(audience={"allow_list": [{"value": "i"}] * v}), [1], {0: "2223", 2: "7188"}),
    ("jwt-validation", lambda v: jwt(jws={**JWT["jws"], "allowed_algorithms": v.split()}), ["RS256 EdDSA"],
     {"": "7176", "none": "7177", "HS256": "7177", "rs256": "7177", "RS256 RS256": "7190"}),
    ("deny", lambda v: {"status_code": v}, [200, 599], {199: "2215", 600: "2215"}),
    ("add-headers", lambda v: {"headers": named(v)}, [1, 10], {0: "2223", 11: "2218"}),
    ("remove-headers", lambda v: {"headers": list(named(v))}, [1, 10], {0: "2223", 11: "2218"}),
    ("redirect", lambda v: {"to": "/x", "status_code": v}, [301, 302, 303, 307, 308, 305], {200: "2215", 400: "2215"}),
    ("redirect", lambda v: {"to": "/x", "headers": named(v)}, [10], {11: "2218"}),
    ("url-rewrite", lambda v: {"to": "/x", "from": v}, ["/a(b)"], {"a(": "2261"}),
    ("basic-auth", lambda v: {"credentials": [f"u{n}:password" for n in range(v)]}, [1, 10], {0: "2223", 11: "2218"}),
    ("basic-auth", lambda v: {"credentials": ["u:" + "p" * v]}, [8, 128], {7: "2258", 129: "2258"}),
    ("basic-auth", lambda v: {"credentials": ["u:password"], "realm": "r" * v}, [128], {129: "2255"}),
    ("basic-auth", lambda v: {"credentials": ["u:password"], "realm": v}, ["The Staff"], {"é": "2204"}),
    ("log", lambda v: {"metadata": dict.fromkeys("ab"[:v], 1)}, [1, 2], {0: "2223"}),
    ("log", lambda v: {"metadata": {"a": "x" * v}}, [65_000], {66_000: "2255"}),
    ("request-body-find-replace", lambda v: {"replacements": [PAIR] * v}, [1], {0: "2223"}),
    ("request-body-find-replace", lambda v: {"replacements": [{"from": v}]}, ["a+"], {"a(": "2261", "(?=a)": "2261"}),
    ("http-request", lambda v: {**REQUEST, "query_params": [{"key": "k", "value": "v"}] * v}, [0, 32], {33: "2244"}),
    ("http-request", lambda v: {**REQUEST, "query_params": [{"key": "k" * v, "value": ""}]}, [1, 128], {129: "2245"}),
    ("http-request", lambda v: {**REQUEST, "query_params": [{"key": "k", "value": "v" * v}]}, [0, 8_192],
     {8_193: "2246"}),
    ("http-request", lambda v: {**REQUEST, "headers": named(v)}, [10], {11: "2218"}),
    ("http-request", lambda v: {**REQUEST, "max_redirects": v}, [0, 100], {-1: "2215", 101: "2215"}),
    ("http-request", lambda v: {**REQUEST, "timeout": v}, ["1s", "30s"], {"999ms": "2225", "31s": "2221", "5": "2228"}),
    ("http-request", lambda v: {**REQUEST, "method": v}, ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"],
     {"HEAD": "2222", "get": "2222"}),
    ("http-request", lambda v: {**REQUEST, "on_error": v}, ["continue", "halt"], {"stop": "2222"}),
    ("circuit-breaker", lambda v: {"error_threshold": v}, [0, 0.0, 0.5, 1, "0.25"], {-0.1: "2215", 1.1: "2215"}),
    ("circuit-breaker", lambda v: {"volume_threshold": v}, [1, 2_000_000_000], {0: "2215", 2_000_000_001: "2215"}),
    ("circuit-breaker", lambda v: {"window_duration": v}, ["1s", "2m"], {"999ms": "2225", "121s": "2221"}),
    ("circuit-breaker", lambda v: {"tripped_duration": v}, ["1s", "2m"], {"999ms": "2225", "121s": "2221"}),
    ("circuit-breaker", lambda v: {"num_buckets": v}, [10], {9: "2215", 11: "2215"}),
    ("verify-webhook", lambda v: {"provider": "github", "secret": v}, ["s"], {"": "2223"}),
    ("forward-internal", lambda v: {"url": v}, ["http://a.internal", "https://a.b.internal:8443"],
     {"http://a.example": "2226", "a.internal": "2226", "ftp://a.internal": "2226", "http://a.internal/x": "2226"}),
    ("forward-internal", lambda v: {"url": "http://a.internal", "on_error": v}, ["halt", "continue"], {"go": "2222"}),
    ("restrict-ips", lambda v: {"allow": [v]}, ["10.0.0.0/8", "::/0", "10.0.0.1/8"],
     {"10.0.0.1": "2217", "10.0.0.0/33": "2217", "x": "2217"}),
]  # fmt: skip
RESPONSE_ROWS: list[Row] = [
    ("compress-response", lambda v: {"algorithms": v.split()}, ["gzip", "gzip deflate br compress"],
     {"zstd": "2214", "gzip gzip": "2231"}),
    ("response-body-find-replace", lambda v: {"replacements": [PAIR] * v}, [1], {0: "2223"}),
]  # fmt: skip
STREAM_ROWS: list[Row] = [
    ("sse-find-replace", lambda v: {"replacements": [PAIR] * v}, [1], {0: "2223"}),
    ("sse-find-replace", lambda v: {"replacements": [{**PAIR, "field": v}]}, ["data", "retry"], {"event": "2222"}),
]


def cases() -> list[Any]:
    """One for each value."""
    found = []
    for phase, rows in (
        ("on_http_request", ROWS), ("on_http_response", RESPONSE_ROWS), ("on_event_stream_message", STREAM_ROWS),
    ):  # fmt: skip
        for type, configure, good, bad in rows:
            for value, code in [*((each, "") for each in good), *bad.items()]:
                text = json.dumps({phase: [{"type": type, "config": configure(value)}]})
                field = ",".join(configure(value)) or "config"
                found.append(pytest.param(text, code, id=f"{type} {field} {str(value)[:20]!r} {code}"))
    return found


@pytest.mark.parametrize(("text", "code"), cases())
def test_limit(text: str, code: str) -> None:
    errors = POLICIES.problems(text).errors
    assert [problem.code.removeprefix("ERR_NGROK_") for problem in errors] == ([code] if code else [])
