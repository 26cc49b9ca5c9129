"""Find and replace over bytes (TP-392, TP-440, TP-442, CL-96), against Python's own on patterns both understand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.replacement import (
    PatternError,
    ReplaceError,
    compile_pattern,
    compile_target,
    replace_all,
)

LIMIT = 1 << 20


def replaced(source: str, to: str, subject: bytes) -> bytes:
    pattern = compile_pattern(source)
    return replace_all(pattern, compile_target(to, pattern), subject, limit_bytes=LIMIT).result


@pytest.mark.parametrize(
    ("source", "to", "subject", "expected"),
    [
        ("(a)(b)?", "[$1$2]", "ab a", "[ab] [a]"),
        ("(a)", "$1$10$2", "a", "a"),
        ("(a)", "$01", "a", "a"),
        ("a", "$0$0", "a", "aa"),
        ("a", "$$1", "a", "$1"),
        ("a", "$$$", "a", "$$"),
        ("a", "$", "a", "$"),
        ("a", "\\1\\n", "a", "\\1\\n"),
        ("(?P<word>a)", "<$word>", "a", "<a>"),
        ("(?P<word>a)", "<$words>", "a", "<$words>"),
        ("(?P<word>a)", "<$w-$word->", "a", "<$w-a->"),
        ("a", "$999999999999999999", "a", ""),
        (".*", "x", "abc", "x"),
        ("x*", "-", "abxd", "-a-b-d-"),
        ("", "-", "é日", "-é-日-"),
        ("^", ">", "ab", ">ab"),
        ("$", "<", "ab", "ab<"),
        ("(?m)^", ">", "a\nb", ">a\n>b"),
        ("(?i)É", "e", "éÉ", "ee"),
        (".", "x", "日本", "xx"),
        ("a", "b", "", ""),
    ],
)
def test_groups_and_matches_tp392(source: str, to: str, subject: str, expected: str) -> None:
    assert replaced(source, to, subject.encode()) == expected.encode()


def test_undecodable_bytes_stay_tp442() -> None:
    assert replaced("b", "c", b"\xff b \xe4\xb8") == b"\xff c \xe4\xb8"
    assert replaced("a", "\udcff", b"a") == b"\xff"


@pytest.mark.parametrize("source", ["(", "[", "(?=a)", "(?!a)", "(?<=a)", r"(a)\1", "a{1001}", "*", "\udcff"])
def test_what_re2_does_not_have_tp74(source: str) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern(source)
    assert source not in str(caught.value) or len(source) == 1


def test_the_first_matches_come_along() -> None:
    pattern = compile_pattern("a.")
    found = replace_all(pattern, (), b"a1 a2 a3", limit_bytes=LIMIT, keep=2)
    assert (found.result, found.matches, found.found) == (b"  ", [b"a1", b"a2"], 3)


def test_the_result_is_bounded() -> None:
    pattern = compile_pattern("a")
    with pytest.raises(ReplaceError, match="larger"):
        replace_all(pattern, (b"x" * 100,), b"a" * 11, limit_bytes=1_000)
    assert replace_all(pattern, (b"x" * 100,), b"a" * 10, limit_bytes=1_000).found == 10


def test_the_time_is_bounded_cl96() -> None:
    asked = iter([False, False, True])
    with pytest.raises(ReplaceError, match="too long"):
        replace_all(compile_pattern("a"), (), b"a" * 1_000, limit_bytes=LIMIT, expired=lambda: next(asked))


@given(
    source=st.sampled_from(
        ["a", "a+", "[ab]c?", "(a)(b)", "b|ab", "(a|b)+c", "a.c", "é+", "(?:ab)*c", r"\d+", r"\bab\b"]
    ),
    subject=st.text(alphabet="abc1é \n", max_size=30),
)
def test_like_pythons_own(source: str, subject: str) -> None:
    expected = re.sub(source, "<\\\\g<0>>".replace("\\\\", "\\"), subject, flags=re.ASCII)
    assert replaced(source, "<$0>", subject.encode()).decode() == expected
