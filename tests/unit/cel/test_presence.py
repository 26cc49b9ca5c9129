"""Comparing what may be null: a warning, unless a condition beside it proves that it is there (TP-83, lint)."""

from __future__ import annotations

import pytest

from gateway.cel.compile import compile_conjunction, compile_expression
from gateway.cel.parse import parse
from gateway.cel.presence import proven, spelled
from tests.unit.cel.hosts import ENVIRONMENT


def warned(*conditions: str) -> bool:
    program = compile_conjunction(conditions, ENVIRONMENT)
    return any("may be null" in str(finding) for finding in program.warnings)


LENGTH = "req.content_length > 10"
HEADER = "req.headers['x'][0] < '5'"


@pytest.mark.parametrize(
    "condition",
    [
        LENGTH, f"!({LENGTH})", HEADER, "req.url.port <= 80", "req.url.query_params['a'][0] >= 'b'",
        f"req.content_length == null && {LENGTH}", f"req.content_length != null || {LENGTH}",
        f"(req.content_length != null || vars.x) && {LENGTH}", f"req.url.port != null && {LENGTH}",
        f"req.headers['y'][0] != null && {HEADER}", f"req.content_length != null ? true : {LENGTH}",
        f"!('x' in req.headers) && {HEADER}", f"'x' in vars.list && {HEADER}", f"req.headers['x'] == null && {HEADER}",
        f"vars.list.exists(v, has(req.content_length)) && {LENGTH}", "req.headers['x'][0] < req.headers['y'][0]",
        "has(req.headers['x'][0]) && req.headers['x'][0] < req.headers['y'][0]",
    ],
)  # fmt: skip
def test_comparing_what_may_be_null_is_a_warning(condition: str) -> None:
    assert warned(condition)


@pytest.mark.parametrize(
    "condition",
    [
        f"req.content_length != null && {LENGTH}", f"{LENGTH} && req.content_length != null",
        f"null != req.content_length && {LENGTH}", f"has(req.content_length) && {LENGTH}",
        f"req.content_length == null || {LENGTH}", f"!(req.content_length == null) && {LENGTH}",
        f"!has(req.content_length) || {LENGTH}", f"!(req.content_length != null && {LENGTH})",
        f"req.content_length != null ? {LENGTH} : false", f"req.content_length == null ? true : {LENGTH}",
        f"req.content_length == 12 || vars.x && req.content_length != null && {LENGTH}",
        f"(req.content_length == 1 || req.content_length == 2) && {LENGTH}",
        f"'x' in req.headers && {HEADER}", f"'X' in req.headers && {HEADER}", f"has(req.headers['x'][0]) && {HEADER}",
        f"req.headers['x'][0] == 'a' && {HEADER}", f"req.headers['x'][0] != null && ({HEADER} || vars.x)",
        f"vars.list.exists(v, req.content_length != null && {LENGTH})", "req.method > 'A'",
        f"has(req.content_length) && vars.list.exists(v, {LENGTH})",
    ],
)  # fmt: skip
def test_a_condition_beside_it_is_proof(condition: str) -> None:
    assert not warned(condition)


def test_the_entries_of_a_rule_prove_for_each_other() -> None:
    """TP-75: they are one conjunction."""
    assert not warned(LENGTH, "req.content_length != null")
    assert warned(LENGTH, "req.url.port != null")


def test_functions_that_look_for_a_name() -> None:
    for search, value in (
        ("hasReqHeader('X-A')", "req.headers['x-a'][0]"), ("hasResHeader('a')", "res.headers['a'][0]"),
        ("hasQueryParam('q')", "req.url.query_params['q'][0]"), ("hasReqCookie('c')", "req.cookies['c'][0]"),
    ):  # fmt: skip
        assert spelled(parse(value)) in proven(parse(search), outcome=True)
        assert not proven(parse(search), outcome=False)


def test_how_values_are_told_apart() -> None:
    assert spelled(parse("a.b['c'][0]")) == spelled(parse('a.b["c"][0]'))
    assert spelled(parse("a['1']")) != spelled(parse("a[1]"))
    for text in ("f(a)", "a[b]", "f(a).b", "f(a)[0]", "a + b"):
        assert spelled(parse(text)) == ""
    assert not proven(parse("f(a) != null"), outcome=True)


def test_a_long_chain_is_no_slower_than_it_is_long() -> None:
    """The timeout of the test is the bound."""
    chain = " || ".join(f"req.content_length == {number}" for number in range(900))
    assert compile_expression(chain, ENVIRONMENT).warnings == ()
