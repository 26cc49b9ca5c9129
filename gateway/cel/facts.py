"""Facts that conditions demand of a place, and what is left of two demands for the same place.

A fact is a value that the place holds (a text or number), a key that it has, something about its text, or a range
``(first, behind)`` of the numbers of ``networks``.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class PlaceKind(enum.Enum):
    """How a place is looked at."""

    VALUE = "value"
    KEYS = "keys"
    FIRST = "first"
    ANY = "any"
    RANGES = "ranges"


class Place(NamedTuple):
    """A dotted variable, and how it is looked at; ``key``: of a map, for FIRST and ANY."""

    kind: PlaceKind
    path: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Begins with this text, which is not empty; so the next two."""

    text: str

    def holds(self, value: str) -> bool:
        return value.startswith(self.text)


@dataclass(frozen=True, slots=True)
class Suffix:
    """Ends with this text."""

    text: str

    def holds(self, value: str) -> bool:
        return value.endswith(self.text)


@dataclass(frozen=True, slots=True)
class Part:
    """Contains this text."""

    text: str

    def holds(self, value: str) -> bool:
        return self.text in value


TextFact: TypeAlias = Prefix | Suffix | Part
Fact: TypeAlias = str | float | TextFact | tuple[float, float]
Demands: TypeAlias = Mapping[Place, frozenset[Fact]]

#: of an expression that is never true: a place where no fact helps
NEVER = Place(PlaceKind.VALUE, "")
IMPOSSIBLE: Demands = {NEVER: frozenset()}
NONE: Demands = {}
#: with more pairs of facts than this, one of two demands is kept as it is
_MAX_PAIRS = 10_000


def demand(place: Place, *facts: Fact) -> Demands:
    """That one of the facts holds of the place."""
    return {place: frozenset(facts)} if facts else IMPOSSIBLE


def all_of(parts: list[Demands]) -> Demands:
    """Of a conjunction: every part's; of two for the same place what fits both."""
    joined: dict[Place, frozenset[Fact]] = {}
    for part in parts:
        for place, facts in part.items():
            known = joined.get(place)
            joined[place] = facts if known is None else _both(place, known, facts)
    return joined if all(joined.values()) else IMPOSSIBLE


def any_of(parts: list[Demands]) -> Demands:
    """Of a disjunction: the places that every part which can be true at all makes demands on."""
    possible = [part for part in parts if NEVER not in part]
    if not possible:
        return IMPOSSIBLE
    places = set(possible[0]).intersection(*possible[1:])
    return {place: frozenset().union(*(part[place] for part in possible)) for place in places}


def _both(place: Place, one: frozenset[Fact], other: frozenset[Fact]) -> frozenset[Fact]:
    """What a value that meets both demands meets. A map may have a key of each, a list a text of each; of these, and
    of ranges, the shorter demand is kept, which promises less."""
    shorter, longer = sorted((one, other), key=len)
    if place.kind in (PlaceKind.KEYS, PlaceKind.ANY) or len(one) * len(other) > _MAX_PAIRS:
        return shorter
    if place.kind is PlaceKind.RANGES:
        return frozenset(fact for fact in shorter if any(_overlap(fact, wide) for wide in longer))
    narrowed = (_narrower(fact, another) for fact in one for another in other)
    return frozenset(fact for fact in narrowed if fact is not None)


def _narrower(one: Fact, other: Fact) -> Fact | None:
    """What has to hold where both of them do; None if they cannot. Of two that say different things, one is enough."""
    if isinstance(one, Prefix | Suffix | Part):
        if isinstance(other, Prefix | Suffix | Part):
            return _narrower_text(one, other)
        one, other = other, one
    if isinstance(other, Prefix | Suffix | Part):
        return one if isinstance(one, str) and other.holds(one) else None
    return one if one == other else None


def _narrower_text(one: TextFact, other: TextFact) -> TextFact | None:
    if isinstance(one, Part) or isinstance(other, Part):
        return other if isinstance(one, Part) else one
    if type(one) is not type(other):
        return one
    shorter, longer = sorted((one, other), key=lambda fact: len(fact.text))
    return longer if shorter.holds(longer.text) else None


def _overlap(one: Fact, other: Fact) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return one[0] < other[1] and other[0] < one[1]
    return True
