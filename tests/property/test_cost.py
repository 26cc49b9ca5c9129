"""Cost in whole numbers is cost in decimals (AG-248)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.ai.pricing import Pricing, TextPrices, build_pricing
from gateway.ai.usage import Usage, usd

NAMES = ("input", "output", "input_cache_read", "input_cache_write")
#: what catalogs say, and anything else that a number can be
USUAL = st.decimals("0", "1000", places=4)
STRANGE = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e3", max_value="1e14"),
    st.floats(0, 1e12).map(lambda price: Decimal(str(price))),
    st.sampled_from(
        [Decimal("0E-30"), Decimal("-0"), Decimal("1E+3"), Decimal("99999999.999999999999999"), Decimal("1E-15")]
    ),
)
COUNTS = st.one_of(st.integers(0, 200), st.integers(0, 10**12))


def prices(each):
    return st.dictionaries(st.sampled_from(NAMES), each).map(lambda exact: Pricing(TextPrices(), {}, exact))


def same(used, pricing):
    exact = used.exact_cost(pricing)
    assert used.units(pricing) == Fraction(exact) * 100_000
    assert str(usd(used.units(pricing))).lstrip("-") == str(exact).lstrip("-")


@st.composite
def usages(draw):
    used = Usage()
    used.input, used.output, used.cached, used.cache_write = (draw(COUNTS) for _ in range(4))
    if draw(st.booleans()):
        used.input += used.cached + used.cache_write
    return used


@given(usages(), prices(USUAL))
def test_ag_248_usual_prices_are_whole_numbers(used, pricing):
    assert pricing.whole is not None
    same(used, pricing)


@given(usages(), prices(STRANGE))
def test_ag_248_strange_prices_cost_the_same(used, pricing):
    same(used, pricing)


@given(st.integers(0, 10**6), st.sampled_from(["0.1", "0.5", "1", "5", "0.05", "2.5"]))
@example(5, "1")
@example(15, "1")
@example(25, "1")
def test_ag_248_ties_go_to_the_even_unit(tokens, price):
    used = Usage()
    used.input = tokens
    same(used, build_pricing({"text": {"input": float(price)}}))


def test_ag_248_prices_that_no_count_can_be_multiplied_with_exactly_stay_decimals():
    for price in ("-1", "1E+8", "1E-16"):
        assert Pricing(TextPrices(), {}, {"input": Decimal(price)}).whole is None
    same(Usage(), None)
