"""Deterministic text."""

from __future__ import annotations

from gateway.demo.text import big_count, big_tokens, estimate_tokens, make_hex_id, make_id, seed_of, tokens


def test_the_same_seed_gives_the_same_text_and_another_one_does_not():
    assert list(tokens(7, 40)) == list(tokens(7, 40))
    assert list(tokens(7, 40)) != list(tokens(8, 40))
    assert seed_of("a", "b") != seed_of("ab")


def test_tokens_join_to_sentences():
    words = list(tokens(3, 24))
    assert len(words) == 24
    assert not words[0].startswith(" ")
    assert all(word.startswith(" ") for word in words[1:])
    assert words[-1].endswith(".")


def test_padding_and_scripts():
    assert all("x" * 100 in word for word in tokens(1, 3, pad_bytes=100))
    assert not "".join(tokens(1, 12, unicode=True)).isascii()


def test_big_texts_have_exactly_the_size_asked_for():
    for size in (1, 4_095, 4_096, 4_097, 100_000):
        pieces = list(big_tokens(size))
        assert len("".join(pieces)) == size
        assert len(pieces) == big_count(size)


def test_ids_are_stable_and_differ():
    assert make_id("chatcmpl-", 1, 29) == make_id("chatcmpl-", 1, 29) != make_id("chatcmpl-", 2, 29)
    assert len(make_id("chatcmpl-", 1, 29)) == len("chatcmpl-") + 29
    assert set(make_hex_id("req_", 5, 32)[4:]) <= set("0123456789abcdef")


def test_a_token_is_four_characters():
    assert [estimate_tokens(t) for t in ("", "a", "abcd", "abcde")] == [0, 1, 1, 2]
