"""From the model names of a request to the candidates worth trying, in order: the pipeline of AG-90.

Pure. A ``Universe`` is built once per snapshot and action; a ``Plan`` once per (names, surface, reach) and kept, so
that a request that looks like an earlier one costs a dictionary lookup. Strategies work on a plan's candidates; see
``strategies``.

Invariants
    1. A plan is immutable; requests share it.
    2. The cache holds at most ``PLAN_LIMIT`` plans of at most ``NAMES_LIMIT`` characters; failures are not kept.
    3. Every filter runs before any strategy: what a plan holds may be used (AG-90).
Source: ai-gateway.md AG-65, AG-72, AG-73, AG-79 to AG-83, AG-90 to AG-98.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol

from gateway.ai.credentials import KeyPrefixes
from gateway.ai.entities import Candidate, Model, Provider
from gateway.ai.reach import MODEL_NOT_ALLOWED, NO_REACH, PROVIDER_NOT_ALLOWED, AccessScope, Reach
from gateway.ai.resolve import AUTO, Match, NameTable, names_of
from gateway.ai.surfaces import Surface
from gateway.ai.universe import Sources, build_providers
from gateway.errors import (
    NO_MODELS,
    SELECTION_FAILED,
    SURFACE_UNSUPPORTED,
    GatewayError,
    failure,
)

PLAN_LIMIT: Final = 2_048
NAMES_LIMIT: Final = 4_096

PROVIDER_DISABLED: Final = "provider disabled"
MODEL_DISABLED: Final = "model disabled"
SURFACE_NOT_SUPPORTED: Final = "api surface not supported"

#: AG-82
_TYPES: Final = {PROVIDER_NOT_ALLOWED: "provider_not_allowed", MODEL_NOT_ALLOWED: "model_not_allowed"}


class Rejection(NamedTuple):
    """A name that led to no candidate (AG-80). ``by_access``: the gateway key's configuration said no."""

    model: str
    reason: str
    by_access: bool = False


class Plan:
    """The candidates of a request in default order, grouped by the name that led to them; shared between requests."""

    __slots__ = ("automatic", "candidates", "failure", "groups", "narrowed", "rejected", "selections")

    def __init__(
        self, groups: Sequence[Sequence[Candidate]], rejected: Sequence[Rejection] = (), *, automatic: bool = False,
        selections: Sequence[Any] = (), failure: Callable[[], GatewayError] | None = None,
    ) -> None:  # fmt: skip
        self.groups = tuple(map(tuple, groups))
        self.candidates = self.groups[0] if len(self.groups) == 1 else tuple(chain.from_iterable(self.groups))
        self.rejected = tuple(rejected)
        #: one group that the gateway chose itself (AG-101)
        self.automatic = automatic
        #: ``strategies.ModelSelection``: one per strategy that was evaluated (AG-280)
        self.selections = tuple(selections)
        #: what strategies need of this plan; owned by ``strategies``
        self.narrowed: Any = None
        #: makes ``error``
        self.failure = failure

    @property
    def error(self) -> GatewayError | None:
        """A fresh error if there is nothing to try, else None."""
        return self.failure() if self.failure is not None else None


class Narrowing(Protocol):
    """``strategies.ModelStrategies``."""

    def select(self, plan: Plan, source: Callable[[], Any]) -> Plan:
        """The plan that strategies leave; ``source`` gives the request's scope."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The action's restrictions (AG-93)."""

    only_configured_providers: bool = False
    only_configured_models: bool = False


class ListedModel(NamedTuple):
    """An entry of ``GET /v1/models`` (AG-65)."""

    id: str
    owned_by: str
    model: Model


def _no_scope() -> Any:
    raise LookupError("a strategy reads the request, and none was given")


@dataclass(frozen=True, slots=True)
class _Request:
    """What filters look at."""

    surface: tuple[str, str]
    reach: Reach


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    groups: list[list[Candidate]] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)
    automatic: bool = False

    def add(self, candidates: Iterable[Candidate]) -> None:
        """A group without what is listed already: duplicates keep their first place (AG-72)."""
        group = []
        for candidate in candidates:
            key = (candidate.provider.id, candidate.upstream_model)
            if key not in self.seen:
                self.seen.add(key)
                group.append(candidate)
        if group:
            self.groups.append(group)


class Universe:
    """Everything that one action of one snapshot can serve."""

    def __init__(self, sources: Sources, limits: Limits = Limits(), strategies: Narrowing | None = None) -> None:
        providers = build_providers(sources)
        self.providers = tuple(providers)
        self._registry = sources.registry
        self._limits = limits
        self._strategies = strategies
        self._endpoint = sources.endpoint_id
        self._names = NameTable(providers, self._pass_through)
        self._known = {
            (model.provider_id, model.id): Candidate(model, model.provider_model_id)
            for provider in providers
            for model in provider.models
        }
        self._plans: dict[tuple[str | None, tuple[str, ...], str, Reach], Plan] = {}
        self._reaches: dict[tuple[AccessScope | None, str | None], Reach] = {}
        #: documented key prefixes of the official providers
        self.prefixes = KeyPrefixes({prefix: p.id for p in providers if p.official for prefix in p.key_prefixes})

    # -- planning

    def plan(
        self, model: str | None, models: tuple[str, ...], surface: Surface, reach: Reach = NO_REACH,
        source: Callable[[], Any] = _no_scope,
    ) -> Plan:  # fmt: skip
        """The plan for a request list (AG-72, AG-73); ``model`` None and no ``models`` mean automatic selection.

        ``source`` gives the request's scope, for strategies that read more than ``ai``.
        """
        key = (model, models, surface.name, reach)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._build_plan(model, models, _Request(surface.key, reach))
            if plan.error is None and sum(map(len, models), len(model or "")) <= NAMES_LIMIT:
                if len(self._plans) >= PLAN_LIMIT:
                    del self._plans[next(iter(self._plans))]
                self._plans[key] = plan
        if self._strategies is not None and plan.candidates:
            self._registry.settle()
            return self._strategies.select(plan, source)
        return plan

    def reach(self, access: AccessScope | None = None, token: str | None = None) -> Reach:
        """The one ``Reach`` object for this scope and client credential (None: none that may pass)."""
        key = (access, None if token is None else self.prefixes.owner(token) or "")
        reach = self._reaches.get(key)
        if reach is None:
            if len(self._reaches) >= PLAN_LIMIT:
                self._reaches.clear()
                self._plans.clear()
            reach = self._reaches[key] = Reach(*key)
        return reach

    def _build_plan(self, model: str | None, models: tuple[str, ...], request: _Request) -> Plan:
        names = models if model is None else (model, *models)
        if models and model is not None and model.lower() == AUTO:
            names = models
        draft = _Draft()
        if not names or all(name.lower() == AUTO for name in names):
            draft.automatic = True
            draft.add(self._automatic(request))
            served = any(request.surface in provider.surfaces for provider in self._usable(request))
            return _finished(draft, request, (), served=served)
        for name in names:
            if name.lower() == AUTO:
                draft.add(self._automatic(request))
            else:
                self._add_named(name, draft, request)
        return _finished(draft, request, names, served=True)

    def _add_named(self, name: str, draft: _Draft, request: _Request) -> None:
        resolved = self._names.resolve(name)
        if not resolved.matches:
            draft.rejected.append(Rejection(name, resolved.reason))
            return
        candidates: list[Candidate] = [self._candidate(match) for match in resolved.matches]
        for refuses, by_access in (
            (self._disabled, False),
            (self._forbidden, False),
            (self._denied, True),
            (_off, False),
        ):
            reasons = [refuses(candidate, request) for candidate in candidates]
            candidates = [candidate for candidate, reason in zip(candidates, reasons, strict=True) if not reason]
            if not candidates:
                draft.rejected.append(Rejection(name, reasons[0], by_access))
                return
        draft.add(candidates)

    def _automatic(self, request: _Request) -> list[Candidate]:
        """AG-97, AG-98: by provider id, then catalog or configuration order; no legacy models."""
        surface = request.surface[1]
        chosen = []
        for provider in self.providers:
            if request.surface not in provider.surfaces or not request.reach.offers(provider):
                continue
            chosen += [
                self._known[provider.id, model.id]
                for model in provider.models
                if not model.legacy and (model.surfaces is None or surface in model.surfaces)
            ]
        return [candidate for candidate in chosen if not self._refused(candidate, request)]

    def _usable(self, request: _Request) -> list[Provider]:
        """Providers that automatic selection may turn to, whatever they serve; all if there is none."""
        usable = [
            provider
            for provider in self.providers
            if request.reach.offers(provider)
            and any(
                not (self._disabled(c, request) or self._forbidden(c, request) or self._denied(c, request))
                for c in (self._known[provider.id, model.id] for model in provider.models)
            )
        ]
        return usable or list(self.providers)

    def _candidate(self, match: Match) -> Candidate:
        model, upstream_model = match
        if model.known and upstream_model == model.provider_model_id:
            return self._known[model.provider_id, model.id]
        return Candidate(model, upstream_model)

    def _pass_through(self, provider: Provider, name: str) -> Model:
        model = Model(provider, name, known=False)
        model.provider_id_aliases = provider.id_aliases
        model.metrics = self._registry.model(provider.id, name, self._endpoint, known=False)
        return model

    # -- filters: '' or the reason

    def _refused(self, candidate: Candidate, request: _Request) -> str:
        return (
            self._disabled(candidate, request)
            or self._forbidden(candidate, request)
            or self._denied(candidate, request)
            or _off(candidate, request)
        )

    def _disabled(self, candidate: Candidate, request: _Request) -> str:
        if candidate.provider.disabled:
            return PROVIDER_DISABLED
        return MODEL_DISABLED if candidate.element.disabled else ""

    def _forbidden(self, candidate: Candidate, request: _Request) -> str:
        if self._limits.only_configured_providers and not candidate.provider.configured:
            return PROVIDER_NOT_ALLOWED
        return MODEL_NOT_ALLOWED if self._limits.only_configured_models and not candidate.element.configured else ""

    def _denied(self, candidate: Candidate, request: _Request) -> str:
        access = request.reach.access
        return "" if access is None else access.refuses(candidate, self._names.is_provider)

    # -- listing

    def listed(self, reach: Reach = NO_REACH, only_format: str | None = None) -> list[ListedModel]:
        """What ``GET /v1/models`` shows a caller (AG-65); ``only_format``: models of providers that serve it."""
        entries: dict[str, ListedModel] = {}
        for provider in self.providers:
            surfaces = [key for key in provider.surfaces if only_format is None or key[0] == only_format]
            if not surfaces:
                continue
            request = _Request(surfaces[0], reach)
            for name, model in names_of(provider).items():
                if (
                    name != model.id.lower()
                    or model.legacy
                    or self._refused(self._known[provider.id, model.id], request)
                ):
                    continue
                shown = f"{provider.id}:{model.id}" if provider.custom else model.id
                entries.setdefault(shown.lower(), ListedModel(shown, model.author_id or provider.id, model))
        return list(entries.values())


def _off(candidate: Candidate, request: _Request) -> str:
    return "" if request.surface in candidate.provider.surfaces else SURFACE_NOT_SUPPORTED


def _finished(draft: _Draft, request: _Request, names: Sequence[str], *, served: bool) -> Plan:
    rejected = tuple(draft.rejected)
    if draft.groups:
        return Plan(draft.groups, rejected, automatic=draft.automatic)

    def failed() -> GatewayError:
        return selection_error(rejected, names, request.surface[0], served=served)

    return Plan((), rejected, automatic=draft.automatic, failure=failed)


def selection_error(
    rejected: Sequence[Rejection], names: Sequence[str], surface_format: str, *, served: bool = True
) -> GatewayError:
    """The error when there is nothing to try (AG-81 to AG-83). ``served``: some provider has the surface (AG-95)."""
    reason = "; ".join(f"'{_shown(r.model)}': {r.reason}" for r in rejected) or "no model can serve this request"
    surface_only = rejected and all(rejection.reason == SURFACE_NOT_SUPPORTED for rejection in rejected)
    if any(rejection.by_access for rejection in rejected):
        error = failure(SELECTION_FAILED, reason=reason)
    elif surface_only or not served:
        error = failure(SURFACE_UNSUPPORTED, format=surface_format)
    else:
        error = failure(NO_MODELS, reason=reason)
    if len(names) == 1 and rejected:
        error.type = _TYPES.get(rejected[0].reason)
    if rejected:
        error.details = {"rejected_models": rejected_map(rejected)}
    return error


def rejected_map(rejected: Iterable[Rejection]) -> list[Mapping[str, str]]:
    """``client.rejected_models`` and ``details.rejected_models`` (AG-80)."""
    return [{"model": _shown(rejection.model), "reason": rejection.reason} for rejection in rejected]


def _shown(name: str) -> str:
    return name if len(name) <= 256 else f"{name[:256]}…"
