"""Interpolation: TP-110 … TP-119."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cel.conversions import to_string
from gateway.cel.errors import CelError, CelSyntaxError, CelTypeError, Failure
from gateway.cel.template import Template, compile_template, to_text
from gateway.cel.values import Duration, Timestamp, Uint
from gateway.headers import ValueList
from tests.unit.cel.hosts import ENVIRONMENT, Quota, Scope, request


def template(text: str) -> Template:
    return compile_template(text, ENVIRONMENT)


def value(text: str, **variables: Any) -> Any:
    return template(text).evaluate(Scope(vars=variables))


def test_literals_have_no_program() -> None:
    plain = template("plain $1 } {")
    assert (plain.literal, plain.whole, plain.reads) == ("plain $1 } {", False, frozenset())
    assert plain.evaluate(None) == plain.render(None) == "plain $1 } {"


@pytest.mark.parametrize("given", ["a", 1, 2.5, True, None, [1, 2], {"a": [1]}, b"x", Uint(3)])
def test_a_whole_template_keeps_the_type_tp113(given: object) -> None:
    result = value("${vars.x}", x=given)
    assert result == given
    assert result.__class__ is given.__class__
    assert template("${vars.x}").whole


@pytest.mark.parametrize("text", [" ${vars.x}", "${vars.x} ", "${vars.x}${''}", "${vars.x}\n"])
def test_anything_around_it_makes_text_tp114(text: str) -> None:
    assert value(text, x=1).strip() == "1"
    assert not template(text).whole


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("a", "a"), (True, "true"), (False, "false"), (-5, "-5"), (Uint(7), "7"), (2.0, "2"), (0.1, "0.1"),
        (1e21, "1e+21"),
        (b"\xc3\xa9", "é"), (Timestamp(0), "1970-01-01T00:00:00Z"),
        (Timestamp(1_500_000_000), "1970-01-01T00:00:01.5Z"),
        (Duration(90 * 10**9), "90s"), (Duration(-500_000_000), "-0.5s"), (None, ""), (ValueList(["a", "b"]), "a, b"),
        (ValueList(), ""), ([], "[]"), ([1, "a", None, 2.0], '[1,"a",null,2]'),
        ({"b": [True], "a": "ü"}, '{"a":"ü","b":[true]}'),
        (Quota(1), '{"requests":1}'),
    ],
)  # fmt: skip
def test_conversion_to_text_tp115(given: object, text: str) -> None:
    assert to_text(given) == text
    assert value("<${vars.x}>", x=given) == f"<{text}>"
    assert template("${vars.x}").render(Scope(vars={"x": given})) == text


@pytest.mark.parametrize("given", [b"\xff", [float("nan")], {"a": float("inf")}, [object()]])
def test_what_has_no_text_fails_tp115(given: object) -> None:
    with pytest.raises(Failure):
        to_text(given)


def test_absent_becomes_empty() -> None:
    assert template("a${req.headers['x'][0]}b").evaluate(Scope()) == "ab"
    assert template("${req.headers['accept']}!").evaluate(request(accept=["a", "b"])) == "a, b!"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${ {'k':'}'}['k'] }", "}"),
        ("${'${x}'}", "${x}"),
        ("${\"}\"}${'{'}", "}{"),
        ("${{'a': {'b': 1}}['a']['b']}", 1),
        ("${'''}'''}", "}"),
        ("${r'\\'}", "\\"),
        ("${'\\''}", "'"),
        ("${1 // a comment with }\n + 1}", 2),
        ("${b'}' == b'}'}", True),
        ("a${1}${2}b", "a12b"),
    ],
)
def test_the_end_is_found_by_tokens_tp112(text: str, result: object) -> None:
    assert value(text) == result


@pytest.mark.parametrize("text", ["${", "a ${vars.x", "${'}", "${ {'a': 1 }", "${}", "${  }", "x${\n}", "${'a}"])
def test_unterminated_or_empty_tp112(text: str) -> None:
    with pytest.raises(CelSyntaxError):
        template(text)


def test_the_result_is_never_scanned_again_tp116() -> None:
    hostile = "${secrets.get('v','s')}"
    scope = request(x=hostile)
    scope.secrets["s"] = "leak"
    assert template("${req.headers['x'][0]}").evaluate(scope) == hostile
    assert template("<${req.headers['x'][0]}>").evaluate(scope) == f"<{hostile}>"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$${x}", "${x}"), ("$$${x}", "$${x}"), ("$1 $ $a", "$1 $ $a"),
        ("cost $${vars.x}: ${vars.x}$", "cost ${vars.x}: 5$"),
        ("$", "$"), ("$$", "$$"), ("a$", "a$"),
    ],
)  # fmt: skip
def test_escaping_tp117(text: str, result: str) -> None:
    assert value(text, x=5) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (r"${req.headers[\"x\"][0]}", "1"),
        (r"${req.headers[\'x\'][0]}", "1"),
        (r"v=${req.headers[\"x\"][0] + \"}\"}", "v=1}"),
        (r"${\"it's\"}", "it's"),
        (r"${\"a\\\"b\"}", 'a"b'),
        (r"${'keep \" here'}", 'keep " here'),
        (r"${json.encode({\"a\": \"b\"})}", '{"a":"b"}'),
    ],
)
def test_a_backslash_before_a_quote_is_ignored_tp118(text: str, result: str) -> None:
    compiled = template(text)
    assert compiled.evaluate(request(x="1")) == result
    assert bool(compiled.warnings) is (r"[\"" in text or r"\"a" in text or r"[\'" in text or r"{\"" in text)


def test_positions_count_in_the_whole_string() -> None:
    with pytest.raises(CelTypeError) as caught:
        template("first line\nBearer ${vars.x + nothing}")
    assert (caught.value.line, caught.value.column, caught.value.offset) == (2, 19, 29)
    with pytest.raises(CelSyntaxError) as syntax:
        template("${vars.x} ${1 +}")
    assert (syntax.value.line, syntax.value.column) == (1, 16)
    with pytest.raises(CelSyntaxError) as opened:
        template("ok ${1} ${2")
    assert opened.value.column == 9


def test_run_time_errors_are_located_in_the_string() -> None:
    compiled = template("${vars.a}\n - ${vars.missing}")
    with pytest.raises(KeyError) as caught:
        compiled.evaluate(Scope(vars={"a": 1}))
    located = compiled.locate(caught.value)
    assert (located.line, located.column, located.message) == (2, 11, "no such key: 'missing'")


def test_failing_conversion_is_located() -> None:
    compiled = template("ab ${vars.bad}")
    with pytest.raises(Failure) as caught:
        compiled.evaluate(Scope(vars={"bad": b"\xff"}))
    assert compiled.locate(caught.value).message == "bytes are not valid UTF-8"


def test_what_a_template_reads_and_warns() -> None:
    compiled = template("${req.headers['x'][0]} ${rand.int()} ${secrets.get('v','s')} ${request.method}")
    assert compiled.reads == {"req.headers", "secrets", "req.method"}
    assert not compiled.pure
    assert [finding.message for finding in compiled.warnings] == ["'request' is read as 'req'"]
    assert template("${vars.x}").pure


def test_a_large_result_is_refused_tp77() -> None:
    with pytest.raises(Failure, match="produced data"):
        value("${vars.x}${vars.x}", x="a" * 600_000)


@pytest.mark.parametrize("text", ["${.ngrok.geo.country_code}", "${secrets.get('a', 'b'}", "'${secrets.get('a'}'"])
def test_wrong_templates_do_not_load_cl83_cl84_cl89(text: str) -> None:
    with pytest.raises(CelError):
        template(text)


def test_string_conversion_of_lists_differs_from_interpolation() -> None:
    with pytest.raises(Failure):
        to_string([1])
