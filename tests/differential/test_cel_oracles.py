"""Random expressions against other engines, each in a process of its own.

Google's C++ engine is the oracle; cel-python's interpreter is a second vote where its semantics can be trusted (one
numeric type, no null). Every difference must belong to a class that is named here.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gateway.cel.compile import compile_expression
from gateway.cel.conversions import to_int
from gateway.cel.env import DYN, INT, Environment, Function
from gateway.cel.values import BoolKey, Uint, type_name
from tests.differential.expressions import DATA, Expressions

HERE = Path(__file__).parent
SEEDS = (1, 2)
COUNT = 500


def ask(script: str, expressions: list[str]) -> list[Any]:
    """The other engine's answers."""
    task = json.dumps({"data": DATA, "expressions": expressions})
    done = subprocess.run(
        [sys.executable, str(HERE / script)], input=task, capture_output=True, text=True, timeout=50, check=True
    )
    answers: list[Any] = json.loads(done.stdout)
    return answers


ENVIRONMENT = Environment(dict.fromkeys(DATA, DYN), items=True)
UNCHECKED = replace(ENVIRONMENT, checked=False)


def int_like_oracle(value: Any) -> int:
    """The oracle converts bool to int, which the language definition does not."""
    return int(value) if isinstance(value, bool) else to_int(value)


LIKE_ORACLE = UNCHECKED.extend(functions=(Function("int", (DYN,), INT, int_like_oracle),))


def ours(expression: str, environment: Environment) -> Any:
    """The value; an Exception if it fails."""
    try:
        return compile_expression(expression, environment).evaluate(DATA)
    except Exception as error:  # noqa: BLE001 - an error is a result
        return error


def encoded(value: Any) -> Any:
    """As ``oracle_cel_cpp`` writes it."""
    if isinstance(value, float):
        return {"double": repr(value)}
    if isinstance(value, Uint):
        return int(value)
    if isinstance(value, list | tuple):
        return [encoded(item) for item in value]
    if isinstance(value, dict):
        pairs = ((key.value if isinstance(key, BoolKey) else key, item) for key, item in value.items())
        return {"map": sorted([str(key), encoded(item)] for key, item in pairs)}
    return value


@pytest.mark.skipif(find_spec("cel_expr_python") is None, reason="cel-expr-python has no wheel for this platform")
@pytest.mark.parametrize("seed", SEEDS)
def test_like_the_engine_of_google(seed: int) -> None:
    stream = Expressions(seed)
    expressions = [stream.next() for _ in range(COUNT)]
    values = errors = 0
    for expression, answer in zip(expressions, ask("oracle_cel_cpp.py", expressions), strict=True):
        value = ours(expression, LIKE_ORACLE)
        if answer is None:
            errors += 1
            assert isinstance(value, Exception), f"{expression} is an error there, {value!r} here"
        else:
            values += 1
            assert not isinstance(value, Exception), f"{expression} is {answer} there, here: {value!r}"
            assert [type_name(value).removesuffix("_type"), encoded(value)] == answer, expression
    assert values > COUNT // 4, "the generator makes too few expressions that have a value"
    assert errors > COUNT // 50


@pytest.mark.parametrize("seed", SEEDS)
def test_with_static_checks_a_value_is_the_same_value(seed: int) -> None:
    """What loads gives what it gives unchecked; what does not load would have failed, or its faulty part was unused."""
    stream = Expressions(seed + 100)
    loaded = 0
    for _ in range(COUNT):
        expression = stream.next()
        typed, untyped = ours(expression, ENVIRONMENT), ours(expression, UNCHECKED)
        if type(typed).__name__ == "CelTypeError":
            continue
        loaded += 1
        same = isinstance(typed, Exception) and isinstance(untyped, Exception)
        assert same or encoded(typed) == encoded(untyped), f"{expression}: {typed!r}, unchecked {untyped!r}"
    assert loaded > COUNT // 3


def celpy_form(value: Any) -> Any:
    kind = type_name(value)
    return [kind, [celpy_form(item) for item in value] if kind == "list" else value]


def test_second_vote_on_a_restricted_grammar() -> None:
    stream = Expressions(7, restricted=True)
    expressions = [stream.next() for _ in range(250)]
    agreed = 0
    for expression, answer in zip(expressions, ask("oracle_celpy.py", expressions), strict=True):
        value = ours(expression, ENVIRONMENT)
        if answer is None or isinstance(value, Exception):
            continue  # the two differ in what they absorb; errors are the other oracle's business
        assert celpy_form(value) == answer, expression
        agreed += 1
    assert agreed > 100


def test_encoding_tells_values_apart() -> None:
    assert encoded(1.0) != encoded(1)
    assert encoded(math.nan) == encoded(math.nan)
    assert encoded([1, {"a": 0.5}]) == [1, {"map": [["a", {"double": "0.5"}]]}]
