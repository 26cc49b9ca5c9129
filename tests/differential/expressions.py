"""Random expressions of a wanted type, for comparing engines. Seeded: the same seed gives the same expressions.

``strange`` is how often an operand of any type stands where one of the right type belongs, so that errors and their
absorption are compared, too. Null only occurs where the gateway does not give it a meaning of its own (TP-82).
"""

from __future__ import annotations

import random
from collections.abc import Callable

DATA = {
    "i": 7, "j": -3, "big": 9_223_372_036_854_775_807, "d": 2.5, "s": "abc", "t": "Zebra é", "e": "", "b": True,
    "c": False, "n": None, "li": [1, 2, 3, -4], "ls": ["a", "abc", ""], "lm": [1, "a", 2.0, True],
    "m": {"a": 1, "b": "x", "l": [1, 2], "inner": {"k": "v", "f": 0.25}}, "z": {},
}  # fmt: skip

_NAMES = {
    "int": ["i", "j", "big", "m.a", "li[0]", "m.l[1]"], "double": ["d", "m.inner.f"],
    "string": ["s", "t", "e", "m.b", "ls[1]"], "bool": ["b", "c"], "list": ["li", "ls", "lm", "m.l"],
    "map": ["m", "z", "m.inner"],
}  # fmt: skip
_LITERALS = {
    "int": ["0", "1", "2", "-1", "5", "(-9223372036854775808)"], "uint": ["0u", "1u", "3u"],
    "double": ["0.0", "1.0", "2.5", "-0.5", "1e300"], "string": ["''", "'a'", "'abc'", "\"é\"", "'10'", "'true'"],
    "bool": ["true", "false"], "list": ["[]", "[1, 2]", "['a', 'b']", "[[1], [2]]"],
    "map": ["{}", "{'a': 1}", "{1: 'a', 2: 'b'}", "{true: 1}"],
}  # fmt: skip
#: leaves of the restricted grammar
_PLAIN = {
    "int": ["i", "j", "li[0]", "li[9]", "0", "2", "-1"], "string": ["s", "e", "ls[0]", "'a'", "'abc'", "''"],
    "bool": ["b", "c", "true", "false"], "list": ["li", "[1, 2]"],
}  # fmt: skip
_KINDS = ("int", "uint", "double", "string", "bool", "list", "map")
_BOUND = ("x", "y", "v")


class Expressions:
    """A stream of expressions. ``restricted``: only int, string, bool and lists of int, never mixed, never null."""

    def __init__(self, seed: int, *, strange: float = 0.06, restricted: bool = False) -> None:
        self._random = random.Random(seed)
        self._strange = 0.0 if restricted else strange
        self._restricted = restricted
        self._bound: list[str] = []

    def next(self) -> str:
        """One expression of a random type."""
        kinds = ("int", "string", "bool", "list") if self._restricted else _KINDS
        return self._make(self._random.choice(kinds), self._random.randint(2, 5))

    def _make(self, kind: str, depth: int) -> str:
        draw = self._random
        if draw.random() < self._strange:
            kind = draw.choice(_KINDS)
        if depth <= 0 or draw.random() < 0.12:
            return self._leaf(kind)
        forms: dict[str, list[Callable[[int], str]]] = {
            "int": [
                self._arithmetic, self._arithmetic, self._size, self._choice("int"), self._convert_int, self._negated,
            ],
            "uint": [self._uint_arithmetic, self._convert_uint, self._choice("uint")],
            "double": [self._double_arithmetic, self._convert_double, self._choice("double")],
            "string": [self._concatenation, self._convert_string, self._choice("string"), self._element],
            "bool": [
                self._logic, self._logic, self._comparison, self._comparison, self._equality, self._membership,
                self._text_test, self._quantifier, self._quantifier, self._not, self._has, self._choice("bool"),
            ],
            "list": [self._listed, self._filter, self._map, self._choice("list"), self._joined_lists],
            "map": [self._mapped, self._choice("map")],
        }  # fmt: skip
        return draw.choice(forms[kind])(depth - 1)

    def _leaf(self, kind: str) -> str:
        draw = self._random
        bound = self._bound
        if self._restricted:
            return draw.choice([*_PLAIN[kind], *(bound * 2 if kind == "int" else [])])
        if bound and draw.random() < 0.5:
            return draw.choice(bound)
        return draw.choice([*_NAMES.get(kind, []), *_LITERALS[kind]])

    def _choice(self, kind: str) -> Callable[[int], str]:
        return lambda depth: f"({self._make('bool', depth)} ? {self._make(kind, depth)} : {self._make(kind, depth)})"

    def _binary(self, operators: tuple[str, ...], left: str, right: str) -> str:
        return f"({left} {self._random.choice(operators)} {right})"

    def _arithmetic(self, depth: int) -> str:
        return self._binary(("+", "-", "*", "/", "%"), self._make("int", depth), self._make("int", depth))

    def _uint_arithmetic(self, depth: int) -> str:
        return self._binary(("+", "-", "*", "/", "%"), self._make("uint", depth), self._make("uint", depth))

    def _double_arithmetic(self, depth: int) -> str:
        return self._binary(("+", "-", "*", "/"), self._make("double", depth), self._make("double", depth))

    def _negated(self, depth: int) -> str:
        return f"(-({self._make('int', depth)}))"

    def _size(self, depth: int) -> str:
        kind = self._random.choice(("string", "list") if self._restricted else ("string", "list", "map"))
        value = self._make(kind, depth)
        return f"size({value})" if self._random.random() < 0.5 else f"({value}).size()"

    def _convert_int(self, depth: int) -> str:
        if self._restricted:
            return f"int({self._make('int', depth)})"
        return f"int({self._make(self._random.choice(('uint', 'double', 'string', 'int')), depth)})"

    def _convert_uint(self, depth: int) -> str:
        return f"uint({self._make(self._random.choice(('int', 'double', 'string')), depth)})"

    def _convert_double(self, depth: int) -> str:
        return f"double({self._make(self._random.choice(('int', 'uint', 'string')), depth)})"

    def _convert_string(self, depth: int) -> str:
        kind = "int" if self._restricted else self._random.choice(("int", "uint", "bool", "string"))
        return f"string({self._make(kind, depth)})"

    def _concatenation(self, depth: int) -> str:
        return f"({self._make('string', depth)} + {self._make('string', depth)})"

    def _joined_lists(self, depth: int) -> str:
        return f"({self._make('list', depth)} + {self._make('list', depth)})"

    def _element(self, depth: int) -> str:
        if self._restricted:
            return self._leaf("string")
        return f"{self._make('list', depth)}[{self._make('int', depth)}]"

    def _logic(self, depth: int) -> str:
        operator = self._random.choice((" && ", " || "))
        return f"({operator.join(self._make('bool', depth) for _ in range(self._random.randint(2, 3)))})"

    def _not(self, depth: int) -> str:
        return f"!({self._make('bool', depth)})"

    def _comparison(self, depth: int) -> str:
        if self._restricted:
            kind = self._random.choice(("int", "string"))
            return self._binary(("<", "<=", ">", ">="), self._make(kind, depth), self._make(kind, depth))
        kind = self._random.choice(("int", "uint", "double", "string", "bool"))
        other = self._random.choice(("int", "uint", "double")) if kind in ("int", "uint", "double") else kind
        right = "n" if self._random.random() < self._strange else self._make(other, depth)
        return self._binary(("<", "<=", ">", ">="), self._make(kind, depth), right)

    def _equality(self, depth: int) -> str:
        if self._restricted:
            kind = self._random.choice(("int", "string", "bool"))
            return self._binary(("==", "!="), self._make(kind, depth), self._make(kind, depth))
        left, right = self._random.choice(_KINDS), self._random.choice(_KINDS)
        if self._random.random() < 0.6:
            right = left
        value = self._random.choice(("null", "n", "[null, 1]", "{'a': null}")) if self._random.random() < 0.1 else ""
        value = value or self._make(right, depth)
        return self._binary(("==", "!="), self._make(left, depth), value)

    def _membership(self, depth: int) -> str:
        if self._restricted:
            return f"({self._make('int', depth)} in {self._make('list', depth)})"
        if self._random.random() < 0.2:
            return f"({self._make('string', depth)} in {self._make('map', depth)})"
        element = self._random.choice(("int", "string", "double", "bool"))
        return f"({self._make(element, depth)} in {self._make('list', depth)})"

    def _text_test(self, depth: int) -> str:
        method = self._random.choice(("startsWith", "endsWith", "contains"))
        if self._random.random() < 0.15:
            return f"({self._make('string', depth)}).matches('^[a-z]+$')"
        return f"({self._make('string', depth)}).{method}({self._make('string', depth)})"

    def _has(self, depth: int) -> str:
        if self._restricted:
            return "has(m.a)"
        return f"has({self._random.choice(('m.a', 'm.zz', 'm.inner.k', 'm.inner.zz', 'z.a'))})"

    def _macro(self, macro: str, body: str, depth: int, *, twice: str = "") -> str:
        name = _BOUND[len(self._bound) % len(_BOUND)]
        strange, self._strange = self._strange, 0.0  # never a map: their order of iteration is not defined
        receiver = self._make("list", depth)
        self._strange = strange
        self._bound.append(name)
        try:
            first = self._make(body, depth)
            second = f", {self._make(twice, depth)}" if twice else ""
        finally:
            self._bound.pop()
        return f"{receiver}.{macro}({name}, {first}{second})"

    def _quantifier(self, depth: int) -> str:
        return self._macro(self._random.choice(("all", "exists", "exists_one")), "bool", depth)

    def _filter(self, depth: int) -> str:
        return self._macro("filter", "bool", depth)

    def _map(self, depth: int) -> str:
        body = "int" if self._restricted else self._random.choice(_KINDS)
        if self._random.random() < 0.3 and not self._restricted:
            return self._macro("map", "bool", depth, twice=body)
        return self._macro("map", body, depth)

    def _listed(self, depth: int) -> str:
        kind = "int" if self._restricted else self._random.choice(_KINDS)
        return f"[{', '.join(self._make(kind, depth) for _ in range(self._random.randint(1, 3)))}]"

    def _mapped(self, depth: int) -> str:
        return f"{{'a': {self._make('int', depth)}, 'b': {self._make(self._random.choice(_KINDS), depth)}}}"
