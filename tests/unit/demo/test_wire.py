"""The request parser under any cut, and the writing of heads."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.wire import BadRequestError, RequestParser, frame, render_head

STREAM = (
    b"POST /a?b=1 HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two: 2\r\nContent-Length: 5\r\n\r\nhello"
    b"GET /c HTTP/1.0\r\n\r\n"
    b"POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
)


@given(st.lists(st.integers(1, len(STREAM)), max_size=12))
def test_requests_come_out_the_same_however_the_bytes_are_cut(cuts):
    parser = RequestParser()
    places = sorted({0, len(STREAM), *cuts})
    requests = [r for a, b in itertools.pairwise(places) for r in parser.feed(STREAM[a:b])]
    assert [(r.method, r.path, r.query, r.body) for r in requests] == [
        ("POST", "/a", "b=1", b"hello"),
        ("GET", "/c", "", b""),
        ("POST", "/d", "", b"abcde"),
    ]
    assert [v for n, v in requests[0].headers if n.lower() == "x-two"] == ["1", "2"]
    assert requests[0].header("x-two") == "1"
    assert [r.keep_alive for r in requests] == [True, False, True]


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"x" * 300_000,
    ],
)
def test_what_is_no_request_is_refused(raw):
    with pytest.raises(BadRequestError):
        list(RequestParser().feed(raw))


def test_heads_and_frames():
    head = render_head(529, [("A", "b")], 0.0)
    assert head == b"HTTP/1.1 529 Overloaded\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nA: b\r\n\r\n"
    assert frame(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
