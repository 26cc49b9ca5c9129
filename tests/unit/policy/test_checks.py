"""Warnings and errors about the whole policy: TP-7, TP-17, TP-18, CL-1, CL-40."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from gateway.policy import checks
from gateway.policy.action import ActionSpec, CompiledAction
from gateway.policy.model import Phase, Terminates
from gateway.policy.options import PolicyOptions
from gateway.schema.shapes import boolean, enum, field, record
from tests.unit.policy.world import context, load


@dataclass(frozen=True, slots=True)
class Config:
    on_error: str
    has_keys: bool


def spec(kind: str, **more: Any) -> ActionSpec[Any]:
    return ActionSpec(
        type=kind, phases=frozenset((Phase.REQUEST, Phase.TCP)),
        shape=record(Config, on_error=field(enum("halt", "continue"), "halt"), has_keys=field(boolean(), False)),
        compile=lambda config, deps: CompiledAction(kind, lambda exchange: None), **more,
    )  # fmt: skip


GATEWAY = spec(
    "ai-gateway", handles=True,
    terminates=lambda config: Terminates.ALWAYS if config.on_error == "halt" else Terminates.MAYBE,
)  # fmt: skip
GUARD = spec("restrict-ips", guards=True, terminates=lambda config: Terminates.MAYBE)


def codes(text: str, **options: Any) -> list[str]:
    """``line severity code`` of what is reported."""
    _, problems = load(text, context(PolicyOptions(**options), gateway=GATEWAY, guard=GUARD))
    return [f"{problem.line} {problem.severity} {problem.code.removeprefix('ERR_NGROK_')}" for problem in problems]


DENY = "- type: deny\n"
SOME = "- type: deny\n  expressions: [req.method == 'PUT']\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (DENY + SOME, [3]),
        (SOME + DENY, []),
        (SOME + SOME, []),
        ("- actions: [{type: deny}, {type: log, config: {metadata: {a: 1}}}]\n", [2]),
        ("- expressions: ['true']\n  actions:\n  - type: deny\n  - type: deny\n- type: deny\n", [5, 6]),
        ("- expressions: ['true || false']\n  type: deny\n- type: deny\n", []),
        ("- type: custom-response\n  config: {status_code: 503, body: down}\n- type: deny\n- type: deny\n", [4, 5]),
        ("- type: ai-gateway\n- type: deny\n", [3]),
        ("- type: ai-gateway\n  config: {on_error: continue}\n- type: deny\n", []),
    ],
)
def test_actions_that_never_run(text: str, lines: list[int]) -> None:
    """TP-17, CL-40: a warning at each of them; the policy loads."""
    found = codes(f"on_http_request:\n{text}")
    assert [line for line in found if "2207" in line] == [f"{line} warning 2207" for line in lines]


def test_another_phase_is_another_matter() -> None:
    """TP-17."""
    assert codes("on_tcp_connect:\n- type: deny\non_http_request:\n- type: deny\n") == []


def test_unreachable_names_what_stands_before() -> None:
    """TP-17."""
    _, problems = load("on_http_request:\n- name: all\n  type: deny\n- type: deny\n")
    assert str(problems).endswith("can never run, 'deny' in on_http_request[0] 'all' always ends the phase before it")


UPSTREAM = {"has_upstream": True}
PLAIN = {"has_builtin_gateway": False}


@pytest.mark.parametrize(
    ("text", "options", "warned"),
    [
        (SOME, {}, False),  # the built-in handler takes the rest: TP-50 (2), TP-52
        (SOME, PLAIN, True),
        (SOME, UPSTREAM | PLAIN, False),
        (DENY, PLAIN, False),
        ("- type: ai-gateway\n", {}, False),
        ("- type: ai-gateway\n  expressions: [req.method == 'PUT']\n", {}, True),  # TP-51
        ("- type: ai-gateway\n  expressions: [req.method == 'PUT']\n", UPSTREAM, False),
        ("- type: ai-gateway\n  config: {on_error: continue}\n", {}, False),  # TP-51: its own error is returned
        ("- type: ai-gateway\n  expressions: [req.method == 'PUT']\n- type: deny\n", {}, False),
    ],
)
def test_requests_that_nobody_handles(text: str, options: dict[str, bool], *, warned: bool) -> None:
    """TP-18, TP-50."""
    found = codes(f"on_http_request:\n{text}", **options)
    assert [line for line in found if "2235" in line] == (["1 warning 2235"] if warned else [])
    strict = codes(f"on_http_request:\n{text}", require_termination=True, **options)
    assert [line for line in strict if "2235" in line] == (["1 error 2235"] if warned else [])


KEYS = "- type: ai-gateway\n  config: {has_keys: true}\n"


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (KEYS, True),
        ("- type: ai-gateway\n", False),
        (SOME + KEYS, False),
        ("- type: restrict-ips\n" + KEYS, False),
        ("- type: set-vars\n  config: {vars: [{a: 1}]}\n" + KEYS, True),
        (KEYS.replace("config", "expressions: [req.method == 'PUT']\n  config"), False),
    ],
)
def test_keys_that_are_open_to_everybody(text: str, *, warned: bool) -> None:
    """CL-1."""
    assert any(checks.UNGUARDED in line for line in codes(f"on_http_request:\n{text}")) is warned
    assert not any(checks.UNGUARDED in line for line in codes(f"on_http_request:\n{text}", authenticated=True))


def test_a_guard_in_the_tcp_phase_counts() -> None:
    """CL-1."""
    text = f"on_tcp_connect:\n- type: restrict-ips\non_http_request:\n{KEYS}"
    assert not any(checks.UNGUARDED in line for line in codes(text))
