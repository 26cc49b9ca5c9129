"""The JSON Schema of a policy document, made from the shapes that validate it, so that editors can help authors."""

from __future__ import annotations

from gateway.policy.action import ActionSpec, ActionTable
from gateway.policy.load import MAX_ACTIONS, MAX_NAME, MAX_RULES
from gateway.policy.model import Phase
from gateway.schema.reader import JsonSchema

_EXPRESSIONS: JsonSchema = {
    "type": ["array", "null"],
    "items": {"type": "string", "description": "CEL expression"},
    "description": "conditions; all must hold; none means always",
}
_NAME: JsonSchema = {"type": ["string", "null"], "maxLength": MAX_NAME, "description": "label for logs and errors"}


def policy_json_schema(actions: ActionTable) -> JsonSchema:
    """Of the new form: legacy names and wrappers are left out, since they only load with a warning."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Traffic policy",
        "type": "object",
        "properties": {str(phase): _phase(phase, actions) for phase in Phase},
        "additionalProperties": False,
        "$defs": {_definition(spec): _action(spec) for spec in actions.values()},
    }


def _phase(phase: Phase, actions: ActionTable) -> JsonSchema:
    references = [{"$ref": f"#/$defs/{_definition(spec)}"} for spec in actions.values() if phase in spec.phases]
    rule: JsonSchema = {
        "type": "object",
        "properties": {
            "name": _NAME,
            "expressions": _EXPRESSIONS,
            "actions": {"type": "array", "minItems": 1, "maxItems": MAX_ACTIONS, "items": {"oneOf": references}},
        },
        "required": ["actions"],
        "additionalProperties": False,
    }
    shorthand: JsonSchema = {
        "type": "object",
        "properties": {"name": _NAME, "expressions": _EXPRESSIONS, "type": True, "config": True},
        "required": ["type"],
        "oneOf": references,
    }
    return {"type": ["array", "null"], "maxItems": MAX_RULES, "items": {"anyOf": [rule, shorthand]}}


def _definition(spec: ActionSpec[object]) -> str:
    return f"action-{spec.type}"


def _action(spec: ActionSpec[object]) -> JsonSchema:
    config = spec.shape.json_schema()
    required = ["type", "config"] if config.get("required") else ["type"]
    return {
        "type": "object",
        "description": spec.doc,
        "properties": {"type": {"enum": [spec.type, *spec.aliases]}, "config": {"anyOf": [config, {"type": "null"}]}},
        "required": required,
    }
