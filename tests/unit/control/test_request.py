"""Calls: times, flags, pages (CP-8, CP-11, CP-15)."""

from __future__ import annotations

import pytest

from gateway.control.errors import ApiError
from gateway.control.render import time_text
from gateway.control.request import Call, Style, parse_time, read_query


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:01.5z", 1_500),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-11-22T19:03:00.123456Z", 1_795_374_180_123),
        ("2026-11-22T19:03:00.001Z", 1_795_374_180_001),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
        ("2026-W01-1T00:00:00Z", None),
        ("1970-01-01 00:00:00Z", None),
        ("1970-01-01", None),
        ("1970-01-01T00:00:00", None),
        ("19700101T000000Z0000", None),
        ("yesterday", None),
        ("2026-13-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_rfc_3339(text, ms):
    assert parse_time(text) == ms


def test_cp_11_times_in_both_styles():
    assert time_text(1_500, Style.A) == "1970-01-01T00:00:01.500Z"
    assert time_text(1_500, Style.B) == "1970-01-01T00:00:01Z"


def test_flags_are_true_or_false():
    call = Call(style=Style.A, path="", base="", operation_id="", query={"a": "true", "b": "1"})
    assert call.flag("a")
    assert not call.flag("c")
    with pytest.raises(ApiError):
        call.flag("b")


def test_cp_8_parameters():
    assert read_query({"limit": ["5"]}, ("limit",)) == {"limit": "5"}
    with pytest.raises(ApiError, match="231"):
        read_query({"x": ["5"]}, ("limit",))
    with pytest.raises(ApiError, match="232"):
        read_query({"limit": ["5", "6"]}, ("limit",))


def test_cp_15_a_next_page_keeps_the_other_parameters():
    call = Call(style=Style.A, path="/p", base="http://h", operation_id="", query={"provider": "a b"})
    assert call.page([3, 2, 1], 2, lambda: {"beforeId": "2"}) == ([3, 2], "http://h/p?provider=a+b&beforeId=2")
    assert call.page([3, 2], 2, dict) == ([3, 2], None)
