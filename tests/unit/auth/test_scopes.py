"""Configurations (AG-94, AG-200)."""

from __future__ import annotations

from gateway.auth.scopes import ALLOW_NOTHING, RouteRule, by_rank


def test_ag_200_rules_with_a_model_come_first_and_keep_their_order():
    rules = [RouteRule(provider, model, ()) for provider, model in
             [("a", None), ("b", "m1"), ("c", None), (None, "m2")]]  # fmt: skip
    assert [(rule.provider, rule.model) for rule in by_rank(rules)] == [
        ("b", "m1"),
        (None, "m2"),
        ("a", None),
        ("c", None),
    ]


def test_ag_94_the_stand_in_allows_nothing():
    assert ALLOW_NOTHING.providers == frozenset()
    assert ALLOW_NOTHING.models == frozenset()
