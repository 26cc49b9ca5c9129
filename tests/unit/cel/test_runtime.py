"""What generated code calls: values, operators, guards, sorting, times, limits — and what code is generated."""

from __future__ import annotations

import math

import pytest

from gateway.cel import operations, operators
from gateway.cel.calls import literal_value
from gateway.cel.compile import compile_expression
from gateway.cel.emit import Emitter
from gateway.cel.env import (
    DYN,
    INT,
    NOT_LITERAL,
    REFUSED,
    STRING,
    VALUE_LIST,
    Environment,
    Function,
    list_of,
    map_of,
    nullable,
    object_of,
    sensitive,
)  # fmt: skip
from gateway.cel.errors import CelTypeError, EvaluationError, Failure, LimitExceeded, NoOverload
from gateway.cel.generator import hint, joined
from gateway.cel.guards import accepts, dispatcher, guard, method_guard
from gateway.cel.limits import MAX_PRODUCED, Budget, bounded, check_size
from gateway.cel.literals import decode_text
from gateway.cel.logic import generate_logic
from gateway.cel.macros import macro_for
from gateway.cel.names import path_of
from gateway.cel.parse import parse
from gateway.cel.sorting import sort_by, sort_by_lenient, sort_values, sort_with
from gateway.cel.source import Source
from gateway.cel.strings import lower, replace, split, upper
from gateway.cel.times import checked_duration, checked_timestamp, duration_text, parse_duration, parse_timestamp
from gateway.cel.types import BOOL, NULL, Faults, ai_list_of
from gateway.cel.values import (
    FALSE_KEY,
    TRUE_KEY,
    Duration,
    Timestamp,
    TypeValue,
    Uint,
    UnknownQuantityError,
    contains,
    contains_text,
    divide_doubles,
    elements,
    has_key,
    less,
    quantity_comparison,
    same,
    same_text,
    type_name,
)  # fmt: skip
from gateway.cel.work import MAX_STEPS
from gateway.headers import HeaderMap, ValueList
from tests.unit.cel.hosts import ENVIRONMENT, Key, Model, Scope, Url, fails, outcome, request, run

# --- values


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True), (Uint(1), 1, True), (1, True, False), (0, False, False), (None, None, True), (None, 0, False),
        (None, "", False), ("1", 1, False), (math.nan, math.nan, False), ([1, 2.0], (1.0, 2), True),
        ([1], [1, 2], False),
        ({"a": [1]}, {"a": [1.0]}, True), ({"a": 1}, {"b": 1}, False), ({1: "a"}, {Uint(1): "a"}, True),
        ({TRUE_KEY: 1}, {1: 1}, False), (b"a", b"a", True), (b"a", "a", False), (Timestamp(1), Timestamp(1), True),
        (Timestamp(1), Duration(1), False), (Timestamp(1), 1, False), (TypeValue("int"), TypeValue("int"), True),
        (Url("a"), "a", True), ("é", "é", True), ("\udcff", "\udcff", True), ("a", "é", False), ([], {}, False),
        (2**53 + 1, float(2**53), False),
    ],
)  # fmt: skip
def test_equality_tp72(left: object, right: object, equal: bool) -> None:
    assert same(left, right) is equal
    assert same(right, left) is equal


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, "a"), (None, 1), (None, None), (True, 1), ([1], [2]), (Timestamp(1), Duration(1)), (b"a", "a")],
)
def test_ordering_of_different_types_fails_tp72(left: object, right: object) -> None:
    with pytest.raises(NoOverload):
        less(left, right)


def test_ordering() -> None:
    assert less(1, 1.5)
    assert less(Uint(1), 2)
    assert less("Z", "a")
    assert less("a", "é")
    assert less(False, True)
    assert not less(math.nan, 1.0)
    assert less(Url("a"), "b")
    assert less(2**53, float(2**53 + 2))


def test_names_of_types() -> None:
    assert [type_name(value) for value in (Url(""), ValueList(), HeaderMap(), (1,), Key("a"), b"")] == [
        "string", "list", "map", "list", "Key", "bytes",
    ]  # fmt: skip


def test_membership() -> None:
    assert contains(1.0, [1])
    assert not contains("a", ["abc"])
    assert not contains("a", [1, None, "b"])
    assert contains("é", ["a", 1, "é"])
    assert contains_text("a", ["b", "a"])
    assert not contains(math.nan, [math.nan])
    assert contains(True, {TRUE_KEY: 1})
    assert not contains(True, {1: 1, FALSE_KEY: 2})
    assert has_key({1: 1}, 1.0)
    assert not has_key({1: 1}, 1.5)
    assert contains("X-A", HeaderMap.of([("x-a", "1")]))
    assert not contains("a", None)
    for element, container in (("a", "abc"), (None, {}), ([1], {"a": 1}), (1, 1)):
        with pytest.raises(NoOverload):
            contains(element, container)


def test_iteration() -> None:
    assert elements({TRUE_KEY: 1, "a": 2}) == [True, "a"]
    assert elements(None) == ()
    with pytest.raises(NoOverload):
        elements("abc")


def test_a_null_quota_is_told_from_other_nulls_ag128() -> None:
    compare = quantity_comparison(less, left_counts=True, right_counts=False)
    assert compare(1, 2)
    with pytest.raises(UnknownQuantityError):
        compare(None, 1)
    with pytest.raises(NoOverload) as caught:
        compare(1, None)
    assert not isinstance(caught.value, TypeError)


# --- operators


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("7 / 2", 3), ("-7 / 2", -3), ("7 % -2", 1), ("-7 % 2", -1), ("7u / 2u", Uint(3)), ("7u % 4u", Uint(3)),
        ("1.5 + 1.5", 3.0),
        ("-(1.5)", -1.5), ("'a' + 'b'", "ab"), ("b'a' + b'b'", b"ab"), ("[1] + ['a']", [1, "a"]), ("2u * 3u", Uint(6)),
        ("3u - 1u + 1u", Uint(3)), ("[1, 2][1u]", 2), ("[1, 2][1.0]", 2), ("{1: 'a'}[1u]", "a"),
        ("{true: 'a'}[true]", "a"),
        ("{'a': 1}.a", 1), ("{'a': {'b': 2}}.a.b", 2), ("dyn([1, 2])[0]", 1), ("dyn(1) + dyn(2)", 3),
        ("dyn('a') + 'b'", "ab"),
        ("dyn(1.5) * 2.0", 3.0), ("dyn(5) - 2", 3), ("-dyn(2)", -2), ("-dyn(2.0)", -2.0), ("!dyn(true)", False),
        ("1 < 1.5 && 1u < 2 && 2.0 > 1u", True), ("9007199254740993 > 9007199254740992.0", False),
        ("1 == 1.0 && 1u == 1", True),
        ("timestamp('2020-01-01T00:00:01Z') - timestamp('2020-01-01T00:00:00Z') == duration('1s')", True),
        ("duration('1s') + duration('1s') == duration('2s')", True),
        ("duration('3s') - duration('1s') > duration('1s')", True),
        ("duration('1s') + timestamp('2020-01-01T00:00:00Z') > timestamp('2020-01-01T00:00:00Z')", True),
        ("0.0 / 0.0 == 0.0 / 0.0", False), ("1.0 / 0.0 > 1e308", True), ("'a' in {'a': 1}", True),
        ("[[1]] == [[1.0]]", True),
        ("null == null && null != 1", True), ("(1 + 1) == null", False), ("{1: 2}.all(k, k == 1)", True),
        ("true < false", False), ("b'a' < b'b'", True), ("type(1u) == uint", True), ("1 in [1.0]", True),
        ("dyn(null) == null", True),
    ],
)  # fmt: skip
def test_operators(expression: str, value: object) -> None:
    result = run(expression)
    assert result == value
    assert result.__class__ is value.__class__


def test_operators_on_wrong_types_fail() -> None:
    for function in (operators.add, operators.subtract, operators.multiply, operators.divide, operators.modulo):
        for left, right in ((1, 1.0), ("a", 1), (None, None), (True, True), (Timestamp(1), Timestamp(1)), ({}, {})):
            if function is operators.subtract and isinstance(left, Timestamp):
                continue
            with pytest.raises(Failure):
                function(left, right)
    for value in (None, "a", True, Uint(1)):
        with pytest.raises(NoOverload):
            operators.minus(value)


def test_division_of_doubles() -> None:
    assert divide_doubles(1.0, -0.0) == -math.inf
    assert math.isnan(divide_doubles(0.0, 0.0))
    assert math.isnan(divide_doubles(math.nan, 0.0))


def test_map_literals() -> None:
    assert run("{'a': 1, 'b': 2}['b']") == 2
    assert run("size({1: 1, 1.0 == 1.0: 2, 'a': 3})") == 3
    assert fails("{vars.k: 1, 'a': 2}", Scope(vars={"k": "a"})) == "repeated map key"
    assert fails("{vars.k: 1}", Scope(vars={"k": None})) == "unsupported map key type: null_type"
    with pytest.raises(Failure, match="repeated"):
        operators.build_map([(1, 1), (Uint(1), 2)])


def test_unknown_members_of_host_objects_fail() -> None:
    assert fails("dyn(req).nothing") == "no such field: 'nothing'"
    assert fails("has(dyn(req).nothing)") == "no such field: 'nothing'"
    assert run("dyn(req).method") == "POST"
    with pytest.raises(CelTypeError):
        compile_expression("req.__class__", ENVIRONMENT)
    assert "field" in fails("dyn(req).__class__")


def test_header_maps_ignore_case_tp90() -> None:
    scope = request(X_Api_Version="2")
    for text in ("req.headers['X-Api-Version'][0]", "req.headers['x-api-version'][0]", "req.headers[vars.name][0]",
                 "dyn(req.headers)['X-API-VERSION'][0]", "getReqHeader('X-Api-Version')[0]",
                 "req.headers.`X-Api-Version`[0]"):  # fmt: skip
        scope.vars = {"name": "X-API-version"}
        assert run(text, scope) == "2", text
    assert run("'X-Api-Version' in req.headers && vars.name in req.headers", scope) is True
    assert run("'2' in req.headers['X-Api-Version']", scope) is True
    assert run("req.headers.map(n, n)", scope) == ["x-api-version"]


def test_value_lists_answer_string_tests_tp93() -> None:
    scope = request(accept=["text/html", "application/json"])
    for text in ("contains('json')", "includes('html')", "startsWith('app')", "endsWith('html')", "matches('^app')"):
        assert run(f"req.headers.accept.{text}", scope) is True
        assert run(f"req.headers.other.{text}", scope) is False
    assert run("req.headers.accept.contains('xml')", scope) is False
    with pytest.raises(CelTypeError):
        compile_expression("['a'].contains('a')", ENVIRONMENT)


def test_strings_with_members_tp94() -> None:
    assert run("req.url.path + '|' + req.url") == "/api|https://example.com/api"
    assert run("req.url.startsWith('https') && req.url == 'https://example.com/api' && size(req.url) == 23") is True
    assert run("req.url in ['https://example.com/api']") is True
    assert run("type(req.url) == string") is True


# --- constant time (TP-95)


@pytest.mark.parametrize(
    ("expression", "constant_time"),
    [
        ("req.headers['authorization'][0] == 'x'", True),
        ("'x' != getReqHeader('x')[0]", True),
        ("vars.token == req.method", True),
        ("secrets.get('v','s') == 'a' + 'b'", True),
        ("('a' + secrets.get('v','s')) == 'b'", True),
        ("secrets.get('v','s').lower() == 'b'", True),
        ("req.headers['authorization'][0].substring(7) == 'x'", True),
        ("req.headers.x.exists(v, v == 'a')", True),
        ("ai.keys.filter(k, k.value == 'a')", True),
        ("req.url == 'x'", True),
        ("req.url.lower() == 'x'", True),
        ("req.url.path == 'x'", False),
        ("req.method == 'POST'", False),
        ("ai.models.filter(m, m.id == 'a')", False),
        ("'a' == 'b'", False),
    ],
)
def test_confidential_text_is_compared_in_constant_time_tp95(expression: str, constant_time: bool) -> None:
    function = compile_expression(expression, ENVIRONMENT).evaluate
    names = {
        name for code in (function.__code__, *function.__code__.co_consts) for name in getattr(code, "co_names", ())
    }
    assert any(name.startswith(("same", "differ")) for name in names) is constant_time


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("req.headers['a'][0] in ['x', 'y']", False),
        ("req.headers['a'][0] in vars.b", False),
        ("vars.a in vars.b", False),
        ("req.method in vars.b", False),
        ("req.method in ['GET', 'POST']", True),
        ("ai.models.filter(m, m.id in ['a', 'b'])", True),
    ],
)
def test_membership_takes_the_same_time_wherever_it_is_found_tp95(expression: str, plain: bool) -> None:
    function = compile_expression(expression, ENVIRONMENT).evaluate
    names = function.__code__.co_names
    assert any(name.startswith(("contains", "holds", "first_in")) for name in names) is not plain
    assert same_text("ü", "ü")
    assert not same_text("a", None)


# --- types, guards, dispatch


def test_types_say_what_they_are() -> None:
    assert str(nullable(list_of(STRING))) == "list(string)?"
    assert str(map_of(DYN)) == "map"
    assert str(object_of(Model)) == "Model"
    assert str(object_of(Url)) == "string"
    assert str(NULL) == "null_type"
    assert ai_list_of(Key, undecided=True).faults is Faults.UNDECIDED
    assert sensitive(STRING).sensitive
    assert list_of(sensitive(STRING)).sensitive
    assert nullable(INT).may_be_null
    assert not INT.may_be_null
    assert DYN.may_be_null


def test_joined_types() -> None:
    assert joined([]) == DYN
    assert joined([INT, INT]) == INT
    assert joined([INT, NULL]) == nullable(INT)
    assert joined([INT, nullable(INT)]) == nullable(INT)
    assert joined([INT, STRING]) == DYN
    assert joined([STRING, sensitive(STRING)]).sensitive
    assert hint("reqq", ["req", "res"]) == " (did you mean 'req'?)"
    assert hint("zzz", ["req"]) == ""


def test_guards() -> None:
    assert guard(INT)(1) == 1
    for wanted, value in (
        (INT, True),
        (INT, Uint(1)),
        (STRING, 1),
        (VALUE_LIST, ["a"]),
        (object_of(Key), Model("a")),
        (BOOL, 1),
    ):
        with pytest.raises(NoOverload):
            guard(wanted)(value)
    assert accepts(nullable(STRING))(None)
    assert accepts(DYN)(object())
    assert accepts(STRING)(Url("a"))


def test_dispatch_by_type_of_arguments() -> None:
    rows = [
        Function("f", (STRING, INT), INT, lambda text, number: len(text) + number, method=True, absent=-1),
        Function("f", (list_of(DYN), INT), INT, lambda items, number: len(items) * number, method=True),
    ]
    call = dispatcher(rows)
    assert (call("abc", 1), call([1, 2], 3), call(None, 1)) == (4, 6, -1)
    for arguments in ((1, 1), ("a", "b"), (None, "b")):
        with pytest.raises(NoOverload):
            call(*arguments)
    assert method_guard(rows[0], nullable(STRING))(None, 1) == -1
    guarded = method_guard(rows[0], DYN)
    assert (guarded(None, 1), guarded("a", 1)) == (-1, 2)
    with pytest.raises(NoOverload):
        guarded([1], 1)


def test_host_functions_are_guarded_and_overloaded() -> None:
    environment = ENVIRONMENT.extend(
        functions=(
            Function("twice", (INT,), INT, lambda number: number * 2),
            Function("twice", (STRING,), STRING, lambda text: text * 2),
            Function("ids", (ai_list_of(Model),), lambda types: types[0], lambda models: models, method=True),
            Function("pick", (ai_list_of(Model), STRING), INT, len, method=True,
                     check=lambda literals: None if literals[1] == "price" else "only 'price' can be picked"),
        )
    )  # fmt: skip

    def result(text: str, **variables: object) -> object:
        return outcome(compile_expression(text, environment), Scope(vars=variables))

    assert result("twice(4)") == 8
    assert result("twice(vars.x)", x="ab") == "abab"
    assert isinstance(result("twice(vars.x)", x=1.5), EvaluationError)
    assert str(compile_expression("ai.models.ids()", environment).type) == "list(Model)"
    for text in ("twice(1.5)", "ai.keys.ids()", "[1].ids()", "ai.models.pick('speed')"):
        with pytest.raises(CelTypeError):
            compile_expression(text, environment)


def test_function_defaults() -> None:
    function = Function("f", (), INT, int)
    assert function.absent is REFUSED
    assert function.pure
    assert repr(NOT_LITERAL) == "NOT_LITERAL"
    assert Environment({}).overloads[("size", True)]


# --- sorting


def test_sorting() -> None:
    class Unlimited:
        def loop(self, container: object) -> object:
            return container

    assert sort_values([3, 1.5, Uint(2)]) == [1.5, Uint(2), 3]
    assert sort_by(["bb", "a", "cc"], len) == ["a", "bb", "cc"]
    assert sort_by_lenient([3, None, 1, "x", 2], lambda value: value + 0) == [1, 2, 3, None, "x"]
    assert sort_with([2, 3, 1], lambda left, right: left > right, Unlimited()) == [3, 2, 1]
    for values in ([1, "a"], [None], [math.nan], [[1]], [True, 1]):
        with pytest.raises(Failure):
            sort_values(values)


# --- times and strings


def test_times() -> None:
    assert parse_duration("1h30m1.5s") == 5_401_500_000_000
    assert parse_duration("-.5s") == -500_000_000
    assert duration_text(parse_duration("100us")) == "0.0001s"
    assert parse_timestamp("2020-02-29t23:59:59.123456789-01:30") == 1583026199123456789
    for text in ("2020-02-30T00:00:00Z", "2020-01-01T25:00:00Z", "2020-01-01 00:00:00Z", "2020-01-01T00:00:00",
                 "x" * 99, "2020-01-01T00:00:00+25:00"):  # fmt: skip
        with pytest.raises(Failure):
            parse_timestamp(text)
    for text in ("", "1", "1x", "h", "1h 2m", "+", "9" * 400 + "s"):
        with pytest.raises(Failure):
            parse_duration(text)
    with pytest.raises(Failure):
        checked_timestamp(10**21)
    with pytest.raises(Failure):
        checked_duration(2**63)


def test_simple_case_mapping() -> None:
    assert upper("ßŉ") == "ßŉ"
    assert lower("İI") == "ii"
    assert split("abc", "", 2) == ["a", "b"]


# --- what TP-77 limits


@pytest.mark.parametrize(
    "expression",
    [
        "lists.range(400).all(x, lists.range(400).all(y, y >= 0))",
        "vars.big.map(x, 1)",
        "vars.shuffled.sort(a, b, a > b)",
        "lists.range(10000).filter(x, x in vars.big)",
        "lists.range(10000).filter(x, vars.big == vars.shuffled)",
        "lists.range(60).map(a, lists.range(60).map(b, lists.range(60).filter(c, c == b)))",
    ],
)
def test_too_many_steps_tp77(expression: str) -> None:
    shuffled = [number * 7_919 % 20_011 for number in range(20_000)]
    scope = Scope(vars={"big": [0] * 200_000, "shuffled": shuffled})
    error = outcome(compile_expression(expression, ENVIRONMENT), scope)
    assert isinstance(error, EvaluationError)
    assert (error.limit, error.message) == (True, "more than 100,000 evaluation steps")


@pytest.mark.parametrize(
    "expression",
    [
        "lists.range(10000).map(x, vars.kilo + 'x')",
        "lists.range(10000).map(x, vars.kilo + vars.kilo)",
        "lists.range(10000).map(x, vars.kilo.replace('a', 'b'))",
        "vars.mega + vars.mega",
        "vars.mega.replace('a', 'bb')",
        "(vars.mega + 'b').split('')",
        "[vars.mega, vars.mega].join()",
        "'%s%s'.format([vars.mega, vars.mega])",
        "vars.mega.encodeBase64()",
        "url.escape(vars.mega + ' ')",
        "json.encode([vars.mega, vars.mega])",
        "lists.range(10000).filter(x, lists.range(10000).sort() == [x])",
        "strings.quote(vars.mega)",
    ],
)
def test_too_much_data_tp77(expression: str) -> None:
    scope = Scope(vars={"kilo": "a" * 1_000, "mega": "a" * (1 << 20)})
    error = outcome(compile_expression(expression, ENVIRONMENT), scope)
    assert isinstance(error, EvaluationError)
    assert error.limit


def test_what_is_within_the_limits() -> None:
    assert len(run("lists.range(10000).filter(x, x % 2 == 0)")) == 5_000
    assert run("lists.range(300).all(x, lists.range(300).all(y, y >= 0))") is True
    assert len(run("lists.range(100).map(x, 'a' + 'b' + string(x))")) == 100


def test_a_budget_is_made_for_each_evaluation() -> None:
    evaluate = compile_expression("vars.l.all(x, vars.l.all(y, true))", ENVIRONMENT).evaluate
    scope = Scope(vars={"l": list(range(250))})
    assert all(evaluate(scope) for _ in range(3))


def test_budget() -> None:
    budget = Budget()
    assert budget.loop({"a": 1}) == ["a"]
    with pytest.raises(LimitExceeded):
        budget.loop([0] * MAX_STEPS)
    with pytest.raises(LimitExceeded):
        budget.grown("a" * (MAX_PRODUCED + 1))
    assert bounded(5) == 5
    check_size(MAX_PRODUCED)
    with pytest.raises(LimitExceeded):
        check_size(MAX_PRODUCED + 1)
    assert len(replace("a" * 10, "a", "bb", 3)) == 13


# --- pieces of the compiler


def test_literal_values_of_nodes() -> None:
    assert literal_value(parse("['a', [1]]")) == ["a", [1]]
    assert literal_value(parse("['a', b]")) is NOT_LITERAL
    assert literal_value(parse("null")) is None
    assert decode_text("'a'") == "a"


def test_paths_and_macros() -> None:
    path = path_of(parse("a.b.c"))
    assert path is not None
    assert path.names == ("a", "b", "c")
    assert path_of(parse("a[0].b")) is None
    call = parse("a.filter(x, true)")
    assert macro_for(call) is not None  # type: ignore[arg-type]
    assert macro_for(parse("a.filter(x)")) is None  # type: ignore[arg-type]
    assert macro_for(parse("has(a.b)")) is None  # type: ignore[arg-type]


def test_emitted_names_are_numbered_and_never_policy_text() -> None:
    emitter = Emitter(Source(("a",)))
    at = parse("a")
    assert emitter.fresh("v") != emitter.fresh("v")
    assert emitter.held(at, same).id == emitter.held(at, same).id  # type: ignore[attr-defined]
    program = compile_expression("[1].map(__import__, __import__ + 1)", ENVIRONMENT)
    assert program.evaluate(Scope()) == [2]
    assert "__import__" not in program.evaluate.__code__.co_names + program.evaluate.__code__.co_varnames


def test_handlers_refuse_nothing_they_do_not_know() -> None:
    for handler, text in ((operations.generate_binary, "1 + 1"), (generate_logic, "true && true")):
        assert compile_expression(text, ENVIRONMENT).evaluate(Scope()) in (2, True)
        assert handler.__name__.startswith("generate_")
