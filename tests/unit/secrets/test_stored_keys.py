"""Stored provider keys by who brings them (AG-190 rows 3 and 5, CP-34, CP-69)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.secrets.secret import Secret
from gateway.secrets.stored_keys import StoredKey, StoredKeyTable


def key(number, provider="openai", gateway_key=None, rotation=0):
    return StoredKey(f"aigpk_{number}", provider, "", Secret(f"sk-{number}"), "r", gateway_key, rotation)


def ids(keys):
    return [found.id for found in keys]


def test_cp_69_newest_first_by_owner_and_provider():
    table = StoredKeyTable([key(1), key(3), key(2), key(4, "anthropic"), key(5, gateway_key="aigk_1")])
    assert ids(table.account("openai")) == ["aigpk_3", "aigpk_2", "aigpk_1"]
    assert ids(table.account("anthropic")) == ["aigpk_4"]
    assert ids(table.attached("aigk_1", "openai")) == ["aigpk_5"]
    assert table.attached("aigk_2", "openai") == ()


def test_cp_34_a_rotated_key_keeps_its_place_and_the_old_table_its_value():
    old = StoredKeyTable([key(1), key(2)])
    new = old.with_keys([StoredKey("aigpk_1", "openai", "", Secret("sk-new"), "r", None, 1)])
    assert ids(new.account("openai")) == ["aigpk_2", "aigpk_1"]
    found, before = new.get("aigpk_1"), old.get("aigpk_1")
    assert found is not None
    assert before is not None
    assert (found.value.reveal(), before.value.reveal()) == ("sk-new", "sk-1")


OPERATIONS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 9), st.sampled_from(["openai", "own"]), st.sampled_from([None, "g1", "g2"]))
)


@given(OPERATIONS)
def test_any_sequence_of_changes_equals_a_table_built_at_once(operations):
    table, model = StoredKeyTable(), {}
    for add, number, provider, gateway_key in operations:
        if add:
            table = table.with_keys([key(number, provider, gateway_key)])
            model[number] = key(number, provider, gateway_key)
        else:
            table = table.without([f"aigpk_{number}"])
            model.pop(number, None)
    fresh = StoredKeyTable(model.values())
    assert len(table) == len(fresh)
    for provider in ("openai", "own"):
        assert ids(table.account(provider)) == ids(fresh.account(provider))
        for gateway_key in ("g1", "g2"):
            assert ids(table.attached(gateway_key, provider)) == ids(fresh.attached(gateway_key, provider))
    assert sorted(value.reveal() for value in table.values()) == sorted(value.reveal() for value in fresh.values())
