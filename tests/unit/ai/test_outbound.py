"""Upstream request heads (AG-43, AG-56, AG-205 to AG-217, P17, P26)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.ai.credentials import UpstreamCredential
from gateway.ai.outbound import (
    HOP_HEADER,
    ClientLines,
    RequestHead,
    UpstreamQuery,
    client_lines,
    field_lines,
    is_settable,
    next_hop,
)
from gateway.ai.providers import Target
from gateway.ai.surfaces import CHAT, MESSAGES, Surface
from gateway.errors import GatewayError
from gateway.headers import HeaderMap
from gateway.secrets.secret import Secret

HOP = "inst;1"
OPENAI = RequestHead.compile(Target.parse("https://api.openai.com/v1/"), CHAT)
KEY = UpstreamCredential("authorization", Secret("sk-operator"), server_side=True)
OWN = UpstreamCredential("authorization", Secret("sk-client"), server_side=False)


def lines(*pairs: tuple[str, str], **options: Any) -> ClientLines:
    return client_lines(HeaderMap.of(pairs), hop=HOP, **options)


def built(
    head: RequestHead, *pairs: tuple[str, str], credential: UpstreamCredential | None = KEY,
    extra: Mapping[str, str] = {}, length: int = 7, **options: Any,
) -> bytes:  # fmt: skip
    """The whole head; ``extra``: the action's ``headers``."""
    kept = lines(*pairs, replaced=extra, **options)
    return head.build(kept, credential, length, fields=field_lines(tuple(extra), tuple(extra.values())))


def sent(*pairs: tuple[str, str], **options: Any) -> HeaderMap:
    return headers_of(built(OPENAI, *pairs, **options))


def headers_of(head: bytes) -> HeaderMap:
    text = head.decode("utf-8", "surrogateescape")
    assert text.endswith("\r\n\r\n")
    return HeaderMap.of(tuple(line.split(": ", 1)) for line in text[:-4].split("\r\n")[1:])  # type: ignore[misc]


def test_the_whole_head():
    head = OPENAI.build(lines(("host", "gw"), ("user-agent", "curl/8"), ("content-length", "9")), KEY, 812)
    assert head == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        b"host: api.openai.com\r\n"
        b"content-type: application/json\r\n"
        b"accept-encoding: identity\r\n"
        b"user-agent: curl/8\r\n"
        b"x-ai-gateway-hop: inst;1\r\n"
        b"authorization: Bearer sk-operator\r\n"
        b"content-length: 812\r\n\r\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie",
        "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect",
        "host", "content-length", "content-encoding", "accept-encoding", "content-type",
        "forwarded", "via", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "origin", "referer", "sec-fetch-mode",
        "sec-websocket-key", "x-ai-gateway-hop", "x-ai-gateway-anything", "openai-organization", "openai-project",
        "bad name", "bad\r\nname", "",
    ],
)  # fmt: skip
def test_what_the_client_sent_and_nobody_else_gets(name):
    """AG-205, AG-210, AG-215, P17: a canary in every dropped header."""
    head = OPENAI.build(lines((name, "canary")), KEY, 1)
    assert b"canary" not in head


@pytest.mark.parametrize(
    "name",
    [
        "user-agent", "accept", "anthropic-version", "anthropic-beta", "openai-beta", "idempotency-key", "traceparent",
        "x-stainless-retry-count", "x-custom",
    ],
)  # fmt: skip
def test_what_passes(name):
    """AG-215, P26."""
    assert sent((name, "v"))[name] == ["v"]


def test_repeated_headers_keep_their_lines():
    assert sent(("anthropic-beta", "a"), ("anthropic-beta", "b"))["anthropic-beta"] == ["a", "b"]


def test_headers_that_connection_names_are_dropped():
    """AG-215."""
    headers = sent(("connection", "close, X-Trace"), ("x-trace", "1"), ("x-other", "2"))
    assert "x-trace" not in headers
    assert headers["x-other"] == ["2"]


def test_account_headers_go_with_the_clients_own_credential():
    """AG-210."""
    pairs = (("openai-organization", "org"), ("openai-project", "proj"))
    own = sent(*pairs, credential=OWN)
    assert (own.first("openai-organization"), own.first("openai-project")) == ("org", "proj")
    assert "openai-organization" not in sent(*pairs, credential=KEY)
    assert "openai-organization" in sent(*pairs, credential=None)


def test_action_headers_replace_the_clients():
    """AG-214."""
    headers = sent(
        ("user-agent", "x"), ("openai-organization", "c"), extra={"user-agent": "gw", "openai-organization": "o"}
    )
    assert headers["user-agent"] == ["gw"]
    assert headers["openai-organization"] == ["o"]


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_action_headers_replace_the_credential(name):
    """AG-207."""
    headers = sent(extra={name: "Bearer mine"})
    assert headers[name] == ["Bearer mine"]
    assert "sk-operator" not in str(headers)


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "content-length",
        "content-type",
        "accept-encoding",
        "connection",
        "te",
        "x-ai-gateway-hop",
        "proxy-x",
        "a b",
    ],
)
def test_names_that_the_action_may_not_set(name):
    """AG-214: refused at load by ``is_settable``, left out if one gets here."""
    assert not is_settable(name)
    assert "canary" not in str(sent(extra={name: "canary"}))


def test_names_that_the_action_may_set():
    assert all(
        map(is_settable, ("authorization", "x-api-key", "api-version", "openai-organization", "content-encoding"))
    )


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("token", "token"), ("Bearer token", "token"), ("token", "Bearer token"), ("Basic token", "Bearer token"),
        ("x y", "x y"),
    ],
)  # fmt: skip
def test_headers_that_hold_a_secret_of_the_policy_stay_here(value, secret):
    """AG-215, P17."""
    pairs = (("x-access", value), ("openai-project", value), ("x-other", "ok"))
    headers = sent(*pairs, credential=OWN, secrets_seen={secret, "unrelated"})
    assert list(headers).count("x-access") == 0
    assert "openai-project" not in headers
    assert headers["x-other"] == ["ok"]


def test_a_header_that_only_contains_a_secret_passes():
    assert sent(("x-a", "my-token-2"), secrets_seen={"token", ""})["x-a"] == ["my-token-2"]


@pytest.mark.parametrize("value", ["ng-a-g1-b", "Bearer ng-a-g1-b", "x ng-a-a1-b y"])
def test_our_tokens_never_go_upstream(value):
    """AG-208."""
    head = built(OPENAI, ("x-key", value), ("x-ok", "1"), extra={"x-set": value}, length=1)
    assert b"ng-a-" not in head
    assert b"x-ok: 1" in head


def test_similar_values_are_no_tokens():
    assert sent(("x-id", "abc-g1-def"))["x-id"] == ["abc-g1-def"]


@pytest.mark.parametrize("value", ["a\r\nx-evil: 1", "a\nx-evil: 1", "a\rx-evil: 1", "a\0b", "\r\n", "a\r\n\r\nGET /"])
def test_no_value_can_break_a_line(value):
    """Whoever set it: client, policy or action."""
    head = built(
        OPENAI,
        ("x-a", value),
        ("x-a", value),
        ("openai-project", value),
        extra={"x-b": value},
        credential=OWN,
        length=1,
    )
    headers = headers_of(head)
    assert "x-evil" not in headers
    assert head.count(b"\r") == head.count(b"\n") == head.count(b"\r\n")
    assert b"\0" not in head
    assert len(headers["x-a"]) == 2


def test_bytes_that_are_no_utf8_pass_unchanged():
    headers = HeaderMap.from_raw([(b"X-Title", b"caf\xe9"), (b"X-U", "é".encode())])
    head = OPENAI.build(client_lines(headers, hop=HOP), None, 1)
    assert b"x-title: caf\xe9\r\nx-u: \xc3\xa9\r\n" in head


@pytest.mark.parametrize(
    ("surface", "pairs", "extra", "expected"),
    [
        (MESSAGES, [], {}, ["2023-06-01"]),
        (MESSAGES, [("anthropic-version", "2026-10-21")], {}, ["2026-10-21"]),
        (MESSAGES, [("anthropic-version", "2026-10-21")], {"anthropic-version": "x"}, ["x"]),
        (CHAT, [], {}, None),
        (CHAT, [("anthropic-version", "v")], {}, ["v"]),
    ],
)
def test_anthropic_version(surface: Surface, pairs, extra, expected):
    """AG-43."""
    head = RequestHead.compile(Target.parse("https://api.anthropic.com/v1"), surface)
    headers = headers_of(built(head, *pairs, extra=extra, credential=None, length=1))
    assert headers.get("anthropic-version") == expected


def test_query_of_client_base_and_action():
    """AG-216."""
    azure = RequestHead.compile(Target.parse("https://r.openai.azure.com/openai/deployments/d?api-version=1"), CHAT)
    path = "/openai/deployments/d/chat/completions"
    assert azure.build(lines(), None, 1).startswith(f"POST {path}?api-version=1 HTTP/1.1\r\n".encode())
    query = UpstreamQuery.of("beta=true&key=sk-1", {"api-version": "2"})
    assert azure.build(lines(), None, 1, query).startswith(f"POST {path}?beta=true&api-version=2 HTTP/1.1\r\n".encode())
    assert azure.url(query) == f"{path}?beta=true&api-version=2"
    assert azure.url() == f"{path}?api-version=1"
    assert OPENAI.url() == "/v1/chat/completions"
    assert UpstreamQuery.of("", {}) is None


def test_port_and_address_in_host():
    head = RequestHead.compile(Target.parse("http://[::1]:8000/v1"), CHAT)
    assert b"\r\nhost: [::1]:8000\r\n" in head.build(lines(), None, 1)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (None, "me;1"),
        ([], "me;1"),
        (["other;1"], "me;2"),
        (["other;4"], "me;5"),
        (["nonsense"], "me;1"),
        (["other;-1"], "me;1"),
        (["other; 1"], "me;1"),
        (["a;1, b;3"], "me;4"),
    ],
)
def test_hops(received, expected):
    """AG-56: malformed values are dropped and replaced."""
    assert next_hop(received, "me") == expected


@pytest.mark.parametrize("received", [["me;1"], ["other;5"], ["other;99"], ["x;1", "me;2"], ["x;1,me;2"]])
def test_loops(received):
    """AG-56: 508 27237."""
    with pytest.raises(GatewayError) as caught:
        next_hop(received, "me")
    assert (caught.value.code, caught.value.status) == ("ERR_NGROK_27237", 508)


def test_the_hop_header_is_the_gateways():
    assert sent((HOP_HEADER, "evil;1"))[HOP_HEADER] == [HOP]


def test_the_cache_of_names_is_bounded():
    from gateway.ai import outbound

    for number in range(outbound._FATES_LIMIT + 100):
        client_lines(HeaderMap.of([(f"x-{number}", "v")]), hop=HOP)
    assert len(outbound._FATES) <= outbound._FATES_LIMIT
    assert sent(("x-late-name", "v"), ("sec-late", "canary"))["x-late-name"] == ["v"]
