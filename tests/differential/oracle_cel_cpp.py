"""Run as a process of its own: expressions in, values of Google's C++ engine out, as JSON on standard streams.

It must not share a process with anything else: every null result drops a reference to None that it does not own.
Input: ``{"data": …, "expressions": […]}``. Output: a list of ``null`` (an error) or ``[type, value]``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]


def encoded(value: Any) -> Any:
    """Floats as text, since JSON has no NaN."""
    if isinstance(value, float):
        return {"double": repr(value)}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, dict):
        return {"map": sorted([str(key), encoded(item)] for key, item in value.items())}
    return value


def main() -> None:
    task = json.load(sys.stdin)
    environment = cel.NewEnv(variables=dict.fromkeys(task["data"], cel.Type.DYN))
    results: list[Any] = []
    for expression in task["expressions"]:
        try:
            value = environment.compile(expression, disable_check=True).eval(data=task["data"])
            name = value.type().name().partition("<")[0].lower()
            results.append(None if value.type() == cel.Type.ERROR else [name, encoded(value.plain_value())])
        except Exception:  # noqa: BLE001 - an error is a result
            results.append(None)
    json.dump(results, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # the interpreter's own end would find None deallocated


if __name__ == "__main__":
    main()
