"""Ids (CP-10)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.ids import ALPHABET, IdSource


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
