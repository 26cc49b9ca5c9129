"""What only the whole policy shows: empty, unreachable, unhandled, unguarded (TP-7, TP-17, TP-18)."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.document import Node, Problems
from gateway.policy.action import ActionTable
from gateway.policy.model import ActionConfig, Phase, Policy, Protocol, Rule, Terminates
from gateway.policy.options import PolicyOptions

#: warning of CL-1: keys of the operator are open to whoever finds the endpoint
UNGUARDED = "ERR_TP_UNGUARDED"
#: warning of TP-444: a rule over answers that streamed ones escape
STREAMS_ESCAPE = "ERR_TP_STREAMS_ESCAPE"


def check_policy(
    policy: Policy,
    root: Node,
    places: Mapping[int, Node],
    actions: ActionTable,
    options: PolicyOptions,
    problems: Problems,
) -> None:
    """Reports what is wrong with the policy as a whole. ``places``: id of an action → its node."""
    checks = _Checks(policy, root, places, actions, options, problems)
    checks.has_actions()
    checks.unreachable()
    checks.unhandled()
    checks.unguarded()
    checks.streams_escape()


def _always(rule: Rule) -> bool:
    """Whether a rule matches every request, as far as that is written down."""
    return all(expression.strip() == "true" for expression in rule.expressions)


class _Checks:
    def __init__(
        self, policy: Policy, root: Node, places: Mapping[int, Node], actions: ActionTable, options: PolicyOptions,
        problems: Problems,
    ) -> None:  # fmt: skip
        self.policy = policy
        self.root = root
        self.places = places
        self.actions = actions
        self.options = options
        self.problems = problems

    def has_actions(self) -> None:
        """TP-7. Silent when rules were refused: they had actions."""
        if not any(self.policy.phases.values()) and not self.problems.failed:
            words = "the policy has no action: a policy needs at least one"
            self.problems.error(self.root, "ERR_NGROK_2206", words)

    def unreachable(self) -> None:
        """TP-17."""
        for rules in self.policy.phases.values():
            ended_by: str | None = None
            for rule in rules:
                ends = ended_by
                for action in rule.actions:
                    if ends is not None:
                        place = self.places[id(action)]
                        words = (
                            f"{rule.place.label}, {action.type}: can never run, {ends} always ends the phase before it"
                        )
                        self.problems.warning(place.get("type") or place, "ERR_NGROK_2207", words)
                    elif action.terminates is Terminates.ALWAYS:
                        ends = f"'{action.type}' in {rule.place.label}"
                if _always(rule):
                    ended_by = ends

    def unhandled(self) -> None:
        """TP-18: whether a request may reach the end of the phase with nobody to handle it (TP-50)."""
        options = self.options
        everything = self.policy.actions()
        has_gateway = any(self.actions[action.type].handles for action in everything)
        if options.protocol is not Protocol.HTTP or options.has_upstream or not self.policy.enabled or not everything:
            return
        if options.has_builtin_gateway and not has_gateway:
            return
        if any(self.handles(rule) for rule in self.policy.phases.get(Phase.REQUEST, ())):
            return
        words = (
            f"a request may reach the end of {Phase.REQUEST} unhandled: no terminating action runs for every request"
        )
        if options.require_termination:
            self.problems.error(self.root, "ERR_NGROK_2235", words)
        else:
            self.problems.warning(self.root, "ERR_NGROK_2235", words)

    def handles(self, rule: Rule) -> bool:
        """Whether every request that gets to this rule is handled by it."""
        return _always(rule) and any(
            action.terminates is Terminates.ALWAYS or self.actions[action.type].handles for action in rule.actions
        )

    def unguarded(self) -> None:
        """CL-1: an action with keys of the operator that nothing stands before."""
        if self.options.authenticated or not self.policy.enabled:
            return
        for phase in (Phase.TCP, Phase.REQUEST):
            for rule in self.policy.phases.get(phase, ()):
                for action in rule.actions:
                    if self.actions[action.type].handles and getattr(action.config, "has_keys", False):
                        if not rule.expressions:
                            self.warn_unguarded(action)
                        return
                    if self.guards(rule, action):
                        return

    def streams_escape(self) -> None:
        """TP-444."""
        if self.policy.phases.get(Phase.STREAM):
            return
        for rule in self.policy.phases.get(Phase.RESPONSE, ()):
            for action in rule.actions:
                if self.actions[action.type].skips_streams:
                    place = self.places[id(action)]
                    words = (
                        f"{rule.place.label}, {action.type}: streamed answers are not covered; "
                        f"add a rule to {Phase.STREAM}, such as sse-find-replace"
                    )
                    self.problems.warning(place.get("type") or place, STREAMS_ESCAPE, words)

    def guards(self, rule: Rule, action: ActionConfig) -> bool:
        """Whether an action may keep a caller out."""
        if self.actions[action.type].guards:
            return True
        return bool(rule.expressions) and action.terminates is Terminates.ALWAYS

    def warn_unguarded(self, action: ActionConfig) -> None:
        place = self.places[id(action)]
        words = f"'{action.type}' uses keys of this policy and nothing before it authenticates the caller"
        self.problems.warning(place.get("type") or place, UNGUARDED, words)
