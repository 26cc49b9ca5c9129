"""``&&``, ``||``, ``?:`` over errors (TP-73), conjunctions (TP-75, TP-76), deep nesting."""

from __future__ import annotations

import gc
import itertools

import pytest

from gateway.cel.compile import compile_conjunction, compile_expression
from gateway.cel.errors import CelSyntaxError, CelTypeError, EvaluationError, LimitExceeded
from tests.unit.cel.hosts import ENVIRONMENT, Scope, conjunction, fails, outcome, run

VALUES = {"true": "vars.yes", "false": "vars.no", "error": "vars.missing", "other": "vars.number"}
SCOPE = Scope(vars={"yes": True, "no": False, "number": 1})


def expected(operator: str, operands: tuple[str, ...]) -> object:
    decisive = "false" if operator == "&&" else "true"
    if decisive in operands:
        return operator == "||"
    if "error" in operands or "other" in operands:
        return "error"
    return operator == "&&"


@pytest.mark.parametrize("operator", ["&&", "||"])
def test_truth_tables_tp73(operator: str) -> None:
    for count in (2, 3):
        for operands in itertools.product(VALUES, repeat=count):
            text = f" {operator} ".join(VALUES[name] for name in operands)
            if expected(operator, operands) == "error":
                fails(text, SCOPE)
            else:
                assert run(text, SCOPE) is expected(operator, operands), text


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("true ? 1 : vars.missing", 1),
        ("false ? vars.missing : 2", 2),
        ("vars.yes ? [1].map(x, x + 1) : [2].map(x, vars.missing)", [2]),
        ("(vars.no && vars.missing) || vars.yes", True),
        ("!(vars.missing && vars.no)", True),
        ("vars.missing || (vars.yes && !vars.no)", True),
        ("[vars.missing || vars.yes, vars.no]", [True, False]),
    ],
)
def test_only_what_is_needed_is_evaluated(expression: str, value: object) -> None:
    assert run(expression, SCOPE) == value


def test_a_condition_must_be_bool() -> None:
    fails("vars.number ? 1 : 2", SCOPE)
    fails("vars.nothing ? 1 : 2", Scope(vars={"nothing": None}))
    with pytest.raises(CelTypeError, match="expected bool, found int"):
        compile_expression("1 ? 1 : 2", ENVIRONMENT)


def test_the_first_error_stands() -> None:
    assert fails("vars.missing && vars.number + 'a' == 'b'", SCOPE) == "no such key: 'missing'"


def test_a_conjunction_of_entries_is_one_and_tp75() -> None:
    assert conjunction("vars.yes", "true", scope=SCOPE) is True
    assert conjunction("vars.missing", "vars.no", scope=SCOPE) is False
    assert conjunction("vars.no", "vars.missing", scope=SCOPE) is False
    assert conjunction() is True
    failed = conjunction("vars.yes", " vars.missing\n == 1", scope=SCOPE)
    assert isinstance(failed, EvaluationError)
    assert (failed.index, failed.line, failed.column) == (1, 1, 7)


@pytest.mark.parametrize("value", [None, 1, "true", []])
def test_an_entry_that_is_no_bool_is_an_error_tp76(value: object) -> None:
    scope = Scope(vars={"value": value})
    assert isinstance(conjunction("vars.value", scope=scope), EvaluationError)
    assert isinstance(conjunction("true", "vars.value", scope=scope), EvaluationError)
    assert conjunction("false", "vars.value", scope=scope) is False


def test_an_entry_certain_to_be_no_bool_does_not_load() -> None:
    with pytest.raises(CelTypeError) as caught:
        compile_conjunction(["true", "'a'"], ENVIRONMENT)
    assert (caught.value.index, caught.value.line, caught.value.column) == (1, 1, 1)


def test_errors_of_the_load_name_their_entry() -> None:
    with pytest.raises(CelSyntaxError) as caught:
        compile_conjunction(["true", "true", "1 +\n +"], ENVIRONMENT)
    assert (caught.value.index, caught.value.line, caught.value.column, caught.value.offset) == (2, 2, 2, 5)


@pytest.mark.parametrize("depth", [5, 9, 20, 40])
def test_deep_fallible_nesting_compiles(depth: int) -> None:
    """CPython allows 20 nested blocks; more of ours go into functions of their own."""
    expression = "vars.a == 0"
    for level in range(depth):
        expression = f"(vars.a == {level + 1} {'&&' if level % 2 else '||'} vars.b == {level} || ({expression}))"
    assert run(expression, Scope(vars={"a": 0, "b": -1})) is True


def test_deep_macros_compile() -> None:
    expression = "vars.x == 1"
    for level in range(12):
        expression = f"[vars.x].exists(v{level}, v{level} == vars.x && {expression})"
    assert run(expression, Scope(vars={"x": 1})) is True


def test_thousands_of_operands_compile() -> None:
    expression = " || ".join(f"vars.a == {number}" for number in range(500))
    assert run(expression, Scope(vars={"a": 499})) is True


def test_an_absorbed_error_leaves_no_cycle() -> None:
    program = compile_expression("vars.missing == 1 || vars.yes", ENVIRONMENT)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            program.evaluate(SCOPE)
        assert gc.collect() < 50
    finally:
        gc.enable()


def test_a_limit_is_never_absorbed_tp77() -> None:
    scope = Scope(vars={"big": list(range(60_000)), "yes": True})
    error = outcome(compile_expression("[1,2].exists(x, vars.big.exists(y, y < 0)) || vars.yes", ENVIRONMENT), scope)
    assert isinstance(error, EvaluationError)
    assert error.limit
    assert issubclass(LimitExceeded, Exception)
