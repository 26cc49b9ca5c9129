"""Which rules of a phase may match at all: looked up, instead of asking each of them (budget B8).

Conditions say what they demand (``gateway.cel.demands``): a path, a header that has to be there, a network. Rules that
demand something of the same place share a table; one look at each place leaves the rules that are worth evaluating,
in document order. What a rule means does not depend on it: a rule is left out only where its condition is false.

Invariants
    1. The rules left out would all be false, none would fail, as long as nobody changes the request or the answer;
       after an action did, the engine asks again.
    2. Whatever goes wrong here leaves every rule in.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from gateway.cel.facts import NEVER, Demands, Fact, Part, Place, PlaceKind, Prefix, Suffix
from gateway.cel.keyed import keyed
from gateway.cel.networks import number_of

if TYPE_CHECKING:
    from gateway.policy.compile import CompiledRule

#: with fewer rules that demand something, evaluating them is as quick
MIN_RULES = 6
#: a look at a place costs as much as a condition
MIN_RULES_OF_PLACE = 2
#: variables that change only where ``variables.request_changed`` or ``response_changed`` says so
_STEADY = ("conn.", "endpoint.", "req.", "res.")
_RESTLESS = frozenset(("conn.bytes_in", "conn.bytes_out"))
#: sets of rules remembered; a client that makes up requests can bring about any number of them
_MAX_REMEMBERED = 256

#: rules as bits, the first rule the lowest
Bits = int
#: scope → bits of the rules that may match
Look = Callable[[Any], Bits]


class RuleIndex:
    """The index of one phase."""

    __slots__ = ("_all", "_looks", "_remembered", "_rules")

    def __init__(self, rules: Sequence[CompiledRule], looks: Sequence[Look], possible: Bits) -> None:
        self._rules = rules
        self._looks = tuple(looks)
        self._all = possible
        self._remembered: dict[Bits, tuple[CompiledRule, ...]] = {}

    def possible(self, scope: Any, first: int = 0) -> tuple[CompiledRule, ...]:
        """The rules that may match, beginning with the rule at ``first``."""
        bits = self._all
        try:
            for look in self._looks:
                bits &= look(scope)
        except Exception:  # noqa: BLE001 - what cannot be read here fails in the rules, with their names
            bits = self._all
        if first:
            bits = bits >> first << first
        found = self._remembered.get(bits)
        return found if found is not None else self._chosen(bits)

    def _chosen(self, bits: Bits) -> tuple[CompiledRule, ...]:
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        rules = tuple(rule for rule, bit in zip(self._rules, f"{bits:b}"[::-1], strict=False) if bit == "1")
        self._remembered[bits] = rules
        return rules


def build_index(rules: Sequence[CompiledRule]) -> RuleIndex | None:
    """The index; None where it would not pay."""
    demanded: dict[Place, dict[int, frozenset[Fact]]] = {}
    impossible: Bits = 0
    indexed: set[int] = set()
    for number, rule in enumerate(rules):
        demands: Demands = rule.program.demands if rule.program is not None else {}
        for place, facts in demands.items():
            if place == NEVER:
                impossible |= 1 << number
            elif place.path.startswith(_STEADY) and place.path not in _RESTLESS:
                demanded.setdefault(place, {})[number] = facts
            else:
                continue
            indexed.add(number)
    if len(indexed) < MIN_RULES:
        return None
    every = (1 << len(rules)) - 1
    worth = {place: wanted for place, wanted in demanded.items() if len(wanted) >= MIN_RULES_OF_PLACE}
    looks = [_LOOKS[place.kind](place, wanted, every) for place, wanted in worth.items()]
    return RuleIndex(rules, looks, every & ~impossible) if looks or impossible else None


def _others(wanted: Mapping[int, frozenset[Fact]], every: Bits) -> Bits:
    """The rules that demand nothing of a place."""
    return every & ~sum(1 << number for number in wanted)


def _table(wanted: Mapping[int, frozenset[Fact]]) -> dict[Fact, Bits]:
    """The rules that each fact is enough for."""
    table: dict[Fact, Bits] = {}
    for number, facts in wanted.items():
        for fact in facts:
            table[fact] = table.get(fact, 0) | 1 << number
    return table


def _text_look(table: Mapping[Fact, Bits]) -> Callable[[str], Bits] | None:
    """By what a text begins with, ends with or contains; None if nobody asks."""
    prefixes: dict[int, dict[str, Bits]] = {}
    suffixes: dict[int, dict[str, Bits]] = {}
    parts: dict[str, Bits] = {}
    for fact, bits in table.items():
        match fact:
            case Prefix(text):
                prefixes.setdefault(len(text), {})[text] = bits
            case Suffix(text):
                suffixes.setdefault(len(text), {})[text] = bits
            case Part(text):
                parts[text] = bits
            case _:
                pass
    begins, ends, inside = sorted(prefixes.items()), sorted(suffixes.items()), tuple(parts.items())

    def look(text: str) -> Bits:
        found = 0
        for length, known in begins:
            found |= known.get(text[:length], 0)
        for length, known in ends:
            found |= known.get(text[-length:], 0)
        for part, bits in inside:
            if part in text:
                found |= bits
        return found

    return look if prefixes or suffixes or parts else None


def _value_look(place: Place, wanted: Mapping[int, frozenset[Fact]], every: Bits) -> Look:
    """By what a variable equals, and what its text is like."""
    exact = _table(wanted)
    text_look = _text_look(exact)
    read, others = attrgetter(place.path), _others(wanted, every)
    if text_look is None:
        return lambda scope: others | exact.get(read(scope), 0)

    def look(scope: Any) -> Bits:
        value = read(scope)
        return others | exact.get(value, 0) | text_look(value)

    return look


def _keys_look(place: Place, wanted: Mapping[int, frozenset[Fact]], every: Bits) -> Look:
    """By the keys that a map has."""
    table = _table(wanted)
    read, others, names = attrgetter(place.path), _others(wanted, every), table.keys()

    def look(scope: Any) -> Bits:
        bits = others
        for name in names & read(scope).keys():
            bits |= table[name]
        return bits

    return look


def _secret_look(wanted: Mapping[int, frozenset[Fact]]) -> Callable[[str], Bits]:
    """By a text that may be confidential: where rules compare it, not by the text but by a keyed hash of it, so that
    the time tells nothing of the contents (TP-95). A rule that is left in compares in constant time."""
    table = _table(wanted)
    text_look = _text_look(table)
    exact: dict[int, Bits] = {}
    for fact, bits in table.items():
        if isinstance(fact, str):
            exact[keyed(fact)] = exact.get(keyed(fact), 0) | bits
    if text_look is None:
        return lambda text: exact.get(keyed(text), 0)
    if not exact:
        return text_look
    return lambda text: exact.get(keyed(text), 0) | text_look(text)


def _first_look(place: Place, wanted: Mapping[int, frozenset[Fact]], every: Bits) -> Look:
    """By the first of the values under a key."""
    read, name, others, of_text = attrgetter(place.path), place.key, _others(wanted, every), _secret_look(wanted)

    def look(scope: Any) -> Bits:
        values = read(scope).get(name)
        return others | of_text(values[0]) if values else others

    return look


def _any_look(place: Place, wanted: Mapping[int, frozenset[Fact]], every: Bits) -> Look:
    """By all the values under a key."""
    read, name, others, of_text = attrgetter(place.path), place.key, _others(wanted, every), _secret_look(wanted)

    def look(scope: Any) -> Bits:
        bits = others
        for value in read(scope).get(name, ()):
            bits |= of_text(value)
        return bits

    return look


def _ranges_look(place: Place, wanted: Mapping[int, frozenset[Fact]], every: Bits) -> Look:
    """By the networks that an address lies in: the bits between every two bounds are known beforehand."""
    ranges = [(number, fact) for number, facts in wanted.items() for fact in facts if isinstance(fact, tuple)]
    read, others = attrgetter(place.path), _others(wanted, every)
    bounds, cells = _cells(ranges, others)

    def look(scope: Any) -> Bits:
        address = number_of(read(scope))
        # what is no address is NaN, which equals nothing: it is in no network, and outside of each
        return cells[bisect_right(bounds, address)] if address == address else every

    return look


def _cells(ranges: Iterable[tuple[int, tuple[float, float]]], others: Bits) -> tuple[list[float], list[Bits]]:
    """Bounds in order, and the bits before the first, between every two, and behind the last.

    A rule's ranges may overlap, so that ends are counted.
    """
    begins: dict[float, list[int]] = {}
    ends: dict[float, list[int]] = {}
    for number, (first, behind) in ranges:
        begins.setdefault(first, []).append(number)
        ends.setdefault(behind, []).append(number)
    bounds = sorted(begins.keys() | ends.keys())
    inside: Counter[int] = Counter()
    cells = [others]
    bits = others
    for bound in bounds:
        for number in begins.get(bound, ()):
            inside[number] += 1
            bits |= 1 << number
        for number in ends.get(bound, ()):
            inside[number] -= 1
            if not inside[number]:
                bits &= ~(1 << number)
        cells.append(bits)
    return bounds, cells


_LOOKS: Mapping[PlaceKind, Callable[[Place, Mapping[int, frozenset[Fact]], Bits], Look]] = {
    PlaceKind.VALUE: _value_look,
    PlaceKind.KEYS: _keys_look,
    PlaceKind.FIRST: _first_look,
    PlaceKind.ANY: _any_look,
    PlaceKind.RANGES: _ranges_look,
}
