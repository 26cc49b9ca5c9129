"""The normalised path: TP-140, CL-99."""

from __future__ import annotations

import pytest

from gateway.policy.paths import normalise


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/v1/chat/completions", "/v1/chat/completions", ""),
        ("/a?b=c?d", "/a", "b=c?d"),
        ("/a?", "/a", ""),
        ("/%61dmin", "/admin", ""),
        ("/%41%5A%7e%2d%5f%2E", "/AZ~-_.", ""),
        ("/x/../admin", "/admin", ""),
        ("/x/%2e%2e/admin", "/admin", ""),
        ("/x/.%2E/admin", "/admin", ""),
        ("/a/./b/.", "/a/b/", ""),
        ("/a/b/..", "/a/", ""),
        ("/..", "/", ""),
        ("/../../a", "/a", ""),
        ("/a/b/../../../c", "/c", ""),
        ("/.well-known/x", "/.well-known/x", ""),
        ("/...", "/...", ""),
        ("/a/..b/.c", "/a/..b/.c", ""),
        ("//admin", "//admin", ""),
        ("/a//b", "/a//b", ""),
        ("/a//../b", "/a/b", ""),
        ("/Admin", "/Admin", ""),
        ("/a%2fb", "/a%2Fb", ""),
        ("/a%2Fb%3f", "/a%2Fb%3F", ""),
        ("/%", "/%", ""),
        ("/%zz%4", "/%zz%4", ""),
        ("/%25%36%31", "/%2561", ""),
        ("/a?x=/../y%61", "/a", "x=/../y%61"),
        ("http://host:80/a/../b?c", "/b", "c"),
        ("https://host", "/", ""),
        ("http://host?c", "/", "c"),
        ("*", "*", ""),
        ("host:443", "host:443", ""),
        ("/a#b?c", "/a", ""),
        ("", "/", ""),
        ("/ä/%c3%a4", "/ä/%C3%A4", ""),
    ],
)
def test_normalised(target: str, path: str, query: str) -> None:
    assert normalise(target) == (path, query)
