"""The documented management API: its paths, its shapes, and that no input makes it fail (CP-140, CP-141).

``management_contract.json`` holds the paths and schemas of the documented API, without its prose.
"""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any

import pytest

from gateway.control.request import Style
from gateway.control.routes import ROUTES
from tests.control_plane import running

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent / "management_contract.json").read_text())
METHODS = ("get", "head", "post", "patch", "delete")
OPERATIONS = [
    (path, method, operations[method])
    for path, operations in CONTRACT["paths"].items()
    for method in METHODS
    if method in operations
]
WORDS = (
    "openai", "anthropic", "chat-completions", "messages", "openai:gpt-4o", "60s", "https://host.example/v1", "ngrok",
)  # fmt: skip
ROUNDS = 8


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its reference followed and ``allOf`` merged."""
    while "$ref" in schema:
        found: Any = CONTRACT
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = {**found, **{name: value for name, value in schema.items() if name != "$ref"}}
    for part in schema.get("allOf", ()):
        schema = {**resolved(part), **{name: value for name, value in schema.items() if name != "allOf"}}
    return schema


def violations(schema: dict[str, Any], value: Any, place: str = "$") -> list[str]:
    """Where a value departs from an OpenAPI 3.0 schema."""
    schema = resolved(schema)
    if value is None:
        return [] if schema.get("nullable") else [f"{place} is null"]
    if "oneOf" in schema:
        fits = [part for part in schema["oneOf"] if not violations(part, value, place)]
        return [] if len(fits) == 1 else [f"{place} fits {len(fits)} alternatives"]
    kinds = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, kinds[kind]) or (kind == "integer" and isinstance(value, bool))):
        return [f"{place} is no {kind}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{place} is none of {schema['enum']}"]
    if kind == "array":
        return [found for at, item in enumerate(value) for found in violations(schema["items"], item, f"{place}[{at}]")]
    return object_violations(schema, value, place) if kind == "object" else []


def object_violations(schema: dict[str, Any], value: dict[str, Any], place: str) -> list[str]:
    known, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        if name in known:
            found += violations(known[name], item, f"{place}.{name}")
        elif extra is False:
            found.append(f"{place}.{name} is unknown")
        elif isinstance(extra, dict):
            found += violations(extra, item, f"{place}.{name}")
    return found


def made_up(schema: dict[str, Any], draw: random.Random) -> Any:
    """A value that fits the schema, more or less."""
    schema = resolved(schema)
    if draw.random() < 0.04:
        return draw.choice([None, "", 0, -1, 1.5, True, [], {}, "\x00", "é" * 300, 2**70, ["x"], {"x": 1}])
    if "enum" in schema:
        return draw.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object":
        properties, required = schema.get("properties", {}), schema.get("required", ())
        return {
            name: made_up(part, draw) for name, part in properties.items() if name in required or draw.random() < 0.5
        }
    if kind == "array":
        return [made_up(schema["items"], draw) for _ in range(draw.randint(0, 3))]
    if kind == "integer":
        return draw.choice([0, 1, 500_000, 500_001, draw.randint(-5, 2**40)])
    return draw.choice([*WORDS, "".join(draw.choices(string.printable, k=draw.randint(0, 40)))])


def test_cp_140_every_documented_operation_is_served():
    served = {(route.path, route.method.lower()) for route in ROUTES if route.style is Style.A}
    served |= {(route.path, "head") for route in ROUTES if route.head}
    documented = {(path, method) for path, method, _ in OPERATIONS}
    assert len(documented) == 44
    assert documented <= served
    shared = {path for path, _ in documented}
    assert {found for found in served if found[0] in shared} == documented, "and no other method on its paths"


@pytest.mark.parametrize("seed", range(3))
async def test_cp_140_no_input_makes_it_fail_and_every_answer_fits(tmp_path, seed):
    draw = random.Random(seed)
    async with running(tmp_path) as api:
        ids = ["aigk_none"]
        for _ in range(ROUNDS):
            for path, method, operation in draw.sample(OPERATIONS, len(OPERATIONS)):
                options: dict[str, Any] = {}
                if "requestBody" in operation:
                    options["body"] = made_up(operation["requestBody"]["content"]["application/json"]["schema"], draw)
                query = {
                    resolved(parameter)["name"]: draw.choice(["1", "true", "2026-01-01T00:00:00Z", "openai", "x"])
                    for parameter in operation.get("parameters", ())
                    if draw.random() < 0.4
                }
                answer = await api.call(method.upper(), path.replace("{id}", draw.choice(ids)), params=query, **options)
                assert answer.status < 500, (method, path, options, answer.text)
                if answer.status == 201:
                    ids = [*ids[-30:], answer.json["id"]]
                check(operation, method, answer)


def check(operation: dict[str, Any], method: str, answer: Any) -> None:
    """Status, content type and body are the documented ones."""
    responses = operation["responses"]
    response = resolved(responses.get(str(answer.status), responses["default"]))
    if answer.status < 400:
        assert str(answer.status) in responses
    if method == "head" or answer.status == 204:
        assert answer.text == b""
        return
    assert answer.headers["content-type"] == "application/json"
    assert violations(response["content"]["application/json"]["schema"], answer.json) == []
