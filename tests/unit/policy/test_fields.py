"""Interpolated fields, expressions and structures: TP section 5, TP-57, TP-110 to TP-121."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.cel.env import BOOL, INT
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps, Outcome, Refuse
from gateway.policy.fields import expression, interpolated, structure
from gateway.policy.model import Phase
from gateway.schema.reader import Shape
from gateway.schema.shapes import field, list_of, record
from tests.unit.policy.world import Secrets, compiled, context, load, quoted, refused, report, request, responded, run


def with_field(shape: Shape[Any], read: Any) -> Any:
    """A context with an action ``probe`` whose field ``f`` has the shape; ``read`` gives what it sets ``out`` to."""

    def compile_probe(config: dict[str, Any], deps: CompileDeps) -> CompiledAction:
        def act(exchange: Exchange) -> Outcome:
            exchange.results["out"] = read(config["f"], exchange)
            return None

        return CompiledAction("probe", act)

    spec: ActionSpec[Any] = ActionSpec(
        type="probe", phases=frozenset(Phase), shape=record(dict, f=field(shape)), compile=compile_probe
    )
    return context(spec=spec)


TEXT = with_field(interpolated(), lambda value, exchange: value.text(exchange))
VALUE = with_field(interpolated(), lambda value, exchange: value.value(exchange))
STRUCTURE = with_field(structure(), lambda value, exchange: value.value(exchange))
CONDITION = with_field(expression(BOOL), lambda value, exchange: value.value(exchange))
ATTEMPTS = with_field(expression(None, attempts=INT), lambda value, exchange: value.program.reads)
LIST = with_field(list_of(interpolated(minimum=1, maximum=4)), lambda value, exchange: None)


def policy(config: str) -> str:
    return f"on_http_request:\n- type: probe\n  config: {{f: {config}}}\n"


def out(with_context: Any, config: str, exchange: Exchange | None = None) -> Any:
    exchange = exchange or request("/a?b=c", headers=[("x", "1"), ("x", "2")], secrets=Secrets(v={"s": "topsecret"}))
    outcome = run(compiled(policy(config), with_context=with_context), exchange)
    if isinstance(outcome, Refuse):
        return outcome.error
    return exchange.results["out"]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("a ${req.method} b ${req.url.query}", "a GET b b=c"),
        ("${req.method}", "GET"),
        (" ${1 + 1} ", " 2 "),
        ("${true}/${2u}/${1.0}/${1.5}/${b'x'}", "true/2/1/1.5/x"),
        ("${timestamp('2026-01-02T03:04:05Z')} ${duration('90s')}", "2026-01-02T03:04:05Z 90s"),
        ("[${null}] [${req.headers['none'][0]}]", "[] []"),
        ("${req.headers['x']}", "1, 2"),
        ("<${req.headers['x']}>", "<1, 2>"),
        ("${['a', 1]} ${{'b': {'c': 1}, 'a': null}}", '["a",1] {"a":null,"b":{"c":1}}'),
        ("$${req.method} $1 $ $$", "${req.method} $1 $ $$"),
        ("${'}'}${\"{\"}${{'k': '}'}['k']}", "}{}"),
        ("${'${req.method}'}", "${req.method}"),
        ('${req.headers[\\"x\\"][0]}', "1"),
    ],
)
def test_interpolation(source: str, text: str) -> None:
    """TP-112 to TP-118."""
    assert out(TEXT, quoted(source)) == text


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("${1 + 1}", 2), ("${[1, 'a']}", [1, "a"]), ("${null}", None), ("${true}", True), ("${1.5}", 1.5),
        (" ${1 + 1}", " 2"), ("${1}${2}", "12"), ("true", "true"), ("5", "5"),
    ],
)  # fmt: skip
def test_a_whole_string_keeps_its_type(source: str, value: Any) -> None:
    """TP-113, TP-114, TP-244."""
    found = out(VALUE, quoted(source))
    assert found == value
    assert type(found) is type(value)


def test_structures() -> None:
    """TP-110: values at any depth; keys are literal; types are kept."""
    document = {"a": ["${req.method}", 1, {"${req.method}": "x${1}"}], "b": None, "c": 1.5, "d": "${[1]}"}
    assert out(STRUCTURE, json.dumps(document)) == {
        "a": ["GET", 1, {"${req.method}": "x1"}], "b": None, "c": 1.5, "d": [1],
    }  # fmt: skip
    assert out(STRUCTURE, "{a: [1, x, {}]}") == {"a": [1, "x", {}]}


def test_structures_name_what_they_read() -> None:
    seen: list[Any] = []
    spec = with_field(structure(), lambda value, exchange: seen.append((value.constant, sorted(value.reads))))
    out(spec, "{a: [\"${req.method}\", \"${secrets.get('v', 's')}\"]}")
    out(spec, "{a: [1]}")
    assert seen == [(False, ["req.method", "secrets"]), (True, [])]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("${", "3:16 error 2224"), ("a ${req.method", "3:18 error 2224"), ("${}", "3:16 error 2224"),
        ("${ }", "3:16 error 2224"), ("x ${nothing}", "3:20 error 2200"), ("${req.method +}", "3:30 error 2224"),
        ("${'a'.matches('(')}", "3:24 error 2261"), ("${res.status_code}", "3:18 error 2200"),
    ],
)  # fmt: skip
def test_wrong_interpolations(source: str, expected: str) -> None:
    """TP-112, TP-119, TP-21."""
    for with_context in (TEXT, STRUCTURE):
        _, problems = load(policy(quoted(source)), with_context)
        assert report(problems) == [expected]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("5", ["3:15 error 2203"]), ("[['a']]", ["3:16 error 2203"]), ("['', abcde, '${foo}']", [
            "3:16 error 2223", "3:20 error 2255", "3:27 error 2255",
        ]),
    ],
)  # fmt: skip
def test_limits_of_texts(config: str, expected: list[str]) -> None:
    assert report(load(policy(config), LIST)[1]) == expected


def test_numbers_and_booleans_where_text_is_wanted() -> None:
    """TP-15."""
    coerced = with_field(interpolated(coerce=True), lambda value, exchange: value.text(exchange))
    assert [out(coerced, source) for source in ("true", "5", "1.0", "'${1}'")] == ["true", "5", "1", "1"]


def test_nesting_is_limited() -> None:
    """TP 8.3."""
    shallow = with_field(structure(max_depth=2), lambda value, exchange: value.literal)
    assert out(shallow, "[[1]]") == [[1]]
    assert report(load(policy("[[[1]]]"), shallow)[1]) == ["3:17 error 2250"]


@pytest.mark.parametrize(
    ("source", "value"), [("true", True), ("${req.method == 'GET'}", True), ("req.method == 'PUT'", False)]
)
def test_expressions(source: str, value: object) -> None:
    """TP-119: exactly one ``${E}`` is read as ``E``."""
    assert out(CONDITION, quoted(source)) is value


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("5", "3:15 error 2200"), ("[a]", "3:15 error 2200"), ("''", "3:16 error 2200"),
        ("req.method", "3:15 error 2200"),
        ("foo", "3:15 error 2200"), ("'" + "x" * 16_385 + "'", "3:15 error 2255"),
    ],
)  # fmt: skip
def test_wrong_expressions(config: str, expected: str) -> None:
    """TP-20, TP-25, TP-78."""
    assert report(load(policy(config), CONDITION)[1]) == [expected]


def test_names_of_one_field() -> None:
    """TP-472: ``attempts`` exists in the field that declares it and nowhere else."""
    assert out(ATTEMPTS, "attempts < 3") == {"attempts"}
    assert report(load(policy("attempts < 3"), CONDITION)[1]) == ["3:15 error 2200"]


@pytest.mark.parametrize("with_context", [TEXT, VALUE, STRUCTURE])
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("x ${vars.nothing}", "ERR_NGROK_2238"),
        ("${secrets.get('v', 'missing')}", "ERR_NGROK_2238"),
        ("${'Bearer ' + req.headers['none'][0]}", "ERR_NGROK_2238"),
        ("${[1][5]}", "ERR_NGROK_2238"),
        ("${lists.range(10000).map(a, lists.range(10000).size() > 1 ? lists.range(10000) : [])}", "ERR_NGROK_2249"),
    ],
)
def test_failures(with_context: Any, source: str, code: str) -> None:
    """TP-111, TP-77."""
    error = out(with_context, quoted(source))
    assert isinstance(error, GatewayError)
    assert error.code == code
    assert error.cause.startswith("p.yaml:3:15: on_http_request[0], probe, config.f: ")


def test_failing_expressions() -> None:
    """TP 10.2."""
    error = out(CONDITION, "vars.nothing == 1")
    assert isinstance(error, GatewayError)
    assert error.code == "ERR_NGROK_2253"


def test_causes_hold_no_values() -> None:
    """TP-57, TP-628."""
    exchange = request(headers=[("x", "value-of-the-client")], secrets=Secrets(v={"s": "topsecret"}))
    for source in (
        "${vars[req.headers['x'][0]]}", "${secrets.get('v', req.headers['x'][0])}", "${int(secrets.get('v', 's'))}",
        "${json.decode(secrets.get('v', 's'))}", "${timestamp(req.headers['x'][0])}",
        "${'a'.matches(req.headers['x'][0] + '(')}",
        "${duration(secrets.get('v', 's'))}", "${base64.decode(req.headers['x'][0])}",
    ):  # fmt: skip
        error = out(TEXT, quoted(source), exchange)
        assert isinstance(error, GatewayError), source
        assert "value-of-the-client" not in error.cause + str(error), source
        assert "topsecret" not in error.cause + str(error), source


# --- injection


ECHO = """\
on_http_request:
- actions:
  - type: set-vars
    config: {vars: [{seen: "${req.headers['x-echo'][0]}"}]}
  - type: add-headers
    config: {headers: {x-copy: "${vars.seen}"}}
  - type: custom-response
    config: {body: "${vars.seen}|${req.headers['x-copy'][0]}|${req.url.query}", headers: {x-out: "${vars.seen}"}}
"""


@pytest.mark.parametrize(
    "value",
    [
        "${secrets.get('v', 's')}",
        "$${secrets.get('v', 's')}",
        "'+secrets.get('v','s')+'",
        "${",
        "}",
        "$1",
        "\\${x}",
        "%s{0}",
    ],
)
def test_what_clients_send_is_never_evaluated(value: str) -> None:
    """TP-116, CL-92: however often it is copied."""
    secrets = Secrets(v={"s": "topsecret"})
    exchange = request(f"/a?{value}", headers=[("x-echo", value)], secrets=secrets)
    answer = responded(run(compiled(ECHO), exchange))
    assert answer.body.decode() == f"{value}|{value}|{value.partition('#')[0]}"
    assert answer.headers["x-out"] == [value]
    assert exchange.secrets_seen == set()


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x", "a\nb", "a\rb", "a\0b", "x" * 8_193])
def test_header_injection_fails_closed(value: str) -> None:
    """TP-121, TP-204."""
    exchange = request(headers=[("x-echo", "a")])
    exchange.headers.set("x-echo", value)
    assert refused(run(compiled(ECHO), exchange)) == "ERR_NGROK_2238"
    assert "x-copy" not in exchange.headers
