"""``Policy`` → ``CompiledPolicy``: every rule becomes a function and a tuple of functions.

Compiling cannot fail for reasons that lie in the document: loading has checked all of them. State that outlives a
reload is asked from ``CompileDeps`` by name; ``CompiledPolicy.claims`` lists what this policy uses.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

from gateway.cel.compile import Program
from gateway.policy.action import ActionTable, CompiledAction, CompileDeps
from gateway.policy.index import build_index
from gateway.policy.model import Phase, Policy, Rule, RulePlace
from gateway.policy.variables import scope_maker


class CompiledRule:
    """One rule. ``matches`` is None when the rule always applies."""

    __slots__ = ("actions", "matches", "place", "program")

    def __init__(self, place: RulePlace, program: Program | None, actions: tuple[CompiledAction, ...]) -> None:
        self.place = place
        self.program = program
        self.matches: Callable[[Any], Any] | None = program.evaluate if program is not None else None
        self.actions = actions


class CompiledPhase:
    """The rules of one phase. ``now`` is the clock of ``time.now``, ``make_scope`` suits what the rules read.

    ``index`` finds the rules that may match, where there are enough of them for that to pay.
    """

    __slots__ = ("index", "is_eager", "make_scope", "now", "phase", "rules")

    def __init__(self, phase: Phase, rules: tuple[CompiledRule, ...], now: Callable[[], float]) -> None:
        self.phase = phase
        self.rules = rules
        self.now = now
        self.index = build_index(rules)
        #: no action waits but those that can do so outside of a task
        self.is_eager = all(action.is_eager or not action.is_async for rule in rules for action in rule.actions)
        self.make_scope = scope_maker(name for rule in rules if rule.program is not None for name in rule.program.reads)

    def __repr__(self) -> str:
        return f"<CompiledPhase {self.phase}: {len(self.rules)} rules>"


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """What a snapshot holds of a policy. A phase without rules is missing from ``phases``."""

    phases: dict[Phase, CompiledPhase]
    claims: frozenset[tuple[Hashable, ...]]
    #: an action that handles every request it gets stands in the policy (TP-51)
    has_ai_gateway: bool

    @property
    def has_response_rules(self) -> bool:
        return Phase.RESPONSE in self.phases

    @property
    def has_stream_rules(self) -> bool:
        return Phase.STREAM in self.phases


def compile_policy(policy: Policy, actions: ActionTable, deps: CompileDeps) -> CompiledPolicy:
    """The callable form. A disabled policy (TP-10) compiles to no rules."""
    phases: dict[Phase, CompiledPhase] = {}
    for phase, rules in policy.phases.items():
        if rules and policy.enabled:
            phase_deps = replace(deps, phase=phase)
            compiled = tuple(_rule(rule, actions, phase_deps) for rule in rules)
            phases[phase] = CompiledPhase(phase, compiled, deps.clock.now)
    has_gateway = policy.enabled and any(actions[action.type].handles for action in policy.actions())
    return CompiledPolicy(phases, frozenset(deps.claimed), has_gateway)


def empty_phase(phase: Phase, deps: CompileDeps) -> CompiledPhase:
    """A phase without rules, for endpoints without a policy."""
    return CompiledPhase(phase, (), deps.clock.now)


def _rule(rule: Rule, actions: ActionTable, deps: CompileDeps) -> CompiledRule:
    compiled = tuple(actions[action.type].compile(action.config, deps) for action in rule.actions)
    return CompiledRule(rule.place, rule.condition, compiled)
