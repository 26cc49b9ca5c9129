"""``gateway.upstream.codec``: the one search that most blocks without an end mark cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ai.dialects.anthropic import MessagesCodec
from gateway.ai.dialects.openai import ChatCodec, ResponsesCodec
from gateway.upstream.codec import common_part


@pytest.mark.parametrize(
    ("marks", "part"),
    [
        (ChatCodec.end_marks, b"[DONE]"),
        (MessagesCodec.end_marks, b'"message_stop"'),
        (ResponsesCodec.end_marks, b'"response.'),
        ((b"ab", b"cd"), b""),
        ((), b"\n"),
    ],
)
def test_the_longest_piece_that_stands_in_every_mark(marks: tuple[bytes, ...], part: bytes) -> None:
    assert common_part(marks) == part


@given(st.binary(min_size=1, max_size=6), st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=4)), min_size=1))
def test_no_block_with_a_mark_is_without_it(shared: bytes, around: list[tuple[bytes, bytes]]) -> None:
    marks = tuple(before + shared + behind for before, behind in around)
    part = common_part(marks)
    assert len(part) >= len(shared)
    assert all(part in b"data: " + mark + b"\n\n" for mark in marks)
