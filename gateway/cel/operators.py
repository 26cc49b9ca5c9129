"""Operators on values whose types are only known at run time, and member and index access.

The compiler emits plain Python operators where the static types allow it; these are the general forms. All raise
``Failure`` (or ``KeyError`` and friends, which ``compile.locate`` explains).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hmac import compare_digest
from typing import Any, NoReturn

from gateway.cel.errors import Failure
from gateway.cel.keyed import KnownTexts
from gateway.cel.times import checked_duration, checked_timestamp
from gateway.cel.values import (
    FALSE_KEY,
    INT_MIN,
    NUMBERS,
    TRUE_KEY,
    Duration,
    Timestamp,
    Uint,
    checked_int,
    checked_uint,
    contains,
    divide_doubles,
    map_key,
    no_overload,
    same_text,
)
from gateway.headers import HeaderMap, ValueList


def refuse(message: str) -> NoReturn:
    """An error that an unchecked environment leaves to the run time."""
    raise Failure(message)


def truth(value: object) -> bool:
    """Where a bool is needed."""
    if value is True:
        return True
    if value is False:
        return False
    raise no_overload(value)


def negation(value: object) -> bool:
    """``!``"""
    return not truth(value)


def minus(value: Any) -> Any:
    """Unary ``-``."""
    if value.__class__ is int:
        return checked_int(-value)
    if value.__class__ is float:
        return -value
    raise no_overload(value)


def add(left: Any, right: Any) -> Any:
    """``+``"""
    kind = left.__class__
    if kind is right.__class__:
        if kind is int:
            return checked_int(left + right)
        if kind is str or kind is bytes or kind is float:
            return left + right
        if kind is Uint:
            return checked_uint(int(left) + int(right))
        if kind is Duration:
            return checked_duration(int(left) + int(right))
    if isinstance(left, str) and isinstance(right, str):
        return str(left) + str(right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return [*left, *right]
    if (kind, right.__class__) in ((Timestamp, Duration), (Duration, Timestamp)):
        return checked_timestamp(int(left) + int(right))
    raise no_overload(left, right)


def subtract(left: Any, right: Any) -> Any:
    """``-``"""
    kind = left.__class__
    if kind is right.__class__:
        if kind is int:
            return checked_int(left - right)
        if kind is float:
            return left - right
        if kind is Uint:
            return checked_uint(int(left) - int(right))
        if kind is Duration or kind is Timestamp:
            return checked_duration(int(left) - int(right))
    if kind is Timestamp and right.__class__ is Duration:
        return checked_timestamp(int(left) - int(right))
    raise no_overload(left, right)


def multiply(left: Any, right: Any) -> Any:
    """``*``"""
    kind = left.__class__
    if kind is right.__class__:
        if kind is int:
            return checked_int(left * right)
        if kind is float:
            return left * right
        if kind is Uint:
            return checked_uint(int(left) * int(right))
    raise no_overload(left, right)


def divide(left: Any, right: Any) -> Any:
    """``/``; integers are truncated toward zero."""
    kind = left.__class__
    if kind is right.__class__:
        if kind is float:
            return divide_doubles(left, right)
        if kind is int or kind is Uint:
            if right == 0:
                raise Failure("division by zero")
            quotient = abs(int(left)) // abs(int(right))
            if kind is Uint:
                return Uint(quotient)
            return checked_int(-quotient if (left < 0) != (right < 0) else quotient)
    raise no_overload(left, right)


def modulo(left: Any, right: Any) -> Any:
    """``%``; the result has the sign of the dividend."""
    kind = left.__class__
    if kind is right.__class__ and (kind is int or kind is Uint):
        if right == 0:
            raise Failure("modulus by zero")
        if kind is Uint:
            return Uint(int(left) % int(right))
        if right == -1 and left == INT_MIN:
            raise Failure("integer overflow")
        remainder = abs(left) % abs(right)
        return -remainder if left < 0 else remainder
    raise no_overload(left, right)


def build_map(pairs: Iterable[tuple[object, object]]) -> dict[object, object]:
    """A map literal whose keys are not all distinct string literals."""
    result: dict[object, object] = {}
    for raw, value in pairs:
        key = map_key(raw)
        if key in result:
            raise Failure("repeated map key")
        result[key] = value
    return result


# --- members and indices. "lookup" forms give null where something is missing (TP-80)


def first(values: Sequence[Any] | None) -> Any:
    """``values[0]`` of a lookup list."""
    return values[0] if values else None


def same_first(values: Sequence[Any] | None, text: str) -> bool:
    """``values[0] == text`` of a lookup list: one call instead of three, for the commonest of all conditions."""
    if not values:
        return False
    try:
        return compare_digest(values[0], text)
    except TypeError:
        return same_text(values[0], text)


def differ_first(values: Sequence[Any] | None, text: str) -> bool:
    """``values[0] != text`` of a lookup list."""
    return not same_first(values, text)


def first_in(values: Sequence[Any] | None, container: object) -> bool:
    """``values[0] in container`` of a lookup list: a credential and the known ones."""
    if values and container.__class__ is KnownTexts:
        return container.holds(values[0])
    return contains(first(values), container)


def first_starts_with(values: Sequence[str] | None, prefix: str) -> bool:
    """``values[0].startsWith(prefix)`` of a lookup list; so the next two."""
    return values[0].startswith(prefix) if values else False


def first_ends_with(values: Sequence[str] | None, suffix: str) -> bool:
    return values[0].endswith(suffix) if values else False


def first_contains(values: Sequence[str] | None, part: str) -> bool:
    return part in values[0] if values else False


def item(values: Sequence[Any] | None, index: object) -> Any:
    """``values[index]`` of a lookup list."""
    if values is None:
        return None
    position = _position(values, index)
    return values[position] if 0 <= position < len(values) else None


def entry(container: Mapping[str, Any] | None, key: object) -> Any:
    """``container[key]`` of a lookup map."""
    if container is None:
        return None
    if isinstance(key, str):
        return container.get(key)
    raise no_overload(container, key)


def header(container: Mapping[str, Any] | None, name: object) -> Any:
    """``headers[name]``, ignoring case."""
    if container is None:
        return None
    if isinstance(name, str):
        return container.get(name.lower())
    raise no_overload(container, name)


def has_header(name: object, container: Mapping[str, Any] | None) -> bool:
    """``name in headers``, ignoring case."""
    if container is None:
        return False
    if isinstance(name, str):
        return name.lower() in container
    raise no_overload(name)


def has_entry(name: object, container: Mapping[str, Any] | None) -> bool:
    """``name in map`` of a lookup map."""
    if container is None:
        return False
    if isinstance(name, str):
        return name in container
    raise no_overload(name)


def member(value: object, name: str) -> Any:
    """A declared member of a host object that may be absent: then absent, too (TP-80 f)."""
    return None if value is None else getattr(value, name)


def index(container: Any, key: Any) -> Any:
    """``container[key]`` in general; absent of absent (TP-80 f)."""
    if isinstance(container, dict):
        if isinstance(container, HeaderMap):
            return header(container, key)
        return container[_lookup_key(container, key)]
    if isinstance(container, list | tuple):
        position = _position(container, key)
        if 0 <= position < len(container):
            return container[position]
        if isinstance(container, ValueList):
            return None
        raise Failure(f"index out of bounds: {position}")
    if container is None:
        return None
    raise no_overload(container, key)


def index_present(container: Any, key: Any) -> Any:
    """``container[key]`` where absence must not spread: a member of null is an error (AG-107)."""
    if container is None:
        raise no_overload(container, key)
    return index(container, key)


def _lookup_key(container: object, key: Any) -> object:
    if isinstance(key, str) or key.__class__ in NUMBERS:
        return key
    if key is True:
        return TRUE_KEY
    if key is False:
        return FALSE_KEY
    raise no_overload(container, key)


def _position(container: object, key: Any) -> int:
    kind = key.__class__
    if kind is int or kind is Uint:
        return int(key)
    if kind is float and key.is_integer():
        return int(key)
    raise no_overload(container, key)


def select(value: Any, name: str) -> Any:
    """``value.name`` in general; absent of absent (TP-80 f)."""
    if value is None:
        return None
    return select_present(value, name)


def select_present(value: Any, name: str) -> Any:
    """``value.name`` where a member of null is an error."""
    if isinstance(value, dict):
        if isinstance(value, HeaderMap):
            return value.get(name.lower())
        return value[name]
    members = getattr(value.__class__, "__cel__", None)
    if members is None:
        raise no_overload(value)
    if name not in members:
        raise Failure(f"no such field: '{name}'")
    return getattr(value, name)


def has_member(value: Any, name: str) -> bool:
    """``has(value.name)``"""
    if value is None:
        return False
    if isinstance(value, dict):
        return (name.lower() if isinstance(value, HeaderMap) else name) in value
    members = getattr(value.__class__, "__cel__", None)
    if members is None:
        raise no_overload(value)
    if name not in members:
        raise Failure(f"no such field: '{name}'")
    return getattr(value, name) is not None


def has_index(container: Any, key: Any) -> bool:
    """``has(container[key])`` (TP-84)"""
    if container is None:
        return False
    if isinstance(container, HeaderMap):
        return has_header(key, container)
    if isinstance(container, dict):
        return _lookup_key(container, key) in container
    if isinstance(container, list | tuple):
        return 0 <= _position(container, key) < len(container)
    raise no_overload(container, key)
