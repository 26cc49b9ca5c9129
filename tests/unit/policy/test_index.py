"""Which rules a phase leaves out, and when it looks again (B8)."""

from __future__ import annotations

import pytest

from gateway.exchange import Exchange
from gateway.policy.compile import CompiledPhase
from gateway.policy.index import MIN_RULES, RuleIndex
from gateway.policy.model import Phase
from gateway.policy.variables import scope_of
from tests.unit.policy.world import CLOCK, answer, compiled, quoted, request, run

RULE = "- expressions: [{}]\n  type: set-vars\n  config: {{vars: [{{v{}: 1}}]}}\n"


def phase_of(*conditions: str, phase: Phase = Phase.REQUEST) -> CompiledPhase:
    return compiled(
        f"{phase}:\n" + "".join(RULE.format(quoted(text), number) for number, text in enumerate(conditions)), phase
    )


def index_of(*conditions: str) -> RuleIndex:
    index = phase_of(*conditions).index
    assert index is not None
    return index


def possible(index: RuleIndex, exchange: Exchange, first: int = 0) -> list[int]:
    """The numbers of the rules that are left."""
    rules = index.possible(scope_of(exchange, CLOCK.now), first)
    return [int(rule.place.label.partition("[")[2].rstrip("]")) for rule in rules]


def numbered(form: str, count: int = 10) -> list[str]:
    return [form.replace("@", str(number)) for number in range(count)]


@pytest.mark.parametrize(
    ("form", "asked", "expected"),
    [
        ("req.headers['x-@'][0] == 'a'", {"headers": [("X-3", "b"), ("x-7", "a")]}, [3, 7]),
        ("req.headers['authorization'][0] == 'Bearer @'", {"headers": [("authorization", "Bearer 4")]}, [4]),
        ("req.headers['Authorization'][0] in ['é@', 'x']", {"headers": [("authorization", "é2")]}, [2]),
        ("req.headers['a'][0] in ['é@', 'x']", {"headers": [("a", "x"), ("a", "é2")]}, list(range(10))),
        ("getQueryParam('q')[0] == '@'", {"target": "/?q=3&q=4"}, [3]),
        ("req.headers['a'][0] == '@'", {"headers": [("a", "\udc80")]}, []),
        ("req.headers['a'][1] == '@'", {"headers": [("a", "x")]}, list(range(10))),
        ("req.headers['a'][0].startsWith('b@')", {"headers": [("A", "b4711"), ("a", "b5")]}, [4]),
        ("req.headers['a'][0].endsWith('@b')", {"headers": [("a", "114b")]}, [4]),
        ("req.headers['a'][0].contains('@b')", {"headers": [("a", "x4b7b"), ("a", "1b")]}, [4, 7]),
        ("req.headers['a'][0].startsWith('@') || req.headers['a'][0] == 'é'", {"headers": [("a", "é")]},
         list(range(10))),
        ("req.headers['a'][0].startsWith('@') && req.headers['a'][0].endsWith('b')", {"headers": [("a", "3")]}, [3]),
        ("req.headers['a'][0].startsWith('@') && req.headers['a'][0] in ['1b', '2b']", {"headers": [("a", "2b")]}, [2]),
        ("req.headers['a'].contains('@b')", {"headers": [("a", "x4b"), ("a", "1b")]}, [1, 4]),
        ("req.headers['a'].startsWith('@')", {"headers": [("a", "\udc80"), ("a", "1b")]}, [1]),
        ("'@' in req.headers['a']", {"headers": [("a", "é"), ("a", "1"), ("a", "6")]}, [1, 6]),
        ("'@' in req.headers['a']", {}, []),
        ("req.headers['a'][0].matches('b@')", {"headers": [("a", "ab3")]}, [3]),
        ("req.url.path.endsWith('/@')", {"target": "/api/5"}, [5]),
        ("req.url.path.contains('/@')", {"target": "/5/6/a7"}, [5, 6]),
        ("req.user_agent.contains('x@')", {"headers": [("user-agent", "x7/x8")]}, [7, 8]),
        ("hasReqHeader('X-@')", {"headers": [("x-4", "")]}, [4]),
        ("req.url.path == '/api/@'", {"target": "/api/5"}, [5]),
        ("req.url.path in ['/a', '/api/@']", {"target": "/a"}, list(range(10))),
        ("req.url.path.startsWith('/api/@')", {"target": "/api/61"}, [6]),
        ("req.url.path.startsWith('/api/@') || req.url.path == '/all'", {"target": "/all"}, list(range(10))),
        ("inCidrRange(conn.client_ip, '10.@.0.0/16')", {"client_ip": "10.7.1.1"}, [7]),
        ("inCidrRanges(conn.client_ip, ['10.@.0.0/16', '10.0.0.0/8', '10.@.1.0/24'])", {"client_ip": "10.7.1.1"},
         list(range(10))),
        ("inCidrRanges(conn.client_ip, ['10.@.0.0/16', '10.@.0.0/17'])", {"client_ip": "10.7.200.1"}, [7]),
        ("inCidrRange(conn.client_ip, '2001:db8:@::/48')", {"client_ip": "2001:db8:2::1"}, [2]),
        ("inCidrRange(conn.client_ip, '10.@.0.0/16')", {"client_ip": "nonsense"}, list(range(10))),
        ("!inCidrRange(conn.client_ip, '10.@.0.0/16')", {"client_ip": "10.3.0.1"}, [0, 1, 2, 4, 5, 6, 7, 8, 9]),
        ("!inCidrRanges(conn.client_ip, ['10.0.0.0/8', '::/0', '192.0.2.@/32'])", {"client_ip": "192.0.2.3"},
         [0, 1, 2, 4, 5, 6, 7, 8, 9]),
        ("!inCidrRange(conn.client_ip, '10.@.0.0/16')", {"client_ip": "nonsense"}, list(range(10))),
        ("req.method == 'GET' && req.url.path == '/@'", {"target": "/5"}, [5]),
        ("req.method == 'GET' && req.url.path == '/@'", {"target": "/5", "method": "PUT"}, []),
        ("hasQueryParam('q@') || hasQueryParam('p@')", {"target": "/?p3=1&q2"}, [2, 3]),
        ("false && vars.x@ == 1", {}, []),
    ],
)  # fmt: skip
def test_rules_that_cannot_match_are_left_out(form: str, asked: dict, expected: list[int]) -> None:
    index = index_of(*numbered(form))
    assert possible(index, request(**asked)) == expected
    assert possible(index, request(**asked), 6) == [number for number in expected if number >= 6]


@pytest.mark.parametrize(
    "form",
    [
        "req.headers['x-@'][0] != 'a'", "!hasReqHeader('x-@')", "req.headers['x-@'][0] < 'a'", "vars.x@ == 'a'",
        "req.headers['x-@'][0] == vars.y", "hasReqHeader('x-@') || req.method == 'GET'", "size(req.url.path) == @",
        "req.headers['x-@'][0].startsWith(vars.y)", "!req.headers['x-@'][0].startsWith('a')",
        "secrets.get('v', 'n@') == 'a'", "conn.bytes_in == @", "time.now == '@'",
    ],
)  # fmt: skip
def test_what_may_match_or_fail_is_not_indexed(form: str) -> None:
    assert phase_of(*numbered(form)).index is None


def test_rules_that_demand_nothing_stay_where_they_are() -> None:
    conditions = numbered("req.url.path == '/@'")
    conditions[4:4] = ["vars.x == 1"]
    assert possible(index_of(*conditions), request("/8")) == [4, 9]


def test_few_rules_are_not_indexed() -> None:
    assert phase_of(*numbered("hasReqHeader('x-@')", MIN_RULES)).index is not None
    assert phase_of(*numbered("hasReqHeader('x-@')", MIN_RULES - 1)).index is None


def test_answers_are_indexed_too() -> None:
    phase = phase_of(*numbered("res.status_code == 50@"), phase=Phase.RESPONSE)
    assert phase.index is not None
    assert possible(phase.index, request(response=answer(503))) == [3]


def test_what_cannot_be_read_leaves_every_rule_in() -> None:
    """Here: rules over an answer, and no answer."""
    phase = phase_of(*numbered("res.status_code == 50@"), phase=Phase.RESPONSE)
    assert phase.index is not None
    assert possible(phase.index, request()) == list(range(10))


def test_after_a_change_the_index_is_asked_again() -> None:
    rules = "".join(RULE.format(quoted(f"hasReqHeader('x-{number}')"), number) for number in range(8))
    adding = "- type: add-headers\n  config: {headers: {x-3: a}}\n"
    removing = "- type: remove-headers\n  config: {headers: [x-5]}\n"
    phase = compiled("on_http_request:\n" + adding + rules + removing + rules)
    exchange = request(headers=[("x-5", "a")])
    assert run(phase, exchange) is None
    assert exchange.vars == {"v3": 1, "v5": 1}
    exchange.vars.clear()
    exchange = request(headers=[("x-5", "a"), ("x-0", "a")])
    run(phase, exchange)
    assert set(exchange.vars) == {"v0", "v3", "v5"}


def test_what_is_remembered_is_bounded() -> None:
    """A client that makes up requests cannot fill the memory."""
    index = index_of(*numbered("hasReqHeader('x-@')"))
    for number in range(1 << 10):
        names = [(f"x-{bit}", "") for bit in range(10) if number >> bit & 1]
        assert len(possible(index, request(headers=names))) == len(names)
    assert len(index._remembered) <= 256
