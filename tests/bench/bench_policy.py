"""What a policy costs a request, in microseconds and as a ratio to calling that many empty functions.

    python -m tests.bench.bench_policy

Budget (performance plan, B8): 100 rules that do not match at most 15 µs, better 8 µs, beyond a request without rules.
Also: a policy of five usual rules, making the scope, and what loading and compiling 100 rules takes.
"""

from __future__ import annotations

import sys
import timeit
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.exchange import Exchange
from gateway.policy.action import CompileDeps
from gateway.policy.compile import CompiledPhase, compile_policy
from gateway.policy.engine import run_phase
from gateway.policy.load import load_policy
from gateway.policy.model import Phase
from gateway.policy.paths import normalise
from tests.unit.policy.world import CLOCK, TABLE, Secrets, context, quoted, request

REPEAT = 120
NUMBER = 100
SECRETS = Secrets(v={"token": "secret"})
EXPRESSIONS = {
    "header": "req.headers['x-@'][0] == 'a'",
    "header and bearer": "req.headers['x-@'][0] == 'Bearer ' + 'a'",
    "path prefix": "req.url.path.startsWith('/api/@/')",
    "method and path": "req.method == 'PUT' && req.url.path == '/api/@'",
    "hasReqHeader": "hasReqHeader('X-@')",
    "address in a list": "conn.client_ip in ['10.0.0.@', '10.0.1.@']",
    "address in a network": "inCidrRange(conn.client_ip, '10.@.0.0/16')",
    "address in networks": "inCidrRanges(conn.client_ip, ['10.@.0.0/16', '2001:db8:@::/48'])",
}
#: rules that an index has a hard time with: the request has the header, or the form says nothing beforehand
EVALUATED = {
    "token": "req.headers['authorization'][0] == 'Bearer @'",
    "header in a list": "req.headers['authorization'][0] in ['Bearer @', 'Bearer a@']",
    "header begins with": "req.headers['x-a'][0].startsWith('@')",
    "header ends with": "req.headers['x-a'][0].endsWith('@')",
    "header contains": "req.headers['x-a'][0].contains('@')",
    "any value contains": "req.headers['x-a'].contains('@')",
    "in the values": "'@' in req.headers['x-a']",
    "path contains": "req.url.path.contains('/@/')",
    "path matches": "req.url.path.matches('^/a@/')",
    "user agent contains": "req.user_agent.contains('x@')",
    "address outside a network": "!inCidrRange(conn.client_ip, '203.0.112.@/22')",
    "query parameter": "getQueryParam('a')[0] == '@'",
}
FIVE = """
on_http_request:
  - expressions: ["req.headers['authorization'][0] != 'Bearer ' + secrets.get('v', 'token')"]
    type: custom-response
    config: {status_code: 401, body: '{"error": {"message": "no"}}'}
  - type: set-vars
    config: {vars: [{tier: free}, {limit: 5}]}
  - expressions: ["req.url.path.startsWith('/admin')"]
    type: deny
  - expressions: [hasReqHeader('x-debug'), vars.tier == 'free']
    type: deny
  - type: add-headers
    config: {headers: {x-request: "${req.id}"}}
"""


def microseconds(work: Callable[[], object]) -> float:
    """The best of several runs: noise only ever adds."""
    return min(timeit.repeat(work, number=NUMBER, repeat=REPEAT)) / NUMBER * 1e6


def phase_of(text: str) -> CompiledPhase:
    policy, problems = load_policy(text, context())
    if policy is None:
        raise SystemExit(str(problems))
    return compile_policy(policy, TABLE, CompileDeps("ep_1", clock=CLOCK)).phases[Phase.REQUEST]


def hundred(*expressions: str) -> str:
    """A policy of 100 rules, each of the forms in turn."""
    forms = [expressions[n % len(expressions)].replace("@", str(n)) for n in range(100)]
    rules = [f"- expressions: [{quoted(form)}]\n  type: deny\n" for form in forms]
    return "on_http_request:\n" + "".join(rules)


def empty_calls() -> float:
    functions = [lambda scope: False for _ in range(100)]

    def loop() -> None:
        for function in functions:
            if function(None):
                raise AssertionError

    return microseconds(loop)


def fresh() -> Exchange:
    """A request that nobody has looked at."""
    headers = [("authorization", "Bearer secret"), ("x-a", "none"), ("user-agent", "client/1.0")]
    return request("/v1/models?a=1", headers=headers, secrets=SECRETS)


def main() -> None:
    empty = empty_calls()
    print(f"{'100 calls of an empty function':34} {empty:6.2f} µs")
    cases: dict[str, tuple[str, ...]] = {name: (form,) for name, form in EXPRESSIONS.items()}
    cases["a mix of these"] = tuple(EXPRESSIONS.values())
    cases |= {name: (form,) for name, form in EVALUATED.items()}
    for name, forms in cases.items():
        if name == next(iter(EVALUATED)):
            print("the request has what the rules look for:")
        phase = phase_of(hundred(*forms))
        exchange = fresh()
        cost = microseconds(lambda phase=phase, exchange=exchange: run_phase(phase, exchange))  # type: ignore[misc]
        print(f"{'100 x ' + name:34} {cost:6.2f} µs   {cost / empty:4.1f} x")

    for name, text in {
        "one rule, new scope": hundred("false").split("- ex")[0] + "- type: log\n  config: {metadata: {a: 1}}\n",
        "five usual rules, new scope": FIVE,
    }.items():
        phase = phase_of(text)
        cost = microseconds(lambda phase=phase: run_phase(phase, fresh())) - microseconds(fresh)  # type: ignore[misc]
        print(f"{name:34} {cost:6.2f} µs")
    print(f"{'normalising a path':34} {microseconds(lambda: normalise('/v1/chat/completions')):6.2f} µs")
    text = hundred(EXPRESSIONS["header"])
    load = min(timeit.repeat(lambda: phase_of(text), number=1, repeat=3)) * 1e3
    print(f"{'loading and compiling 100 rules':34} {load:6.0f} ms")


if __name__ == "__main__":
    main()
