"""Runs one phase of a policy over one exchange.

``run_phase`` is synchronous: it returns an outcome, or, when it reaches an action that has to wait, a coroutine that
finishes the phase. A rule that does not match costs one call of its compiled condition and allocates nothing; where a
phase has an index, it costs nothing at all as long as the index knows that it cannot match.

Invariants
    1. Rules run in document order, a rule's actions in order; the first outcome but None ends the phase (TP-40).
    2. Nothing is skipped because it failed: every failure ends the phase with an error (TP-55). In ``on_tcp_connect``
       that is ``CloseConnection``, elsewhere ``Refuse``.
    3. ``vars`` starts empty in every phase (TP-146); results of actions stay.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

from gateway.errors import ACTION_FAILED, EXPRESSION_FAILED, GatewayError
from gateway.policy.action import CloseConnection, CompiledAction, Outcome, Refuse
from gateway.policy.fields import evaluation_failure
from gateway.policy.model import Phase
from gateway.policy.variables import scope_of

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy.compile import CompiledPhase, CompiledRule


def run_phase(phase: CompiledPhase, exchange: Exchange) -> Outcome | Awaitable[Outcome]:
    """The outcome of a phase, or an awaitable of it. Raises nothing but cancellation."""
    rules = phase.rules
    if not rules:
        return None
    scope = scope_of(exchange, phase.now, phase.make_scope)
    exchange.vars = scope.vars = {}
    index = phase.index
    if index is not None:
        rules = index.possible(scope)
    changes = scope.changes
    while True:
        for rule in rules:
            matches = rule.matches
            if matches is not None:
                try:
                    if not matches(scope):
                        continue
                except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
                    return _failed_rule(phase, rule, error)
            outcome = _run_actions(phase, rule, exchange)
            if outcome is not None:
                return _ended(phase, rule, exchange, outcome)
            if index is not None and scope.changes != changes:
                changes = scope.changes
                rules = index.possible(scope, phase.rules.index(rule) + 1)
                break
        else:
            return None


def _ended(
    phase: CompiledPhase, rule: CompiledRule, exchange: Exchange, outcome: Outcome | _Waiting
) -> Outcome | Awaitable[Outcome]:
    """What ends the phase, or waits first."""
    if isinstance(outcome, _Waiting):
        return _finish(phase, phase.rules.index(rule) + 1, exchange, outcome)
    return outcome


class _Waiting:
    """An action that has to be awaited, and where the phase goes on afterwards."""

    __slots__ = ("awaitable", "following", "rule")

    def __init__(self, awaitable: Awaitable[Outcome], rule: CompiledRule, following: int) -> None:
        self.awaitable = awaitable
        self.rule = rule
        self.following = following


def _run_actions(phase: CompiledPhase, rule: CompiledRule, exchange: Exchange, first: int = 0) -> Outcome | _Waiting:
    """A rule's actions from ``first`` on, up to the first that decides something or waits."""
    following = first
    for action in rule.actions[first:] if first else rule.actions:
        following += 1
        try:
            outcome = action.run(exchange)
        except Exception as error:  # noqa: BLE001 - an action must never fail open
            return _failed_action(phase, rule, action, error)
        if action.is_async:
            return _Waiting(cast("Awaitable[Outcome]", outcome), rule, following)
        if outcome is not None:
            return cast("Outcome", outcome)
    return None


async def _finish(phase: CompiledPhase, position: int, exchange: Exchange, waiting: _Waiting) -> Outcome:
    """Awaits an action, then runs the rest of its rule and of the phase."""
    current: Outcome | _Waiting = waiting
    while True:
        if isinstance(current, _Waiting):
            current = await _settled(phase, exchange, current)
            continue
        if current is not None or position >= len(phase.rules):
            return current
        rule = phase.rules[position]
        position += 1
        try:
            if rule.matches is not None and not rule.matches(exchange.scope):
                continue
        except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
            return _failed_rule(phase, rule, error)
        current = _run_actions(phase, rule, exchange)


async def _settled(phase: CompiledPhase, exchange: Exchange, waiting: _Waiting) -> Outcome | _Waiting:
    """The outcome of a waiting action, or of the actions after it."""
    try:
        outcome = await waiting.awaitable
    except Exception as error:  # noqa: BLE001 - an action must never fail open
        return _failed_action(phase, waiting.rule, waiting.rule.actions[waiting.following - 1], error)
    if outcome is not None:
        return outcome
    return _run_actions(phase, waiting.rule, exchange, waiting.following)


def _failed_rule(phase: CompiledPhase, rule: CompiledRule, error: Exception) -> Outcome:
    """A condition that could not be evaluated (TP-75)."""
    if rule.program is None:
        return _refusal(phase, GatewayError(EXPRESSION_FAILED, cause=str(rule.place)))
    return _refusal(phase, evaluation_failure(EXPRESSION_FAILED, str(rule.place), rule.program, error))


def _failed_action(phase: CompiledPhase, rule: CompiledRule, action: CompiledAction, error: Exception) -> Outcome:
    """An action that raised: its own gateway error, else 2300. The log gets the exception's class, never its text."""
    if not isinstance(error, GatewayError):
        error = GatewayError(ACTION_FAILED, cause=f"{rule.place}, {action.type}: {type(error).__name__}")
    return _refusal(phase, error)


def _refusal(phase: CompiledPhase, error: GatewayError) -> Outcome:
    return CloseConnection(error) if phase.phase is Phase.TCP else Refuse(error)
