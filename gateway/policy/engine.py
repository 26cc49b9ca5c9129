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

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy.compile import CompiledPhase, CompiledRule


def run_phase(phase: CompiledPhase, exchange: Exchange) -> Outcome | Awaitable[Outcome]:  # noqa: C901 - one loop, no call per rule
    """The outcome of a phase, or an awaitable of it. Raises nothing but cancellation."""
    rules = phase.rules
    if not rules:
        return None
    scope = exchange.scope
    if scope is None:  # as scope_of does
        make_scope = phase.make_scope
        scope = exchange.scope = make_scope(exchange, phase.now)
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
            for action in rule.actions:
                run = action.run
                try:
                    outcome = run(exchange)
                except Exception as error:  # noqa: BLE001 - an action must never fail open
                    return _failed_action(phase, rule, action, error)
                if outcome is not None:
                    if not action.is_async:
                        return cast("Outcome", outcome)
                    if action.is_final:
                        return cast("Awaitable[Outcome]", outcome)
                    return _finish(phase, rule, action, exchange, cast("Awaitable[Outcome]", outcome))
            if index is not None and scope.changes != changes:
                changes = scope.changes
                rules = index.possible(scope, phase.rules.index(rule) + 1)
                break
        else:
            return None


async def _finish(
    phase: CompiledPhase, rule: CompiledRule, action: CompiledAction, exchange: Exchange, waiting: Awaitable[Outcome]
) -> Outcome:
    """Awaits an action, then runs the rest of its rule and of the phase."""
    while True:
        try:
            outcome = await waiting
        except Exception as error:  # noqa: BLE001 - an action must never fail open
            return _failed_action(phase, rule, action, error)
        if outcome is not None:
            return outcome
        following = _go_on(phase, rule, action, exchange)
        if not isinstance(following, tuple):
            return following
        rule, action, waiting = following


def _go_on(
    phase: CompiledPhase, rule: CompiledRule, action: CompiledAction, exchange: Exchange
) -> Outcome | tuple[CompiledRule, CompiledAction, Awaitable[Outcome]]:
    """What comes after an action that has waited: an outcome, or the next action to await."""
    actions = iter(rule.actions)
    while next(actions) is not action:
        pass
    for current in (rule, *phase.rules[phase.rules.index(rule) + 1 :]):
        if current is not rule:
            actions = iter(current.actions)
            try:
                if current.matches is not None and not current.matches(exchange.scope):
                    continue
            except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
                return _failed_rule(phase, current, error)
        for following in actions:
            try:
                outcome = following.run(exchange)
            except Exception as error:  # noqa: BLE001 - an action must never fail open
                return _failed_action(phase, current, following, error)
            if following.is_async:
                return current, following, cast("Awaitable[Outcome]", outcome)
            if outcome is not None:
                return cast("Outcome", outcome)
    return None


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
