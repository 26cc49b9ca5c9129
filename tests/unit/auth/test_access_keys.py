"""The key table: who is found, what a change does, what a key costs (CP-66, CP-101, AG-186, AG-187, B10)."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from gateway.auth.access_keys import STYLE_A, AccessKeyTable, Identity
from gateway.auth.scopes import ALLOW_NOTHING, KeyConfiguration
from gateway.auth.tokens import ADMIN_MARK, GATEWAY_MARK, Hasher, new_token

HASHER = Hasher(b"p" * 32)


def make(key_id="aigk_1", mark=GATEWAY_MARK, **more):
    token = new_token(mark)
    return token.text, Identity(key_id, token.public, HASHER.digest(token.text), **more)


@pytest.fixture
def table():
    return AccessKeyTable(HASHER, GATEWAY_MARK)


def test_a_key_is_found_by_its_token_only(table):
    token, identity = make()
    table = table.with_key(identity)
    assert table.find(token) is identity
    other = "a" if token[-1] != "a" else "b"
    guesses = [
        "", token[:-1], token[:-1] + other, token.replace("-g1-", "-a1-"), identity.digest.hex(), token + "\udcff",
        token + "x" * 9_999, f"ng-{identity.public}-g1-{'x' * 43}", make()[0],
    ]  # fmt: skip
    for wrong in guesses:
        assert table.find(wrong) is None


def test_an_admin_token_is_no_gateway_key():
    token, identity = make(mark=ADMIN_MARK)
    assert AccessKeyTable(HASHER, GATEWAY_MARK, [identity]).find(token) is None
    assert AccessKeyTable(HASHER, ADMIN_MARK, [identity]).find(token) is identity


def test_cp_101_an_unknown_public_part_costs_one_hash_too(table):
    hashed = []

    class Counting(Hasher):
        __slots__ = ()

        def digest(self, token):
            hashed.append(token)
            return super().digest(token)

    token, identity = make()
    table = AccessKeyTable(Counting(b"p" * 32), GATEWAY_MARK, [identity])
    assert (table.find(token), table.find(make()[0])) == (identity, None)
    assert len(hashed) == 2


def test_cp_66_a_change_makes_a_new_table_and_leaves_the_old(table):
    token, identity = make(endpoint_id="ep_1")
    with_it = table.with_key(identity)
    without = with_it.without_key(identity.public)
    assert (table.find(token), with_it.find(token), without.find(token)) == (None, identity, None)
    moved = with_it.with_key(Identity(identity.id, identity.public, identity.digest))
    assert moved.find(token).endpoint_id is None
    assert len(moved) == 1


def test_cp_66_a_token_that_was_just_used_is_gone_with_its_key(table):
    token, identity = make()
    table = table.with_key(identity)
    assert [table.find(token), table.find(token)] == [identity, identity]
    assert table.without_key(identity.public).find(token) is None
    others = AccessKeyTable(HASHER, GATEWAY_MARK, [(made := make())[1] for _ in range(3)])
    assert others.find(made[0]) is made[1]


def test_p01_remembered_tokens_are_bounded(table):
    made = [make(f"aigk_{number}") for number in range(1_500)]
    table = AccessKeyTable(HASHER, GATEWAY_MARK, [identity for _, identity in made])
    for token, identity in made:
        assert table.find(token) is identity
    assert len(table._recent) <= 1_024


def test_ag_187_where_keys_were_made_outlives_them(table):
    _, bound = make(endpoint_id="ep_1")
    _, free = make()
    table = table.with_key(bound).without_key(bound.public)
    assert table.made_for == {"ep_1"}
    assert table.with_key(free).made_for == {"ep_1", STYLE_A}


def test_a_missing_configuration_fails_closed(table):
    _, plain = make()
    _, linked = make(configuration_id="aigac_1")
    assert table.configuration_of(plain) is None
    assert table.configuration_of(linked) is ALLOW_NOTHING
    configuration = KeyConfiguration("aigac_1", "c")
    changed = table.with_key(linked).with_configurations({"aigac_1": configuration})
    assert changed.configuration_of(linked) is configuration
    assert len(changed) == 1


def test_a_hundred_thousand_keys_cost_at_most_400_bytes_each_beside_their_strings():
    count = 100_000
    parts = [(f"aigk_{number:027}", f"{number:012}", os.urandom(32)) for number in range(count)]
    tracemalloc.start()
    try:
        table = AccessKeyTable(HASHER, GATEWAY_MARK, (Identity(*part) for part in parts))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == count
    assert size / count <= 250


def test_reprs_show_no_hash():
    _, identity = make()
    assert identity.digest.hex() not in repr(identity)
    assert repr(HASHER) == "Hasher(***)"
