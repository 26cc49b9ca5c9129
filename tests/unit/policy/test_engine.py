"""Running phases: TP section 3, conditions TP-75, failing closed TP-55 to TP-57 and CL-97, absent headers TP 4.2."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import RATE_LIMITED, GatewayError, failure
from gateway.exchange import Exchange
from gateway.policy.action import (
    ActionSpec,
    CloseConnection,
    CompiledAction,
    CompileDeps,
    Forward,
    Outcome,
    Refuse,
    Respond,
)
from gateway.policy.compile import empty_phase
from gateway.policy.engine import run_phase
from gateway.policy.model import Phase
from gateway.schema.shapes import field, record, text
from tests.unit.policy.world import (
    Secrets,
    answer,
    compiled,
    context,
    quoted,
    refused,
    request,
    responded,
    run,
    run_waiting,
)  # fmt: skip

SECRETS = Secrets(v={"s": "topsecret"})


def policy(*rules: str) -> str:
    return "on_http_request:\n" + "".join(rules)


def rule(expression: str, status: int = 401) -> str:
    return f"- expressions: [{quoted(expression)}]\n  type: deny\n  config: {{status_code: {status}}}\n"


def step(name: str, **more: Any) -> ActionSpec[Any]:
    """An action ``probe``: appends ``config.say`` to ``vars.trace`` and decides as the name says."""

    def act(exchange: Exchange, say: str) -> Outcome:
        exchange.vars.setdefault("trace", []).append(say)
        exchange.results.setdefault("trace", []).append(say)
        if say == "stop":
            return Forward("held")
        if say == "bug":
            raise RuntimeError("topsecret in a message")
        if say == "limit":
            raise failure(RATE_LIMITED, name="n", capacity=1, window="1s", retry_after=1)
        return None

    def compile_step(config: dict[str, str], deps: CompileDeps) -> CompiledAction:
        say = config["say"]

        async def wait(exchange: Exchange) -> Outcome:
            await asyncio.sleep(0)
            return act(exchange, say)

        if name == "wait":
            return CompiledAction(name, wait, is_async=True)
        return CompiledAction(name, lambda exchange: act(exchange, say))

    return ActionSpec(
        type=name, phases=frozenset(Phase), shape=record(dict, say=field(text())), compile=compile_step, **more
    )


STEPS = context(step=step("step"), wait=step("wait"))


def steps(*says: str, expression: str = "", kind: str = "step") -> str:
    head = f"- expressions: [{quoted(expression)}]\n  actions:\n" if expression else "- actions:\n"
    return head + "".join(f"  - type: {kind}\n    config: {{say: {say}}}\n" for say in says)


# --- order


def test_rules_and_actions_run_in_order() -> None:
    """TP-40, TP-41."""
    exchange = request()
    phase = compiled(
        policy(
            steps("a", "b"), steps("c", expression="req.method == 'PUT'"), steps("d", expression="req.method == 'GET'")
        ),
        with_context=STEPS,
    )
    assert run(phase, exchange) is None
    assert exchange.results["trace"] == ["a", "b", "d"]


def test_the_first_outcome_ends_the_phase() -> None:
    """TP-42."""
    exchange = request()
    outcome = run(compiled(policy(steps("a", "stop", "b"), steps("c")), with_context=STEPS), exchange)
    assert isinstance(outcome, Forward)
    assert exchange.results["trace"] == ["a", "stop"]


def test_effects_are_visible_to_what_follows() -> None:
    """TP-40, TP-141."""
    text = """\
        on_http_request:
          - actions:
              - {type: set-vars, config: {vars: [{who: "${req.method}"}]}}
              - {type: add-headers, config: {headers: {x-who: "${vars.who}"}}}
          - expressions: ["req.headers['x-who'][0] == 'GET'", vars.who == 'GET']
            type: custom-response
            config: {body: "${vars.who}"}
    """
    assert responded(run(compiled(text), request())).body == b"GET"


def test_no_rules_no_work() -> None:
    exchange = request()
    assert run_phase(empty_phase(Phase.REQUEST, CompileDeps("ep_1")), exchange) is None
    assert exchange.scope is None


def test_variables_end_with_their_phase_and_results_stay() -> None:
    """TP-146, TP-147."""
    exchange = request(response=answer())
    first = compiled(
        "on_http_request:\n- type: set-vars\n  config: {vars: [{a: 1}]}\n- type: log\n  config: {metadata: {x: y}}\n"
    )
    assert run(first, exchange) is None
    body = "on_http_response:\n- type: custom-response\n  config: {body: '%s'}\n"
    later = compiled(body % "${actions.ngrok.log.metadata.x}", Phase.RESPONSE)
    assert responded(run(later, exchange)).body == b"y"
    assert refused(run(compiled(body % "${vars.a}", Phase.RESPONSE), exchange)) == "ERR_NGROK_2238"


# --- waiting


async def test_waiting_actions_finish_the_phase_in_order() -> None:
    """TP-40: a phase becomes a coroutine only when an action waits."""
    exchange = request()
    text = policy(
        steps("a"), steps("b", "c", kind="wait"), steps("d", expression="vars.trace.size() == 3"),
        steps("e", expression="req.method == 'PUT'"), steps("stop", kind="wait"), steps("f"),
    )  # fmt: skip
    assert isinstance(await run_waiting(compiled(text, with_context=STEPS), exchange), Forward)
    assert exchange.results["trace"] == ["a", "b", "c", "d", "stop"]


async def test_a_phase_may_end_after_waiting_without_an_outcome() -> None:
    exchange = request()
    text = policy(steps("a", kind="wait"), "- type: log\n  config: {metadata: {a: b}}\n", steps("b"))
    assert await run_waiting(compiled(text, with_context=STEPS), exchange) is None
    assert exchange.results["trace"] == ["a", "b"]


@pytest.mark.parametrize(("say", "code"), [("bug", "ERR_NGROK_2300"), ("limit", "ERR_TP_RATE_LIMITED")])
async def test_waiting_actions_fail_closed(say: str, code: str) -> None:
    """TP-55."""
    exchange = request()
    text = policy(steps(say, kind="wait"), steps("after"))
    assert refused(await run_waiting(compiled(text, with_context=STEPS), exchange)) == code
    assert exchange.results["trace"] == [say]


async def test_conditions_after_waiting_fail_closed() -> None:
    """TP-55."""
    text = policy(steps("a", kind="wait"), steps("b", expression="vars.nothing == 1"))
    assert refused(await run_waiting(compiled(text, with_context=STEPS), request())) == "ERR_NGROK_2254"


async def test_cancelling_passes_through() -> None:
    """A cancelled request is not a failed action."""

    async def forever(exchange: Exchange) -> Outcome:
        await asyncio.Event().wait()
        return None

    spec: ActionSpec[Any] = ActionSpec(
        type="wait", phases=frozenset(Phase), shape=record(dict),
        compile=lambda config, deps: CompiledAction("wait", forever, is_async=True),
    )  # fmt: skip
    phase = compiled("on_http_request:\n- type: wait\n", with_context=context(spec=spec))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_waiting(phase, request())


async def test_a_final_action_answers_for_its_phase() -> None:
    """Nothing stands around it: its outcome is the phase's, and so is an exception that it should not have raised."""
    ends: list[Outcome | Exception] = [Forward("held"), RuntimeError("a bug")]

    async def end(exchange: Exchange) -> Outcome:
        found = ends.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    spec: ActionSpec[Any] = ActionSpec(
        type="end", phases=frozenset(Phase), shape=record(dict),
        compile=lambda config, deps: CompiledAction("end", end, is_async=True, is_final=True),
    )  # fmt: skip
    phase = compiled("on_http_request:\n- type: end\n", with_context=context(spec=spec))
    assert await run_waiting(phase, request()) == Forward("held")
    with pytest.raises(RuntimeError, match="a bug"):
        await run_waiting(phase, request())


# --- failing closed


@pytest.mark.parametrize(("say", "code"), [("bug", "ERR_NGROK_2300"), ("limit", "ERR_TP_RATE_LIMITED")])
def test_actions_fail_closed(say: str, code: str) -> None:
    """TP-55: an action that raises ends the phase; its message does not get into the error (TP-57)."""
    outcome = run(compiled(policy(steps(say), steps("after")), with_context=STEPS), request())
    assert refused(outcome) == code
    assert isinstance(outcome, Refuse)
    assert "topsecret" not in outcome.error.cause
    assert not outcome.run_response_phase


@pytest.mark.parametrize(
    ("expressions", "outcome"),
    [
        (["vars.nothing == 1"], "ERR_NGROK_2254"),
        (["false", "vars.nothing == 1"], None),
        (["vars.nothing == 1", "false"], None),
        (["true", "vars.nothing == 1"], "ERR_NGROK_2254"),
        (["vars.nothing == 1", "vars.other == 1"], "ERR_NGROK_2254"),
        (["vars.nothing == 1", "req.method == 'PUT'", "vars.other == 1"], None),
        (["true", "true"], 401),
    ],
)
def test_the_conjunction_of_expressions(expressions: list[str], outcome: Any) -> None:
    """TP-75, CL-97: any false one decides; otherwise any failure fails closed."""
    quoted_list = ", ".join(map(quoted, expressions))
    found = run(
        compiled(policy(f"- expressions: [{quoted_list}]\n  type: deny\n  config: {{status_code: 401}}\n")), request()
    )
    joined = run(compiled(policy(rule(" && ".join(f"({each})" for each in expressions)))), request())
    for result in (found, joined):
        if outcome is None:
            assert result is None
        elif isinstance(outcome, int):
            assert responded(result).status == outcome
        else:
            assert refused(result) == outcome


@pytest.mark.parametrize("expression", ["vars.v", "[vars.v][0]", "req.headers['x'][0]"])
def test_a_condition_that_is_no_boolean(expression: str) -> None:
    """TP-76: absent included."""
    text = policy(
        "- type: set-vars\n  config: {vars: [{v: text}]}\n", rule(expression) if "req" not in expression else ""
    )
    if "req" in expression:
        text = policy("- type: set-vars\n  config: {vars: [{v: \"${req.headers['x'][0]}\"}]}\n", rule("vars.v"))
    assert refused(run(compiled(text), request())) == "ERR_NGROK_2254"


def test_numbers_against_strings() -> None:
    """CL-81: loads, fails closed."""
    text = "on_http_response:\n- expressions: [res.status_code < dyn('200')]\n  type: custom-response\n"
    assert refused(run(compiled(text, Phase.RESPONSE), request(response=answer()))) == "ERR_NGROK_2254"


def test_failing_in_the_response_phase() -> None:
    """TP-56, CL-97: the answer is an error, so the upstream's body goes nowhere."""
    text = "on_http_response:\n- expressions: [vars.nothing == 1]\n  type: custom-response\n"
    assert refused(run(compiled(text, Phase.RESPONSE), request(response=answer()))) == "ERR_NGROK_2254"


def test_failing_at_connect_closes() -> None:
    """TP-56."""
    text = "on_tcp_connect:\n- expressions: [vars.nothing == 1]\n  type: deny\n"
    outcome = run(compiled(text, Phase.TCP), request())
    assert isinstance(outcome, CloseConnection)
    assert isinstance(outcome.error, GatewayError)
    assert outcome.error.code == "ERR_NGROK_2254"


def test_what_the_log_gets() -> None:
    """TP-57: file, position, phase, rule and name; no value of the request, no secret."""
    text = policy(
        rule("req.method == 'PUT'"),
        "- name: check\n" + rule("vars[req.headers['x'][0]] == secrets.get('v', 's')")[2:].join(["  ", ""]),
    )
    outcome = run(compiled(text), request(headers=[("x", "value-of-the-client")], secrets=SECRETS))
    assert isinstance(outcome, Refuse)
    assert outcome.error.cause.startswith("p.yaml:5:3: on_http_request[1] 'check'")
    assert "value-of-the-client" not in outcome.error.cause
    assert "topsecret" not in outcome.error.cause
    assert outcome.error.message == "Failed to evaluate a policy expression."


def test_limits_of_evaluation() -> None:
    """TP-77."""
    big = "lists.range(10000).map(a, lists.range(10000).map(b, b))"
    assert refused(run(compiled(policy(rule(f"{big}.size() == 1"))), request())) == "ERR_NGROK_2249"


# --- absent headers: TP 4.2


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("req.headers['authorization'][0] != 'Bearer ' + secrets.get('v','s')", True),
        ("req.headers['authorization'][0] != 'Bearer ' + secrets.get('v','missing')", "ERR_NGROK_2254"),
        ("!(req.headers['authorization'][0] in vars.valid_auth_headers)", True),
        ("req.headers['x-api-key'][0] == secrets.get('v','s')", False),
        ("'beta' in req.headers['x-flags']", False),
        ("req.headers['x-canary'].join(',') == 'true'", False),
        ("!req.headers['authorization'][0].startsWith('Bearer ')", True),
        ("req.headers['x-n'][0] < '5'", "ERR_NGROK_2254"),
        ("'x-n' in req.headers", False),
        ("hasReqHeader('x-n')", False),
        ("has(req.headers['x-n'])", False),
        ("'Bearer ' + req.headers['authorization'][0] == 'Bearer '", "ERR_NGROK_2254"),
        ("req.headers['authorization'] == null", True),
        ("size(req.headers['authorization']) == 0", True),
        ("getReqHeader('authorization').size() == 0", True),
        ("getReqHeader('authorization')[0] == null", True),
        ("req.url.query_params['q'][0] == null", True),
        ("req.cookies['c'][0].value == null", True),
        ("getReqCookie('c').value == null", True),
        ("req.content_type.parameters['charset'] == null", True),
        ("actions.ngrok.log.metadata.x == null", True),
        ("secrets.get('v','s') == null", False),
        ("secrets.get('missing') == null", "ERR_NGROK_2254"),
    ],
)
def test_absent_headers(expression: str, result: Any) -> None:
    """TP-80 to TP-86, TP 4.2's table, through a whole policy."""
    set_vars = (
        "- type: set-vars\n  config: {vars: [{valid_auth_headers: [\"${'Bearer ' + secrets.get('v', 's')}\"]}]}\n"
    )
    outcome = run(compiled(policy(set_vars, rule(expression))), request(secrets=SECRETS))
    if isinstance(result, str):
        assert refused(outcome) == result
    elif result:
        assert responded(outcome).status == 401
    else:
        assert outcome is None


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ([("authorization", "Bearer topsecret")], True),
        ([("Authorization", "Bearer topsecret")], True),
        ([("AUTHORIZATION", "  Bearer topsecret  ")], True),
        ([("authorization", "bearer topsecret")], False),
        ([("authorization", "Bearer topsecre")], False),
        ([("authorization", "Bearer topsecret"), ("authorization", "Bearer other")], True),
        ([("authorization", "Bearer other"), ("authorization", "Bearer topsecret")], False),
        ([("authorization", "")], False),
        ([("authorization", "Bearer ")], False),
        ([("authorization", "Bearer null")], False),
        ([("x-api-key", "topsecret")], False),
        ([], False),
    ],
)
def test_bearer_guards(headers: list[tuple[str, str]], *, admitted: bool) -> None:
    """CL-2, CL-95: with the expression of the documents, and with a list of valid values."""
    direct = policy(rule("req.headers['authorization'][0] != 'Bearer ' + secrets.get('v', 's')"))
    listed = policy(
        "- type: set-vars\n  config: {vars: [{valid: [\"${'Bearer ' + secrets.get('v', 's')}\", Bearer x]}]}\n",
        rule("!(req.headers['authorization'][0] in vars.valid)"),
    )
    for document in (direct, listed):
        outcome = run(compiled(document), request(headers=headers, secrets=SECRETS))
        assert outcome is None if admitted else responded(outcome).status == 401


def test_a_deleted_secret_admits_nobody() -> None:
    """CL-14, CL-15: fetched at every evaluation."""
    phase = compiled(policy(rule("req.headers['a'][0] != secrets.get('v', 's')")))
    secrets = Secrets(v={"s": "old"})
    old, new = [("a", "old")], [("a", "new")]
    assert run(phase, request(headers=old, secrets=secrets)) is None
    secrets.vaults["v"]["s"] = "new"
    assert isinstance(run(phase, request(headers=old, secrets=secrets)), Respond)
    assert run(phase, request(headers=new, secrets=secrets)) is None
    del secrets.vaults["v"]["s"]
    for headers in (old, new, []):
        assert refused(run(phase, request(headers=headers, secrets=secrets))) == "ERR_NGROK_2254"
