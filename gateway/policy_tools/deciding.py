"""The numbers that strategies decided by: what each expression reads of a model or key, with its value at that moment.

An expression over a collection says what matters by its members: ``ai.keys.filter(k, k.quota.remaining_tokens > 100)``
reads ``quota.remaining_tokens`` of every key. Those members are looked up in every candidate and key right after the
decision, before the attempts that follow change them. ``value``, a key's secret, is never looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from gateway.cel import ast
from gateway.cel.errors import CelError
from gateway.cel.parse import parse_part
from gateway.cel.source import Source
from gateway.cel.tolerance import repair
from gateway.policy_tools.selection import shown_key

if TYPE_CHECKING:
    from gateway.ai.candidates import Plan
    from gateway.ai.gateway import AiGateway
    from gateway.ai.key_order import KeyOrder

#: elements whose numbers are shown
MAX_ELEMENTS: Final = 20
Path = tuple[str, ...]
_PRICE: Final = ("pricing", "text", "input")
_SECRET: Final = "value"  # noqa: S105 - the name of a member
_SHOWABLE: Final = (bool, int, float, str)


class Decisions:
    """What was decided for one request."""

    def __init__(self) -> None:
        #: of each evaluated model strategy: its source → rows of ``model`` and values
        self.models: dict[str, list[dict[str, Any]]] = {}
        #: of each candidate's key strategies: id of its KeyOrder → source → rows of ``key`` and values
        self.keys: dict[int, dict[str, list[dict[str, Any]]]] = {}

    def clear(self) -> None:
        """Forgets the request before."""
        self.models = {}
        self.keys = {}

    def watch(self, gateway: AiGateway) -> None:
        """Looks at what this gateway decides from now on."""
        plan_of, order_of = gateway.universe.plan, gateway.keyring.order

        def noted_plan(*arguments: Any, **named: Any) -> Plan:
            plan = plan_of(*arguments, **named)
            self._note_models(plan)
            return plan

        def noted_order(*arguments: Any, **named: Any) -> KeyOrder:
            order = order_of(*arguments, **named)
            self._note_keys(order)
            return order

        gateway.universe.plan = noted_plan  # type: ignore[method-assign] # only offline, to look on
        gateway.keyring.order = noted_order  # type: ignore[method-assign] # the same

    def _note_models(self, plan: Plan) -> None:
        for selection in plan.selections:
            elements = {each.element: f"{each.provider.id}:{each.name}" for each in selection.considered}
            self.models[selection.strategy] = _rows(selection.strategy, "model", elements)

    def _note_keys(self, order: KeyOrder) -> None:
        self.keys[id(order)] = {
            selection.strategy: _rows(selection.strategy, "key", {key: shown_key(key) for key in selection.considered})
            for selection in order.selections
        }


def _rows(source: str, kind: str, elements: Mapping[Any, str]) -> list[dict[str, Any]]:
    """``elements``: element → how it is called; ``kind``: what its name is listed under."""
    paths = read_paths(source)
    if not paths:
        return []
    return [{kind: name, "values": values_of(each, paths)} for each, name in islice(elements.items(), MAX_ELEMENTS)]


def read_paths(source: str) -> list[Path]:
    """The members that an expression reads of the elements of its collections, in order of appearance.

    ``"ai.models.sortBy(m, m.metrics.global.latency.upstream_ms_avg)"`` →
    ``[("metrics", "global", "latency", "upstream_ms_avg")]``
    """
    try:
        root = parse_part(Source((source,)), 0, repair(source).text)
    except CelError:  # it was compiled before; what cannot be read again is not shown
        return []
    found: dict[Path, None] = {}
    _collect(root, frozenset(), found)
    return [path for path in found if path[0] != _SECRET]


def _collect(node: ast.Node, bound: frozenset[str], found: dict[Path, None]) -> None:
    if isinstance(node, ast.Call) and node.receiver is not None:
        _collect(node.receiver, bound, found)
        first = node.arguments[0] if node.arguments else None
        if isinstance(first, ast.Name) and len(node.arguments) > 1:
            bound = bound | {first.name}
        elif isinstance(first, ast.Literal) and node.name in ("sortBy", "underCost"):
            found[_PRICE if node.name == "sortBy" else ("pricing", *str(first.value).split("."))] = None
        for argument in node.arguments:
            _collect(argument, bound, found)
        return
    path = _chain(node, bound)
    if path:
        found[path] = None
        return
    for child in ast.children(node):
        _collect(child, bound, found)


def _chain(node: ast.Node, bound: frozenset[str]) -> Path | None:
    """``m.metrics.api_keys['x']`` → its members; None if it does not begin with a bound name."""
    members: list[str] = []
    while True:
        match node:
            case ast.Select(operand=operand, field=field):
                members.append(field)
                node = operand
            case ast.Index(operand=operand, index=ast.Literal(value=str(key))):
                members.append(key)
                node = operand
            case ast.Name(name=name) if name in bound:
                return tuple(reversed(members)) or None
            case _:
                return None


def values_of(element: object, paths: Sequence[Path]) -> dict[str, Any]:
    """Dotted path → value; None where it is not known or not there. Only plain values."""
    return {".".join(path): _value(element, path) for path in paths}


def _value(element: object, path: Path) -> Any:
    value: Any = element
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        if value is None:
            return None
    if isinstance(value, tuple | list):
        return [item for item in value if isinstance(item, _SHOWABLE)]
    return value if isinstance(value, _SHOWABLE) else None
