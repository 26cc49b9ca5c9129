"""``set-vars``: TP-240 to TP-245, CL-44, CL-85, CL-87."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.actions.set_vars import SPEC
from gateway.policy.model import Phase
from tests.unit.policy.world import Secrets, answer, compiled, load, refused, report, request, run


def variables(vars: str, phase: Phase = Phase.REQUEST) -> dict[str, Any]:
    exchange = request(headers=[("x", "1")], response=answer(), secrets=Secrets(v={"s": "topsecret"}))
    text = f"{phase}:\n- type: set-vars\n  config:\n    vars: {vars}\n"
    assert run(compiled(text, phase), exchange) is None
    return exchange.vars


@pytest.mark.parametrize("phase", list(Phase))
def test_every_type(phase: Phase) -> None:
    """TP-242, CL-44."""
    found = variables("[{s: text}, {i: 5}, {d: 1.5}, {b: true}, {n: null}, {l: [1, [a]]}, {m: {k: {j: 1}}}]", phase)
    assert found == {"s": "text", "i": 5, "d": 1.5, "b": True, "n": None, "l": [1, ["a"]], "m": {"k": {"j": 1}}}
    assert [type(value) for value in found.values()] == [str, int, float, bool, type(None), list, dict]


def test_interpolation_at_any_depth() -> None:
    """TP-244."""
    found = variables("""[{a: "${1 + 1}"}, {b: ["${req.method}", {c: "x ${req.method}"}]}, {d: req.method}]""")
    assert found == {"a": 2, "b": ["GET", {"c": "x GET"}], "d": "req.method"}


def test_later_entries_use_earlier_ones() -> None:
    """TP-243: also with the same name."""
    assert variables("""[{a: 1}, {b: "${vars.a + 1}"}, {a: "${vars.b * 10}"}, {c: "${vars.a}"}]""") == {
        "a": 20,
        "b": 2,
        "c": 20,
    }


def test_several_actions_add_up() -> None:
    exchange = request()
    text = """\
        on_http_request:
          - {type: set-vars, config: {vars: [{a: 1}, {b: 1}]}}
          - {type: set-vars, config: {vars: [{b: "${vars.a + 1}"}]}}
          - {type: set-vars, config: {vars: [{c: 3}]}}
    """
    assert run(compiled(text), exchange) is None
    assert exchange.vars == exchange.scope.vars == {"a": 1, "b": 2, "c": 3}


def test_all_or_nothing() -> None:
    """TP-245."""
    exchange = request()
    text = """\
        on_http_request:
          - {type: set-vars, config: {vars: [{a: 1}]}}
          - {type: set-vars, config: {vars: [{a: 2}, {b: "${vars.a}"}, {c: "${vars.none}"}]}}
    """
    assert refused(run(compiled(text), exchange)) == "ERR_NGROK_2238"
    assert exchange.vars == exchange.scope.vars == {"a": 1}


def test_requests_do_not_share_variables() -> None:
    phase = compiled(
        "on_http_request:\n- {type: set-vars, config: {vars: [{a: 1}]}}\n- {type: set-vars, config: {vars: [{b: 2}]}}\n"
    )
    one, two = request(), request()
    for exchange in (one, two):
        assert run(phase, exchange) is None
    one.vars["c"] = 3
    assert two.vars == {"a": 1, "b": 2}


def test_a_mapping_is_tolerated() -> None:
    """TP-241: in document order."""
    assert variables("""{b: 1, a: "${vars.b + 1}"}""") == {"b": 1, "a": 2}
    _, problems = load("on_http_request:\n- {type: set-vars, config: {vars: {a: 1}}}\n")
    assert report(problems) == ["2:35 warning 2252"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{}", ["3:11 error 2234"]),
        ("{a: 1}", ["3:11 error 2234", "3:12 error 2203"]),
        ("{vars: 5}", ["3:18 error 2203"]),
        ("{vars: []}", ["3:18 error 2223"]),
        ("{vars: [a, {}, {a: 1, b: 2}]}", ["3:19 error 2252", "3:22 error 2252", "3:26 error 2252"]),
        ("{vars: [{a-b: 1}, {1a: 1}, {'': 1}]}", ["3:20 error 2252", "3:30 error 2252", "3:39 error 2252"]),
        ("{vars: [{a: '${foo}'}, {b: '${'}]}", ["3:26 error 2200", "3:39 error 2224"]),
        ("{vars: [" + ", ".join("{a: 1}" for _ in range(101)) + "]}", ["3:18 error 2218"]),
        ("{vars: [{a: " + "[" * 16 + "]" * 16 + "}]}", []),
        ("{vars: [{a: " + "[" * 17 + "]" * 17 + "}]}", ["3:39 error 2250"]),
    ],
)
def test_wrong_configurations(config: str, expected: list[str]) -> None:
    assert report(load(f"on_http_request:\n- type: set-vars\n  config: {config}\n")[1]) == expected


def test_json_schema() -> None:
    assert SPEC.shape.json_schema()["properties"]["vars"]["items"]["maxProperties"] == 1
