"""Where tokens are looked for (TP-322)."""

from __future__ import annotations

import pytest

from gateway.auth.token_sources import FORM, JSON, AmbiguousTokenError, body_fields, token_in_body, token_in_header


@pytest.mark.parametrize(
    ("values", "prefix", "token"),
    [
        (["Bearer abc"], "Bearer ", "abc"),
        (["bEARER   abc "], "Bearer ", "abc"),
        (["abc"], "", "abc"),
        (["Basic abc"], "Bearer ", None),
        (["Bearer "], "Bearer ", None),
        (["Bearer"], "Bearer ", None),
        (["Bearer null"], "Bearer ", "null"),
        ([""], "", None),
        ([], "", None),
        (None, "", None),
        (["\u212aey abc"], "Key ", None),
    ],
)
def test_headers(values: list[str] | None, prefix: str, token: str | None) -> None:
    assert token_in_header(values, prefix) == token


def test_two_header_lines_are_invalid() -> None:
    with pytest.raises(AmbiguousTokenError):
        token_in_header(["a", "a"], "")


@pytest.mark.parametrize(
    ("body", "media_type", "token"),
    [
        (b'{"Token": "abc", "x": {"token": "no"}}', JSON, "abc"),
        (b"x=1&token=a%2Bb", FORM, "a+b"),
        (b'{"token": ""}', JSON, None),
        (b'{"other": 1}', JSON, None),
        (b'["token"]', JSON, None),
        (b'{"token": "abc"', JSON, None),
        (b"\xff", JSON, None),
        (b"token=\xff", FORM, None),
        (b"token=abc", JSON, None),
        (b'{"token": "abc"}', "text/plain", None),
    ],
)
def test_bodies(body: bytes, media_type: str, token: str | None) -> None:
    assert token_in_body(body, media_type, "TOKEN", "") == token


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(b"token=a&token=b", FORM), (b'{"token": "a", "TOKEN": "b"}', JSON), (b'{"token": 5}', JSON)],
)
def test_more_than_one_or_no_text_is_invalid(body: bytes, media_type: str) -> None:
    with pytest.raises(AmbiguousTokenError):
        token_in_body(body, media_type, "token", "")


def test_too_many_fields_are_none() -> None:
    assert body_fields(b"&".join([b"a=1"] * 1_001), FORM) == []
