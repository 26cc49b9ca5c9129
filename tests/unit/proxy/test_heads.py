"""Heads that repeat themselves: what is recognised, what is not, and how much is remembered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import RequestHead
from gateway.headers import HeaderMap
from gateway.proxy.heads import HEAD_BYTES, HEADS_LIMIT, HeadTable, recognise, scan, states_size

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\nuser-agent: x\r\n\r\n"


def known(*, plain: bool = True) -> RequestHead:
    return RequestHead(
        "POST", "/", HeaderMap(), host="h", path="/", query="", http_11=True, keep_alive=True, length=1, plain=plain
    )


def key_of(number: int) -> bytes:
    """Of one of many heads."""
    return scan(b"POST /%d HTTP/1.1\r\ncontent-length: 5\r\n\r\n" % number)[0]


def remembered(data: bytes) -> RequestHead:
    """The head that ``data`` begins with, as the table has it."""
    table = HeadTable()
    key = scan(data)[0]
    table.learn(key, known())
    head = table.find(key)
    assert head is not None
    return head


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
        table.learn(key_of(number), known())
    assert len(table) == HEADS_LIMIT
    assert table.find(key_of(4)) is None
    assert table.find(key_of(5)) is not None


@given(
    first=st.integers(0, 10**9 - 1), again=st.integers(0, 10**9 - 1),
    name=st.sampled_from([b"content-length", b"Content-Length"]),
    blank=st.sampled_from([b"", b" "]), others=st.sampled_from([b"", b"a: content-length: 7\r\n", b"x: 1\r\n"]),
    body=st.binary(max_size=20),
)  # fmt: skip
def test_the_head_of_the_last_request_is_recognised(
    first: int, again: int, name: bytes, blank: bytes, others: bytes, body: bytes
) -> None:
    def data(length: int) -> bytes:
        return b"POST / HTTP/1.1\r\n%b%b:%b%d\r\nhost: h\r\n\r\n" % (others, name, blank, length)

    head = remembered(data(first))
    for whole in (data(again) + body, data(first) + data(again)):
        assert recognise(head, whole) == scan(whole)[1:]
    for cut in range(len(data(again))):
        assert recognise(head, data(again)[:cut]) == (-1, 0)


@given(st.integers(0, len(HEAD) - 1), st.integers(0, 255))
def test_no_other_head_is_recognised(place: int, byte: int) -> None:
    whole = bytearray(HEAD % 512 + b"body")
    head = remembered(bytes(whole))
    whole[place] = byte
    changed = bytes(whole)
    key, length, end = scan(changed)
    expected = (length, end) if key == scan(HEAD % 512)[0] else (-1, 0)
    assert recognise(head, changed) == expected


@pytest.mark.parametrize("digits", [b"", b"+5", b" 5", b"5 ", b"0x5", b"1234567890", b"5\n"])
def test_a_length_is_digits(digits: bytes) -> None:
    head = remembered(HEAD % 512)
    assert recognise(head, (HEAD % 512).replace(b"512", digits) + b"x" * 600) == (-1, 0)
