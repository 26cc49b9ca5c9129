"""Ids (CP-10)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.ids import ALPHABET, IdSource, derived_id


@given(st.lists(st.integers(min_value=0, max_value=2**62), min_size=2, max_size=50))
def test_cp_10_ids_increase_whatever_the_clock_does(times):
    source = IdSource()
    ids = [source.draw("aigk_", now) for now in times]
    assert ids == sorted(set(ids))
    assert all(len(row_id) == 32 and set(row_id[5:]) <= set(ALPHABET) for row_id in ids)


def test_cp_10_a_new_source_goes_on_above_the_last():
    first = IdSource()
    before = first.draw("x_", 10**18)
    assert IdSource(first.last).draw("x_", 0) > before


@given(st.lists(st.tuples(st.integers(1, 2_000), st.integers(0, 2**62)), min_size=1, max_size=20))
def test_cp_10_reserved_numbers_increase_whatever_the_clock_does(steps):
    source, last = IdSource(), 0
    for count, now in steps:
        first = source.reserve(count, now)
        assert first > last
        last = first + count - 1
    assert source.draw("x_", 0) > derived_id("x_", last, "seed")


@given(st.lists(st.integers(0, 62**11 - 1), min_size=2, unique=True))
def test_cp_10_derived_ids_sort_by_their_numbers(numbers):
    ids = [derived_id("aigu_", number, str(number * 7)) for number in sorted(numbers)]
    assert ids == sorted(ids)
    assert all(len(row_id) == 32 and set(row_id[5:]) <= set(ALPHABET) for row_id in ids)
