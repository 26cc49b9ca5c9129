"""Listeners and URLs of endpoints (SV-2, SV-11, CP-111)."""

from __future__ import annotations

import pytest

from gateway.settings.address import Listen, PublicUrl, parse_listen, parse_public_url, parse_upstream_url


@pytest.mark.parametrize(
    ("text", "listen", "loopback"),
    [
        ("127.0.0.1:8080", Listen("127.0.0.1", 8080), True),
        ("localhost:0", Listen("localhost", 0), True),
        ("[::1]:443", Listen("::1", 443), True),
        ("unix:/run/g.sock", Listen(path="/run/g.sock"), True),
        ("10.0.0.1:80", Listen("10.0.0.1", 80), False),
        (":8080", Listen("0.0.0.0", 8080), False),
        ("*:8080", Listen("0.0.0.0", 8080), False),
        ("host.name:1", Listen("host.name", 1), False),
    ],
)
def test_listen(text: str, listen: Listen, loopback: bool) -> None:
    assert parse_listen(text) == listen
    assert listen.loopback is loopback
    assert parse_listen(str(listen)) == listen


@pytest.mark.parametrize(
    "text", ["", "8080", "host", "host:", "host:x", "host:65536", "::1:80", "unix:", "a b:1", "[::1:80", "h:-1", "h:²"]
)
def test_not_a_listener(text: str) -> None:
    assert parse_listen(text) is None


def test_url_of_a_listener() -> None:
    """SV-6: the real listener; a socket is its own URL."""
    assert Listen("::1", 8080).url() == "http://[::1]:8080"
    assert Listen("127.0.0.1", 443).url("https") == "https://127.0.0.1:443"
    assert Listen(path="/x").url() == "unix:/x"


@pytest.mark.parametrize(
    ("text", "url", "listen"),
    [
        ("https://AI.example.com", PublicUrl("https", "ai.example.com", 443), Listen("127.0.0.1", 443)),
        ("http://*:8080/", PublicUrl("http", "*", 8080), Listen("127.0.0.1", 8080)),
        ("http://10.0.0.1:81", PublicUrl("http", "10.0.0.1", 81), Listen("10.0.0.1", 81)),
        ("http://[::1]", PublicUrl("http", "::1", 80), Listen("::1", 80)),
        ("http://localhost:0", PublicUrl("http", "localhost", 0), Listen("localhost", 0)),
        ("https://*.example.com", PublicUrl("https", "*.example.com", 443), Listen("127.0.0.1", 443)),
    ],
)
def test_public_url(text: str, url: PublicUrl, listen: Listen) -> None:
    """CP-111: a name says nothing about local addresses, so it listens on loopback."""
    assert parse_public_url(text) == url
    assert url.listen() == listen
    assert parse_public_url(str(url)) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp://h",
        "http://",
        "http://h/path",
        "http://h?q",
        "http://u@h",
        "http://h:x",
        "http://h:99999",
        "h",
        "http://a b",
    ],
)
def test_not_a_public_url(text: str) -> None:
    assert parse_public_url(text) is None


def test_internal() -> None:
    assert PublicUrl("http", "a.internal", 80).internal
    assert not PublicUrl("http", "internal.example", 80).internal


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("8080", "http://localhost:8080"),
        ("host:81", "http://host:81"),
        ("https://h/base?x=1", "https://h/base?x=1"),
        ("ftp://h", None),
        ("http://", None),
        ("http://u:p@h", None),
        ("http://h:0", None),
        ("http://h#f", None),
        ("http://h:x", None),
    ],
)
def test_upstream_url(text: str, url: str | None) -> None:
    """The reference's short forms mean http; credentials do not belong there."""
    assert parse_upstream_url(text) == url
