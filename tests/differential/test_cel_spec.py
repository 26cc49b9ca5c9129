"""Conformance: the vectors of google/cel-spec, with declared types and without.

The gate is the bar of the specification: at least 1,089 of the 1,091 core vectors. Every vector that fails is named.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.differential.vectors import alike, outcome, passes, value_of, vectors

CORE = frozenset((
    "basic", "comparisons", "conversions", "fields", "fp_math", "integer_math", "lists", "logic", "macros",
    "namespace", "parse", "plumbing", "string", "timestamps",
))  # fmt: skip

#: (file, section, name) → why the result is another
KNOWN = {
    (
        "parse",
        "bytes_literals",
        "triple_single_quoted_unescaped_punctuation",
    ): "the vector lacks a byte of its own input",
    (
        "parse",
        "bytes_literals",
        "triple_double_quoted_unescaped_punctuation",
    ): "the vector lacks a byte of its own input",
    ("string_ext", "split", "one_limit"): "TP 7.6: split(sep, n) drops the rest",
    ("encoders_ext", "decode", "hello_without_padding"): "TP 7.2: base64.decode needs padding",
}


def identity(vector: dict) -> tuple[str, str, str]:
    return vector["file"], vector["section"], vector["name"]


FILES = sorted({vector["file"] for vector in vectors()})


@pytest.mark.parametrize("file", FILES)
def test_vectors_without_declared_types(file: str) -> None:
    failed = {
        identity(vector)
        for vector in vectors()
        if vector["file"] == file and not passes(vector, outcome(vector, checked=False))
    }
    assert failed == {name for name in KNOWN if name[0] == file}


@pytest.mark.parametrize("file", FILES)
def test_vectors_with_declared_types(file: str) -> None:
    """Vectors that ask for no static check are left out; all others must give what they give without types."""
    for vector in vectors():
        if vector["file"] != file or vector.get("disable_check"):
            continue
        typed = outcome(vector, checked=True)
        assert passes(vector, typed) or identity(vector) in KNOWN, identity(vector)
        untyped = outcome(vector, checked=False)
        same_error = isinstance(typed, Exception) and isinstance(untyped, Exception)
        assert same_error or alike(typed, untyped), identity(vector)


def test_the_bar_of_1089_core_vectors() -> None:
    counts = Counter(
        passes(vector, outcome(vector, checked=not vector.get("disable_check")))
        for vector in vectors()
        if vector["file"] in CORE
    )
    assert counts.total() == 1_091
    assert counts[True] >= 1_089


def test_the_runner_notices_a_wrong_value() -> None:
    vector = next(vector for vector in vectors() if vector["name"] == "self_eval_int_zero")
    assert passes(vector, value_of(["int", 0]))
    assert not passes(vector, value_of(["uint", 0]))
    assert not passes(vector, value_of(["int", 1]))
