"""What a gateway key may use and whose provider keys serve it: the compiled form of a configuration.

Plain data in lower case; matching it with candidates is the business of ``gateway.ai`` (AG-94, AG-200 to AG-203).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


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
    """For candidates of ``provider`` (an id, alias or ``aigp_`` id), of ``model`` (an entry of AG-94), or of both."""

    provider: str | None
    model: str | None
    steps: tuple[RouteStep, ...]


@dataclass(frozen=True, slots=True, eq=False)
class KeyConfiguration:
    """A configuration as the request path uses it; a changed one is another object.

    ``providers`` and ``models`` are the allow lists of AG-94: None does not restrict, empty allows nothing.
    ``rules`` are in the order of their rank: the first that matches a candidate counts.
    """

    id: str
    name: str
    providers: frozenset[str] | None = None
    models: frozenset[str] | None = None
    rules: tuple[RouteRule, ...] = ()


ALLOW_NOTHING: Final = KeyConfiguration("", "", frozenset(), frozenset())
"""Stands for a configuration that a key names and that is not there: fails closed."""


def by_rank(rules: Iterable[RouteRule]) -> tuple[RouteRule, ...]:
    """Rules with a model before those with only a provider; as written within a rank (AG-200)."""
    return tuple(sorted(rules, key=lambda rule: rule.model is None))
