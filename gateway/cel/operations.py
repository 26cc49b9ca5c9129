"""Literals and operators: a plain Python operator where the static types prove it right, a general function else."""

from __future__ import annotations

import ast as python
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.cel import ast, operators, values
from gateway.cel.generator import Fragment, Generator, joined
from gateway.cel.keyed import KnownTexts
from gateway.cel.limits import bounded
from gateway.cel.presence import spelled
from gateway.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    NUMERIC,
    STRING,
    TIMESTAMP,
    UINT,
    CelType,
    Faults,
    Kind,
    list_of,
    map_of,
)  # fmt: skip

_LITERALS = {
    Kind.BOOL: BOOL, Kind.INT: INT, Kind.UINT: UINT, Kind.DOUBLE: DOUBLE, Kind.STRING: STRING, Kind.BYTES: BYTES,
    Kind.NULL: NULL,
}  # fmt: skip
_GENERAL: dict[str, Callable[..., Any]] = {
    "<": values.less, "<=": values.less_equal, ">": values.greater, ">=": values.greater_equal,
    "+": operators.add, "-": operators.subtract, "*": operators.multiply, "/": operators.divide, "%": operators.modulo,
}  # fmt: skip
#: after so many operators a chain is stored
_CHAIN = 64
#: kinds whose equality may look at many elements
_LARGE = frozenset((Kind.DYN, Kind.LIST, Kind.MAP))
#: code that Python cannot fold: `1 is None` would be a SyntaxWarning
_NO_CONSTANT = (python.Name, python.Attribute, python.Subscript, python.Call)
_ORDERED = (Kind.STRING, Kind.BYTES, Kind.BOOL, Kind.TIMESTAMP, Kind.DURATION)
_MIXED_TIME = {
    ("+", Kind.TIMESTAMP, Kind.DURATION): TIMESTAMP,
    ("+", Kind.DURATION, Kind.TIMESTAMP): TIMESTAMP,
    ("-", Kind.TIMESTAMP, Kind.DURATION): TIMESTAMP,
    ("-", Kind.TIMESTAMP, Kind.TIMESTAMP): DURATION,
}
_ARITHMETIC_KINDS = {
    "+": NUMERIC | {Kind.STRING, Kind.BYTES, Kind.LIST, Kind.DURATION},
    "-": NUMERIC | {Kind.DURATION},
    "*": NUMERIC,
    "/": NUMERIC,
    "%": frozenset((Kind.INT, Kind.UINT)),
}


def generate_literal(generator: Generator, node: ast.Node) -> Fragment:
    """``1``, ``'a'`` …"""
    assert isinstance(node, ast.Literal)
    value: object = node.value
    if node.kind is Kind.UINT:
        assert isinstance(value, int)
        value = values.Uint(value)
    return Fragment(generator.emit.constant(node, value), _LITERALS[node.kind], True)


def generate_list(generator: Generator, node: ast.Node) -> Fragment:
    """``[a, b]``"""
    assert isinstance(node, ast.ListLiteral)
    items = [generator.generate(item) for item in node.items]
    code = generator.emit.list_of(node, (item.code for item in items))
    return Fragment(code, list_of(joined(item.type for item in items)), all(item.total for item in items))


def generate_map(generator: Generator, node: ast.Node) -> Fragment:
    """``{'a': 1}``"""
    assert isinstance(node, ast.MapLiteral)
    pairs = [(generator.generate(key), generator.generate(value)) for key, value in node.entries]
    kind = map_of(joined(value.type for _, value in pairs))
    names = [key.value for key, _ in node.entries if isinstance(key, ast.Literal) and isinstance(key.value, str)]
    if len(set(names)) == len(pairs):
        code = generator.emit.dict_of(node, (key.code for key, _ in pairs), (value.code for _, value in pairs))
        return Fragment(code, kind, all(value.total for _, value in pairs))
    for (key_node, _), (key, _) in zip(node.entries, pairs, strict=True):
        if key.type.kind not in (Kind.INT, Kind.UINT, Kind.BOOL, Kind.STRING, Kind.DYN):
            generator.mismatch(key_node, key.type, operation="map key")
    entries = generator.emit.list_of(
        node, (generator.emit.tuple_of(node, (key.code, value.code)) for key, value in pairs)
    )
    return Fragment(generator.emit.call(node, operators.build_map, entries), kind)


def generate_unary(generator: Generator, node: ast.Node) -> Fragment:
    """``!a``, ``-a``"""
    assert isinstance(node, ast.Unary)
    value = generator.generate(node.operand)
    emit = generator.emit
    if node.operator == "!":
        if value.type.is_exactly(Kind.BOOL):
            return generator.boolean(emit.inverse(node, value.code), total=value.total)
        if value.type.kind not in (Kind.BOOL, Kind.DYN):
            generator.mismatch(node, value.type, operation="'!'")
        return generator.boolean(emit.call(node, operators.negation, value.code), total=False)
    if value.type.is_exactly(Kind.DOUBLE):
        return Fragment(emit.negative(node, value.code), DOUBLE, value.total)
    if value.type.kind not in (Kind.INT, Kind.DOUBLE, Kind.DYN):
        generator.mismatch(node, value.type, operation="'-'")
    return Fragment(emit.call(node, operators.minus, value.code), replace(value.type, nullable=False))


def generate_binary(generator: Generator, node: ast.Node) -> Fragment:
    """Comparison, membership, arithmetic. A chain ``a + b + c …`` is a loop, not a recursion."""
    assert isinstance(node, ast.Binary)
    chain = [node]
    while isinstance(chain[-1].left, ast.Binary):
        chain.append(chain[-1].left)
    result = generator.generate(chain[-1].left)
    texts = 0 if isinstance(chain[-1].left, ast.Literal) else 1
    for count, step in enumerate(reversed(chain), 1):
        if count % _CHAIN == 0:
            result = _stored(generator, result, step)
        if step.operator == "in":
            result = _membership(generator, result, step)
            texts = 0
            continue
        right = generator.generate(step.right)
        result = _binary(generator, result, right, step)
        if step.operator == "+" and _may_grow(result.type):
            texts += not isinstance(step.right, ast.Literal)
        else:
            texts = 0
        if not generator.environment.checked:
            result = Fragment(result.code, DYN)
    return _charged(generator, result, node, texts)


def _stored(generator: Generator, value: Fragment, at: ast.Node) -> Fragment:
    """The same value in a variable, so that a long chain does not become one deep Python expression."""
    name = generator.emit.fresh("v")
    generator.statements.append(generator.emit.assign(at, name, value.code))
    return replace(value, code=generator.emit.name(at, name))


def _may_grow(kind: CelType) -> bool:
    return kind.kind in (Kind.STRING, Kind.BYTES, Kind.LIST, Kind.DYN)


def _charged(generator: Generator, result: Fragment, node: ast.Binary, texts: int) -> Fragment:
    """TP-77: joining two values of unknown size can double what exists."""
    if texts < 2 and not (texts and generator.loops):
        return result
    if generator.loops:
        return replace(result, code=generator.budget(node, "grown", result.code), total=False)
    return replace(result, code=generator.emit.call(node, bounded, result.code), total=False)


def _binary(generator: Generator, left: Fragment, right: Fragment, node: ast.Binary) -> Fragment:
    if node.operator in ("==", "!="):
        return _equality(generator, left, right, node)
    if node.operator in ("<", "<=", ">", ">="):
        return _ordering(generator, left, right, node)
    return _arithmetic(generator, left, right, node)


# --- equality


def _equality(generator: Generator, left: Fragment, right: Fragment, node: ast.Binary) -> Fragment:
    emit = generator.emit
    total = left.total and right.total
    for value, other in ((left, right), (right, left)):
        if value.type.kind is Kind.NULL and value.total and isinstance(other.code, _NO_CONSTANT):
            code = emit.is_none(node, other.code, negated=node.operator == "!=")
            return generator.boolean(code, total=other.total)
    function = _equality_function(generator, left.type, right.type, node)
    if function is None:
        return generator.boolean(emit.compare(node, left.code, node.operator, right.code), total=total)
    looked_up = emit.sole_argument(left.code, operators.first)
    if function in _FIRST_TEXT and looked_up is not None and right.type.is_exactly(Kind.STRING):
        return generator.boolean(emit.call(node, _FIRST_TEXT[function], looked_up, right.code), total=total)
    if generator.loops and left.type.kind in _LARGE and right.type.kind in _LARGE:
        scanned = generator.budget(node, "scanned", left.code)
        return generator.boolean(emit.call(node, function, scanned, right.code), total=False)
    return generator.boolean(emit.call(node, function, left.code, right.code), total=total)


#: comparing the first of some values with a text
_FIRST_TEXT: dict[Callable[..., bool], Callable[..., bool]] = {
    values.same_text: operators.same_first,
    values.differ_text: operators.differ_first,
}


def _equality_function(
    generator: Generator, left: CelType, right: CelType, node: ast.Binary
) -> Callable[..., bool] | None:
    """The function that compares them; None if Python's operator does."""
    equal = node.operator == "=="
    general = values.same if equal else values.differ
    text = left.kind is Kind.STRING or right.kind is Kind.STRING
    if text and (left.kind is right.kind or Kind.DYN in (left.kind, right.kind)):
        if not left.sensitive and not right.sensitive:
            return None
        if left.is_exactly(Kind.STRING) or right.is_exactly(Kind.STRING):
            return values.same_text if equal else values.differ_text
        return general
    if left.kind in NUMERIC and right.kind in NUMERIC:
        return None
    if left.kind is right.kind and left.kind in (Kind.BOOL, Kind.TIMESTAMP, Kind.DURATION, Kind.TYPE):
        return None
    never = left.kind is not right.kind and Kind.DYN not in (left.kind, right.kind)
    if never and not (left.nullable and right.nullable):
        generator.warn(node, f"{left} and {right} are never equal")
    return general


# --- order


def _ordering(generator: Generator, left: Fragment, right: Fragment, node: ast.Binary) -> Fragment:
    emit = generator.emit
    one, two = left.type, right.type
    never_null = not one.nullable and not two.nullable
    _warn_null(generator, (left, node.left), (right, node.right))
    total = left.total and right.total and never_null
    if one.kind in NUMERIC and two.kind in NUMERIC:
        if one.kind is two.kind or _is_small(node.left) or _is_small(node.right):
            return generator.boolean(emit.compare(node, left.code, node.operator, right.code), total=total)
    elif one.kind is two.kind and one.kind in _ORDERED and never_null:
        return generator.boolean(emit.compare(node, left.code, node.operator, right.code), total=total)
    elif Kind.DYN not in (one.kind, two.kind) and (one.kind is not two.kind or one.kind not in _ORDERED):
        generator.warn(node, f"'{node.operator}' is not defined for {one} and {two}: this always fails")
    function = _GENERAL[node.operator]
    if generator.faults is Faults.UNDECIDED:
        left_counts, right_counts = (kind.nullable and kind.kind in NUMERIC for kind in (one, two))
        if left_counts or right_counts:
            function = values.quantity_comparison(function, left_counts=left_counts, right_counts=right_counts)
    return generator.boolean(emit.call(node, function, left.code, right.code), total=False)


def _is_small(node: ast.Node) -> bool:
    return isinstance(node, ast.Literal) and values.is_small(node.value)


def _warn_null(generator: Generator, *sides: tuple[Fragment, ast.Node]) -> None:
    if generator.faults is Faults.RAISE:
        for value, node in sides:
            if value.type.nullable and value.type.kind is not Kind.NULL and spelled(node) not in generator.proven:
                generator.warn(node, "this may be null, and comparing null with '<' or '>' fails")


# --- arithmetic


def _arithmetic(generator: Generator, left: Fragment, right: Fragment, node: ast.Binary) -> Fragment:
    one, two = left.type, right.type
    plain = _plain_arithmetic(generator, left, right, node)
    if plain is not None:
        return plain
    result = _arithmetic_type(one, two, node.operator)
    if result is None:
        generator.mismatch(node, one, two, operation=f"'{node.operator}'")
        result = DYN
    code = generator.emit.call(node, _GENERAL[node.operator], left.code, right.code)
    return Fragment(code, result)


def _plain_arithmetic(generator: Generator, left: Fragment, right: Fragment, node: ast.Binary) -> Fragment | None:
    """A Python operator, where both sides certainly have the same suitable type."""
    one, two = left.type, right.type
    if one.kind is not two.kind or one.nullable or two.nullable or node.operator not in "+-*":
        return None
    emit = generator.emit
    total = left.total and right.total
    if one.kind is Kind.DOUBLE:
        return Fragment(emit.arithmetic(node, left.code, node.operator, right.code), DOUBLE, total)
    if one.kind is Kind.INT:
        code: python.expr = emit.arithmetic(node, left.code, node.operator, right.code)
        return Fragment(emit.call(node, values.checked_int, code), INT)
    if one.kind is Kind.STRING and node.operator == "+":
        kind = replace(STRING, sensitive=one.sensitive or two.sensitive)
        return Fragment(emit.arithmetic(node, left.code, "+", right.code), kind, total)
    return None


def _arithmetic_type(left: CelType, right: CelType, operator: str) -> CelType | None:
    """The result's type; None if the operator can never work."""
    if Kind.DYN in (left.kind, right.kind):
        return DYN
    mixed = _MIXED_TIME.get((operator, left.kind, right.kind))
    if mixed is not None:
        return mixed
    if left.kind is not right.kind or left.kind not in _ARITHMETIC_KINDS[operator]:
        return None
    if left.kind is Kind.LIST:
        return list_of(joined((left.item, right.item)))
    return CelType(left.kind, sensitive=left.sensitive or right.sensitive)


# --- membership


def _membership(generator: Generator, element: Fragment, node: ast.Binary) -> Fragment:
    emit = generator.emit
    kind = element.type
    texts = _literal_texts(node.right)
    if texts is not None and kind.kind is Kind.STRING:
        return _listed(generator, element, node, texts)
    container = generator.generate(node.right)
    inside = container.type
    if inside.kind not in (Kind.LIST, Kind.MAP, Kind.DYN, Kind.NULL):
        generator.mismatch(node, kind, inside, operation="'in'")
    total = element.total and container.total
    function: Callable[..., bool] = values.contains
    if kind.is_exactly(Kind.STRING) and inside.is_exactly(Kind.MAP):
        if not inside.ignore_case:
            return generator.boolean(emit.compare(node, element.code, "in", container.code), total=total)
        function = operators.has_header
    elif inside.kind is Kind.MAP and inside.lookup:
        function, total = operators.has_header if inside.ignore_case else operators.has_entry, False
    elif kind.is_exactly(Kind.STRING) and inside.is_exactly(Kind.LIST):
        if not kind.sensitive and not inside.sensitive and inside.item.kind is Kind.STRING:
            return generator.boolean(emit.compare(node, element.code, "in", container.code), total=total)
        function = values.contains_text
    elif inside.kind is not Kind.LIST:
        total = False
    return _found(generator, element, node, replace(container, total=total), function)


def _found(
    generator: Generator, element: Fragment, node: ast.Binary, container: Fragment, function: Callable[..., bool]
) -> Fragment:
    """The call of a function that looks for the element; ``container.total`` tells of both whether they may fail."""
    emit = generator.emit
    code, total = container.code, container.total
    if generator.loops and container.type.kind in (Kind.LIST, Kind.DYN) and not isinstance(node.right, ast.ListLiteral):
        code, total = generator.budget(node, "scanned", code), False
    if function is values.contains and (looked_up := emit.sole_argument(element.code, operators.first)) is not None:
        return generator.boolean(emit.call(node, operators.first_in, looked_up, code), total=total)
    return generator.boolean(emit.call(node, function, element.code, code), total=total)


def _listed(generator: Generator, element: Fragment, node: ast.Binary, texts: list[str]) -> Fragment:
    """Membership of a text in a list of texts that is written out."""
    emit = generator.emit
    if element.type.sensitive:
        code: python.expr = emit.call(node, KnownTexts(texts).holds, element.code)
    else:
        code = emit.compare(node, element.code, "in", emit.held(node.right, frozenset(texts)))
    return generator.boolean(code, total=element.total)


def _literal_texts(node: ast.Node) -> list[str] | None:
    """The strings of a list literal that holds nothing else."""
    if not isinstance(node, ast.ListLiteral):
        return None
    texts = [item.value for item in node.items if isinstance(item, ast.Literal) and isinstance(item.value, str)]
    return texts if len(texts) == len(node.items) else None
