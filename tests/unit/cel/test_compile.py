"""Programs: what they say about themselves, positions at load and at run time, hints, warnings, bounds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.cel.compile import compile_conjunction, compile_expression, locate
from gateway.cel.env import BOOL, DYN, INT, STRING, Environment, list_of, object_of
from gateway.cel.errors import CelError, CelSyntaxError, CelTypeError, EvaluationError
from tests.unit.cel.hosts import ENVIRONMENT, Key, Model, Scope, outcome, request, run


def load_error(text: str) -> CelError:
    with pytest.raises(CelError) as caught:
        compile_expression(text, ENVIRONMENT)
    return caught.value


# --- what a program knows


def test_reads_names_the_variables() -> None:
    program = compile_expression("req.headers['x'][0] == vars.a.b && [1].exists(x, x == size(vars))", ENVIRONMENT)
    assert program.reads == {"req.headers", "vars.a.b", "vars"}
    assert compile_expression("getReqHeader('x') == []", ENVIRONMENT).reads == {"req.headers"}
    assert compile_expression("secrets.get('a','b') == 'c'", ENVIRONMENT).reads == {"secrets"}


def test_pure_unless_random_tp170() -> None:
    assert compile_expression("vars.a + 1", ENVIRONMENT).pure
    assert not compile_expression("rand.double() < 0.5", ENVIRONMENT).pure
    assert not compile_expression("[1].map(x, rand.int())", ENVIRONMENT).pure


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1 + 2", "int"), ("[1]", "list(int)"), ("['a'].map(x, size(x))", "list(int)"), ("vars.x", "dyn"),
        ("req.headers['x'][0]", "string?"), ("ai.models.filter(m, true)", "list(Model)"), ("ai.models[0]", "Model"),
        ("{'a': 1.5}", "map(double)"), ("vars.x ? 1 : null", "int?"), ("vars.x ? 1 : 'a'", "dyn"), ("1 < 2", "bool"),
        ("[1, 'a']", "list"), ("timestamp('2020-01-01T00:00:00Z') - duration('1s')", "google.protobuf.Timestamp"),
    ],
)  # fmt: skip
def test_static_types(text: str, shown: str) -> None:
    assert str(compile_expression(text, ENVIRONMENT).type) == shown


def test_expected_types() -> None:
    assert compile_expression("vars.x", ENVIRONMENT, expect=BOOL).evaluate(Scope(vars={"x": True})) is True
    assert compile_expression("1", ENVIRONMENT, expect=INT).evaluate(Scope()) == 1
    with pytest.raises(CelTypeError, match="1:1: expression must be bool, but is string"):
        compile_expression("'a'", ENVIRONMENT, expect=BOOL)
    with pytest.raises(CelTypeError, match="expression must be Key, but is Model"):
        compile_expression("ai.models[0]", ENVIRONMENT, expect=object_of(Key))
    assert compile_expression("ai.models[0]", ENVIRONMENT, expect=object_of(Model)).type.host is Model


def test_a_bool_is_checked_at_run_time() -> None:
    program = compile_expression("vars.x", ENVIRONMENT, expect=BOOL)
    assert isinstance(outcome(program, Scope(vars={"x": 1})), EvaluationError)


# --- positions


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("vars.a ==\n  nothing", 2, 3, "undeclared reference to 'nothing'"),
        ("req.heders['x']", 1, 5, "no member 'heders' in Request (did you mean 'headers'?)"),
        ("re.headers", 1, 1, "undeclared reference to 're' (did you mean 'req'?)"),
        ("'a'.startWith('b')", 1, 5, "undeclared method 'startWith' (did you mean 'startsWith'?)"),
        ("hasReqHeder('x')", 1, 1, "undeclared function 'hasReqHeder'"),
        ("secrets.gt('a','b')", 1, 9, "undeclared function 'secrets.gt' (did you mean 'secrets.get'?)"),
        ("size('a', 'b')", 1, 1, "'size' takes 1 argument, not 2"),
        ("'a'.substring()", 1, 5, "'substring' takes 1 or 2 arguments, not 0"),
        ("1 + 'a'", 1, 3, "no such overload: '+' of int, string"),
        ("!1", 1, 1, "no such overload: '!' of int"),
        ("'a' in 'b'", 1, 5, "no such overload: 'in' of string, string"),
        ("1['a']", 1, 2, "no such overload: indexing of int"),
        ("[1]['a']", 1, 4, "no such overload: list index of string"),
        ("(1).foo", 1, 5, "int has no member 'foo'"),
        ("'é' +\n'a'.matches('(')", 2, 5, "invalid regular expression: missing ): ("),
        ("timestamp('x')", 1, 1, "invalid timestamp"),
        ("duration('5')", 1, 1, "invalid duration"),
        ("'a'.md5('octal')", 1, 5, "hash format must be 'hex' or 'base64'"),
        ("req.headers.get('x')", 1, 13, "undeclared method 'get'"),
        ("has(1)", 1, 5, "has() needs a member or an index, such as has(a.b) or has(a['b'])"),
        ("{1.5: 1}", 1, 2, "no such overload: map key of double"),
    ],
)
def test_load_errors_have_exact_positions_tp78(text: str, line: int, column: int, message: str) -> None:
    error = load_error(text)
    assert error.message.startswith(message), error.message
    assert (error.line, error.column) == (line, column)
    assert text.split("\n")[line - 1][column - 1 :] == text[error.offset :].split("\n")[0]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("1 == 1 &&\n vars.missing", 2, 7, "no such key: 'missing'"),
        ("vars.list[3]", 1, 10, "index out of bounds: 3"),
        ("vars.list.map(x, x + 'a')", 1, 20, "no such overload: int, string"),
        ("vars.list.map(x, 1 / (x - 1))", 1, 20, "division by zero"),
        ("vars.list.filter(x, vars.list.exists(y, y.z))", 1, 43, "no such overload: int"),
        ("9223372036854775807 + vars.list[0]", 1, 21, "integer overflow"),
        ("size(vars.list[0])", 1, 1, "no such overload: int"),
        ("vars.text.matches(vars.text)", 1, 11, "invalid regular expression"),
        ("[1][1]", 1, 4, "index out of bounds"),
        ("req.content_length > 10", 1, 20, "no such overload"),
        ("vars.list.sortBy(x, x.y)", 1, 23, "no such overload: int"),
        ("vars['miss' + 'ing']", 1, 5, "no such key"),
    ],
)
def test_run_time_errors_have_exact_positions(text: str, line: int, column: int, message: str) -> None:
    scope = Scope(vars={"list": [1, 2], "text": "a("})
    error = outcome(compile_expression(text, ENVIRONMENT), scope)
    assert isinstance(error, EvaluationError)
    assert (error.line, error.column, error.message) == (line, column, message)


def test_messages_hold_no_values_of_the_request_tp57() -> None:
    scope = request(authorization="Bearer hunter2")
    scope.vars = {"map": {}}
    for text in ("vars.map[req.headers['authorization'][0]]", "int(req.headers['authorization'][0])",
                 "'a'.matches('(' + req.headers['authorization'][0])", "1 + dyn(req.headers['authorization'][0])",
                 "vars.map.size() < dyn(req.headers['authorization'][0])",
                 "timestamp(req.headers['authorization'][0])", "req.headers['authorization'][0].decodeBase64()",
                 "json.decode(req.headers['authorization'][0])",
                 "url.parse(req.headers['authorization'][0])"):  # fmt: skip
        error = outcome(compile_expression(text, ENVIRONMENT), scope)
        assert isinstance(error, EvaluationError), text
        assert "hunter2" not in str(error)


def test_an_error_of_another_kind_is_internal() -> None:
    program = compile_expression("1", ENVIRONMENT)
    error = locate(program, OSError("disk"))
    assert (error.line, error.column, error.message) == (1, 1, "internal error: OSError")


# --- environments


def test_unavailable_variables_tp130() -> None:
    environment = Environment({"conn": DYN}, unavailable={"conn.geo": "no city database", "res": "request phase"})
    with pytest.raises(CelTypeError, match=r"variable not available: conn\.geo \(no city database\)") as caught:
        compile_expression("conn.port == 1 || conn.geo.city == 'x'", environment)
    assert caught.value.column == 24
    with pytest.raises(CelTypeError, match=r"variable not available: res \(request phase\)"):
        compile_expression("res.status_code", environment)
    assert compile_expression("conn.geometry", environment).type is DYN


def test_extending_an_environment_keeps_the_first() -> None:
    small = Environment({"a": INT})
    large = small.extend({"b": STRING})
    assert compile_expression("string(a) + b", large).type.kind is STRING.kind
    with pytest.raises(CelTypeError):
        compile_expression("b", small)


def test_an_unchecked_environment_leaves_errors_to_the_run_time() -> None:
    program = compile_expression("nothing || f(1) || true", replace(ENVIRONMENT, checked=False))
    assert program.evaluate(Scope()) is True


# --- warnings


@pytest.mark.parametrize(
    ("text", "message", "column", "scope_value"),
    [
        ("${vars.x} == 1", "'${…}' inside an expression is read as '(…)'", 1, True),
        ("request.method == 'POST'", "'request' is read as 'req'", 1, True),
        ("req.path == '/api'", "'req.path' is read as 'req.url.path'", 5, True),
        (r"req.method == \"POST\"", "a backslash before a quote is ignored here", 15, True),
    ],
)
def test_tolerances_warn_tp79(text: str, message: str, column: int, scope_value: object) -> None:
    program = compile_expression(text, ENVIRONMENT)
    assert [(finding.message, finding.column) for finding in program.warnings] == [(message, column)]
    assert program.evaluate(Scope(vars={"x": 1})) == scope_value


def test_tolerance_leaves_string_literals_alone() -> None:
    assert run("'${vars.x}'") == "${vars.x}"
    assert run(r"'\"'") == '"'
    assert compile_expression("'${vars.x}'", ENVIRONMENT).warnings == ()


def test_tolerated_names_have_positions_of_the_original() -> None:
    error = load_error("request.nothing")
    assert (error.column, error.message) == (9, "no member 'nothing' in Request")
    assert compile_expression("request.path", ENVIRONMENT).reads == {"req.url.path"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("req.method == 1", "string and int are never equal"),
        ("size(vars.x) < '200' && true", "'<' is not defined for int and string: this always fails"),
        ("req.content_length > 10", "this may be null"),
    ],
)
def test_lint_cl81(text: str, message: str) -> None:
    program = compile_expression(text, ENVIRONMENT)
    assert any(finding.message.startswith(message) for finding in program.warnings)


def test_number_against_text_loads_and_fails_closed_cl81() -> None:
    scope = Scope(vars={"x": "abc"})
    assert isinstance(outcome(compile_expression("size(vars.x) < '200'", ENVIRONMENT), scope), EvaluationError)


def test_warnings_of_a_conjunction_name_their_entry() -> None:
    program = compile_conjunction(["true", "request.method == 'a'"], ENVIRONMENT)
    (finding,) = program.warnings
    assert (finding.index, finding.line, finding.column, str(finding)) == (1, 1, 1, "1:1: 'request' is read as 'req'")


# --- bounds


@pytest.mark.parametrize(
    "text",
    [
        "(" * 3_000 + "1" + ")" * 3_000, "[" * 60 + "]" * 60, "!" * 60 + "true", "x.size(" * 0 + "1",
        "1 + " * 1_500 + "1", "vars" + ".a" * 60, "vars" + "['a']" * 60,
        " || ".join(["true"] * 1_900),
        "false ? 1 : " * 48 + "2",
    ],
)  # fmt: skip
def test_reasonable_nesting_loads(text: str) -> None:
    compile_expression(text, ENVIRONMENT)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5_000 + "]" * 5_000, "!" * 5_000 + "true", "-" * 5_000 + "1", "vars" + ".a" * 5_000,
        "vars" + "[0]" * 5_000,
        "vars" + ".f()" * 5_000, "size(" * 3_000 + "1" + ")" * 3_000, "false ? 1 : " * 3_000 + "2",
        "1 + " * 8_000 + "1", "[1].map(x, " * 2_000 + "1" + ")" * 2_000, " || ".join(["true"] * 5_000),
        "'" + "a" * 40_000 + "'",
        "{1:" * 3_000 + "1" + "}" * 3_000, "vars.a == 1 && (" * 2_000 + "true" + ")" * 2_000,
    ],
)  # fmt: skip
def test_hostile_expressions_are_refused(text: str) -> None:
    """None may hang a load: the timeout of the test is the bound."""
    with pytest.raises(CelSyntaxError):
        compile_expression(text, ENVIRONMENT)


def test_the_longest_expression_that_is_allowed_compiles() -> None:
    text = "vars.a in [" + ", ".join(f"'{number}'" for number in range(3_500)) + "]"
    assert compile_expression(text, ENVIRONMENT).evaluate(Scope(vars={"a": "3499"})) is True


def test_type_of_list_of() -> None:
    assert str(list_of(STRING)) == "list(string)"
