"""Macros, the error rules of AI collections (AG-107, AG-108, AG-128), what an absent list gives (TP-82)."""

from __future__ import annotations

import pytest

from gateway.cel.compile import compile_expression
from gateway.cel.errors import CelTypeError, EvaluationError
from tests.unit.cel.hosts import ENVIRONMENT, Ai, Key, Model, Quota, Scope, fails, run


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[1,2,3,4].map(n, n % 2 == 0, n * 2)", [4, 8]),
        ("[1,2,3].map(n, n * n)", [1, 4, 9]),
        ("[1,2,3].filter(n, n > 1)", [2, 3]),
        ("{'b': 1, 'a': 2}.map(k, k)", ["b", "a"]),
        ("{'b': 1, 'a': 2}.filter(k, k == 'a')", ["a"]),
        ("{true: 1, 2: 2}.all(k, type(k) == bool || k == 2)", True),
        ("[1,2].exists(n, n == 2)", True),
        ("[1,2,2].exists_one(n, n == 2)", False),
        ("[1,2].existsOne(n, n == 2)", True),
        ("[].all(n, n)", True),
        ("[].exists(n, n)", False),
        ("[[1,2],[3]].map(l, l.map(n, n + size(l)))", [[3, 4], [4]]),
        ("[1,2].exists(x, [x].exists(x, x == 2))", True),
        ("[3,1,2].sortBy(n, -n)", [3, 2, 1]),
        ("['b','a','c'].sortBy(s, s)", ["a", "b", "c"]),
        ("[2,1,3].sort(a, b, a > b)", [3, 2, 1]),
        ("['bb','a','cc'].sort(a, b, size(a) < size(b))", ["a", "bb", "cc"]),
        ("[1, 2.5, 2u].sortBy(n, n)", [1, 2, 2.5]),
        ("[[2],[1]].sortBy(l, l.exists(x, x == 2) ? 1 : 0)", [[1], [2]]),
    ],
)
def test_macros(expression: str, value: object) -> None:
    assert run(expression) == value


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[1, 'a', 3].exists(n, n + 1 == 4)", True),
        ("[1, 'a', 3].all(n, n + 1 == 9)", False),
        ("['a', 1].exists(n, [n].exists(m, m + 1 == 2))", True),
    ],
)
def test_all_and_exists_absorb_errors_tp73(expression: str, value: bool) -> None:
    assert run(expression) is value


@pytest.mark.parametrize(
    "expression",
    [
        "[1, 'a'].exists(n, n + 1 == 9)", "[1, 'a'].all(n, n + 1 == 2)", "[1, 'a', 3].exists_one(n, n + 1 == 4)",
        "[1, 'a'].filter(n, n + 1 == 2)", "[1, 'a'].map(n, n + 1)", "[1, 'a'].sortBy(n, n)", "[1, null].sortBy(n, n)",
        "[1, 2].sort(a, b, a.x)", "vars.number.filter(n, true)", "['a'].all(n, n)",
    ],
)  # fmt: skip
def test_errors_that_stand(expression: str) -> None:
    """``['a'].all(n, n)`` and the like do not even load where types are declared."""
    with pytest.raises((EvaluationError, CelTypeError)):
        run(expression, Scope(vars={"number": 1}))


def test_a_later_error_does_not_hide_an_earlier_one() -> None:
    assert fails("[1, 'a', [1]].exists(n, n + 1 == 9)") == "no such overload: string, int"


@pytest.mark.parametrize(
    "expression",
    ["[1].filter(a.b, true)", "[1].filter(1, true)", "[1].map(.x, x)", "[1].sort(a, a, true)", "1.filter(x, true)"],
)
def test_malformed_macros_do_not_load(expression: str) -> None:
    with pytest.raises(CelTypeError):
        compile_expression(expression, ENVIRONMENT)


def test_a_macro_variable_hides_variables_and_namespaces() -> None:
    assert run("[{'get': 1}].map(secrets, secrets.get)") == [1]
    assert run("[1].map(req, req + 1)") == [2]
    with pytest.raises(CelTypeError, match="undeclared reference to 'x'"):
        compile_expression("[1].exists(x, true) && x == 1", ENVIRONMENT)


# --- AI collections; their rules come with the declared type, hence both=False


def models() -> Scope:
    return Scope(
        ai=Ai(
            models=[
                Model("a", 100, {"tier": "budget"}, Quota(5), ["text"]),
                Model("b", None, {}, None, ["text", "image"], "none"),
                Model("c", 50, {"tier": "premium"}, Quota(None), []),
            ]
        )
    )


def ids(expression: str, scope: Scope) -> list[str]:
    return [element.id for element in run(expression, scope, both=False)]


@pytest.mark.parametrize(
    ("predicate", "kept"),
    [
        ("m.metadata.tier == 'budget'", ["a"]),
        ("m.metadata.tier != 'budget'", ["c"]),
        ("m.metadata['tier'] != 'x'", ["a", "c"]),
        ("has(m.metadata.tier)", ["a", "c"]),
        ("m.window > 60", ["a"]),
        ("m.window < 1000", ["a", "c"]),
        ("m.window == null || m.window > 60", ["a", "b"]),
        ("m.window > 60 || m.id == 'b'", ["a", "b"]),
        ("m.pricing.requests > 1", ["a"]),
        ("m.pricing.requests != 5", ["c"]),
        ("m.pricing.requests == null", ["c"]),
        ("m.pricing != null", ["a", "c"]),
        ("'image' in m.modalities", ["b"]),
        ("m.modalities.exists(x, x == 'text')", ["a", "b"]),
        ("m.training == 'none'", ["b"]),
        ("!(m.metadata.tier == 'budget')", ["c"]),
        ("m.metadata.tier == 'budget' && m.window > 1", ["a"]),
        ("m.metadata.tier == 'budget' || m.metadata.tier == 'premium'", ["a", "c"]),
        ("m.id.matches('^[ab]$')", ["a", "b"]),
    ],
)
def test_an_element_that_fails_is_dropped_ag107(predicate: str, kept: list[str]) -> None:
    assert ids(f"ai.models.filter(m, {predicate})", models()) == kept


def test_predicate_macros_over_models_ag107() -> None:
    scope = models()
    assert run("ai.models.exists(m, m.metadata.tier == 'premium')", scope, both=False) is True
    assert run("ai.models.exists(m, m.metadata.tier == 'none')", scope, both=False) is False
    assert run("ai.models.all(m, m.metadata.tier != 'none')", scope, both=False) is False
    assert run("ai.models.exists_one(m, m.window > 60)", scope, both=False) is True
    assert run("ai.models.map(m, m.window > 60, m.id)", scope, both=False) == ["a"]


def test_errors_outside_predicates_stand() -> None:
    fails("ai.models.map(m, m.metadata.tier)", models(), both=False)
    fails("ai.models[7].id", models(), both=False)
    fails("ai.models.filter(m, true)[5]", models(), both=False)


def test_sort_puts_null_and_failing_keys_last() -> None:
    assert ids("ai.models.sortBy(m, m.window)", models()) == ["c", "a", "b"]
    assert ids("ai.models.sortBy(m, m.metadata.tier)", models()) == ["a", "c", "b"]
    assert ids("ai.models.sortBy(m, m.pricing.requests)", models()) == ["a", "b", "c"]


def test_the_collection_stays_one_through_chains() -> None:
    assert ids("ai.models.filter(m, true).filter(m, m.window > 60)", models()) == ["a"]
    assert ids("ai.models.sortBy(m, m.id).filter(m, m.metadata.tier == 'premium')", models()) == ["c"]


def test_the_result_holds_the_same_objects() -> None:
    scope = models()
    assert run("ai.models.filter(m, m.id == 'c')", scope, both=False)[0] is scope.ai.models[2]


def keys(*remaining: int | None) -> Scope:
    return Scope(ai=Ai(keys=[Key(name, Quota(count)) for name, count in zip("ABC", remaining, strict=True)]))


@pytest.mark.parametrize(
    ("remaining", "tried"),
    [
        ((None, None, None), []),
        ((4999, None, None), ["A", "B", "C"]),
        ((50, 4999, None), ["B", "C"]),
        ((50, 60, 70), []),
        ((50, None, None), []),
        ((None, 4999, 50), ["B", "A"]),
    ],
)
def test_the_table_of_unknown_quotas_ag128(remaining: tuple[int | None, ...], tried: list[str]) -> None:
    assert ids("ai.keys.filter(k, k.quota.requests > 100)", keys(*remaining)) == tried


@pytest.mark.parametrize(
    ("predicate", "tried"),
    [
        ("k.quota.requests > 100 && k.errors < 0.5", ["B", "A"]),
        ("k.quota.requests > 100 && k.errors > 0.5", []),
        ("k.quota.requests > 100 || k.errors < 0.5", ["A", "B", "C"]),
        ("k.quota.requests == null || k.quota.requests > 100", ["A", "B"]),
        ("k.quota.requests > vars.limit", ["B", "A"]),
        ("vars.limit < k.quota.requests", ["B", "A"]),
        ("100.5 < k.quota.requests", ["B", "A"]),
        ("k.quota.requests > 100 && k.metadata.x == 1", []),
        ("k.metadata.x > 1", []),
        ("k.quota.requests > vars.nothing", []),
        ("k.quota.requests != 4999", ["A", "C"]),
        ("[1].exists(n, k.quota.requests > 100)", ["B", "A"]),
        ("k.quota.requests + 1 > 100", ["B"]),
    ],
)
def test_only_an_ordering_with_a_null_quota_is_undecided_ag128(predicate: str, tried: list[str]) -> None:
    scope = keys(None, 4999, 50)
    scope.vars = {"limit": 100, "nothing": None}
    assert ids(f"ai.keys.filter(k, {predicate})", scope) == tried


def test_a_null_beside_the_quota_does_not_make_known_keys_undecided() -> None:
    scope = keys(1, 2, 3)
    scope.vars = {"nothing": None}
    assert ids("ai.keys.filter(k, k.id == 'A' || k.quota.requests > vars.nothing)", scope) == ["A"]
