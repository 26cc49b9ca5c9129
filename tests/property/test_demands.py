"""Conditions and what they demand: where a demand is not met, the condition is false, in whatever request; and a phase
does the same with its index and without it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.cel.compile import compile_conjunction
from gateway.cel.facts import Demands, Fact, Part, Place, PlaceKind, Prefix, Suffix
from gateway.cel.networks import number_of
from gateway.exchange import Exchange
from gateway.policy.action import Refuse, Respond
from gateway.policy.compile import CompiledPhase
from gateway.policy.model import Phase
from gateway.policy.variables import scope_of
from tests.unit.policy.world import CLOCK, compiled, context, quoted, request, run

ENVIRONMENT = context().environment(Phase.REQUEST)

LOOKED_UP = [
    "req.headers['x-a']", "req.headers['X-A']", "req.headers.via", "req.url.query_params['q']",
    "req.url.query_params.q", "getReqHeader('X-A')", "getQueryParam('q')",
]  # fmt: skip
FIRST = [*(f"{values}[0]" for values in LOOKED_UP), "req.headers['x-a'][1]", "getReqCookie('c').value",
         "req.cookies['c'][0].value", "req.cookies.c[0].name"]  # fmt: skip
TEXTS = ["''", "'a'", "'ab'", "'ba'", "'A'", "'/v1'", "'/v1/models'", "'GET'", "'10.0.0.1'", "'a' + 'b'", "'b'"]
VARIABLES = ["req.method", "req.url.path", "conn.client_ip", "req.host", "req.url"]
PATTERNS = ["'^/v1'", "'^/v1/?'", "'^/v12*/m'", "'^/v1x{0}'", "'^/v1|a'", "'/v1'", "'^.v1'",
            "'^G?E'", "r'^10\\.0\\.'", "'^'",
            "'(?i)^g'", "'^/V1'", "'^(?i)/V1'", "'^a+$'", "'^/v1$'"]  # fmt: skip
NETWORKS = ["'10.0.0.0/8'", "'10.0.0.1/32'", "'::/0'", "'0.0.0.0/0'", "'2001:db8::/32'", "'nonsense'", "'10.0.0.0'"]


def options(*forms: str, **fillings: list[str]) -> st.SearchStrategy[str]:
    """One of the forms with each ``{name}`` filled."""
    return st.sampled_from(forms).flatmap(
        lambda form: st.fixed_dictionaries({name: st.sampled_from(texts) for name, texts in fillings.items()}).map(
            lambda chosen: form.format(**chosen)
        )
    )


ATOMS = st.one_of(
    options(
        "{first} == {text}", "{text} == {first}", "{first} != {text}", "{first} in [{text}, 'b']", "{text} in {values}",
        "{first}.startsWith({text})", "{values}.contains({text})", "{values}.matches({text})",
        "{first}.endsWith({text})", "{first}.contains({text})", "{first}.includes({text})", "{values}.includes({text})",
        "{values}.startsWith({text})", "{values}.endsWith({text})", "{first}.matches({pattern})",
        "{values}.matches({pattern})",
        "{first}.startsWith({text}) && {first}.endsWith({other})",
        "{first}.startsWith({text}) && {first} == {other}",
        "{first}.contains({text}) && {first}.startsWith({other})",
        "{first}.contains({text}) && {first}.contains({other})",
        "{first}.endsWith({text}) && {first}.endsWith({other})",
        "{first}.startsWith({text}) || {first} == {other}", "{values}.contains({text}) && {other} in {values}",
        "{first} in [{text}, 'b'] && {first}.endsWith({other})",
        "({first}.contains({text}) || {first} == 'b') && ({first}.startsWith({other}) || {first} == 'ab')",
        "{values}.exists(v, v == {text})", "{values}.all(v, v == {text})", "{values}.join(',') == {text}",
        "{values}.join() == {text}", "has({first})", "{first} == req.method", "{first} == null", "{first} < {text}",
        "{first}.lower() == {text}", "size({values}) == 0", "{first} == getReqHeader('z')[0]", "{values} == {values}",
        first=FIRST, text=TEXTS, other=TEXTS, values=LOOKED_UP, pattern=PATTERNS,
    ),
    options(
        "{variable} == {text}", "{text} == {variable}", "{variable}.startsWith({text})",
        "{variable} in [{text}, {other}]",
        "{variable} != {text}", "{variable}.contains({text})",
        "{variable}.endsWith({text})", "{text}.startsWith({variable})", "{variable} > {text}",
        "inCidrRange({variable}, {network})", "inCidrRanges({variable}, [{network}, '192.168.0.0/16'])",
        "!inCidrRange({variable}, {network})",
        "!inCidrRanges({variable}, [{network}, '10.0.0.0/9'])",
        "!inCidrRange({variable}, {network}) && inCidrRange({variable}, '10.0.0.0/9')",
        "!inCidrRange({variable}, {network}) && !inCidrRange({variable}, '::/0')",
        "inCidrRange({variable}, {variable})",
        "{variable} == {text} && {variable} == {other}",
        "{variable}.startsWith({text}) && {variable}.startsWith({other})",
        "{variable} in [{text}, 'x'] && {variable}.startsWith({other})",
        "{variable}.contains({text}) && {variable} in [{other}, '/v1']",
        "{variable}.endsWith({text}) && {variable}.contains({other})",
        "inCidrRange({variable}, {network}) && inCidrRange({variable}, '10.0.0.0/9')",
        "{variable}.matches({pattern})", "matches({variable}, {pattern})",
        variable=VARIABLES, pattern=PATTERNS, text=TEXTS, other=TEXTS, network=NETWORKS,
    ),
    st.sampled_from(
        [
            "true", "false", "hasReqHeader('X-A')", "!hasReqHeader('x-a')", "hasReqHeader('x-a') == false",
            "hasReqHeader('x-a') == true", "hasQueryParam('q')", "hasReqCookie('c')", "'x-a' in req.headers",
            "'X-A' in req.headers", "'q' in req.url.query_params", "'c' in req.cookies", "has(req.headers['x-a'])",
            "has(req.headers.via)", "has(req.url.query_params.q)", "vars.none == 1", "req.content_length == 3",
            "endpoint.port == 8443", "endpoint.port in [1, 2]",
            "endpoint.port in [8443.0, 1u]",
            "endpoint.port == 8443u", "req.method in [1.5, b'GET']", "req.method in []",
            "endpoint.port == 8443.0", "req.method == 1",
            "true ? false : true", "req.headers['x-a'][0] in [null, 'a']", "req.headers['x-a'][0] in vars.list",
            "secrets.get('v', 'none') == req.headers['x-a'][0]",
        ]
    ),
)  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.tuples(st.sampled_from([" && ", " || "]), st.lists(inner, min_size=2, max_size=3)).map(
        lambda parts: parts[0].join(f"({part})" for part in parts[1])
    ),
    max_leaves=4,
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "a"]),
        "target": st.sampled_from(["/v1/models", "/v1", "/", "/a?q=a", "/v1/models?q=b&q=a&z=", "/a?q"]),
        "headers": st.lists(
            st.sampled_from(
                [("x-a", "a"), ("X-A", "b"), ("x-a", ""), ("x-a", "aba"), ("via", "a"), ("via", "ab"),
                 ("cookie", "c=a; d=b"), ("z", "a")]
            ),
            max_size=4,
        ),
        "client_ip": st.sampled_from(
            ["10.0.0.1", "10.200.0.1", "192.168.1.1", "2001:db8::1", "::ffff:10.0.0.1", "", "x"]
        ),
        "host": st.sampled_from(["a", "gateway.example"]),
    }
)  # fmt: skip


def loads(condition: str) -> bool:
    try:
        compile_conjunction([condition], ENVIRONMENT)
    except Exception:  # noqa: BLE001 - forms are filled at random: some cannot be meant
        return False
    return True


def holds(place: Place, fact: Fact, exchange: Exchange) -> bool:
    """Whether a fact holds for a request, looked at in the plainest way."""
    value: Any = scope_of(exchange, CLOCK.now)
    for name in place.path.split("."):
        value = getattr(value, name)
    if place.kind is PlaceKind.KEYS:
        return fact in value
    if place.kind is PlaceKind.FIRST:
        return any(holds_of(text, fact) for text in value.get(place.key, [])[:1])
    if place.kind is PlaceKind.ANY:
        return any(holds_of(text, fact) for text in value.get(place.key, []))
    return holds_of(value, fact)


def holds_of(value: Any, fact: Fact) -> bool:
    """Whether it holds for a value."""
    if isinstance(fact, Prefix):
        return bool(value.startswith(fact.text))
    if isinstance(fact, Suffix):
        return bool(value.endswith(fact.text))
    if isinstance(fact, Part):
        return fact.text in value
    if isinstance(fact, tuple):
        number = number_of(str(value))
        return number != number or fact[0] <= number < fact[1]
    return bool(value == fact)


def met(demands: Demands, exchange: Exchange) -> bool:
    return all(any(holds(place, fact, exchange) for fact in facts) for place, facts in demands.items())


@given(CONDITIONS.filter(loads), REQUESTS)
def test_without_its_facts_a_condition_is_false(condition: str, asked: dict[str, Any]) -> None:
    exchange = request(**asked)
    program = compile_conjunction([condition], ENVIRONMENT)
    if not met(program.demands, exchange):
        assert program.evaluate(scope_of(exchange, CLOCK.now)) is False


def result(phase: CompiledPhase, asked: dict[str, Any]) -> object:
    exchange = request(**asked)
    outcome = run(phase, exchange)
    if isinstance(outcome, Respond):
        return outcome.status, exchange.headers
    if isinstance(outcome, Refuse):
        return outcome.error.code, outcome.error.cause
    return outcome, exchange.headers, exchange.vars


#: rules that change what other rules look at
CHANGES = st.sampled_from(
    [
        "- type: add-headers\n  config: {headers: {x-a: a}}\n",
        "- type: remove-headers\n  config: {headers: [x-a]}\n",
        "- expressions: [\"req.headers['x-a'][0] == 'a'\"]\n  type: add-headers\n  config: {headers: {via: a}}\n",
        "- type: set-vars\n  config: {vars: [{list: ['a']}]}\n",
    ]
)


@given(st.lists(CONDITIONS.filter(loads), min_size=6, max_size=12), st.lists(CHANGES, max_size=3), REQUESTS, st.data())
def test_with_an_index_a_phase_does_the_same(
    conditions: list[str], changes: list[str], asked: dict[str, Any], data: st.DataObject
) -> None:
    rules = [
        f"- expressions: [{quoted(text)}]\n  type: set-vars\n  config: {{vars: [{{v{n}: 1}}]}}\n"
        for n, text in enumerate(conditions)
    ]
    rules += changes
    rules.append(f"- expressions: [{quoted(conditions[0])}]\n  type: deny\n")
    phase = compiled("on_http_request:\n" + "".join(data.draw(st.permutations(rules))))
    with_index = result(phase, asked)
    phase.index = None
    assert with_index == result(phase, asked)


def test_a_demand_that_is_not_met_would_be_noticed() -> None:
    """``met`` tells requests apart."""
    demands = compile_conjunction(["req.method == 'GET' && req.headers['x-a'][0] != 'a'"], ENVIRONMENT).demands
    assert met(demands, request(method="GET"))
    assert not met(demands, request(method="PUT"))
