"""Whatever text arrives, loading raises CelError or gives a program, and every failure of a program has a place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.cel.compile import Program, compile_conjunction, compile_expression, locate
from gateway.cel.env import Environment
from gateway.cel.errors import CelError
from gateway.cel.template import Template, compile_template
from gateway.cel.tolerance import find_end, repair
from tests.differential.expressions import Expressions
from tests.unit.cel.hosts import ENVIRONMENT, UNCHECKED, Scope, request

PIECES = [
    "vars", "req", "headers", "x", "secrets", "get", "ai", "models", "keys", "a", "filter", "map", "all", "exists",
    "sortBy", "has", "size", "int", "timestamp", "matches", "true", "null", "in", "as", "1", "-9223372036854775808",
    "0u", "1e9", ".5", "'a'", '"b"', "'''c\n'''", "r'\\'", "b'\\xff'", "'\\u00e9'", "'(?='", "`q-r`", ".", ",",
    "(", ")", "[", "]", "{", "}", ":", "?", "!", "-", "+", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", " ", "\n",
    "//c\n", "$", "${", "\\", '\\"', "'", "é", "\x00", "\ud800", "lists.range(3)", "[1,2]", "{'a': 1}",
    "req.headers['x'][0]", "vars.a",
]  # fmt: skip

TOKENS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
TEXTS = st.one_of(TOKENS, st.text(max_size=40))


def scope() -> Scope:
    made = request(x="1")
    made.vars = {"a": [1, "b", None, {"c": 2.5}]}
    return made


def attempt(action: Callable[[], Any]) -> Any:
    """The result, or the exception."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - every exception is looked at
        return error


def check(text: str, environment: Environment) -> None:
    """A CelError inside the text, or a program whose failures can be located."""
    program = attempt(lambda: compile_expression(text, environment))
    if not isinstance(program, Program):
        assert isinstance(program, CelError), repr(program)
        assert 0 <= program.offset <= len(text)
        assert 1 <= program.line <= text.count("\n") + 1
        assert program.column >= 1
        return
    result = attempt(lambda: program.evaluate(scope()))
    if isinstance(result, Exception):
        place = locate(program, result)
        assert 0 <= place.offset <= len(text)
        assert not place.message.startswith("internal error"), repr(result)


@given(TEXTS)
@example("")
@example("\ud800")
@example("'\ud800'")
@example("vars[")
@example("0 == null")
@example("(1.5 + 1.0) == null")
@example("[1][0][0]")
@example("'a'[0]")
@example("-(-9223372036854775808)")
@example("-9223372036854775808[0]")
@example("{'a': 1, 'a': 2}")
@example("[[]].map(x, x.map(y, y)).flatten()")
@example("'a'.format([1]) + '%s'.format(vars.a)")
@example("timestamp(9999999999999)")
@example("duration('9223372036s') + duration('9223372036s')")
@example("1.0 / 0.0 == null ? int(1.0 / 0.0) : uint(-1.0 / 0.0)")
def test_expressions(text: str) -> None:
    check(text, ENVIRONMENT)
    check(text, UNCHECKED)


@given(st.integers(0, 2**32))
def test_random_expressions_that_parse(seed: int) -> None:
    stream = Expressions(seed, strange=0.3)
    for _ in range(3):
        check(stream.next().replace("m.", "vars."), UNCHECKED)


@given(TEXTS)
@example("${")
@example("$${")
@example("${'")
@example('${\\"')
@example("${'}'}")
@example("${1}$")
def test_templates(text: str) -> None:
    compiled = attempt(lambda: compile_template(text, ENVIRONMENT))
    if not isinstance(compiled, Template):
        assert isinstance(compiled, CelError), repr(compiled)
        assert 0 <= compiled.offset <= len(text)
        return
    result = attempt(lambda: compiled.render(scope()))
    if isinstance(result, Exception):
        assert not compiled.locate(result).message.startswith("internal error"), repr(result)
    else:
        assert isinstance(result, str)


@given(st.lists(TOKENS, max_size=4))
def test_conjunctions(texts: list[str]) -> None:
    program = attempt(lambda: compile_conjunction(texts, ENVIRONMENT))
    if not isinstance(program, Program):
        assert isinstance(program, CelError), repr(program)
        assert 0 <= program.index < len(texts)
        assert 0 <= program.offset <= len(texts[program.index])
        return
    result = attempt(lambda: program.evaluate(scope()))
    if isinstance(result, Exception):
        assert 0 <= locate(program, result).index < len(texts)
    else:
        assert result in (True, False)


@given(TEXTS)
def test_repairs_keep_every_position(text: str) -> None:
    repaired = repair(text)
    assert len(repaired.text) == len(text)
    assert all(0 <= offset < len(text) for offset, _ in repaired.warnings)


@given(TEXTS, st.integers(0, 40))
def test_the_end_of_an_interpolation_is_a_brace(text: str, start: int) -> None:
    end = find_end(text, start)
    assert end == -1 or (end >= start and text[end] == "}")


def test_an_unexpected_failure_would_be_seen() -> None:
    """``check`` rejects what cannot be explained."""
    program = compile_expression("1", ENVIRONMENT)
    unexplained: Any = OSError()
    assert locate(program, unexplained).message.startswith("internal error")
