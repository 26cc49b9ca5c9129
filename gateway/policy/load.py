"""Text → ``Policy``: the forms a policy may arrive in, its phases, rules and actions, and what is wrong with it.

Stages
    1. parse       text to nodes (``gateway.document``)
    2. unwrap      strings, envelopes and older names are peeled off (TP-4 to TP-6, TP-9, TP-10)
    3. read        phases, rules, actions; expressions and configurations are compiled where they stand
    4. check       what only the whole policy shows (``gateway.policy.checks``)

Invariants
    1. Nothing is raised; every problem is in ``Problems`` with its position and all are reported at once (TP-21).
    2. A policy with an error is never returned (TP-23).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.cel.compile import Program, compile_conjunction, compile_expression, locate
from gateway.cel.env import BOOL, Environment
from gateway.cel.errors import CelError
from gateway.cel.facts import NEVER
from gateway.document import Kind, Node, Problems, parse_document
from gateway.policy.action import ActionSpec, ActionTable
from gateway.policy.checks import check_policy
from gateway.policy.environments import environment_for
from gateway.policy.fields import EXPRESSION_CODE, PolicyReader, check_expression
from gateway.policy.model import ActionConfig, Phase, Policy, Protocol, Rule, RulePlace
from gateway.policy.options import PolicyOptions
from gateway.policy.unwrap import Unwrapped, unwrap
from gateway.schema.reader import INVALID, nearest

NEVER_MATCHES = "the rule never matches, whatever the request"
#: constant conditions of up to this length are evaluated while loading, which nobody must be able to hold up
_SHORT = 200
MAX_RULES = 200
MAX_ACTIONS = 50
MAX_NAME = 1_023
_RULE_FIELDS = ("name", "expressions", "actions")
_SHORTHAND_FIELDS = ("name", "expressions", "type", "config")
_ACTION_FIELDS = ("type", "config")

#: types of the reference that this gateway does not have (TP-200, TP-561): what to use instead
NOT_SUPPORTED: Mapping[str, str] = {
    "oauth": "use jwt-validation for machine clients, or a login proxy in front",
    "openid-connect": "use jwt-validation for machine clients, or a login proxy in front",
    "oidc": "use jwt-validation for machine clients, or a login proxy in front",
    "saml": "use a login proxy in front",
    "owasp-crs-request": "put a web application firewall in front",
    "owasp-crs-response": "put a web application firewall in front",
    "terminate-tls": "configure 'tls' of the endpoint's listener",
}


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """What loading needs besides the text. ``environments`` are made once and shared by all policies."""

    actions: ActionTable
    options: PolicyOptions = field(default_factory=PolicyOptions)
    environments: Mapping[Phase, Environment] = field(default_factory=dict)

    def environment(self, phase: Phase) -> Environment:
        """The names of a phase."""
        return self.environments[phase]


def policy_context(actions: ActionTable, options: PolicyOptions | None = None) -> PolicyContext:
    """A context with the environments that the options call for."""
    options = options or PolicyOptions()
    environments = {
        phase: environment_for(phase, actions, available=options.available, absent=options.unavailable_absent)
        for phase in Phase
    }
    return PolicyContext(actions, options, environments)


def load_policy(text: str | bytes, context: PolicyContext, *, file: str = "<inline>") -> tuple[Policy | None, Problems]:
    """A stand-alone source: a file, a flag, an API field (TP-4)."""
    problems = Problems(file)
    root = parse_document(text, problems)
    if root is not None and root.kind is Kind.STRING:
        outer, problems = problems, Problems("<inline>")  # positions are those inside the string (TP-21)
        problems.extend(outer)
        root = parse_document(root.value, problems)  # once more, and only once
        if root is not None and root.kind is Kind.STRING:
            problems.error(root, problems.codes.syntax, "a policy must be a mapping of phases, is a string")
            return None, problems
    return _load(root, context, problems), problems


def load_policy_node(node: Node, context: PolicyContext, problems: Problems) -> Policy | None:
    """The ``traffic_policy`` of an endpoint in a configuration file: a mapping or a string (TP-5)."""
    if node.kind is not Kind.STRING:
        return _load(node, context, problems)
    policy, inner = load_policy(node.value, context)
    problems.extend(inner)
    return policy


def _load(root: Node | None, context: PolicyContext, problems: Problems) -> Policy | None:
    if problems.failed and root is None:
        return None
    unwrapped = unwrap(root or Node(Kind.NULL, 1, 1), problems)
    if unwrapped is None:
        return None
    policy = _PolicyLoader(context, unwrapped.problems).read(unwrapped)
    if unwrapped.problems is not problems:
        problems.extend(unwrapped.problems)
    return None if problems.failed else policy


class _PolicyLoader:
    """Reads one unwrapped policy."""

    def __init__(self, context: PolicyContext, problems: Problems) -> None:
        self.context = context
        self.problems = problems
        #: types of which a policy may have one, as they were met (TP-8)
        self.met: set[str] = set()
        #: where each action stands, for the checks
        self.places: dict[int, Node] = {}

    def read(self, source: Unwrapped) -> Policy:
        phases: dict[Phase, tuple[Rule, ...]] = {}
        for phase, key, node in self.phase_nodes(source.root):
            if self.context.options.protocol is not Protocol.HTTP and phase is not Phase.TCP:
                self.problems.error(key, "ERR_NGROK_2230", f"{phase} is only available on HTTP endpoints")
            phases[phase] = self.phase(phase, node)
        policy = Policy(phases, source.enabled)
        check_policy(policy, source.root, self.places, self.context.actions, self.context.options, self.problems)
        return policy

    def phase_nodes(self, root: Node) -> list[tuple[Phase, Node, Node]]:
        """(phase, its key, its value) of every phase in the document."""
        if root.kind is Kind.SEQUENCE:
            return [(Phase.REQUEST, root, root)]
        legacy = self.legacy_names()
        found: dict[Phase, tuple[Phase, Node, Node]] = {}
        for entry in root.entries:
            if entry.name == "enabled":
                continue
            phase = legacy.get(entry.name)
            if phase is None and entry.name not in list(Phase):
                words = f"unknown phase '{entry.name}'{nearest(entry.name, [*Phase, *legacy])}"
                self.problems.error(entry.key, "ERR_NGROK_2230", words)
                continue
            if phase is None:
                phase = Phase(entry.name)
            else:
                self.problems.warning(entry.key, "ERR_NGROK_2230", f"'{entry.name}' is the older name of '{phase}'")
            if phase in found:
                self.problems.error(entry.key, "ERR_NGROK_2230", f"'{phase}' is given twice, once by its older name")
                continue
            found[phase] = (phase, entry.key, entry.value)
        return list(found.values())

    def legacy_names(self) -> dict[str, Phase]:
        """TP-9."""
        if self.context.options.protocol is Protocol.TCP:
            return {"inbound": Phase.TCP}
        return {"inbound": Phase.REQUEST, "outbound": Phase.RESPONSE}

    def phase(self, phase: Phase, node: Node) -> tuple[Rule, ...]:
        if node.kind is Kind.NULL:
            return ()
        if node.kind is not Kind.SEQUENCE:
            self.problems.error(node, self.problems.codes.wrong_type, f"{phase} must be a list, is {node.kind.value}")
            return ()
        if len(node.items) > MAX_RULES:
            words = f"{phase} must have at most {MAX_RULES} rules, has {len(node.items)}"
            self.problems.error(node.items[MAX_RULES], "ERR_NGROK_2264", words)
        rules = [self.rule(phase, index, entry) for index, entry in enumerate(node.items)]
        return tuple(rule for rule in rules if rule is not None)

    def rule(self, phase: Phase, index: int, node: Node) -> Rule | None:
        """A rule, or an action used as one (TP-14)."""
        label = f"{phase}[{index}]"
        if node.kind is not Kind.MAPPING:
            words = f"{label}: a rule must be a mapping, is {node.kind.value}"
            self.problems.error(node, self.problems.codes.wrong_type, words)
            return None
        name = self.name(node, label)
        label = f"{label} '{name}'" if name else label
        shorthand = "type" in node.names
        self.unknown_fields(
            node, _SHORTHAND_FIELDS if shorthand and "actions" not in node.names else _RULE_FIELDS, label
        )
        expressions, condition = self.condition(phase, node, label)
        if shorthand:
            found = [self.action(phase, node, label)] if "actions" not in node.names else []
        else:
            found = self.actions(phase, node, label)
        place = RulePlace(self.problems.file, node.line, node.column, label)
        return Rule(name, place, expressions, condition, tuple(action for action in found if action is not None))

    def unknown_fields(self, node: Node, known: tuple[str, ...], label: str) -> None:
        """Reports keys that rules and actions do not have (TP-11 to TP-14)."""
        both = "type" in node.names and "actions" in node.names
        for entry in node.entries:
            if entry.name in known:
                continue
            if both and entry.name == "type":
                words = "an entry has either 'type' (an action used as a rule) or 'actions', not both"
            elif entry.name == "enabled":
                words = "'enabled' is not a field here; remove the rule or action instead"
            else:
                words = f"unknown field '{entry.name}'{nearest(entry.name, known)}"
            self.problems.error(entry.key, self.problems.codes.unknown_field, f"{label}: {words}")

    def name(self, node: Node, label: str) -> str:
        value = node.get("name")
        if value is None or value.kind is Kind.NULL:
            return ""
        if value.kind is not Kind.STRING:
            words = f"{label}: name must be a string, is {value.kind.value}"
            self.problems.error(value, self.problems.codes.wrong_type, words)
            return ""
        if len(value.value) > MAX_NAME:
            words = f"{label}: name must have at most {MAX_NAME} characters"
            self.problems.error(value, self.problems.codes.too_long, words)
            return ""
        return str(value.value)

    # --- expressions ---------------------------------------------------------------------------------------------

    def reader(self, phase: Phase, label: str, root: Node, spec: ActionSpec[object] | None = None) -> PolicyReader:
        return PolicyReader(
            self.problems, environment=self.context.environment(phase), phase=phase, options=self.context.options,
            label=label, root=root.path, codes=spec.codes if spec is not None else None,
        )  # fmt: skip

    def condition(self, phase: Phase, node: Node, label: str) -> tuple[tuple[str, ...], Program | None]:
        """The conjunction of a rule's expressions (TP-75)."""
        value = node.get("expressions")
        if value is None or value.kind is Kind.NULL:
            return (), None
        if value.kind is not Kind.SEQUENCE:
            words = f"{label}: expressions must be a list, is {value.kind.value}"
            self.problems.error(value, self.problems.codes.wrong_type, words)
            return (), None
        reader = self.reader(phase, label, node)
        sources = tuple(str(item.value) for item in value.items)
        sound = [check_expression(item, reader) for item in value.items]
        if not all(sound):
            self.each_alone([item for item, fits in zip(value.items, sound, strict=True) if fits], reader)
            return sources, None
        return sources, self.conjunction(sources, value.items, reader) if sources else None

    def conjunction(self, sources: tuple[str, ...], nodes: list[Node], reader: PolicyReader) -> Program | None:
        """One program for all; if it does not compile, each alone, so that every error is reported."""
        try:
            program = compile_conjunction(sources, reader.environment)
        except CelError as error:
            if not self.each_alone(nodes, reader):  # only together they are too large
                reader.cel_error(nodes[error.index], error, EXPRESSION_CODE)
            return None
        for index, node in enumerate(nodes):
            reader.cel_warnings(node, program, index=index)
        if NEVER in program.demands:
            reader.warning(nodes[0], "ERR_NGROK_2207", NEVER_MATCHES)
        elif program.pure and not program.reads and len(program.source) < _SHORT:
            self.constant(program, nodes[0], reader)
        return program

    def constant(self, program: Program, node: Node, reader: PolicyReader) -> None:
        """A condition that reads nothing is always the same; only one that always matches makes sense (P34)."""
        try:
            if program.evaluate(None):
                return
            words = NEVER_MATCHES
        except Exception as error:  # noqa: BLE001 - compiled expressions raise whatever Python raises
            words = f"the rule fails for every request: {locate(program, error).message}"
        reader.warning(node, "ERR_NGROK_2207", words)

    def each_alone(self, nodes: list[Node], reader: PolicyReader) -> int:
        """Reports what is wrong with each expression; how many are."""
        wrong = 0
        for node in nodes:
            try:
                compile_expression(node.value, reader.environment, expect=BOOL)
            except CelError as error:
                reader.cel_error(node, error, EXPRESSION_CODE)
                wrong += 1
        return wrong

    # --- actions -------------------------------------------------------------------------------------------------

    def actions(self, phase: Phase, node: Node, label: str) -> list[ActionConfig | None]:
        value = node.get("actions")
        if value is None or value.kind is Kind.NULL or (value.kind is Kind.SEQUENCE and not value.items):
            place = node if value is None else value
            self.problems.error(place, "ERR_NGROK_2206", f"{label}: a rule needs at least one action")
            return []
        if value.kind is not Kind.SEQUENCE:
            words = f"{label}: actions must be a list, is {value.kind.value}"
            self.problems.error(value, self.problems.codes.wrong_type, words)
            return []
        if len(value.items) > MAX_ACTIONS:
            words = f"{label}: a rule must have at most {MAX_ACTIONS} actions, has {len(value.items)}"
            self.problems.error(value.items[MAX_ACTIONS], "ERR_NGROK_2265", words)
        found: list[ActionConfig | None] = []
        for item in value.items:
            if item.kind is not Kind.MAPPING:
                words = f"{label}: an action must be a mapping, is {item.kind.value}"
                self.problems.error(item, self.problems.codes.wrong_type, words)
                continue
            self.unknown_fields(item, _ACTION_FIELDS, label)
            found.append(self.action(phase, item, label))
        return found

    def action(self, phase: Phase, node: Node, label: str) -> ActionConfig | None:
        """One action: its type, whether it may stand here, its configuration."""
        spec = self.spec(node, label)
        if spec is None:
            return None
        self.once(spec, node)
        if phase not in spec.phases:
            allowed = ", ".join(each for each in Phase if each in spec.phases)
            words = f"{label}: action '{spec.type}' is not available in {phase}; it is in {allowed}"
            self.problems.error(node.get("type") or node, "ERR_NGROK_2202", words)
            return None
        config = node.get("config")
        if config is None or config.kind is Kind.NULL:
            config = self.empty_config(node, config)
        value = self.reader(phase, f"{label}, {spec.type}", node, spec).read(spec.shape, config)
        if value is INVALID:
            return None
        action = ActionConfig(spec.type, value, node.path, spec.terminates(value))
        self.places[id(action)] = node
        return action

    def once(self, spec: ActionSpec[object], node: Node) -> None:
        """TP-8: counted over all rules, whatever their expressions and whatever else is wrong."""
        if spec.single_code and spec.type in self.met:
            words = f"only one '{spec.type}' action may appear in a policy, whatever the expressions say"
            self.problems.error(node.get("type") or node, spec.single_code, words)
        self.met.add(spec.type)

    def empty_config(self, node: Node, config: Node | None) -> Node:
        """``config`` omitted or null equals ``{}`` (TP-13)."""
        place = config or node.get("type") or node
        empty = Node(Kind.MAPPING, place.line, place.column)
        empty.parent, empty.step = node, "config"
        return empty

    def spec(self, node: Node, label: str) -> ActionSpec[object] | None:
        """The declaration of an action's type (TP-200, TP-201)."""
        value = node.get("type")
        if value is None or value.kind is not Kind.STRING:
            words = "an action needs a 'type'" if value is None else f"type must be a string, is {value.kind.value}"
            code = self.problems.codes.missing if value is None else self.problems.codes.wrong_type
            self.problems.error(value or node, code, f"{label}: {words}")
            return None
        spec = self.context.actions.get(value.value)
        if spec is not None:
            return spec
        for known in self.context.actions.values():
            if value.value in known.aliases:
                words = f"{label}: '{value.value}' is read as '{known.type}'"
                self.problems.warning(value, "ERR_NGROK_2201", words)
                return known
        if value.value in NOT_SUPPORTED:
            words = f"action '{value.value}' is known but not supported here: {NOT_SUPPORTED[value.value]}"
        else:
            words = f"unknown action type{nearest(value.value, self.context.actions)}"
        self.problems.error(value, "ERR_NGROK_2201", f"{label}: {words}")
        return None
