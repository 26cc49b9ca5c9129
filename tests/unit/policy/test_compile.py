"""Compiling policies: what a snapshot gets. TP-10, TP-51."""

from __future__ import annotations

from gateway.clock import ManualClock
from gateway.policy.action import CompileDeps
from gateway.policy.compile import compile_policy, empty_phase
from gateway.policy.model import Phase
from tests.unit.policy.test_load import probe
from tests.unit.policy.world import TABLE, context, load


def test_phases_without_rules_are_missing() -> None:
    policy, _ = load("on_http_request:\n- type: deny\non_http_response: []\n")
    assert policy is not None
    compiled = compile_policy(policy, TABLE, CompileDeps("ep_1"))
    assert list(compiled.phases) == [Phase.REQUEST]
    assert not compiled.has_response_rules
    assert not compiled.has_stream_rules
    assert not compiled.has_ai_gateway
    assert repr(compiled.phases[Phase.REQUEST]) == "<CompiledPhase on_http_request: 1 rules>"


def test_response_and_stream_rules() -> None:
    text = "{0}:\n- type: set-vars\n  config: {{vars: [{{a: 1}}]}}\n"
    for phase, response, stream in ((Phase.RESPONSE, True, False), (Phase.STREAM, False, True)):
        policy, _ = load(text.format(phase))
        assert policy is not None
        compiled = compile_policy(policy, TABLE, CompileDeps("ep_1"))
        assert (compiled.has_response_rules, compiled.has_stream_rules) == (response, stream)


def test_a_disabled_policy_has_no_rules() -> None:
    """TP-10."""
    policy, _ = load("enabled: false\non_http_request:\n- type: deny\n")
    assert policy is not None
    assert compile_policy(policy, TABLE, CompileDeps("ep_1")).phases == {}


def test_policies_with_a_gateway_action() -> None:
    """TP-51: it is never bypassed, even where it does not match."""
    with_gateway = context(spec=probe("ai-gateway", handles=True))
    policy, _ = load("on_http_request:\n- type: ai-gateway\n  expressions: ['false']\n", with_gateway)
    assert policy is not None
    assert compile_policy(policy, with_gateway.actions, CompileDeps("ep_1")).has_ai_gateway


def test_phases_know_their_clock() -> None:
    clock = ManualClock(now_s=5.0)
    assert empty_phase(Phase.REQUEST, CompileDeps("ep_1", clock=clock)).now() == 5.0


def test_actions_learn_their_phase() -> None:
    policy, _ = load("on_tcp_connect:\n- type: deny\non_http_request:\n- type: deny\n")
    assert policy is not None
    deps = CompileDeps("ep_1")
    phases = compile_policy(policy, TABLE, deps).phases
    assert {type(phase.rules[0].actions[0].run(None)).__name__ for phase in (phases[Phase.TCP],)} == {"CloseConnection"}  # type: ignore[arg-type]
    assert deps.phase is Phase.REQUEST
