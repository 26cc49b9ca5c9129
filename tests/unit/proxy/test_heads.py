"""Heads that repeat themselves: what is recognised, what is not, and how much is remembered."""

from __future__ import annotations

import pytest

from gateway.exchange import RequestHead
from gateway.headers import HeaderMap
from gateway.proxy.heads import HEAD_BYTES, HEADS_LIMIT, HeadTable, scan, states_size

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\nuser-agent: x\r\n\r\n"


def known(*, plain: bool = True) -> RequestHead:
    return RequestHead(
        "POST", "/", HeaderMap(), host="h", path="/", query="", http_11=True, keep_alive=True, length=1, plain=plain
    )


def test_the_key_is_the_head_without_the_length() -> None:
    first, second = scan(HEAD % 5 + b"hello"), scan(HEAD % 123 + b"...")
    assert first[0] == second[0] == (HEAD % 5).replace(b"5", b"")
    assert (first[1], second[1]) == (5, 123)
    assert (HEAD % 5 + b"hello")[first[2] :] == b"hello"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"content-length: 5\r\nx-n: 7\r\n", b"content-length: 57\r\nx-n: \r\n"),
        (b"content-length: 5\r\nx: 1\r\n", b"content-length: 5\r\nx: 2\r\n"),
        (b"content-length: 5\r\n", b"Content-Length: 5\r\n"),
        (b"a: b\r\ncontent-length: 5\r\n", b"content-length: 5\r\na: b\r\n"),
    ],
)
def test_other_heads_have_other_keys(one: bytes, other: bytes) -> None:
    keys = [scan(b"POST / HTTP/1.1\r\n" + lines + b"\r\n")[0] for lines in (one, other)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("data", [b"", b"POST / HTTP/1.1\r\n", HEAD[:-2] % 5, b"x" * HEAD_BYTES + HEAD % 5])
def test_an_unfinished_or_long_head_is_left_to_the_parser(data: bytes) -> None:
    assert scan(data) == (b"", -1, 0)


@pytest.mark.parametrize(
    ("lines", "sized"),
    [
        (b"content-length: 5\r\n", True),
        (b"host: h\r\n", True),
        (b"Transfer-Encoding: chunked\r\n", False),
        (b"content-length: 5\r\ntransfer-encoding: chunked\r\n", False),
        (b"content-length: 5\r\nTRANSFER-ENCODING : chunked\r\n", False),
        (b"content-length: 5\r\nCONTENT-LENGTH: 7\r\n", False),
        (b"CONTENT-LENGTH: 7\r\n", False),
        (b"content-length:   7\r\n", False),
        (b"upgrade: websocket\r\n", False),
    ],
)
def test_only_plain_framing_tells_where_the_next_head_begins(lines: bytes, sized: bool) -> None:
    data = b"POST / HTTP/1.1\r\n" + lines + b"\r\n"
    _, length, end = scan(data)
    assert states_size(data, end, length) is sized


def test_the_table_is_bounded_and_takes_plain_heads_only() -> None:
    table = HeadTable()
    table.learn(b"odd", known(plain=False))
    assert not len(table)
    for number in range(HEADS_LIMIT + 5):
        table.learn(b"%d" % number, known())
    assert len(table) == HEADS_LIMIT
    assert table.find(b"4") is None
    assert table.find(b"5") is not None
