"""The last filter before bytes leave (P18, AG-209)."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.observability.mask import MAX_EXACT, MIN_LENGTH, Masker

GATEWAY_KEY = "ng-" + "a1B2c3D4e5F6" + "-g1-" + "Z" * 43


def test_known_values_are_masked_wherever_they_stand() -> None:
    masker = Masker(["sk-secret-one", "sk-secret-two"])
    assert masker.mask(b'{"a":"x sk-secret-one y","b":"Bearersk-secret-two."}') == b'{"a":"x *** y","b":"Bearer***."}'


def test_longer_value_wins_over_its_prefix() -> None:
    """A value that starts with another leaves no tail behind."""
    assert Masker(["12345678", "123456789012"]).mask(b"<123456789012>") == b"<***>"


def test_special_characters_are_literal() -> None:
    assert Masker(["a.b*c(d)[e]"]).mask(b"a.b*c(d)[e] axbbc(d)[e]") == b"*** axbbc(d)[e]"


@pytest.mark.parametrize("value", ['quo"te-and\\slash', "line\nbreak-value", "schlüssel-wört"])
def test_json_form_is_masked(value: str) -> None:
    """A value is found in the form in which JSON writes it, too."""
    assert Masker([value]).mask(orjson.dumps({"m": value})) == b'{"m":"***"}'


def test_gateway_keys_are_masked_without_being_known() -> None:
    """AG-209: any gateway-format token."""
    assert Masker().mask(f"key {GATEWAY_KEY}, {GATEWAY_KEY[:-1]}".encode()) == f"key ***, {GATEWAY_KEY[:-1]}".encode()


def test_short_values_are_left() -> None:
    """Invariant 2: masking a common word would destroy the log."""
    assert Masker(["ab", "x" * (MIN_LENGTH - 1)]).mask(b"ab " + b"x" * (MIN_LENGTH - 1)) == b"ab xxxxxxx"


def test_many_values() -> None:
    """Beyond the exact limit whole words are still found, glued ones not; within it both are."""
    values = [f"secret-{number:07d}" for number in range(MAX_EXACT + 50)]
    masker = Masker(values)
    assert masker.mask(f'"{values[0]}" x{values[0]}x "{values[-1]}"'.encode()) == b'"***" x***x "***"'


def test_repr_shows_no_value() -> None:
    assert repr(Masker(["sk-secret-one"])) == "Masker(1 values)"


def test_unencodable_value() -> None:
    assert Masker(["half-surrogate-\udcff"]).mask(b"half-surrogate-\xff") == b"***"


@given(
    st.lists(st.text(st.characters(exclude_characters="*", codec="utf-8"), min_size=8), max_size=5),
    st.text(),
    st.text(),
)
def test_no_known_value_survives(values: list[str], before: str, after: str) -> None:
    """Invariant 1, for any text around it. Values with a ``*`` could be put together by masking itself."""
    masker = Masker(values)
    for value in values:
        assert value.encode() not in masker.mask(f"{before}{value}{after}".encode())
