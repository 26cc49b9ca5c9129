"""Expressions written to hold somebody up (TP-77, cel.md 5): loading and evaluating end soon, at a limit if need be.

Each has ten seconds of CPU, far more than any needs on a slow machine; without the limits many would take hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.cel.compile import compile_expression, locate
from gateway.cel.errors import CelError
from gateway.cel.limits import weight
from gateway.policy.model import Phase
from tests.fuzz.mutations import patience
from tests.unit.cel.hosts import ENVIRONMENT, UNCHECKED, Scope
from tests.unit.policy.world import load

LONG = "a" * 50_000


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with patience():
        yield


def scope() -> Scope:
    return Scope(
        vars={
            "s": LONG, "l": list(range(10_000)), "m": {str(n): n for n in range(10_000)}, "a": [[1]], "c": {},
            "x": True, "json": "[" * 60 + "1" + "]" * 60,
        }
    )  # fmt: skip


def limited(source: str) -> bool:
    """Whether evaluating it runs into a limit, typed and untyped alike."""
    outcomes = set()
    for environment in (ENVIRONMENT, UNCHECKED):
        program = compile_expression(source, environment)
        try:
            program.evaluate(scope())
            outcomes.add(False)
        except Exception as error:  # noqa: BLE001 - programs raise anything
            outcomes.add(locate(program, error).limit)
    assert len(outcomes) == 1, outcomes
    return outcomes.pop()


def nested(macro: str, body: str, depth: int) -> str:
    for level in range(depth):
        body = f"[1, 2, 3].{macro}(v{level}, {body})"
    return body


def doubled(source: str, levels: int) -> str:
    """A list that holds a list ten times, that holds one ten times …: little to write, much to read."""
    for _ in range(levels):
        source = f"[{source}].map(x, [x, x, x, x, x, x, x, x, x, x])"
    return source


BOMB = doubled("[1]", 7)


@pytest.mark.parametrize(
    "source",
    [
        nested("map", "1", 40), nested("exists", "false", 30), nested("all", "true", 30),
        nested("exists_one", "true", 30), nested("all", "vars.a.b == 1 || vars.c.d == 2", 12),
        "lists.range(10000).map(x, lists.range(10000))", "lists.range(10000).all(x, lists.range(10000).all(y, true))",
        "lists.range(3000).sort(x, y, lists.range(3000).exists(z, z == x))",
        "lists.range(3000).map(x, {'a': x}).distinct()",
    ],
)  # fmt: skip
def test_loops_in_loops(source: str) -> None:
    assert limited(source)


@pytest.mark.parametrize(
    "source",
    [
        "vars.s.replace('', vars.s)", "lists.range(10000).map(x, vars.s).join(vars.s)",
        "vars.s.split('').map(x, vars.s.split(''))", "[vars.l].map(x, [x, x, x, x, x, x, x, x, x, x]).map(x, [x, x])"
        + ".map(x, [x, x, x, x, x, x, x, x, x, x])" * 4 + ".flatten(20)",
        "lists.range(10000).map(x, vars.l).flatten()",
    ],
)  # fmt: skip
def test_values_that_grow(source: str) -> None:
    assert limited(source)


@pytest.mark.parametrize(
    "source",
    [
        f"{BOMB} == {BOMB}", f"{BOMB} != {BOMB}", f"{BOMB} in [{BOMB}]", f"[{BOMB}, {BOMB}].distinct()",
        f"{BOMB}.encodeJson()", f"json.encode({{'a': {BOMB}}})", f"'%s'.format([{BOMB}])",
        f"'%s'.format([{{'a': {BOMB}}}])", f"[1].exists(x, {BOMB} == {BOMB})", f"[1].all(x, {BOMB}.encodeJson() != '')",
        "json.encode(lists.range(10000).map(x, vars.l))",
        "queryString.encode({" + ", ".join(f"'k{n}': vars.l" for n in range(11)) + "})",
    ],
)  # fmt: skip
def test_values_that_are_larger_than_they_were_made(source: str) -> None:
    assert limited(source)


@pytest.mark.parametrize(
    "call",
    [
        "vars.s.xxhash64()", "hash.crc64(vars.s)", "vars.s.sha512()", "vars.s.matches('a{' + string(x % 1000) + '}')",
        "vars.s.matches('b$')", "vars.s.contains('aab')", "vars.s.indexOf('b')", "vars.s.decodeQueryString()",
        "url.parse(vars.s)", "vars.s.isJson()", "vars.s.lower()", "vars.s + vars.s", "vars.s.encodeBase64()",
        "strings.quote(vars.s)", "vars.l.encodeJson()", "x in vars.l",
        "vars.s.startsWith(vars.s)", "'%s'.format([vars.l])", f"'{'b' * 15_000}'.xxhash64()",
        "vars.l.slice(0, 9000)", "vars.s.reverse()",
    ],
)  # fmt: skip
def test_calls_in_a_loop_are_charged_by_what_they_read(call: str) -> None:
    assert limited(f"lists.range(10000).map(x, {call}).size() > 0")


@pytest.mark.parametrize(
    "call",
    ["size(vars.s)", "string(x)", "x + 1", "vars.x", "'abc'.startsWith('a')", "[x, x].size()", "vars.json.size()"],
)
def test_what_is_small_is_not_charged(call: str) -> None:
    """One step of 100,000 for each element."""
    if call == "size(vars.s)":
        call = "size('abc')"
    assert not limited(f"lists.range(10000).map(x, {call}).size() > 0")


def test_the_largest_usual_loops_pass() -> None:
    """Every header of a large request against lists and patterns."""
    headers = "lists.range(100).map(x, 'name-' + string(x))"
    assert not limited(f"{headers}.exists(h, h.matches('^x-[a-z]+$') || h in ['a', 'b'] || h.lower().contains('zz'))")


@pytest.mark.parametrize(
    "pattern",
    [
        "(a*)*b", "(a|aa)+$", "(x+x+)+y", "(.*)*=", "(a?){30}a{30}", "((a+)+)+$", ".*.*.*.*.*.*=", "(a|b|ab)*c",
        "(?:a(?:a(?:a(?:a)?)?)?)*$",
    ],
)  # fmt: skip
def test_patterns_that_are_bombs_elsewhere_take_linear_time(pattern: str) -> None:
    """TP-74."""
    assert not limited(f"vars.s.matches('{pattern}') || true")
    assert not limited(f"matches(vars.s, '{pattern}' + '') || true")


@pytest.mark.parametrize(
    "pattern",
    [
        "((a{100}){100}){100}",
        "(\\\\pL{500}){2}",
        "|".join(f"a{{{n}}}" for n in range(1, 900)),
        "(?=a)",
        "(a)\\\\1",
        "(",
    ],
)
def test_patterns_that_are_too_large_or_not_linear_are_refused(pattern: str) -> None:
    with pytest.raises(CelError, match="invalid regular expression"):
        compile_expression(f"vars.s.matches('{pattern}')", ENVIRONMENT)


@pytest.mark.parametrize("pattern", ["(a|b|c)*" * 500, "(a?){1000}(a?){1000}"])
def test_large_patterns_read_only_short_texts(pattern: str) -> None:
    source = f"vars.s.matches('{pattern}')"
    assert limited(source)
    assert not limited(source.replace("vars.s", "vars.s.substring(0, 500)"))


@pytest.mark.parametrize(
    "source",
    [
        "[" + ",".join(["1"] * 3_900) + "]", "{" + ",".join(f"'{n}': {n}" for n in range(1_900)) + "}",
        " || ".join(["true"] * 3_900), " && ".join(["vars.a.b == 1"] * 900), "(" * 4_000 + "1" + ")" * 4_000,
        "!" * 60 + "true", "vars" + ".a" * 63, "vars.a" + ".trim()" * 60, "false ? 1 : " * 48 + "2",
        "vars.x && (" * 30 + "vars.x" + " || vars.y.z)" * 30, "duration('" + "1h" * 15_000 + "')", "1" * 30_000,
        "1e" + "9" * 30_000, "'" + "\\\\u0041" * 3_000 + "'", "//" + "a" * 30_000 + "\n1", " " * 30_000 + "1",
        "vars.s.matches('[" + "a-z" * 8_000 + "]')", "'" * 3 + "\n" * 30_000 + "'" * 3, "-" * 30_000 + "1",
        "a." * 16_000,
        "[1].map(x, " * 60 + "1" + ")" * 60, "{'a': " * 60 + "1" + "}" * 60, nested("sortBy", "1", 30),
        nested("all", "vars.a.b == 1 || vars.c.d == 2", 20), "${" * 10_000, "`" * 30_000, '"\\' * 15_000,
        " == ".join(["1"] * 3_000), " in ".join(["[1]"] * 2_000), "vars.a[" * 60 + "0" + "]" * 60,
    ],
)  # fmt: skip
def test_whatever_is_written_loading_ends(source: str) -> None:
    for environment in (ENVIRONMENT, UNCHECKED):
        try:
            program = compile_expression(source, environment)
        except CelError:
            continue
        assert callable(program.evaluate)


@pytest.mark.parametrize(
    "expression", [f"{BOMB} == {BOMB}", "lists.range(9000).map(x, 'ab').join('').xxhash64() == ''"]
)
def test_conditions_that_read_nothing_do_not_hold_up_a_load(expression: str) -> None:
    """Short ones are evaluated while loading (P34); here a hundred rules of it, in one expression and in each."""
    joined = " || ".join([expression] * 20)
    rules = "".join(f'- expressions: ["{text}"]\n  type: deny\n' for text in [joined] + [expression] * 20)
    load(f"{Phase.REQUEST}:\n{rules}")


def test_weight_counts_what_is_nested() -> None:
    inner: list[Any] = [1] * 10
    assert weight(inner, 10**9) == 10
    assert weight([inner] * 10, 10**9) == 110
    assert weight({"a": inner, "b": "x" * 40}, 10**9) == 22
    assert weight("x" * 40, 10**9) == 10
    assert weight([[inner] * 1_000] * 1_000, 5_000) < 20_000
