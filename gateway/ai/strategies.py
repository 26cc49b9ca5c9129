"""Strategies: expressions that filter and order candidates, or keys. The first that returns something wins.

A strategy narrows, it never adds: ``ai`` holds only what may be used (AG-90). Expressions that read nothing but
``ai`` are evaluated without the request's scope; a model strategy that reads catalog fields only is evaluated once per
plan, that is once per catalog generation and kind of request.

Source: ai-gateway.md AG-9, AG-100 to AG-110, AG-126 to AG-128, AG-280, AG-281.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway.ai.candidates import Plan
from gateway.ai.catalog import Catalog
from gateway.ai.collections import AiScope, KeyCollections, ModelCollections
from gateway.ai.entities import Candidate, KeyElement, Model, Provider, ProviderKey
from gateway.ai.universe import build_authors
from gateway.cel.compile import Program, compile_expression, locate
from gateway.cel.env import CelType, Environment, Kind
from gateway.cel.errors import CelTypeError
from gateway.errors import SELECTION_EMPTY, SELECTION_FAILED, SELECTION_TYPE, ErrorSpec, GatewayError

#: gives the request's scope; called only by strategies that read more than ``ai``
ScopeSource = Callable[[], Any]
#: what strategies return: the class that expressions see, and its documented name
_ELEMENTS: Final[Mapping[type[Any], tuple[type[Any], str]]] = {
    Model: (Model, "AIModel"), ProviderKey: (KeyElement, "AIKey"),
}  # fmt: skip
DEFAULT_KEYS: Final = "ai.keys"


@dataclass(frozen=True, slots=True)
class Strategy:
    """One compiled entry.

    ``proven``: certainly a list of elements. ``distinct``: and none of them twice. ``only_ai``: reads nothing but
    ``ai``. ``repeatable``: the same numbers give the same result. ``constant``: reads no numbers.
    """

    program: Program
    proven: bool
    distinct: bool
    only_ai: bool
    repeatable: bool
    constant: bool

    @property
    def source(self) -> str:
        return self.program.source


def compile_strategy(source: str, environment: Environment, element: type[Model] | type[ProviderKey]) -> Strategy:
    """Raises CelError, also for a result that can never be an element or a list of them (AG-9)."""
    program = compile_expression(source, environment)
    host, name = _ELEMENTS[element]
    if not _may_be(program.type, host):
        message = f"Expression '{source}' must return an {name} or []{name}, got {program.type}."
        raise program.layout.error(CelTypeError, 0, message)
    only_ai = all(name == "ai" or name.startswith("ai.") for name in program.reads)
    kind = program.type
    proven = kind.is_exactly(Kind.LIST) and kind.item.host is host and not kind.item.nullable
    # members are reached through macro variables, which ``reads`` does not list; a backslash may hide a name
    hidden = "\\" in source
    repeatable = only_ai and program.pure and not hidden and "exhausted_in_s" not in source
    constant = repeatable and "metrics" not in source and element is Model
    return Strategy(program, proven, proven and _is_distinct(source), only_ai, repeatable, constant)


def _is_distinct(source: str) -> bool:
    # filters, lookups and orders of a collection repeat nothing; list literals, sums and maps may
    return not _REPEATING.search(_LIST_OF_NAMES.sub("", source))


def _may_be(kind: CelType, element: type[Any]) -> bool:
    if kind.kind is Kind.LIST:
        return kind.item.kind is Kind.DYN or kind.item.host is element
    return kind.kind is Kind.DYN or (kind.kind is Kind.OBJECT and kind.host is element)


_LIST_OF_NAMES: Final = re.compile(r"""\[\s*(?:(?:'[^'\\]*'|"[^"\\]*")\s*,?\s*)*\]""")
_REPEATING: Final = re.compile(r"\[|\+|\bmap\b|\bflatten\b")
#: a tuple: a union would be built anew for every check
_LISTS: Final = (list, tuple)


class WrongResult(Exception):  # noqa: N818 - a decision (AG-102), not a fault of this code
    """A strategy returned something else; the argument is the type's name."""


def _elements(result: Any, element: type[Any], *, proven: bool) -> Sequence[Any]:
    """The elements of a result, none for null (AG-110); there may be duplicates."""
    if proven:
        proven_result: Sequence[Any] = result
        return proven_result
    if isinstance(result, element):
        return [result]
    if result is None:
        return []
    if not isinstance(result, _LISTS):
        raise WrongResult(type(result).__name__)
    for item in result:
        if not isinstance(item, element):
            raise WrongResult(f"a list with {'null' if item is None else type(item).__name__}")
    return result


def _evaluate(strategy: Strategy, light: AiScope, source: ScopeSource) -> Any:
    if strategy.only_ai:
        return strategy.program.evaluate(light)
    scope = source()
    scope.ai = light.ai
    try:
        return strategy.program.evaluate(scope)
    finally:
        scope.ai = None


# -- keys


class Selection(NamedTuple):
    """``api_key_selection[]``: one evaluated strategy (AG-280)."""

    strategy: str
    error: str
    keys: tuple[ProviderKey, ...]
    #: what it chose from
    considered: tuple[ProviderKey, ...] = ()

    def as_map(self) -> Mapping[str, Any]:
        """As the action result shows it."""
        trimmed = [key.value.trimmed() for key in self.keys]
        return {"strategy": self.strategy, "error": self.error, "keys_to_try": trimmed}


class KeyChoice:
    """The keys that strategies choose among, with the scope that shows them."""

    __slots__ = ("keys", "known", "scope", "stamp")

    def __init__(self, keys: tuple[ProviderKey, ...]) -> None:
        self.keys = keys
        self.scope = AiScope(KeyCollections(tuple(map(KeyElement, keys))))
        #: what was decided, by whom the choice belongs to, and the ``version`` of the numbers it was decided on
        self.known: Any = None
        self.stamp = -1

    def version(self) -> int:
        """Grows when a number changes that strategies have seen, or may see."""
        total = 0
        for key in self.keys:
            total += key.quota.version + key.error_rate.version
        return total


class KeyStrategies:
    """``api_key_selection.strategy`` of one action."""

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        self._strategies = tuple(strategies)
        #: the same numbers give the same keys
        self.repeatable = all(strategy.repeatable for strategy in strategies)

    @classmethod
    def compile(cls, sources: Sequence[str], environment: Environment) -> KeyStrategies | None:
        """None without strategies. ``environment`` is ``collections.key_environment``'s; raises CelError."""
        strategies = [compile_strategy(source, environment, ProviderKey) for source in sources]
        return cls(strategies) if strategies else None

    def select(self, choice: KeyChoice, source: ScopeSource) -> tuple[tuple[ProviderKey, ...], tuple[Selection, ...]]:
        """The keys to try, none if every strategy failed or gave nothing (AG-127), and what was evaluated."""
        selections: list[Selection] = []
        for strategy in self._strategies:
            keys, error = self._keys(strategy, choice, source)
            selections.append(Selection(strategy.source, error, keys, choice.keys))
            if keys:
                return keys, tuple(selections)
        return (), tuple(selections)

    def _keys(self, strategy: Strategy, choice: KeyChoice, source: ScopeSource) -> tuple[tuple[ProviderKey, ...], str]:
        try:
            result = _evaluate(strategy, choice.scope, source)
            elements = dict.fromkeys(_elements(result, KeyElement, proven=strategy.proven))
            return tuple([element.key for element in elements]), ""
        except WrongResult as wrong:
            return (), f"must return an AIKey or []AIKey, got {wrong}"
        except Exception as error:  # noqa: BLE001 - AG-127: an expression that fails is a strategy that gave nothing
            return (), str(locate(strategy.program, error))


# -- models


class ModelSelection:
    """``model_selection[]``: one evaluated strategy (AG-280). Names are written when somebody asks."""

    __slots__ = ("_plan", "error", "models", "strategy", "to_try")

    def __init__(
        self, plan: Plan, strategy: str, error: str, models: Sequence[Model] = (), to_try: Sequence[Candidate] = ()
    ) -> None:
        self._plan = plan
        self.strategy = strategy
        self.error = error
        self.models = models
        self.to_try = to_try

    @property
    def considered(self) -> Sequence[Candidate]:
        """What it chose from."""
        return self._plan.candidates

    def as_map(self) -> Mapping[str, Any]:
        """As the action result shows it (AG-281). Filters ran before, so the three lists of candidates are one."""
        shared = shared_names(self._plan.candidates)
        models = dict.fromkeys(self.models)
        returned = [f"{m.provider_id}:{m.id}" if m.id.lower() in shared else m.id for m in models]
        return {
            "strategy": self.strategy,
            "error": self.error,
            "candidates_returned": returned,
            "candidates_after_allowed_filter": returned,
            "candidates_after_client_filter": returned,
            "models_to_try": [shown_name(candidate, shared) for candidate in self.to_try],
        }


def shared_names(candidates: Iterable[Candidate]) -> frozenset[str]:
    """Lower-case model ids that several providers serve."""
    providers: dict[str, str] = {}
    shared = set()
    for candidate in candidates:
        name = candidate.name.lower()
        if providers.setdefault(name, candidate.provider.id) != candidate.provider.id:
            shared.add(name)
    return frozenset(shared)


def shown_name(candidate: Candidate, shared: frozenset[str]) -> str:
    """A plain id, or ``provider:id`` where several candidates share the id (AG-281)."""
    return f"{candidate.provider.id}:{candidate.name}" if candidate.name.lower() in shared else candidate.name


class _Narrowing:
    """What strategies need of one plan; hangs on it."""

    __slots__ = ("constant", "groups", "scope")

    def __init__(self, plan: Plan, catalog: Catalog) -> None:
        models = list(dict.fromkeys(candidate.element for candidate in plan.candidates))
        by_provider: dict[Provider, list[Model]] = {}
        for model in models:
            by_provider.setdefault(model.provider, []).append(model)
        providers = [provider.narrowed(theirs) for provider, theirs in by_provider.items()]
        self.scope = AiScope(ModelCollections(models, providers, build_authors(models, catalog)))
        #: per name: element → its candidate (a name leads to an element once)
        self.groups = [{candidate.element: candidate for candidate in group} for group in plan.groups]
        #: the result, if no strategy that was evaluated can ever give another
        self.constant: Plan | None = None

    def ordered(self, models: Sequence[Model], *, distinct: bool) -> tuple[tuple[Candidate, ...], ...]:
        """The candidates of these models, name by name, in the order of the models within a name (AG-101)."""
        if len(self.groups) == 1:
            candidates = map(self.groups[0].__getitem__, models)
            return (tuple(candidates) if distinct else tuple(dict.fromkeys(candidates)),)
        return tuple(
            tuple(dict.fromkeys([group[model] for model in models if model in group])) for group in self.groups
        )


class ModelStrategies:
    """``model_selection.strategy`` of one action. The catalog knows authors by name."""

    def __init__(self, strategies: Sequence[Strategy], catalog: Catalog) -> None:
        self._strategies = tuple(strategies)
        self._catalog = catalog

    @classmethod
    def compile(cls, sources: Sequence[str], environment: Environment, catalog: Catalog) -> ModelStrategies | None:
        """None without strategies. ``environment`` is ``collections.model_environment``'s; raises CelError."""
        strategies = [compile_strategy(source, environment, Model) for source in sources]
        return cls(strategies, catalog) if strategies else None

    def select(self, plan: Plan, source: ScopeSource) -> Plan:
        """The plan that the first strategy with a result leaves, or one with an error (AG-100 to AG-103)."""
        narrowing: _Narrowing = plan.narrowed or self._prepare(plan)
        if narrowing.constant is not None:
            return narrowing.constant
        selections: list[ModelSelection] = []
        constant, result = True, None
        for strategy in self._strategies:
            constant = constant and strategy.constant
            result = self._apply(strategy, plan, narrowing, source, selections)
            if result is not None:
                break
        if result is None:
            result = _failed(plan, selections, _exhausted(selections))
        if constant:
            narrowing.constant = result
        return result

    def _prepare(self, plan: Plan) -> _Narrowing:
        plan.narrowed = _Narrowing(plan, self._catalog)
        narrowing: _Narrowing = plan.narrowed
        return narrowing

    def _apply(
        self, strategy: Strategy, plan: Plan, narrowing: _Narrowing, source: ScopeSource,
        selections: list[ModelSelection],
    ) -> Plan | None:  # fmt: skip
        """None if the strategy returned nothing."""
        try:
            result = _evaluate(strategy, narrowing.scope, source)
            models = _elements(result, Model, proven=strategy.proven)
        except WrongResult as wrong:
            arguments = {"expression": strategy.source, "actual": str(wrong)}
            selections.append(ModelSelection(plan, strategy.source, f"wrong type: {wrong}"))
            return _failed(plan, selections, (SELECTION_TYPE, arguments))
        except Exception as error:  # noqa: BLE001 - AG-102: an expression that fails is a strategy that gave nothing
            selections.append(ModelSelection(plan, strategy.source, str(locate(strategy.program, error))))
            return None
        chosen = Plan(narrowing.ordered(models, distinct=strategy.distinct), plan.rejected, automatic=plan.automatic)
        selections.append(ModelSelection(plan, strategy.source, "", models, chosen.candidates))
        chosen.selections = tuple(selections)
        return chosen if chosen.candidates else None


def _exhausted(selections: Sequence[ModelSelection]) -> tuple[ErrorSpec, Mapping[str, Any]]:
    if all(selection.error for selection in selections):
        return SELECTION_FAILED, {"reason": selections[-1].error}
    return SELECTION_EMPTY, {"reason": "no strategy selected a model"}


def _failed(plan: Plan, selections: Sequence[ModelSelection], failure: tuple[ErrorSpec, Mapping[str, Any]]) -> Plan:
    return Plan(
        (), plan.rejected, automatic=plan.automatic, selections=selections, failure=lambda: GatewayError(*failure)
    )
