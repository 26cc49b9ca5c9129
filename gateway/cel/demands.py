"""What a condition demands: simple facts without which it is certainly false. Rules are indexed by them.

    demands(root, environment) → {Place(VALUE, 'req.url.path'): {Prefix('/admin')}, Place(KEYS, 'req.headers'): {'x-a'}}

For each place at least one of its facts has to hold; where none does, evaluating the expression would give ``false``,
never an error. That is all that is promised: an expression whose demands are met may still be false or fail. What is
not understood demands nothing.

Five kinds of places
    VALUE    a variable: values that it equals, or what its text begins with, ends with or contains
    KEYS     a map whose missing keys give absent (TP-80 a): keys that it has
    FIRST    the first of the values under one of its keys: the same. Equality is confidential (TP-95)
    ANY      all of the values under one of its keys: the same, of at least one of them (TP-93)
    RANGES   a variable that holds an address: ``(first, behind)`` numbers of ``networks``; what is no address may
             meet any demand

Sound by TP-73 (``false && E`` is false), TP-72 (equality is defined everywhere) and TP-80 to TP-84 (absent values).
Which rows of the tables below give false without their fact is what tests/property/test_demands.py tries out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from gateway.cel import ast
from gateway.cel.env import Environment
from gateway.cel.facts import (
    IMPOSSIBLE,
    NEVER,
    NONE,
    Demands,
    Fact,
    Part,
    Place,
    PlaceKind,
    Prefix,
    Suffix,
    TextFact,
    all_of,
    any_of,
    demand,
)
from gateway.cel.names import path_of
from gateway.cel.networks import merged, range_of
from gateway.cel.types import CelType, Kind

#: methods that are false for an absent receiver (TP-82) if their arguments cannot fail
_FALSE_IF_ABSENT = frozenset(("contains", "endsWith", "includes", "matches", "startsWith"))
#: of those the ones that a plain argument says something about
_TEXT_TESTS: Mapping[str, Callable[[str], TextFact]] = {
    "contains": Part, "includes": Part, "startsWith": Prefix, "endsWith": Suffix,
}  # fmt: skip
_NETWORK_TESTS = frozenset(("inCidrRange", "inCidrRanges"))
_QUANTIFIERS = frozenset(("exists", "exists_one"))
_ANCHORED = re.compile(r"\^((?:[A-Za-z0-9/_-]|\\[./-])+)")
_PLAIN = re.compile(r"(?:[A-Za-z0-9 /_:;,-]|\\[./-])+")
_LETTER = re.compile(r"\\?.")
_COUNTS = ("*", "?", "{", "+")
#: literals that texts and whole numbers may equal; numbers compare by value, whatever their type (TP-71)
_VALUES = (str, int, float)
_COMPARABLE = (Kind.STRING, Kind.INT)


def demands(root: ast.Node, environment: Environment) -> Demands:
    """The demands of a condition, an empty mapping if nothing is known."""
    if not environment.checked or environment.items or environment.container:
        return NONE
    return _Reading(environment).of(root)


class _Reading:
    """Reads one expression. ``of`` knows the forms, the other methods what stands in them."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def of(self, node: ast.Node) -> Demands:
        match node:
            case ast.Literal(value=False):
                return IMPOSSIBLE
            case ast.Logic(operator="&&", operands=operands):
                return all_of(list(map(self.of, operands)))
            case ast.Logic(operands=operands):
                return any_of(list(map(self.of, operands)))
            case ast.Binary(operator="==", left=left, right=right):
                return self._equal(left, right) or self._equal(right, left)
            case ast.Binary(operator="in", left=left, right=right):
                return self._member(left, right)
            case ast.Unary(operator="!", operand=ast.Call(receiver=None) as call):
                return self._outside(call)
            case ast.Call(receiver=None):
                return self._call(node)
            case ast.Call(receiver=ast.Node() as receiver):
                return self._method(receiver, node)
            case _:
                return NONE

    # --- forms

    def _equal(self, left: ast.Node, right: ast.Node) -> Demands:
        path = self._variable(left)
        if path is not None and isinstance(right, ast.Literal) and isinstance(right.value, _VALUES):
            return demand(Place(PlaceKind.VALUE, path), right.value)
        text = _text(right)
        if isinstance(left, ast.Call) and left.name == "join" and left.receiver is not None and text:
            return self._absent(left.receiver) if all(map(_is_literal, left.arguments)) else NONE
        if text is not None and (first := self._first(left)) is not None:
            return {**self._absent(left), first: frozenset((text,))}
        solid = text is not None or (isinstance(right, ast.Literal) and right.value is not None)
        return self._absent(left) if solid or self._variable(right) is not None else NONE

    def _member(self, left: ast.Node, right: ast.Node) -> Demands:
        if isinstance(right, ast.ListLiteral):
            values = [item.value for item in right.items if isinstance(item, ast.Literal)]
            if len(values) < len(right.items) or None in values:
                return NONE
            path = self._variable(left)
            if path is not None:
                return demand(Place(PlaceKind.VALUE, path), *(value for value in values if isinstance(value, _VALUES)))
            first = self._first(left)
            found = self._absent(left)
            return found if first is None else {**found, first: frozenset(v for v in values if isinstance(v, str))}
        if not _is_literal(left):
            return NONE
        table = self._map(right)
        if table is not None and isinstance(left, ast.Literal) and isinstance(left.value, str):
            return self._key(table, left.value)
        place = self._values(right, PlaceKind.ANY)
        if place is not None and isinstance(left, ast.Literal) and isinstance(left.value, str):
            return {**self._absent(right), place: frozenset((left.value,))}
        return self._absent(right)

    def _call(self, node: ast.Call) -> Demands:
        if node.name == "has" and len(node.arguments) == 1:
            return self._absent(node.arguments[0])
        if node.name in _NETWORK_TESTS and len(node.arguments) == 2:
            path = self._variable(node.arguments[0])
            ranges = _texts(node.arguments[1])
            if path is None or ranges is None:
                return NONE
            return demand(Place(PlaceKind.RANGES, path), *filter(None, map(range_of, ranges)))
        key = node.arguments[0] if len(node.arguments) == 1 else None
        table = self._searched_by(node, Kind.BOOL)
        if table is None or not isinstance(key, ast.Literal) or not isinstance(key.value, str):
            return NONE
        return self._key(table, key.value)

    def _outside(self, node: ast.Call) -> Demands:
        """``!inCidrRange(address, …)``: in one of the gaps between the networks."""
        inside = self._call(node) if node.name in _NETWORK_TESTS else NONE
        if NEVER in inside:
            return NONE
        gaps = {}
        for place, facts in inside.items():
            networks = [fact for fact in facts if isinstance(fact, tuple)]
            bounds = [-math.inf, *merged(networks), math.inf]
            gaps[place] = frozenset[Fact](zip(bounds[::2], bounds[1::2], strict=True))
        return gaps

    def _method(self, receiver: ast.Node, node: ast.Call) -> Demands:
        if node.name in _QUANTIFIERS and len(node.arguments) == 2:
            return self._absent(receiver)
        if node.name not in _FALSE_IF_ABSENT or not all(map(_is_literal, node.arguments)):
            return NONE
        fact = _text_fact(node)
        path = self._variable(receiver)
        if path is not None:
            return demand(Place(PlaceKind.VALUE, path), fact) if fact is not None else NONE
        place = self._first(receiver) or self._values(receiver, PlaceKind.ANY)
        found = self._absent(receiver)
        return found if fact is None or place is None else {**found, place: frozenset[Fact]((fact,))}

    # --- what stands in them

    def _absent(self, node: ast.Node) -> Demands:
        """The key without which a value is absent or an empty list of values."""
        while True:
            table = self._lookup(node)
            if table is not None:
                return table
            # a member or an item of an absent value is absent (TP-80 f)
            if isinstance(node, ast.Select) or (isinstance(node, ast.Index) and _is_whole(node.index)):
                node = node.operand
            else:
                return NONE

    def _first(self, node: ast.Node) -> Place | None:
        """``map['key'][0]``, where the values are texts."""
        match node:
            case ast.Index(operand=operand, index=ast.Literal(value=0, kind=Kind.INT)):
                return self._values(operand, PlaceKind.FIRST)
            case _:
                return None

    def _values(self, node: ast.Node, kind: PlaceKind) -> Place | None:
        """``map['key']``, where the values are lists of texts."""
        found = self._entry(node)
        if found is None:
            return None
        path, values, key = found
        if values.item.kind is not Kind.LIST or values.item.item.kind is not Kind.STRING:
            return None
        return Place(kind, path, key)

    def _lookup(self, node: ast.Node) -> Demands | None:
        """Where ``_entry`` finds something: that its key has to be there."""
        found = self._entry(node)
        return demand(Place(PlaceKind.KEYS, found[0]), found[2]) if found is not None else None

    def _entry(self, node: ast.Node) -> tuple[str, CelType, str] | None:
        """Path, type and key of ``map['key']``, ``map.key`` or a function that looks its argument up in a map."""
        match node:
            case ast.Index(operand=operand, index=ast.Literal(value=str() as key)):
                table = self._map(operand)
            case ast.Select(operand=operand, field=key):
                table = self._map(operand)
            case ast.Call(receiver=None, arguments=(ast.Literal(value=str() as key),)):
                table = self._searched_by(node, Kind.LIST, Kind.OBJECT)
            case _:
                return None
        if table is None:
            return None
        path, kind = table
        return path, kind, key.lower() if kind.ignore_case else key

    def _searched_by(self, node: ast.Call, *results: Kind) -> tuple[str, CelType] | None:
        """The map that a function of the environment looks into, if it gives one of these kinds."""
        overloads = self._environment.overloads.get((node.name, False), ())
        if len(overloads) != 1 or not overloads[0].looks_in:
            return None
        result = overloads[0].result
        if not isinstance(result, CelType) or result.kind not in results:
            return None
        return self._typed(tuple(overloads[0].looks_in.split(".")))

    def _key(self, table: tuple[str, CelType], key: str) -> Demands:
        path, kind = table
        return demand(Place(PlaceKind.KEYS, path), key.lower() if kind.ignore_case else key)

    def _map(self, node: ast.Node) -> tuple[str, CelType] | None:
        """A variable that is a map of lookups."""
        path = path_of(node)
        found = self._typed(path.names) if path is not None else None
        return found if found is not None and found[1].kind is Kind.MAP and found[1].lookup else None

    def _variable(self, node: ast.Node) -> str | None:
        """A variable that is never absent, holds a text or whole number, and is nobody's secret (TP-95)."""
        path = path_of(node)
        found = self._typed(path.names) if path is not None else None
        if found is None or found[1].sensitive or not found[1].is_exactly(*_COMPARABLE):
            return None
        return found[0]

    def _typed(self, names: tuple[str, ...]) -> tuple[str, CelType] | None:
        """The dotted path and its type, if every step of it is a member that is always there."""
        kind = self._environment.variables.get(names[0])
        for name in names[1:]:
            if kind is None or kind.nullable or kind.host is None:
                return None
            kind = kind.host.__cel__.get(name)
        return (".".join(names), kind) if kind is not None and not kind.nullable else None


def _is_literal(node: ast.Node) -> bool:
    return isinstance(node, ast.Literal) and node.value is not None


def _is_whole(node: ast.Node) -> bool:
    return isinstance(node, ast.Literal) and node.kind in (Kind.INT, Kind.UINT)


def _text_fact(node: ast.Call) -> TextFact | None:
    """What has to be true of a text for one of its tests to be."""
    text = _text(node.arguments[0]) if len(node.arguments) == 1 else None
    if not text:
        return None
    return _matched(text) if node.name == "matches" else _TEXT_TESTS[node.name](text)


def _matched(pattern: str) -> TextFact | None:
    """What a text that matches begins with or contains, as far as that is plain: ``^/api/v[12]`` → ``/api/v``."""
    if _PLAIN.fullmatch(pattern):
        return Part(_unescaped(pattern))
    begun = _ANCHORED.match(pattern)
    if begun is None or "|" in pattern:
        return None
    letters = _LETTER.findall(begun[1])
    if pattern[begun.end() :].startswith(_COUNTS):
        letters.pop()
    text = _unescaped("".join(letters))
    return Prefix(text) if text else None


def _unescaped(pattern: str) -> str:
    return "".join(letter[-1] for letter in _LETTER.findall(pattern))


def _text(node: ast.Node) -> str | None:
    """A text that is written out, possibly in pieces: ``'Bearer ' + 'a'``."""
    if isinstance(node, ast.Binary) and node.operator == "+":
        left, right = _text(node.left), _text(node.right)
        return left + right if left is not None and right is not None else None
    return node.value if isinstance(node, ast.Literal) and isinstance(node.value, str) else None


def _texts(node: ast.Node) -> list[str] | None:
    """One text or a list of them, written out."""
    items = node.items if isinstance(node, ast.ListLiteral) else (node,)
    texts = [text for item in items if (text := _text(item)) is not None]
    return texts if len(texts) == len(items) else None
