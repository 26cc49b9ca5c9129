"""What a gateway key may use and whose provider keys serve it: the compiled form of a configuration.

Sources: ai-gateway.md AG-94 (scope), AG-200 to AG-203 (rules).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Target:
    """A candidate as scopes and rules see it. ``providers``: its id and, for one of the store, its ``aigp_`` id."""

    providers: tuple[str, ...]
    author: str
    model: str


@dataclass(frozen=True, slots=True)
class ModelEntries:
    """Model names of AG-94, lower case. ``bare`` are those that admit a model at any provider."""

    qualified: frozenset[str]
    bare: frozenset[str]

    @classmethod
    def compile(cls, entries: Iterable[str], is_provider: Callable[[str], bool]) -> ModelEntries:
        """``is_provider`` knows providers by lower-case name: ``openai/gpt-4o`` names one, ``meta/llama`` none."""
        lowered = frozenset(entry.lower() for entry in entries)
        bare = frozenset(entry for entry in lowered if ":" not in entry and not _names_provider(entry, is_provider))
        return cls(lowered, bare)

    def admit(self, target: Target) -> bool:
        model = target.model.lower()
        with_author = f"{target.author.lower()}/{model}"
        if model in self.bare or with_author in self.bare:
            return True
        return any(
            name in self.qualified
            for provider in map(str.lower, target.providers)
            for name in (f"{provider}:{model}", f"{provider}:{with_author}", f"{provider}/{model}")
        )


@dataclass(frozen=True, slots=True)
class AccessScope:
    """None in a dimension does not restrict it; an empty one allows nothing."""

    providers: frozenset[str] | None = None
    models: ModelEntries | None = None

    def admits(self, target: Target) -> bool:
        """Both dimensions must admit a candidate (AG-94)."""
        if self.providers is not None and not any(name.lower() in self.providers for name in target.providers):
            return False
        return self.models is None or self.models.admit(target)


class StepKind(enum.Enum):
    """Whose keys a step uses: stored ones, or the server's managed keys (AG-192)."""

    USER = "user"
    MANAGED = "ngrok"


@dataclass(frozen=True, slots=True)
class RouteStep:
    """Provider key ids in the order to try; deleted ones are skipped by whoever looks them up (AG-202)."""

    kind: StepKind
    key_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteRule:
    """``provider`` is lower case; at least one of ``provider`` and ``model`` is set."""

    provider: str | None
    model: ModelEntries | None
    steps: tuple[RouteStep, ...]

    def matches(self, target: Target) -> bool:
        if self.provider is not None and not any(name.lower() == self.provider for name in target.providers):
            return False
        return self.model is None or self.model.admit(target)


@dataclass(frozen=True, slots=True)
class KeyConfiguration:
    """A configuration as the request path uses it."""

    id: str
    name: str
    scope: AccessScope
    rules: tuple[RouteRule, ...] = ()

    def rule_for(self, target: Target) -> RouteRule | None:
        """The first matching rule; one with a model wins over one with only a provider (AG-200)."""
        by_provider: RouteRule | None = None
        for rule in self.rules:
            if rule.matches(target):
                if rule.model is not None:
                    return rule
                by_provider = by_provider or rule
        return by_provider


ALLOW_NOTHING: Final = KeyConfiguration("", "", AccessScope(frozenset(), ModelEntries(frozenset(), frozenset())))
"""Stands for a configuration that a key names and that is not there: fails closed."""


def _names_provider(entry: str, is_provider: Callable[[str], bool]) -> bool:
    head, slash, _ = entry.partition("/")
    return bool(slash) and is_provider(head)
