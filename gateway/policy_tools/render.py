"""An explanation as text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.policy_tools.explain import Explanation

_SHOWN = 160
_COLUMN = 72


def render(explanation: Explanation) -> str:
    """The trace from top to bottom: request, rules, model request, answer."""
    return "\n".join(_lines(explanation)) + "\n"


def _lines(explanation: Explanation) -> Iterator[str]:
    for note in explanation["notes"]:
        yield f"note: {note}"
    request = explanation["request"]
    if request:
        yield f"{request['method'] or 'connection'} {request['target']} from {request['client_ip']}".replace("  ", " ")
        yield from (f"  {name}: {value}" for name, value in request["headers"].items())
    for rule in explanation["rules"]:
        yield ""
        yield from _rule(rule)
    if explanation["model_request"] is not None:
        yield ""
        yield from _model_request(explanation["model_request"])
    yield ""
    yield from _answer(explanation["answer"])


def _rule(rule: Mapping[str, Any]) -> Iterator[str]:
    name = f" '{rule['name']}'" if rule["name"] else ""
    verdict = {True: "matches", False: "does not match", None: f"fails: {rule['error']}"}[rule["matched"]]
    yield f"{rule['place']}{name}, line {rule['line']}: {verdict if rule['expressions'] else 'always'}"
    for expression in rule["expressions"]:
        yield from _expression(expression, 2, "if ")
    for action in rule["actions"]:
        yield f"  {action['type']}: {action['outcome']}"
        for field in action["inputs"]:
            yield from _expression(field, 4, f"{field['field']} = ")
        for effect in action["effects"]:
            yield f"    {effect['what']} → {_effect(effect['value'])}"


def _expression(expression: Mapping[str, Any], indent: int, label: str) -> Iterator[str]:
    yield _valued(expression, indent, label)
    for part in expression["parts"]:
        yield _valued(part, indent + 2 * part["depth"] + 2, "")


def _valued(part: Mapping[str, Any], indent: int, label: str) -> str:
    left = f"{' ' * indent}{label}{' '.join(part['source'].split())}"
    right = f"error: {part['error']}" if "error" in part else _value(part["value"])
    return f"{left:<{_COLUMN}} → {right}"


def _value(value: Any) -> str:
    if value is None:
        return "absent"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _effect(value: Any) -> str:
    if isinstance(value, dict) and "capacity" in value and "admits" in value:
        state = f"{value['used']} of {value['capacity']} used in {value['window']}"
        return f"{state}, admits" if value["admits"] else f"{state}, refuses for {value['retry_after']} s"
    return "taken away" if value is None else _value(value)


def _model_request(call: Mapping[str, Any]) -> Iterator[str]:
    yield f"model request ({call['surface'] or 'no surface'}) for {', '.join(call['asked_for']) or 'any model'}"
    for rejected in call["rejected"]:
        yield f"  not {rejected['model']}: {rejected['reason']}"
    for strategy in call["strategies"]:
        result = strategy["error"] or ", ".join(strategy["models_to_try"]) or "nothing"
        yield f"  strategy {strategy['strategy']} → {result}"
        yield from _decided_by(strategy["decided_by"], "model", 4)
    for number, candidate in enumerate(call["candidates"], 1):
        yield from _candidate(number, candidate)
    if call["more_candidates"]:
        yield f"  … and {call['more_candidates']} more"
    for attempt in call["attempts"]:
        result = attempt["problem"] or f"status {attempt['status']}"
        yield f"  played: {attempt['provider']} {attempt['model']}, key {attempt['key']} → {result}"


def _candidate(number: int, candidate: Mapping[str, Any]) -> Iterator[str]:
    keys = ", ".join(candidate["keys"]) or candidate["error"]
    later = "" if candidate["reached"] else " (if those before fail)"
    yield f"  {number}. {candidate['provider']} {candidate['model']}, keys: {keys}{later}"
    for strategy in candidate["key_strategies"]:
        result = strategy["error"] or ", ".join(strategy["keys_to_try"]) or "nothing"
        yield f"     strategy {strategy['strategy']} → {result}"
        yield from _decided_by(strategy["decided_by"], "key", 7)
    for dropped in candidate["dropped_keys"]:
        yield f"     key {dropped['position'] + 1} is left out: {dropped['reason']}"


def _decided_by(rows: Sequence[Mapping[str, Any]], kind: str, indent: int) -> Iterator[str]:
    """What a strategy saw of each model or key."""
    for row in rows:
        values = ", ".join(f"{name} = {_value(value)}" for name, value in row["values"].items())
        yield f"{' ' * indent}{row[kind]}: {values}"


def _answer(answer: Mapping[str, Any]) -> Iterator[str]:
    by = " ".join(answer["decided_by"]) or "no rule"
    if answer["decision"] == "closed":
        yield f"closed without an answer by {by}"
        return
    yield f"{answer['decision']} with {answer['status']} by {by}"
    if answer["error"]:
        yield f"  cause: {answer['error']}"
    yield from (f"  {name}: {value}" for name, value in answer["headers"].items())
    if answer["body"]:
        yield f"  {answer['body'][: _SHOWN * 4]}"
