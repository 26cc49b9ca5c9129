"""Tokens: form, hash, redaction (CP-100 to CP-103, AG-186)."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.tokens import (
    ADMIN_MARK,
    GATEWAY_MARK,
    Hasher,
    looks_like_admin_key,
    looks_like_gateway_key,
    new_token,
    parse_token,
    redact,
)


@pytest.mark.parametrize("mark", [GATEWAY_MARK, ADMIN_MARK])
def test_cp_100_a_new_token_has_the_documented_form(mark):
    token = new_token(mark)
    first, public, middle, secret = token.text.split("-")
    assert (first, middle, len(public), len(secret)) == ("ng", mark, 12, 43)
    assert parse_token(token.text) == token
    assert new_token(mark).text != token.text


@pytest.mark.parametrize(
    "text",
    ["", "ng-", "sk-1", "ng-a-g1-short", "ng--g1-" + "x" * 43, "ng-a-g2-" + "x" * 43, "ng-a-g1-" + "é" * 43,
     "ng-a-g1-" + "x" * 43 + "\n", " ng-a-g1-" + "x" * 43, "ng-a-g1-" + "x" * 257, "NG-a-g1-" + "x" * 43],
)  # fmt: skip
def test_other_texts_are_no_tokens(text):
    assert parse_token(text) is None


def test_ag_186_the_forms_are_recognised_even_when_malformed():
    assert looks_like_gateway_key("ng-x-g1-y")
    assert not looks_like_gateway_key("ng-x-a1-y")
    assert looks_like_admin_key("ng-x-a1-y")
    assert not looks_like_admin_key("sk-ng-x-a1-y")


@given(st.binary(min_size=1, max_size=100), st.text())
def test_cp_101_the_hash_is_hmac_sha_256(pepper, text):
    assert Hasher(pepper).digest(text) == hmac.digest(pepper, text.encode(), hashlib.sha256)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sk-proj-0123456789abcdef", "sk-proj-01***cdef"),
        ("a" * 20, "aaaaaaaaaa***aaaa"),
        ("0123456789012345678", "***5678"),
        ("01234567", "***67"),
        ("0123", "***3"),
        ("012", "***"),
        ("", "***"),
    ],
)
def test_cp_103_redacted_forms(text, shown):
    assert redact(text) == shown
