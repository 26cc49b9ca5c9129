"""Header maps (TP-90, TP-91, TP-371)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.headers import HeaderMap, ValueList, lower_name

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


def test_names_are_lower_case_and_lines_are_kept() -> None:
    """TP-90, TP-91: every line is one element, in order."""
    headers = HeaderMap.from_raw([(b"X-A", b" 1 "), (b"Accept", b"a, b"), (b"x-a", b"2\t")])
    assert headers == {"x-a": ["1", "2"], "accept": ["a, b"]}
    assert list(headers) == ["x-a", "accept"]
    assert list(headers.lines()) == [("x-a", "1"), ("x-a", "2"), ("accept", "a, b")]
    assert isinstance(headers["x-a"], ValueList)


def test_bytes_that_are_no_utf_8_survive() -> None:
    headers = HeaderMap.from_raw([(b"x", b"caf\xe9")])
    assert (headers.first("x") or "").encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_add_set_first() -> None:
    """TP-371: adding appends a line, setting replaces all."""
    headers = HeaderMap.of([("A", "1")])
    headers.add("a", "2")
    assert headers.first("a") == "1"
    headers.set("a", "3")
    assert headers == {"a": ["3"]}
    assert headers.first("b") is None


def test_a_copy_is_independent() -> None:
    headers = HeaderMap.of([("a", "1")])
    twin = headers.copy()
    twin.add("a", "2")
    twin.set("b", "3")
    assert headers == {"a": ["1"]}
    assert twin == {"a": ["1", "2"], "b": ["3"]}


@given(st.lists(st.tuples(NAMES, NAMES)))
def test_from_raw_equals_of(pairs: list[tuple[str, str]]) -> None:
    """Bytes from a parser and strings from a policy give the same map."""
    raw = [(name.encode(), value.encode()) for name, value in pairs]
    assert HeaderMap.from_raw(raw) == HeaderMap.of(pairs)


@given(st.binary(max_size=20))
def test_lower_name_takes_any_bytes(raw: bytes) -> None:
    """And answers the same from its cache."""
    assert lower_name(raw) == lower_name(raw) == raw.decode("latin-1").lower()
