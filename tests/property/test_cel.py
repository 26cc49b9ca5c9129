"""Laws of the language, for random operands and values."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.cel.compile import compile_conjunction, compile_expression
from gateway.cel.encoding import decode_query, encode_query, escape_url, unescape_url
from gateway.cel.errors import EvaluationError, Failure
from gateway.cel.hashes import xxhash64
from gateway.cel.jsons import decode_json, encode_json
from gateway.cel.operators import add, divide, modulo, multiply, subtract
from gateway.cel.template import compile_template
from gateway.cel.times import duration_text, parse_duration, parse_timestamp, timestamp_text
from gateway.cel.values import Duration, Timestamp, contains, less, same
from tests.unit.cel.hosts import ENVIRONMENT, UNCHECKED, Scope, alike, outcome

NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)

#: total and fallible, true and false, with statements of their own and without
OPERANDS = [
    "true", "false", "vars.yes", "vars.no", "vars.missing", "vars.number", "req.method == 'POST'",
    "req.method == 'GET'",
    "vars.list.exists(x, x == 2)", "vars.list.all(x, x.y)", "vars.missing == 1 || vars.yes", "[1].exists(x, vars.no)",
    "(vars.no ? vars.missing : vars.yes)", "req.content_length > 1",
]  # fmt: skip
SCOPE = Scope(vars={"yes": True, "no": False, "number": 1, "list": [1, 2]})


@given(st.lists(st.sampled_from(OPERANDS), min_size=2, max_size=4), st.sampled_from([" && ", " || "]))
def test_the_order_of_operands_does_not_matter_tp73(operands: list[str], operator: str) -> None:
    results = [
        outcome(compile_expression(operator.join(f"({operand})" for operand in order), environment), SCOPE)
        for order in itertools.islice(itertools.permutations(operands), 6)
        for environment in (ENVIRONMENT, UNCHECKED)
    ]
    assert all(alike(result, results[0]) for result in results)


@given(st.lists(st.sampled_from(OPERANDS), min_size=1, max_size=4))
def test_entries_of_a_rule_are_one_conjunction_tp75(operands: list[str]) -> None:
    joined = outcome(compile_conjunction([" && ".join(f"({operand})" for operand in operands)], ENVIRONMENT), SCOPE)
    assert alike(outcome(compile_conjunction(operands, ENVIRONMENT), SCOPE), joined)


@given(VALUES, VALUES)
def test_equality_is_symmetric_and_membership_follows_it(left: Any, right: Any) -> None:
    assert same(left, right) is same(right, left)
    assert same(left, left)
    assert contains(left, [right, left])
    assert contains(left, [right]) is same(left, right)


@given(st.one_of(st.tuples(SCALARS, SCALARS), st.tuples(NUMBERS, NUMBERS), st.tuples(st.text(), st.text())))
def test_order_is_total_where_it_is_defined(pair: tuple[Any, Any]) -> None:
    left, right = pair
    smaller, greater = _less(left, right), _less(right, left)
    assert (smaller is None) is (greater is None)
    if smaller is not None:
        assert smaller + bool(greater) + same(left, right) == 1


def _less(left: Any, right: Any) -> bool | None:
    try:
        return less(left, right)
    except Failure:
        return None


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_integers_wrap_nowhere_tp71(left: int, right: int) -> None:
    for function, exact in ((add, left + right), (subtract, left - right), (multiply, left * right)):
        try:
            assert function(left, right) == exact
        except Failure:
            assert not -(2**63) <= exact < 2**63
    if right and not (left == -(2**63) and right == -1):
        assert divide(left, right) * right + modulo(left, right) == left
        assert abs(modulo(left, right)) < abs(right)


@given(VALUES)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert same(decode_json(encode_json(value)), value)
    json.loads(encode_json(value))


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    st.text(alphabet=st.characters(exclude_categories=["Cs"])),
)
def test_escapes_are_inverse(name: str, value: str) -> None:
    assert unescape_url(escape_url(value)) == value
    assume(name or value)
    assert decode_query(encode_query({name: value})) == {name: value}


@given(st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9))
def test_timestamps_are_read_as_written(moment: int) -> None:
    assert parse_timestamp(timestamp_text(Timestamp(moment))) == moment


@given(st.integers(-(2**63), 2**63 - 1))
def test_durations_are_read_as_written(length: int) -> None:
    assert parse_duration(duration_text(Duration(length))) == length


@given(st.text())
def test_text_without_dollar_is_itself(text: str) -> None:
    assume("${" not in text)
    assert compile_template(text, ENVIRONMENT).render(None) == text


@given(st.text(), st.text())
def test_a_value_is_inserted_as_it_is_tp116(before: str, value: str) -> None:
    assume("$" not in before)
    template = compile_template(before + "${vars.x}", ENVIRONMENT)
    assert template.render(Scope(vars={"x": value})) == before + value


@given(st.binary(max_size=200))
def test_the_hash_has_eight_bytes_and_notices_a_change(content: bytes) -> None:
    assert len(xxhash64(content)) == 8
    assert xxhash64(content) != xxhash64(content + b"\0")


@given(VALUES, VALUES)
def test_expressions_over_any_values_agree_with_and_without_types(left: Any, right: Any) -> None:
    scope = Scope(vars={"l": left, "r": right})
    for text in ("vars.l == vars.r", "vars.l != vars.r", "vars.l in [vars.r]", "vars.l in vars.r", "vars.l < vars.r",
                 "vars.l + vars.r", "size(vars.l)", "vars.l[0]", "vars.l.exists(x, x == vars.r)", "string(vars.l)",
                 "[vars.l, vars.r].distinct()", "[vars.l, vars.r].sort()", "has(vars.l.a)",
                 "type(vars.l) == type(vars.r)"):  # fmt: skip
        typed = outcome(compile_expression(text, ENVIRONMENT), scope)
        untyped = outcome(compile_expression(text, UNCHECKED), scope)
        assert alike(typed, untyped), text
        if isinstance(typed, EvaluationError):
            assert not typed.message.startswith("internal error"), text
