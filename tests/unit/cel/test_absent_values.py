"""Absent values: TP-80 … TP-86 and the table of section 4.2."""

from __future__ import annotations

import pytest

from gateway.cel.compile import compile_expression
from gateway.cel.errors import CelTypeError, EvaluationError
from gateway.cel.values import TypeValue
from gateway.headers import ValueList
from tests.unit.cel.hosts import (
    UNCHECKED,
    Actions,
    Cookie,
    Request,
    Result,
    Scope,
    conjunction,
    fails,
    outcome,
    request,
    run,
)  # fmt: skip

GUARD = "req.headers['authorization'][0] != 'Bearer ' + secrets.get('v','s')"


def with_secret(scope: Scope) -> Scope:
    scope.secrets["s"] = "token"
    return scope


def test_guard_with_missing_header_matches_tp80() -> None:
    assert run(GUARD, with_secret(Scope())) is True


def test_guard_with_the_right_and_a_wrong_token() -> None:
    assert run(GUARD, with_secret(request(authorization="Bearer token"))) is False
    assert run(GUARD, with_secret(request(authorization="Bearer tokem"))) is True


@pytest.mark.parametrize("value", ["", "Bearer null", "Bearer ", "Bearer", ["x", "Bearer token"]])
def test_guard_refuses_lookalikes_cl95(value: str | list[str]) -> None:
    assert run(GUARD, with_secret(request(authorization=value))) is True


def test_missing_secret_fails_closed_even_without_header_tp86() -> None:
    assert fails(GUARD) == "no such secret"
    assert fails(GUARD, request(authorization="Bearer token")) == "no such secret"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("!(req.headers['authorization'][0] in vars.valid_auth_headers)", True),
        ("req.headers['x-api-key'][0] == secrets.get('v','s')", False),
        ("'beta' in req.headers['x-flags']", False),
        ("req.headers['x-canary'].join(',') == 'true'", False),
        ("!req.headers['authorization'][0].startsWith('Bearer ')", True),
        ("'x-n' in req.headers", False),
        ("has(req.headers['x-n'])", False),
        ("has(req.headers.authorization)", False),
    ],
)
def test_the_table_of_section_4_2(expression: str, value: bool) -> None:
    scope = with_secret(Scope(vars={"valid_auth_headers": ["a", "b"]}))
    assert run(expression, scope) is value


def test_ordering_an_absent_header_fails_closed() -> None:
    fails("req.headers['x-n'][0] < '5'")
    assert isinstance(conjunction("req.headers['x-n'][0] < '5'"), EvaluationError)


@pytest.mark.parametrize(
    "expression",
    [
        "req.headers['x']", "req.headers['x'][0]", "req.headers['a'][1]", "req.headers['a'][7]",
        "getReqHeader('x')[0]", "getReqHeader('a')[5]", "req.content_length", "req.url.port",
        "actions.ngrok.gateway", "actions.ngrok.gateway.status", "actions.ngrok.limit.status",
        "actions.ngrok.gateway.tags[0]", "req.headers.zz", "vars.nothing[0][1]", "vars.nothing.a.b",
    ],
)  # fmt: skip
def test_lookups_that_find_nothing_are_null_tp80(expression: str) -> None:
    scope = request(a="1")
    scope.vars = {"nothing": None}
    assert run(expression, scope) is None


@pytest.mark.parametrize("expression", ["req.cookies['x']", "req.cookies.x[0].value", "req.url.query_params['x'][0]"])
def test_lookup_maps_by_declared_type_tp80a(expression: str) -> None:
    assert run(expression, both=False) is None


def test_present_values_of_lookup_maps() -> None:
    scope = Scope(req=Request(cookies={"sid": [Cookie("sid", "1"), Cookie("sid", "2")]}))
    assert run("req.cookies['sid'][1].value", scope) == "2"
    assert run("req.cookies['sid'][2].value", scope, both=False) is None
    assert run("req.url.query_params.q[1]", scope) == "2"
    assert run("'Q' in req.url.query_params", scope) is False


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("req.headers.x == null", True),
        ("req.headers.x == req.headers.y", True),
        ("req.headers.x[0] == req.headers.y[0]", True),
        ("req.headers.x[0] != req.headers.y[0]", False),
        ("req.headers.x != null", False),
        ("req.headers.x == ''", False),
        ("req.headers.x[0] == ''", False),
        ("req.headers.x == []", False),
        ("null != 'x'", True),
        ("null in ['x']", False),
        ("null in [null]", True),
        ("type(req.headers.x) == null_type", True),
        ("req.content_length == null ? 'none' : 'some'", "none"),
    ],
)
def test_absent_is_null_tp81(expression: str, value: object) -> None:
    assert run(expression) == value


def test_absent_has_the_type_of_null_tp81() -> None:
    assert run("type(req.headers['x'][0])") == TypeValue("null_type")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'a' in req.headers.x", False),
        ("size(req.headers.x)", 0),
        ("req.headers.x.size()", 0),
        ("size(req.headers.x[0])", 0),
        ("req.headers.x.exists(v, v == 'a')", False),
        ("req.headers.x.exists_one(v, v == 'a')", False),
        ("req.headers.x.all(v, v == 'a')", True),
        ("req.headers.x.filter(v, v == 'a')", []),
        ("req.headers.x.map(v, v + 'a')", []),
        ("req.headers.x.join()", ""),
        ("req.headers.x.join(',')", ""),
        ("req.headers.x.contains('a')", False),
        ("req.headers.x[0].contains('a')", False),
        ("req.headers.x[0].includes('a')", False),
        ("req.headers.x[0].startsWith('')", False),
        ("req.headers.x[0].endsWith('a')", False),
        ("req.headers.x[0].matches('.*')", False),
        ("matches(req.headers.x[0], '.*')", False),
        ("actions.ngrok.gateway.tags.exists(t, t == 'a')", False),
        ("'a' in actions.ngrok.gateway.tags", False),
        ("vars.nothing.contains('a')", False),
        ("size(vars.nothing)", 0),
        ("'a' in vars.nothing", False),
        ("vars.nothing.filter(v, true)", []),
    ],
)
def test_absent_as_an_empty_list_or_string_tp82(expression: str, value: object) -> None:
    assert run(expression, Scope(vars={"nothing": None})) == value


@pytest.mark.parametrize(
    "expression",
    [
        "'Bearer ' + req.headers.x[0]", "req.headers.x[0] + 'a'", "req.headers.x[0] < 'a'", "req.content_length > 10",
        "req.content_length + 1 == 1", "-req.content_length == 0", "!actions.ngrok.gateway.status",
        "string(req.headers.x[0]) == ''", "int(req.headers.x[0]) == 0",
        "req.headers.x[0].size() + req.content_length > 0",
        "req.headers.x[0].lower() == ''", "req.headers.x[0].split(',') == []", "req.headers.x.sort() == []",
        "req.headers.x[0] ? true : false", "['a'].join(req.headers.x[0]) == ''",
    ],
)  # fmt: skip
def test_any_other_use_of_absent_fails_tp83(expression: str) -> None:
    """Some of these do not even load; without declared types all of them fail at run time."""
    with pytest.raises((EvaluationError, CelTypeError)):
        run(expression)
    assert isinstance(outcome(compile_expression(expression, UNCHECKED), Scope()), EvaluationError)


@pytest.mark.parametrize(
    ("expression", "present", "missing"),
    [
        ("has(req.headers['x-a'])", True, False),
        ("has(req.headers['X-A'])", True, False),
        ("has(vars.a)", True, False),
        ("has(vars['a'])", True, False),
        ("has(actions.ngrok.limit.status)", True, False),
        ("has(actions.ngrok.gateway.status)", True, False),
        ("has(req.headers['x-a'][0])", True, False),
        ("has(vars.list[0])", True, False),
    ],
)
def test_has_tests_presence_in_both_forms_tp84(expression: str, present: bool, missing: bool) -> None:
    full = request(x_a="1")
    full.vars = {"a": None, "list": [1]}
    full.actions.ngrok = Actions(Result("ok"), Result("ok"))
    assert run(expression, full) is present
    assert run(expression, Scope(vars={"list": []})) is missing


@pytest.mark.parametrize(
    "expression",
    ["vars.missing", "vars['missing']", "vars.map.b", "vars.map['b']", "vars.list[1]", "[1, 2][2]", "{'a': 1}['b']"],
)
def test_missing_elsewhere_is_an_error_tp85(expression: str) -> None:
    fails(expression, Scope(vars={"map": {"a": 1}, "list": [1]}))


def test_value_lists_stay_value_lists_through_vars() -> None:
    scope = Scope(vars={"h": ValueList(["text/html", "application/json"])})
    assert run("vars.h.contains('json')", scope) is True
    assert run("vars.h[9]", scope) is None
    assert run("vars.h.startsWith('application')", scope) is True
