"""Money in units (AG-248)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.money import LIMIT_UNITS, parse_usd, to_cents, to_text, to_units


@given(st.integers(min_value=0, max_value=LIMIT_UNITS))
def test_units_survive_as_text(units):
    assert parse_usd(to_text(units)) == units
    assert to_units(Decimal(to_text(units))) == units


@pytest.mark.parametrize(
    ("usd", "units"), [("0.0105", 1050), ("0.000005", 0), ("0.000015", 2), ("0.000025", 2), ("12", 1_200_000)]
)
def test_ag_248_costs_are_rounded_half_even_to_five_places(usd, units):
    assert to_units(Decimal(usd)) == units


def test_ag_248_texts_always_have_five_places():
    assert [to_text(units) for units in (0, 1, 1050, 10**9)] == ["0.00000", "0.00001", "0.01050", "10000.00000"]


@pytest.mark.parametrize("text", ["", ".", "-1", "1e3", "1.000001", "NaN", "½", "1_0", " 1", "1" * 40, "1.2.3", "+1"])
def test_other_texts_are_no_amount(text):
    assert parse_usd(text) is None


def test_cents_are_rounded_down():
    assert to_cents(1_999) == 1
