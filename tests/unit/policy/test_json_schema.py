"""The schema of policies: made from the shapes that validate them."""

from __future__ import annotations

import json

from gateway.actions import ACTIONS
from gateway.policy.json_schema import policy_json_schema
from gateway.policy.model import Phase

SCHEMA = policy_json_schema(ACTIONS)


def test_every_phase_and_action_is_there() -> None:
    assert set(SCHEMA["properties"]) == set(Phase)
    assert set(SCHEMA["$defs"]) == {f"action-{kind}" for kind in ACTIONS}
    json.dumps(SCHEMA)


def test_actions_stand_where_they_may() -> None:
    for phase in Phase:
        rule, shorthand = SCHEMA["properties"][phase]["items"]["anyOf"]
        allowed = {f"#/$defs/action-{kind}" for kind, spec in ACTIONS.items() if phase in spec.phases}
        assert {each["$ref"] for each in rule["properties"]["actions"]["items"]["oneOf"]} == allowed
        assert {each["$ref"] for each in shorthand["oneOf"]} == allowed


def test_configurations() -> None:
    custom_response = SCHEMA["$defs"]["action-custom-response"]
    assert custom_response["required"] == ["type"]
    config = custom_response["properties"]["config"]["anyOf"][0]
    assert config["properties"]["status_code"] == {
        "type": "integer", "minimum": 200, "maximum": 599, "default": 200, "description": "status of the answer",
    }  # fmt: skip
    assert SCHEMA["$defs"]["action-set-vars"]["required"] == ["type", "config"]
