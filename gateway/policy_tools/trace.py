"""What happens to one request, rule by rule: recorded by rules that are compiled around those of the policy.

A compiled rule is a function and a tuple of functions; ``Recorder.wrap`` puts functions of its own around them. The
engine runs them as it runs any others, so that what is recorded is what the gateway does. A recorder without a
``Lens`` notes which rules matched and which one decided; with one it notes every value as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gateway.errors import GatewayError
from gateway.policy.action import CloseConnection, CompiledAction, Forward, Refuse, Respond
from gateway.policy.compile import CompiledPhase, CompiledPolicy, CompiledRule
from gateway.policy.model import ActionConfig, Phase, Policy, Rule

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy.action import Outcome
    from gateway.policy_tools.parts import Valued


@dataclass(slots=True)
class ActionTrace:
    """One action that ran."""

    type: str
    #: its expressions with their parts, before it ran: field → values
    inputs: list[tuple[str, list[Valued]]] = field(default_factory=list)
    #: what it changed: name → new value; None: taken away
    effects: list[tuple[str, Any]] = field(default_factory=list)
    outcome: str = "goes on"
    #: it ended its phase
    decided: bool = False

    def end(self, outcome: Outcome) -> None:
        """Notes what the action decided."""
        self.outcome = words_of(outcome)
        self.decided = outcome is not None


@dataclass(slots=True)
class RuleTrace:
    """One rule that was looked at. ``matched`` is None when its condition failed."""

    phase: Phase
    index: int
    name: str
    line: int
    #: one per expression
    expressions: list[list[Valued]] = field(default_factory=list)
    matched: bool | None = True
    error: str = ""
    actions: list[ActionTrace] = field(default_factory=list)
    decided: bool = False

    @property
    def place(self) -> str:
        """``on_http_request[1]``."""
        return f"{self.phase}[{self.index}]"


class Lens(Protocol):
    """Looks at values; see ``explain.Lens``."""

    def expressions(self, rule: Rule, phase: Phase, scope: Any) -> list[list[Valued]]: ...

    def inputs(self, action: ActionConfig, phase: Phase, scope: Any) -> list[tuple[str, list[Valued]]]: ...

    def state(self, exchange: Exchange) -> Any: ...

    def changes(self, before: Any, exchange: Exchange) -> list[tuple[str, Any]]: ...


class Recorder:
    """Records one request at a time."""

    def __init__(self, policy: Policy, lens: Lens | None = None) -> None:
        self._policy = policy
        self._lens = lens
        self.rules: list[RuleTrace] = []

    def begin(self) -> None:
        """Forgets the request before."""
        self.rules = []

    def decided_by(self) -> tuple[str, ...]:
        """Place and name of the last rule that ended its phase; nothing if none did."""
        for rule in reversed(self.rules):
            if rule.decided:
                return (rule.place, rule.name) if rule.name else (rule.place,)
        return ()

    def summary(self) -> str:
        """``on_http_request[1], rate-limit: refuses with 429 …``, for whoever wonders."""
        for rule in reversed(self.rules):
            if rule.decided:
                last = f", {rule.actions[-1].type}: {rule.actions[-1].outcome}" if rule.actions else f": {rule.error}"
                return f"{rule.place}{last}"
        return "no rule"

    def wrap(self, compiled: CompiledPolicy) -> CompiledPolicy:
        """The same policy, recorded."""
        phases = {phase: self._phase(found, self._policy.phases[phase]) for phase, found in compiled.phases.items()}
        return CompiledPolicy(phases, compiled.claims, compiled.has_ai_gateway)

    def _phase(self, compiled: CompiledPhase, rules: tuple[Rule, ...]) -> CompiledPhase:
        pairs = zip(compiled.rules, rules, strict=True)
        wrapped = tuple(self._rule(compiled.phase, index, *pair) for index, pair in enumerate(pairs))
        phase = CompiledPhase(compiled.phase, wrapped, compiled.now)
        phase.index = None  # rules that cannot match are asked, too: their conditions are to be shown
        return phase

    def _rule(self, phase: Phase, index: int, compiled: CompiledRule, rule: Rule) -> CompiledRule:
        actions = tuple(
            self._action(phase, action, config) for action, config in zip(compiled.actions, rule.actions, strict=True)
        )
        recorded = CompiledRule(compiled.place, compiled.program, actions)
        matches = compiled.matches

        def observed(scope: Any) -> Any:
            trace = RuleTrace(phase, index, rule.name, rule.place.line)
            self.rules.append(trace)
            if self._lens is not None:
                trace.expressions = self._lens.expressions(rule, phase, scope)
            if matches is None:
                return True
            try:
                result = matches(scope)
            except Exception:
                trace.matched, trace.error, trace.decided = None, "the condition cannot be evaluated", True
                raise
            trace.matched = bool(result)
            return result

        recorded.matches = observed
        return recorded

    def _action(self, phase: Phase, action: CompiledAction, config: ActionConfig) -> CompiledAction:
        run: Callable[[Exchange], Any] = action.run

        def observed(exchange: Exchange) -> Outcome:
            with self._watched(phase, config, exchange) as trace:
                outcome: Outcome = run(exchange)
                trace.end(outcome)
            return outcome

        async def waited(exchange: Exchange) -> Outcome:
            with self._watched(phase, config, exchange) as trace:
                outcome: Outcome = await run(exchange)
                trace.end(outcome)
            return outcome

        if action.is_async:
            return CompiledAction(action.type, waited, is_async=True)
        return CompiledAction(action.type, observed)

    @contextmanager
    def _watched(self, phase: Phase, config: ActionConfig, exchange: Exchange) -> Iterator[ActionTrace]:
        """The trace of one run of an action, its values before and after included."""
        rule = self.rules[-1]
        trace = ActionTrace(config.type)
        rule.actions.append(trace)
        before = None
        if self._lens is not None:
            trace.inputs = self._lens.inputs(config, phase, exchange.scope)
            before = self._lens.state(exchange)
        try:
            yield trace
        except Exception as error:
            trace.outcome = _failure_words(error)
            rule.decided = True
            raise
        rule.decided = trace.decided
        if self._lens is not None:
            trace.effects = self._lens.changes(before, exchange)


def _failure_words(error: Exception) -> str:
    if isinstance(error, GatewayError):
        return f"fails: {error.code}" + (f" ({error.cause})" if error.cause else "")
    return f"fails: {type(error).__name__}"


def words_of(outcome: Outcome) -> str:
    """``answers 401``, ``refuses with 429 ERR_NGROK_…``, ``forwards``."""
    match outcome:
        case None:
            return "goes on"
        case Respond(status=status):
            return f"answers {status}"
        case Refuse(error=error):
            return f"refuses with {error.status} {error.code}"
        case Forward():
            return "forwards the answer of an upstream"
        case CloseConnection():
            return "closes the connection"
