"""Envelopes: what opens, where, and with which key (CP-104, CP-106, CP-107)."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.secrets.crypto import MasterKey, Place, SealBox, SealError

PLACE = Place("provider_keys", "aigpk_1", "value")
OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)


@given(st.binary(max_size=2_000), st.text(max_size=30))
def test_cp_104_a_value_opens_where_it_was_sealed(text, row):
    box = SealBox(MasterKey(os.urandom(32)))
    place = Place("secrets", row, "value")
    assert box.open(box.seal(text, place), place) == text


@pytest.mark.parametrize(
    "other", [PLACE._replace(table="secrets"), PLACE._replace(row="aigpk_2"), PLACE._replace(column="name")]
)
def test_cp_104_a_value_does_not_open_elsewhere(other):
    box = SealBox(OLD)
    with pytest.raises(SealError):
        box.open(box.seal(b"sk-1", PLACE), other)


def test_cp_104_two_sealings_share_nothing_but_version_and_key_id():
    box = SealBox(OLD)
    one, two = box.seal(b"sk-1", PLACE), box.seal(b"sk-1", PLACE)
    assert one[:9] == two[:9]
    assert one[9:21] != two[9:21]
    assert one[21:69] != two[21:69]
    assert one[69:] != two[69:]


def test_cp_104_every_changed_byte_is_noticed():
    box = SealBox(OLD)
    sealed = box.seal(b"sk-live-1", PLACE)
    for at in range(len(sealed)):
        broken = bytearray(sealed)
        broken[at] ^= 1
        with pytest.raises(SealError):
            box.open(bytes(broken), PLACE)


@pytest.mark.parametrize("sealed", [b"", b"\x01", b"\x01" * 50, b"\x02" + b"\x00" * 120])
def test_what_is_no_envelope_is_refused(sealed):
    with pytest.raises(SealError):
        SealBox(OLD).open(sealed, PLACE)


def test_cp_105_a_wrong_key_does_not_open_and_fails_the_check():
    box = SealBox(OLD)
    with pytest.raises(SealError, match="another master key"):
        SealBox(NEW).open(box.seal(b"sk-1", PLACE), PLACE)
    assert box.passes(box.check_value())
    assert not SealBox(NEW).passes(box.check_value())


def test_cp_106_resealing_changes_the_key_and_not_the_text():
    sealed = SealBox(OLD).seal(b"sk-1", PLACE)
    moved = SealBox(NEW, OLD).reseal(sealed, PLACE)
    assert moved is not None
    assert moved[69:] == sealed[69:]
    assert SealBox(NEW).open(moved, PLACE) == b"sk-1"
    assert SealBox(NEW, OLD).open(sealed, PLACE) == b"sk-1", "both keys are known while it runs"
    assert SealBox(NEW, OLD).reseal(moved, PLACE) is None, "an interrupted rotation skips what is done"


def test_cp_107_errors_and_reprs_show_neither_key_nor_value():
    box = SealBox(OLD)
    with pytest.raises(SealError) as caught:
        box.open(box.seal(b"sk-hidden", PLACE)[:-1], PLACE)
    assert "sk-hidden" not in str(caught.value)
    assert b"o" * 8 not in repr(OLD).encode()


def test_a_master_key_has_32_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        MasterKey(b"short")
