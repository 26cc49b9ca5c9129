"""The cel-spec vectors as Python values, and what running one gives."""

from __future__ import annotations

import base64
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from gateway.cel.compile import compile_expression, locate
from gateway.cel.env import BOOL, BYTES, DOUBLE, DYN, INT, NULL, STRING, UINT, CelType, Environment, list_of, map_of
from gateway.cel.errors import CelError, EvaluationError
from gateway.cel.values import TypeValue, Uint, map_key

Vector = dict[str, Any]

_TYPES = {"int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES, "bool": BOOL, "null": NULL}


@lru_cache(maxsize=1)
def vectors() -> tuple[Vector, ...]:
    """All of them, in file order."""
    return tuple(json.loads((Path(__file__).parent / "cel_spec_vectors.json").read_text(encoding="utf-8")))


def declared_type(described: Any) -> CelType:
    """``['list', 'int']`` → list(int)"""
    if isinstance(described, list):
        if described[0] == "list":
            return list_of(declared_type(described[1]))
        return map_of(declared_type(described[2])) if described[0] == "map" else DYN
    return _TYPES.get(described, DYN)


def value_of(described: Any) -> Any:
    """``['uint', 1]`` → Uint(1)"""
    match described:
        case ["null"]:
            return None
        case ["uint", number]:
            return Uint(number)
        case ["double", text]:
            return float(text)
        case ["bytes", text]:
            return base64.b64decode(text)
        case ["list", items]:
            return [value_of(item) for item in items]
        case ["map", entries]:
            return {map_key(value_of(key)): value_of(value) for key, value in entries}
        case ["type", name]:
            return TypeValue(name)
        case [_, value]:
            return value
        case _:
            raise ValueError(described)


def alike(left: Any, right: Any) -> bool:
    """Equal and of the same class, all the way down; NaN is like NaN."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(alike, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(alike(value, right[key]) for key, value in left.items())
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    return left.__class__ is right.__class__ and bool(left == right)


def outcome(vector: Vector, *, checked: bool) -> Any:
    """The value, or the error of the load or the evaluation."""
    bindings = vector.get("bindings", {})
    variables = dict.fromkeys(bindings, DYN) | {name: declared_type(kind) for name, kind in vector.get("type_env", ())}
    environment = Environment(variables, items=True, container=vector.get("container", ""), checked=checked)
    try:
        program = compile_expression(vector["expr"], environment)
    except CelError as error:
        return error
    try:
        return program.evaluate({name: value_of(value) for name, value in bindings.items()})
    except Exception as error:  # noqa: BLE001 - whatever a program raises is an outcome
        return locate(program, error)


def passes(vector: Vector, result: Any) -> bool:
    """Any error will do where one is expected."""
    failed = isinstance(result, CelError | EvaluationError)
    if vector["expect"][0] == "error":
        return failed
    return not failed and alike(result, value_of(vector["expect"][1]))
