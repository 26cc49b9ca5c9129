"""The values that ``explain`` notes around rules and actions (``trace.Lens``): plain copies, taken at their moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from gateway.cel.errors import CelError, Failure
from gateway.limiter.buckets import LimiterIdentity, LimiterTable
from gateway.policy.fields import Expression, Interpolated
from gateway.policy.plain import json_value
from gateway.policy_tools.parts import Dissected, Valued
from gateway.schema.shapes import duration_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from gateway.exchange import Exchange
    from gateway.policy.load import PolicyContext
    from gateway.policy.model import ActionConfig, Phase, Rule

_NS_PER_S = 1_000_000_000


class WatchedLimits:
    """Stands in for the table of limiters and notes each decision (``limiter.buckets.LimiterTable``)."""

    def __init__(self) -> None:
        self._table = LimiterTable()
        self._admitted: dict[tuple[LimiterIdentity, bytes], list[float]] = {}
        self._notes: list[tuple[str, Any]] = []

    def limiter(self, identity: LimiterIdentity) -> WatchedLimiter:
        """A limiter like any other, watched."""
        return WatchedLimiter(self, identity, self._table.limiter(identity).admit)

    def note(self, identity: LimiterIdentity, key: bytes, now_s: float, wait_s: int) -> None:
        """One decision."""
        width_s = identity.width / _NS_PER_S
        earlier = self._admitted.get((identity, key), [])
        live = [moment for moment in earlier if moment > now_s - width_s]
        state = {"used": len(live), "capacity": identity.capacity, "window": duration_text(width_s)}
        self._notes.append((f"limit '{identity.name}'", {**state, "admits": not wait_s, "retry_after": wait_s}))
        self._admitted[identity, key] = live if wait_s else [*live, now_s]

    def take_notes(self) -> list[tuple[str, Any]]:
        """The decisions since the last time."""
        notes, self._notes = self._notes, []
        return notes


class WatchedLimiter:
    """One limiter of ``WatchedLimits``."""

    def __init__(self, owner: WatchedLimits, identity: LimiterIdentity, admit: Callable[[bytes, float], int]) -> None:
        self._owner = owner
        self._identity = identity
        self._admit = admit

    def admit(self, key: bytes, now_s: float) -> int:
        wait_s = self._admit(key, now_s)
        self._owner.note(self._identity, key, now_s, wait_s)
        return wait_s


class PlainLens:
    """Notes values as JSON has them."""

    def __init__(self, context: PolicyContext, random: Random, limits: WatchedLimits) -> None:
        self._context = context
        self._random = random
        self._limits = limits
        self._dissected: dict[tuple[str, str], Dissected] = {}

    def expressions(self, rule: Rule, phase: Phase, scope: Any) -> list[list[Valued]]:
        """The parts of each expression of a rule."""
        return [self._parts(source, phase, scope) for source in rule.expressions]

    def inputs(self, action: ActionConfig, phase: Phase, scope: Any) -> list[tuple[str, list[Valued]]]:
        """The expressions in an action's configuration, as they are now."""
        found = []
        chance = self._random.getstate()
        for path, entry in _entries(action.config, ""):
            if isinstance(entry, Expression):
                found.append((path, self._field(entry, phase, scope)))
            elif entry.literal is None:
                found.append((path, [_evaluated(entry, scope.exchange)]))
                self._random.setstate(chance)
        return found

    def state(self, exchange: Exchange) -> Any:
        """What actions may change."""
        response = exchange.response
        return {
            "var": dict(exchange.vars),
            "header": {name: list(values) for name, values in exchange.headers.items()},
            "response header": {name: list(values) for name, values in response.headers.items()} if response else {},
            "result": dict(exchange.results),
            "request": {"path": exchange.path, "query": exchange.query, "host": exchange.host, "body": exchange.body},
            "response": {"status": response.status} if response else {},
            "log": dict(enumerate(exchange.log_metadata)),
        }

    def changes(self, before: Any, exchange: Exchange) -> list[tuple[str, Any]]:
        """What an action did change: ``var x``, ``header y`` and so on, with the new value; None: taken away."""
        found = self._limits.take_notes()
        for kind, now in self.state(exchange).items():
            for name in now.keys() | before[kind].keys():
                if name == "ai_gateway" or (name == "body" and before[kind][name] is None):
                    continue  # shown in a section of its own; a body that was only read
                new = now.get(name)
                if new is not before[kind].get(name) and new != before[kind].get(name):
                    found.append((f"{kind} {name}" if kind != "log" else "log", plain_copy(new)))
        return sorted(found, key=lambda change: change[0])

    def _parts(self, source: str, phase: Phase, scope: Any) -> list[Valued]:
        dissected = self._dissected.get((phase, source))
        if dissected is None:
            dissected = Dissected(source, self._context.environment(phase), self._random)
            self._dissected[phase, source] = dissected
        return [_plain(part) for part in dissected.values(scope)]

    def _field(self, entry: Expression, phase: Phase, scope: Any) -> list[Valued]:
        source = entry.program.source
        try:
            return self._parts(source, phase, scope)
        except CelError:  # it mentions names that only this field knows
            return [Valued(source, 0, error="depends on each element")]


def _plain(part: Valued) -> Valued:
    return Valued(part.source, part.depth, plain_copy(part.value), part.error)


def plain_copy(value: Any) -> Any:
    """The value as JSON has it, or what kind of thing it is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    try:
        return json_value(value)
    except (Failure, AttributeError, LookupError):
        return f"<{type(value).__name__}>"


def _evaluated(entry: Interpolated, exchange: Exchange) -> Valued:
    scope = exchange.scope
    try:
        with scope.private_secrets():
            return Valued(entry.source, 0, plain_copy(entry.value(exchange)))
    except Exception as error:  # noqa: BLE001 - whatever fails, the action is about to say so itself
        return Valued(entry.source, 0, error=getattr(error, "cause", "") or type(error).__name__)


def _entries(value: Any, path: str) -> Iterator[tuple[str, Expression | Interpolated]]:
    """Every expression in a configuration, with its place."""
    if isinstance(value, Expression | Interpolated):
        yield path, value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _entries(getattr(value, each.name), f"{path}.{each.name}" if path else each.name)
    elif isinstance(value, tuple | list):
        pair = len(value) == 2 and isinstance(value[0], str)
        if pair:
            yield from _entries(value[1], f"{path}.{value[0]}")
        for index, item in enumerate(() if pair else value):
            named = isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)
            yield from _entries(item, path if named else f"{path}[{index}]")
