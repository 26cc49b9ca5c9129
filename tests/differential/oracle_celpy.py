"""The same for cel-python's interpreter: expressions in, values out. ``null`` is an error."""

from __future__ import annotations

import json
import sys
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import json_to_cel


def encoded(value: Any) -> Any:
    if isinstance(value, celtypes.BoolType):
        return ["bool", bool(value)]
    if isinstance(value, celtypes.IntType):
        return ["int", int(value)]
    if isinstance(value, celtypes.StringType):
        return ["string", str(value)]
    if isinstance(value, list):
        return ["list", [encoded(item) for item in value]]
    raise TypeError(type(value).__name__)


def main() -> None:
    task = json.load(sys.stdin)
    environment = celpy.Environment()
    data = {name: json_to_cel(value) for name, value in task["data"].items()}
    results: list[Any] = []
    for expression in task["expressions"]:
        try:
            results.append(encoded(environment.program(environment.compile(expression)).evaluate(data)))
        except Exception:  # noqa: BLE001 - an error is a result
            results.append(None)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
