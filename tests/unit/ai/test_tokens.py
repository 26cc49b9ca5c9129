"""``gateway.ai.tokens``: counting with OpenAI's encodings, without network (AG-228)."""

from __future__ import annotations

import importlib.util

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.ai import tokens
from gateway.ai.catalog import load_shipped
from gateway.ai.tokens import PIECE, ByteEncoder, Encoders, count_tokens, load_encoder

#: (text, o200k_base, cl100k_base), as OpenAI's own tokenizer counts them
KNOWN = [
    ("", 0, 0),
    ("hello world", 2, 2),
    ("The quick brown fox jumps over the lazy dog.", 10, 10),
    ("antidisestablishmentarianism", 6, 6),
    ("お誕生日おめでとう", 8, 9),
]


@pytest.mark.parametrize(("text", "o200k", "cl100k"), KNOWN)
def test_counts_are_those_of_the_encodings_ag_228(text: str, o200k: int, cl100k: int) -> None:
    assert count_tokens(load_encoder("o200k_base"), [text]) == o200k
    assert count_tokens(load_encoder("cl100k_base"), [text]) == cl100k


def test_every_encoding_of_the_catalog_is_there() -> None:
    for name in {model.tokenizer for model in load_shipped().models}:
        assert not isinstance(load_encoder(name), ByteEncoder)


def test_an_encoding_is_loaded_when_it_is_needed() -> None:
    encoders = Encoders()
    assert encoders.loaded("o200k_base") is None
    assert encoders.load("o200k_base") is encoders.load("o200k_base") is encoders.loaded("o200k_base")


@pytest.mark.parametrize(("text", "count"), [("a", 1), ("abcd", 1), ("abcde", 2), ("日本", 2)])
def test_an_unknown_encoding_counts_four_bytes_as_one_ag_228(text: str, count: int) -> None:
    encoder = load_encoder("voyage-unheard-of")
    assert isinstance(encoder, ByteEncoder)
    assert count_tokens(encoder, [text]) == count


def test_without_the_package_bytes_are_counted_ag_228(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    tokens.load_encoder.cache_clear()
    try:
        assert isinstance(load_encoder("o200k_base"), ByteEncoder)
    finally:
        tokens.load_encoder.cache_clear()


class Piecewise:
    """Notes how long the pieces are."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def count(self, text: str) -> int:
        text.encode()
        self.pieces.append(text)
        return 1


@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.text(max_size=12), max_size=60), times=st.integers(1, 400), blank=st.sampled_from(" \n\t"))
@example(words=["a" * (PIECE + 1)], times=2, blank=" ")
def test_long_texts_are_counted_in_short_pieces(words: list[str], times: int, blank: str) -> None:
    """Invariant 1: no piece is long, and together they are the text."""
    text = blank.join(words) * times
    encoder = Piecewise()
    count_tokens(encoder, [text])
    assert "".join(encoder.pieces) == text
    assert all(len(piece) <= PIECE for piece in encoder.pieces)


def test_pieces_count_like_the_whole() -> None:
    """A cut lies before a blank, where tokens begin anyway."""
    encoder = load_encoder("o200k_base")
    text = "Gateways forward what clients ask; budgets and quotas decide who may.\n" * 1_000
    assert len(text) > 3 * PIECE
    assert count_tokens(encoder, [text]) == encoder.count(text)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_text_that_is_no_unicode_is_counted(text: str) -> None:
    """Invariant 2: JSON may hold half a surrogate pair."""
    assert count_tokens(load_encoder("o200k_base"), [text]) >= 1


@pytest.mark.parametrize("text", ["a" * 400_000, " " * 400_000, "\n" * 400_000, "日" * 200_000])
def test_hostile_text_takes_no_longer_than_any_other(text: str) -> None:
    """Would take minutes where time grows with the square of a run's length: the test's time limit is the assertion."""
    assert 0 < count_tokens(load_encoder("o200k_base"), [text]) <= len(text)
