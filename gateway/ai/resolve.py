"""What a model name in a request means: the step table of AG-74.

Pure lookups in indexes that are built once per universe. Filters (disabled, allowed, surface) come later, in
``candidates``, so that a rejected name can be told its reason.
Source: ai-gateway.md 4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from gateway.ai.entities import Model, Provider

AUTO: Final = "ngrok/auto"
UNKNOWN_MODEL: Final = "unknown model"
UNKNOWN_PROVIDER: Final = "unknown provider"

_PINNED: Final = re.compile(r".+-(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})", re.DOTALL)
_CLOSE: Final = 2
#: longer names are not compared with known ones
_LONGEST_COMPARED: Final = 128


class Match(NamedTuple):
    """One meaning of a name: a model and how it is called upstream."""

    model: Model
    upstream_model: str


class Resolved(NamedTuple):
    """All meanings of one name, or why there is none."""

    matches: Sequence[Match]
    reason: str = ""


class NameTable:
    """The indexes of one universe. ``pass_through`` makes the model for a name that a provider may know (AG-79)."""

    def __init__(self, providers: Sequence[Provider], pass_through: Callable[[Provider, str], Model]) -> None:
        self._pass_through = pass_through
        self._providers = _provider_index(providers)
        self._by_name: dict[str, list[Model]] = {}
        self._by_author: dict[str, dict[str, list[Model]]] = {}
        for provider in providers:
            for name, model in names_of(provider).items():
                self._by_name.setdefault(name, []).append(model)
                for author in (model.author_id, *model.author_id_aliases):
                    if author:
                        self._by_author.setdefault(author.lower(), {}).setdefault(name, []).append(model)
        self._shown = {name.lower(): name for p in providers for m in p.models for name in (m.id, *m.id_aliases)}

    def is_provider(self, name: str) -> bool:
        """True for a provider's id or alias, any case."""
        return name.lower() in self._providers

    def resolve(self, name: str) -> Resolved:
        """The first step of AG-74 that matches."""
        lower = name.lower()
        models = self._by_name.get(lower)
        if models is not None:
            return Resolved([_match(model, name) for model in models])
        head, colon, rest = name.partition(":")
        if colon and (providers := self._providers.get(head.lower())):
            return self._in_providers(providers, rest)
        head, slash, rest = name.partition("/")
        if slash:
            models = self._by_author.get(head.lower(), {}).get(rest.lower())
            if models is not None:
                return Resolved([_match(model, rest) for model in models])
            if providers := self._providers.get(head.lower()):
                return self._in_providers(providers, rest)
        return Resolved((), self._unknown(name))

    def _in_providers(self, providers: Sequence[Provider], rest: str) -> Resolved:
        """Step 2: a model by id or alias, else by ``author/id``, else the rest as it stands."""
        if not rest:
            return Resolved((), UNKNOWN_MODEL)
        author, slash, bare = rest.partition("/")
        by_author = self._by_author.get(author.lower(), {}) if slash else {}
        for table, wanted in ((self._by_name, rest), (by_author, bare)):
            models = table.get(wanted.lower(), ())
            found = [model for provider in providers for model in models if model.provider is provider]
            if found:
                return Resolved([_match(model, wanted) for model in found])
        return Resolved([Match(self._pass_through(provider, rest), rest) for provider in providers])

    def _unknown(self, name: str) -> str:
        head, separator, rest = name.partition(":" if ":" in name else "/")
        if separator and rest.lower() in self._by_name:
            return UNKNOWN_PROVIDER
        close = closest(name.lower(), self._shown)
        if close is not None:
            return f"{UNKNOWN_MODEL}, did you mean '{self._shown[close]}'?"
        if separator and closest(head.lower(), self._providers) is not None:
            return UNKNOWN_PROVIDER
        return UNKNOWN_MODEL


def names_of(provider: Provider) -> dict[str, Model]:
    """Lower-case name → model within one provider; configured names first, then ids, then aliases (AG-20)."""
    table: dict[str, Model] = {}
    for configured in (True, False):
        chosen = [model for model in provider.models if model.configured is configured]
        for model in chosen:
            if not model.nameless:
                table.setdefault(model.id.lower(), model)
        for model in chosen:
            for alias in model.id_aliases:
                table.setdefault(alias.lower(), model)
    return table


def _provider_index(providers: Sequence[Provider]) -> dict[str, list[Provider]]:
    """Lower-case name → providers with that id, then those with that alias (AG-15), each alphabetically."""
    table: dict[str, list[Provider]] = {provider.id.lower(): [provider] for provider in providers}
    for provider in providers:
        for alias in provider.id_aliases:
            others = table.setdefault(alias.lower(), [])
            if provider not in others:
                others.append(provider)
    return table


def _match(model: Model, wanted: str) -> Match:
    """AG-84: a catalog alias that ends in a full date stays as the client wrote it."""
    lower = wanted.lower()
    is_alias = lower != model.id.lower() and any(lower == alias.lower() for alias in model.catalog_aliases)
    if is_alias and _PINNED.fullmatch(wanted):
        return Match(model, wanted)
    return Match(model, model.provider_model_id)


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name with the smallest edit distance, at most 2; the first of equals."""
    if len(name) > _LONGEST_COMPARED:
        return None
    best, limit, letters = None, _CLOSE, frozenset(name)
    for other in known:
        # an edit changes the length by one at most and the set of letters by two: C-speed tests spare most comparisons
        if abs(len(other) - len(name)) > limit or len(letters.symmetric_difference(other)) > 2 * limit:
            continue
        distance = edit_distance(name, other, limit)
        if distance <= limit:
            if not distance:
                return other
            best, limit = other, distance - 1
    return best


def edit_distance(a: str, b: str, limit: int) -> int:
    """Insertions, deletions and replacements from a to b; anything above ``limit`` if there are more."""
    shared = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        shared += 1
    a, b = a[shared:], b[shared:]
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            cost = previous if left == right else 1 + min(previous, row[j], row[j - 1])
            previous, row[j] = row[j], cost
        if min(row) > limit:
            return limit + 1
    return row[-1]
