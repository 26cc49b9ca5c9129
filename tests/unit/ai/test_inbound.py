"""Upstream response heads (AG-130, AG-209, AG-210, AG-220, AG-221, P33)."""

from __future__ import annotations

import pytest

from gateway.ai.inbound import MAX_LINES, BadResponse, InboundHead, header_block, parse_head, served_lines
from gateway.headers import HeaderMap
from gateway.secrets.secret import Secret

OPENAI = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 19:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 812\r\nConnection: keep-alive\r\naccess-control-expose-headers: X-Request-ID\r\n"
    b"openai-organization: org-operator\r\nopenai-processing-ms: 312\r\nopenai-version: 2020-10-01\r\n"
    b"x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9999\r\nx-ratelimit-reset-requests: 6ms\r\n"
    b"x-request-id: req_1\r\nset-cookie: __cf_bm=1; path=/\r\nstrict-transport-security: max-age=1\r\n"
    b'server: cloudflare\r\ncf-ray: 8f-FRA\r\nalt-svc: h3=":443"\r\n'
)
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
    b"cache-control: no-cache\r\nx-accel-buffering: yes\r\nrequest-id: req_2\r\nanthropic-organization-id: org\r\n"
    b"anthropic-ratelimit-tokens-remaining: 5\r\n"
)


def head(*lines: bytes, minor: int = 1) -> InboundHead:
    return parse_head(b"HTTP/1.1 200 OK\r\n" + b"".join(line + b"\r\n" for line in lines), minor)


def block(parsed: InboundHead, **options) -> HeaderMap:
    raw = parsed.client_block(request_id="id-1", **options)
    assert raw.endswith(b"\r\n")
    lines = (line.partition(":") for line in raw.decode().split("\r\n")[:-1])
    return HeaderMap.of((name, value.strip(" ")) for name, _, value in lines)


def test_what_the_gateway_needs():
    parsed = parse_head(OPENAI)
    assert (parsed.content_length, parsed.chunked, parsed.keep_alive) == (812, False, True)
    assert (parsed.media_type, parsed.is_event_stream, parsed.content_encoding) == ("application/json", False, "")
    assert (parsed.has_x_request_id, parsed.has_request_id) == (True, False)


def test_an_event_stream():
    parsed = parse_head(STREAM)
    assert (parsed.content_length, parsed.chunked, parsed.is_event_stream) == (None, True, True)
    assert parsed.media_type == "text/event-stream"


@pytest.mark.parametrize(
    "value", [b"text/event-stream", b"Text/Event-Stream;x=y", b" text/event-stream ; charset=utf-8"]
)
def test_media_types(value):
    assert head(b"content-type:" + value).is_event_stream


def test_quota_headers_of_both_families():
    """AG-130: values as sent."""
    assert dict(parse_head(OPENAI).quota_headers()) == {
        "x-ratelimit-limit-requests": ["10000"],
        "x-ratelimit-remaining-requests": ["9999"],
        "x-ratelimit-reset-requests": ["6ms"],
    }
    assert head(b"Retry-After:  7", b"anthropic-ratelimit-tokens-limit: 9").quota_headers() == {
        "retry-after": ["7"],
        "anthropic-ratelimit-tokens-limit": ["9"],
    }


def test_headers_for_the_client():
    """AG-220, AG-221."""
    headers = block(parse_head(OPENAI), served=served_lines("openai", "gpt-4o"), attempts=2)
    assert dict(headers) == {
        "date": ["Sun, 22 Nov 2026 19:00:00 GMT"],
        "content-type": ["application/json"],
        "access-control-expose-headers": ["X-Request-ID"],
        "openai-processing-ms": ["312"],
        "openai-version": ["2020-10-01"],
        "x-ratelimit-limit-requests": ["10000"],
        "x-ratelimit-remaining-requests": ["9999"],
        "x-ratelimit-reset-requests": ["6ms"],
        "x-request-id": ["req_1"],
        "cf-ray": ["8f-FRA"],
        "x-gateway-request-id": ["id-1"],
        "request-id": ["id-1"],
        "x-gateway-provider": ["openai"],
        "x-gateway-model": ["gpt-4o"],
        "x-gateway-attempts": ["2"],
    }


def test_lines_are_kept_as_sent():
    assert b"Date: Sun, 22 Nov 2026 19:00:00 GMT\r\nContent-Type: application/json\r\n" in parse_head(
        OPENAI
    ).client_block(request_id="x")


@pytest.mark.parametrize(
    "line",
    [
        b"Set-Cookie: canary", b"server: canary", b"Alt-Svc: canary", b"strict-transport-security: canary",
        b"NGROK-Error-Code: canary", b"keep-alive: canary", b"proxy-authenticate: canary", b"te: canary",
        b"trailer: canary", b"upgrade: canary", b"x-gateway-request-id: canary", b"x-gateway-model: canary",
        b"x-ai-gateway-hop: canary", b"openai-organization: canary", b"openai-project: canary",
        b"anthropic-organization-id: canary",
    ],
)  # fmt: skip
def test_headers_that_stay_here(line):
    """AG-210, AG-220."""
    assert b"canary" not in head(line).client_block(request_id="x", server_side=True)


@pytest.mark.parametrize("name", [b"openai-organization", b"openai-project", b"anthropic-organization-id"])
def test_account_headers_reach_the_account_owner(name):
    """AG-210: with the client's own credential."""
    assert name + b": org\r\n" in head(name + b": org").client_block(request_id="x", server_side=False)


def test_streams_are_not_buffered_behind_the_gateway():
    """AG-260."""
    headers = block(parse_head(STREAM))
    assert headers["x-accel-buffering"] == ["no"]
    assert headers["cache-control"] == ["no-cache"]
    assert block(head(b"x-accel-buffering: yes"))["x-accel-buffering"] == ["yes"]


def test_request_ids_are_added_where_the_upstream_sent_none():
    """AG-221."""
    both = block(head())
    assert (both["x-request-id"], both["request-id"]) == (["id-1"], ["id-1"])
    own = block(parse_head(STREAM))
    assert (own["x-request-id"], own["request-id"]) == (["id-1"], ["req_2"])


def test_content_encoding_goes_unless_it_was_undone():
    """AG-220."""
    parsed = head(b"Content-Encoding: GZip")
    assert parsed.content_encoding == "gzip"
    assert block(parsed)["content-encoding"] == ["GZip"]
    assert "content-encoding" not in block(parsed, decoded=True)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"content-encoding: identity"], ""),
        ([b"content-encoding: gzip, br"], "gzip,br"),
        ([b"content-encoding: gzip", b"content-encoding: br"], "gzip,br"),
        ([b"content-encoding:"], ""),
    ],
)
def test_content_encodings(lines, expected):
    assert head(*lines).content_encoding == expected


def test_framing_is_never_in_a_block():
    for raw in (OPENAI, STREAM):
        text = parse_head(raw).client_block(request_id="x").lower()
        assert b"content-length" not in text
        assert b"transfer-encoding" not in text
        assert b"connection" not in text.replace(b"access-control", b"")


@pytest.mark.parametrize(
    ("minor", "lines", "expected"),
    [
        (1, [], True),
        (1, [b"Connection: Close"], False),
        (1, [b"connection: x-a", b"connection: close"], False),
        (0, [], False),
        (0, [b"connection: keep-alive"], True),
    ],
)
def test_keep_alive(minor, lines, *, expected):
    assert head(*lines, minor=minor).keep_alive is expected


def test_headers_that_connection_names_are_dropped():
    headers = block(head(b"X-Trace: 1", b"connection: keep-alive, x-trace", b"x-other: 2"))
    assert "x-trace" not in headers
    assert headers["x-other"] == ["2"]


@pytest.mark.parametrize(
    "lines",
    [
        [b"content-length: 5", b"content-length: 6"],
        [b"content-length: 5", b"Content-Length: 5"],
        [b"content-length: 5, 5"],
        [b"content-length: -1"],
        [b"content-length: +1"],
        [b"content-length: 0x10"],
        [b"content-length: 1_0"],
        [b"content-length:"],
        [b"content-length: " + b"9" * 19],
        ["content-length: \uff15".encode()],
        [b"content-length: 5", b"transfer-encoding: chunked"],
        [b"transfer-encoding: chunked", b"content-length: 5"],
        [b"transfer-encoding: chunked", b"transfer-encoding: chunked"],
        [b"transfer-encoding: gzip, chunked"],
        [b"transfer-encoding: identity"],
        [b"transfer-encoding:"],
        [b"transfer-encoding: chunked\x0b"],
        [b"x-folded: a", b" b"],
        [b"x-folded: a", b"\tb"],
        [b"no colon"],
        [b"server"],
        [b": no name"],
        [b"bad name: x"],
        [b"content-length : 5"],
        [b"x\x00: y"],
        [b"x: y\x00"],
        [b"x: y\x7f"],
        [b"x: y\x1b[0m"],
        [b"x: y\ny: z"],
        [b"x: y\ry: z"],
        [b""],
        [b"\xe9: x"],
        [b"x" * 300 + b": y"],
        [b"x: y"] * (MAX_LINES + 1),
    ],
)
def test_doubtful_heads_are_refused(lines):
    """P33: a failed attempt rather than a guess."""
    with pytest.raises(BadResponse):
        head(*lines)


def test_an_unfinished_last_line_is_refused():
    with pytest.raises(BadResponse):
        parse_head(b"HTTP/1.1 200 OK\r\nx: y")


def test_chunked_in_http_1_0_is_refused():
    with pytest.raises(BadResponse):
        head(b"transfer-encoding: chunked", minor=0)


def test_a_head_without_headers():
    parsed = parse_head(b"HTTP/1.1 204 No Content\r\n")
    assert (parsed.content_length, parsed.chunked) == (None, False)


def test_odd_but_valid_values_pass():
    headers = block(head(b"x-tab: a\tb", b"x-empty:", b"X-Colon: a:b", b"x-latin: caf\xc3\xa9"))
    assert headers["x-tab"] == ["a\tb"]
    assert parse_head(b"HTTP/1.1 200 OK\r\nx: \xff\r\n").client_block(request_id="i").startswith(b"x: \xff\r\n")


def test_keys_and_tokens_are_masked():
    """AG-209: ``location`` included."""
    parsed = head(b"location: https://x/?key=sk-1234", b"x-echo: ng-pub-g1-secret", b"x-a: ng-pub-a1-s")
    text = parsed.client_block(request_id="x", secret=Secret("sk-1234"))
    assert b"sk-1234" not in text
    assert b"secret" not in text
    assert b"location: https://x/?key=***\r\nx-echo: ***\r\nx-a: ***\r\n" in text
    assert parsed.header_map(secret=Secret("sk-1234"))["location"] == ["https://x/?key=***"]
    assert b"sk-1234" in parsed.client_block(request_id="x", secret=Secret(""))


def test_the_map_holds_what_the_block_holds():
    """AG-280: names in lower case, without the gateway's own headers."""
    parsed = parse_head(OPENAI)
    headers = parsed.header_map()
    assert headers["content-type"] == ["application/json"]
    assert "openai-organization" not in headers
    assert "x-gateway-request-id" not in headers
    assert set(block(parsed)) - set(headers) == {"x-gateway-request-id", "request-id"}


def test_a_model_name_cannot_split_the_head():
    text = served_lines("p", "m\r\nx-evil: 1 \u00e9\x00" + "z" * 1000)
    assert text.count(b"\r\n") == 2
    assert b"m%0D%0Ax-evil: 1 %C3%A9%00z" in text
    assert len(text) < 400


def test_header_block_writes_a_changed_map():
    headers = HeaderMap.of(
        [
            ("x-a", "1"),
            ("x-a", "2"),
            ("content-length", "9"),
            ("connection", "x"),
            ("x-b", "a\r\nc: d"),
            ("bad name", "x"),
        ]
    )
    assert header_block(headers) == b"x-a: 1\r\nx-a: 2\r\nx-b: a  c: d\r\n"


def test_caches_are_bounded():
    from gateway.ai import inbound

    for number in range(inbound._CACHE_LIMIT + 50):
        head(b"x-%d: v" % number, b"content-type: a/b%d" % number)
    assert len(inbound._KINDS) <= inbound._CACHE_LIMIT
    assert len(inbound._MEDIA_TYPES) <= inbound._CACHE_LIMIT
    late = head(b"x-late: v", b"sErver: canary", b"content-type: late/type")
    assert late.media_type == "late/type"
    assert b"canary" not in late.client_block(request_id="x")
