"""The forms around a policy: bare lists, ``traffic_policy:``, older names and the older envelope (TP-4 to TP-10)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.document import Kind, Node, Problems, parse_document
from gateway.policy.model import Phase

MAX_WRAPPERS = 4
_WRAPPERS = ("traffic_policy", "trafficPolicy", "policy")


@dataclass(slots=True)
class Unwrapped:
    """A mapping of phases, or the list of a request phase. ``problems`` is that of the text it stands in."""

    root: Node
    problems: Problems
    enabled: bool = True


def unwrap(root: Node, problems: Problems) -> Unwrapped | None:
    """Peels off what stands around the phases; None after reporting an error to ``problems``."""
    found = Unwrapped(root, problems)
    for _ in range(MAX_WRAPPERS):
        if not _peel(found):
            break
    if _is_policy(found):
        return found
    problems.extend(found.problems)
    return None


def _is_policy(found: Unwrapped) -> bool:
    """Reports what cannot be a policy."""
    node, problems = found.root, found.problems
    if node.kind is Kind.SEQUENCE:
        problems.warning(node, problems.codes.syntax, f"a bare list is read as the content of '{Phase.REQUEST}'")
        return True
    if node.kind is Kind.NULL:
        problems.error(node, "ERR_NGROK_2206", "the policy is empty: a policy needs at least one action")
        return False
    if node.kind is not Kind.MAPPING:
        problems.error(node, problems.codes.syntax, f"a policy must be a mapping of phases, is {node.kind.value}")
        return False
    return _read_enabled(found)


def _peel(found: Unwrapped) -> bool:
    """Takes off one wrapper if there is one."""
    if found.root.kind is not Kind.MAPPING:
        return False
    node, problems = found.root, found.problems
    names = [name for name in node.names if name != "enabled"]
    if len(names) == 1 and names[0] in _WRAPPERS:
        key, value = node.key(names[0]), node.get(names[0])
        if key is None or value is None:
            return False
        words = f"'{names[0]}' around a policy is taken off"
        if names[0] == "policy":
            words = "'policy' is the older name of 'traffic_policy'; it is taken off"
        problems.warning(key, problems.codes.syntax, words)
        _read_enabled(found)
        return _step_into(found, value)
    value = node.get("value")
    if names == ["value"] and value is not None:
        problems.warning(node, problems.codes.syntax, "the envelope 'enabled'/'value' is an older form")
        _read_enabled(found)
        return _step_into(found, value)
    return False


def _step_into(found: Unwrapped, value: Node) -> bool:
    """Goes on with the value of a wrapper; a string is parsed, with positions inside that string (TP-21)."""
    found.root = value
    if value.kind is Kind.STRING:
        outer = found.problems
        found.problems = Problems("<inline>", codes=outer.codes)
        found.problems.extend(outer)
        inner = parse_document(value.value, found.problems)
        found.root = inner if inner is not None else Node(Kind.NULL, 1, 1)
    return True


def _read_enabled(found: Unwrapped) -> bool:
    """``enabled`` beside phase keys or in the envelope (TP-10)."""
    enabled = found.root.get("enabled")
    if enabled is None:
        return True
    if enabled.kind is not Kind.BOOLEAN:
        words = f"enabled must be a boolean, is {enabled.kind.value}"
        found.problems.error(enabled, found.problems.codes.wrong_type, words)
        return False
    if not enabled.value:
        found.enabled = False
        words = "the policy is disabled and protects nothing"
        found.problems.warning(enabled, found.problems.codes.tolerated, words)
    return True
