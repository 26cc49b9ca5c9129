"""Values at run time: what Python objects stand for which CEL values, their types, equality and order.

bool, int, float, str, bytes, None are themselves; lists are list or tuple, maps are dict. ``Uint``, ``Timestamp`` and
``Duration`` are ints of their own class. A bool used as a map key is wrapped (Python would merge 1 and True). Host
objects show the members named in their class's ``__cel__``. Null and absent are both None (TP-81).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hmac import compare_digest
from itertools import repeat
from operator import ge, gt, le, lt
from typing import Any

from gateway.cel.errors import Failure, NoOverload
from gateway.cel.keyed import KnownTexts
from gateway.cel.work import Work
from gateway.headers import HeaderMap, ValueList

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
UINT_MAX = 2**64 - 1
#: up to here every int is a double
_EXACT = 2**53


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


class Timestamp(int):
    """Nanoseconds since 1970-01-01T00:00:00Z."""

    __slots__ = ()


class Duration(int):
    """Nanoseconds."""

    __slots__ = ()


class TypeValue:
    """What ``type(x)`` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"TypeValue({self.name!r})"


class BoolKey:
    """A bool as a map key."""

    __slots__ = ("value",)

    def __init__(self, value: bool) -> None:
        self.value = value


TRUE_KEY, FALSE_KEY = BoolKey(True), BoolKey(False)

NUMBERS = frozenset((int, Uint, float))
_ORDERED = frozenset((str, bytes, bool, Timestamp, Duration))
_TYPE_NAMES: Mapping[type, str] = {
    bool: "bool", int: "int", Uint: "uint", float: "double", str: "string", bytes: "bytes", list: "list",
    tuple: "list", dict: "map", type(None): "null_type", TypeValue: "type",
    Timestamp: "google.protobuf.Timestamp", Duration: "google.protobuf.Duration",
}  # fmt: skip


def type_name(value: object) -> str:
    """``'int'``, ``'null_type'`` …; subclasses count as what they extend, host objects as their class name."""
    name = _TYPE_NAMES.get(value.__class__)
    if name is not None:
        return name
    for kind in (str, list, tuple, dict, bytes):
        if isinstance(value, kind):
            return _TYPE_NAMES[kind]
    return value.__class__.__name__


def no_overload(*values: object) -> NoOverload:
    """The error for an operator or function on values of these types."""
    return NoOverload(*map(type_name, values))


# --- equality

_CONTAINERS = (list, tuple, dict)


def same_text(left: object, right: object) -> bool:
    """Equality that takes the same time wherever the contents differ (TP-95); False unless both are strings."""
    if isinstance(left, str) and isinstance(right, str):
        try:
            return compare_digest(left, right)
        except TypeError:  # only ASCII strings are accepted as they are
            return compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
    return False


def same(left: object, right: object) -> bool:
    """``==`` of CEL: defined for all pairs, numbers by value, different types unequal (TP-72)."""
    left_class, right_class = left.__class__, right.__class__
    if left_class in NUMBERS:
        return right_class in NUMBERS and left == right
    if left is None or left_class is bool:
        return left_class is right_class and left == right
    if isinstance(left, str):
        return same_text(left, right)
    if isinstance(left, _CONTAINERS):
        return _same_inside(left, right, Work())
    if isinstance(left, bytes) and isinstance(right, bytes):
        return compare_digest(left, right)
    return left_class is right_class and left == right


def _same_inside(left: object, right: object, work: Work) -> bool:
    """``same`` for what may be nested, within what ``work`` allows."""
    if isinstance(left, list | tuple):
        if not isinstance(right, list | tuple) or len(left) != len(right):
            return False
        work.done(len(left))
        return all(_same_inside(one, other, work) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict):
        if not isinstance(right, dict) or len(left) != len(right):
            return False
        work.done(len(left))
        return all(key in right and _same_inside(value, right[key], work) for key, value in left.items())
    return same(left, right)


def same_as_any(value: object, others: Iterable[object], work: Work) -> bool:
    """Whether it equals one of them, within what ``work`` allows."""
    return any(_same_inside(value, other, work) for other in others)


def differ(left: object, right: object) -> bool:
    """``!=`` of CEL."""
    return not same(left, right)


def differ_text(left: object, right: object) -> bool:
    """``!=`` of two values one of which is a string."""
    return not same_text(left, right)


# --- order


def _comparison(plain: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """An ordering operator for values whose types are only known at run time."""

    def compare(left: Any, right: Any) -> bool:
        left_class, right_class = left.__class__, right.__class__
        if left_class is right_class:
            if left_class in _ORDERED or left_class in NUMBERS:
                return plain(left, right)
        elif left_class in NUMBERS and right_class in NUMBERS:
            if float in (left_class, right_class):
                return plain(float(left), float(right))
            return plain(left, right)
        if isinstance(left, str) and isinstance(right, str):
            return plain(left, right)
        raise no_overload(left, right)

    return compare


less = _comparison(lt)
less_equal = _comparison(le)
greater = _comparison(gt)
greater_equal = _comparison(ge)


class UnknownQuantityError(NoOverload, TypeError):
    """An ordering comparison with a null quota value (AG-128)."""


@lru_cache(maxsize=64)
def quantity_comparison(
    compare: Callable[[Any, Any], bool], *, left_counts: bool, right_counts: bool
) -> Callable[[Any, Any], bool]:
    """An ordering operator for which null, on a side that holds a quota, means "unknown"."""

    def compare_quantity(left: Any, right: Any) -> bool:
        if (left is None and left_counts) or (right is None and right_counts):
            raise UnknownQuantityError("null_type")
        return compare(left, right)

    return compare_quantity


def sort_key_class(value: object) -> object:
    """Values that may be sorted together have the same class here; Failure if the value has no order."""
    kind = value.__class__
    if kind in NUMBERS:
        return float
    if kind in _ORDERED:
        return kind
    if isinstance(value, str):
        return str
    raise no_overload(value)


# --- membership


def contains(element: object, container: object) -> bool:
    """``in``: element of a list, key of a map; false in an absent container (TP-82)."""
    if container.__class__ is KnownTexts and isinstance(element, str):
        return container.holds(element)
    if isinstance(container, list | tuple):
        if isinstance(element, str):
            return contains_text(element, container)
        return same_as_any(element, container, Work())
    if isinstance(container, dict):
        return has_key(container, element)
    if container is None:
        return False
    raise no_overload(element, container)


def contains_text(element: str, container: Iterable[object]) -> bool:
    """A string in a list: every element is compared, each in constant time (TP-95)."""
    try:
        return sum(map(compare_digest, container, repeat(element))) > 0  # type: ignore[arg-type]
    except TypeError:
        return sum(same_text(element, other) for other in container) > 0


def has_key(container: Mapping[Any, Any], key: object) -> bool:
    """``key in map``."""
    if isinstance(container, HeaderMap) and isinstance(key, str):
        return key.lower() in container
    if key.__class__ in NUMBERS or isinstance(key, str):
        if isinstance(key, float) and not key.is_integer():
            return False
        return key in container
    if key is True or key is False:
        return (TRUE_KEY if key else FALSE_KEY) in container
    raise no_overload(key)


def map_key(key: object) -> object:
    """The key under which a map literal stores it."""
    if key is True:
        return TRUE_KEY
    if key is False:
        return FALSE_KEY
    if key.__class__ in (int, Uint) or isinstance(key, str):
        return key
    raise Failure(f"unsupported map key type: {type_name(key)}")


def keys(container: Mapping[Any, Any]) -> list[Any]:
    """The keys as CEL values, in order."""
    return [key.value if key.__class__ is BoolKey else key for key in container]


def elements(container: object) -> Any:
    """What a macro iterates over: elements of a list, keys of a map, nothing for absent (TP-82)."""
    if isinstance(container, list | tuple):
        return container
    if isinstance(container, dict):
        return keys(container)
    if container is None:
        return ()
    raise no_overload(container)


# --- numbers


def checked_int(value: int) -> int:
    """The value if it fits in 64 bits."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise Failure("integer overflow")


def checked_uint(value: int) -> Uint:
    """The value as a uint if it fits."""
    if 0 <= value <= UINT_MAX:
        return Uint(value)
    raise Failure("unsigned integer overflow")


def divide_doubles(left: float, right: float) -> float:
    """IEEE 754 division: never fails."""
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def is_small(value: object) -> bool:
    """An int literal that compares with a double the same way exactly and rounded."""
    return isinstance(value, int | float) and -_EXACT < value < _EXACT


def any_text(values: object, test: Callable[[str], bool]) -> bool:
    """TP-93: true when any string of the value list satisfies ``test``."""
    assert isinstance(values, ValueList | list)
    return any(test(value) for value in values)
