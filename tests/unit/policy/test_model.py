"""The frozen policy: TP-21."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.policy.model import Phase, RulePlace
from tests.unit.policy.world import load


def test_places_name_the_rule() -> None:
    assert str(RulePlace("p.yaml", 3, 5, "on_http_request[1] 'auth'")) == "p.yaml:3:5: on_http_request[1] 'auth'"


def test_a_policy_is_frozen() -> None:
    policy, _ = load("on_http_request:\n- name: a\n  actions: [{type: deny}, {type: deny}]\n- type: deny\n")
    assert policy is not None
    rule = policy.phases[Phase.REQUEST][0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.name = "b"  # type: ignore[misc]
    assert [action.path for action in policy.actions()] == [
        "on_http_request[0].actions[0]", "on_http_request[0].actions[1]", "on_http_request[1]",
    ]  # fmt: skip


def test_phases_are_their_keys() -> None:
    assert [str(phase) for phase in Phase] == [
        "on_tcp_connect", "on_http_request", "on_http_response", "on_event_stream_message",
    ]  # fmt: skip
