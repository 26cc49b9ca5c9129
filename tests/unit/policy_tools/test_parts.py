"""The values inside an expression."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from gateway.policy.environments import environment_for
from gateway.policy.model import Phase
from gateway.policy.variables import Scope
from gateway.policy_tools.parts import Dissected
from tests.unit.policy.world import CLOCK, TABLE, Secrets, request

ENVIRONMENT = environment_for(Phase.REQUEST, TABLE)


def values(expression: str) -> dict[str, Any]:
    """Part → its value, or its error as a tuple."""
    exchange = request("/a?b=1", headers=[("x", "1"), ("x", "2")], secrets=Secrets(v={"n": "s3cret"}))
    scope = Scope(exchange, CLOCK.now)
    scope.vars = {"list": [1, 2], "deep": {"a": {"b": 3}}}
    found = Dissected(expression, ENVIRONMENT, Random(0)).values(scope)
    assert exchange.secrets_seen == set()
    return {part.source: (part.error,) if part.error else part.value for part in found}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("req.headers['x'][1] == '2'", {"req.headers['x'][1] == '2'": True, "req.headers['x'][1]": "2"}),
        ("vars.deep.a.b + 1", {"vars.deep.a.b + 1": 4, "vars.deep.a.b": 3}),
        (
            "(req.method == 'GET' || false) && !(1 in vars.list)",
            {
                "(req.method == 'GET' || false) && !(1 in vars.list)": False, "req.method == 'GET' || false": True,
                "req.method == 'GET'": True, "req.method": "GET", "!(1 in vars.list)": False, "1 in vars.list": True,
                "vars.list": [1, 2],
            },
        ),
        (
            "vars.list.exists(i, i > 1) ? req.host : 'x'",
            {
                "vars.list.exists(i, i > 1) ? req.host : 'x'": "gateway.example", "vars.list.exists(i, i > 1)": True,
                "vars.list": [1, 2], "req.host": "gateway.example",
            },
        ),
        (
            "secrets.get('v', 'n') == 's3cret'",
            {"secrets.get('v', 'n') == 's3cret'": True, "secrets.get('v', 'n')": "s3cret"},
        ),
        ("vars.list[int(req.headers['x'][0])]", {
            "vars.list[int(req.headers['x'][0])]": 2, "int(req.headers['x'][0])": 1, "req.headers['x'][0]": "1",
        }),
        ("true", {"true": True}),
    ],
)  # fmt: skip
def test_parts(expression: str, expected: dict[str, Any]) -> None:
    assert values(expression) == expected


def test_errors_have_their_parts() -> None:
    """Of a failing expression the part that fails, and those that do not."""
    found = values("req.method == 'GET' && vars.nothing == 1")
    assert found["vars.nothing"] == ("no such key: 'nothing'",)
    assert found["req.method == 'GET'"] is True


def test_missing_secrets_are_named() -> None:
    (error,) = values("secrets.get('v', 'other') == 'x'")["secrets.get('v', 'other')"]
    assert error


def test_chance_is_left_as_it_was() -> None:
    random = Random(5)
    before = random.getstate()
    scope = Scope(request(), CLOCK.now)
    Dissected("req.method == 'GET'", ENVIRONMENT, random).values(scope)
    assert random.getstate() == before
