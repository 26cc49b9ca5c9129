"""The small rules of chunked bodies (RFC 9112, 7.1): strict, since what two readers read differently is smuggled."""

from __future__ import annotations

import pytest

from gateway.upstream import framing
from gateway.upstream.framing import (
    HEAD_LIMIT_BYTES,
    BadResponse,
    begun_head,
    frame_size,
    known_size,
    require_line_end,
)


@pytest.mark.parametrize(
    ("line", "size"), [(b"0", 0), (b"a", 10), (b"FF", 255), (b"00010", 16), (b"5;x=y", 5), (b"5 \t;x", 5)]
)
def test_sizes(line: bytes, size: int) -> None:
    assert frame_size(line) == size


@pytest.mark.parametrize(
    "line", [b"", b" 5", b"5 ", b"+5", b"-5", b"0x5", b"5_0", b"g", b"5\n", b";x", b"5;\x00", b"1" * 16]
)
def test_what_is_no_size(line: bytes) -> None:
    with pytest.raises(BadResponse):
        frame_size(line)


def test_sizes_are_remembered_within_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[bytes, int] = {}
    monkeypatch.setattr(framing, "_SIZES", sizes)
    for number in range(10_000):
        frame_size(b"%x" % number)
    assert len(sizes) == 4_096
    assert sizes[b"ff"] == 255


def test_a_size_is_known_once_it_was_read() -> None:
    line = b"000003e"
    known = known_size(line)
    assert frame_size(line) == 62
    assert known in (None, 62)
    assert known_size(line) == 62


def test_a_head_may_arrive_in_pieces() -> None:
    for begun in (b"", b"HT", b"HTTP/1.1 200 OK\r\n"):
        assert begun_head(begun) == begun
    with pytest.raises(BadResponse, match="not an HTTP"):
        begun_head(b"SSH-2.0")
    with pytest.raises(BadResponse, match="too large"):
        begun_head(b"HTTP/" + b"x" * HEAD_LIMIT_BYTES)


def test_line_ends_are_both_bytes() -> None:
    require_line_end(b"abc\r\n", 3)
    for wrong in (b"abc\n\r", b"abc\r", b"abcde"):
        with pytest.raises(BadResponse):
            require_line_end(wrong, 3)
