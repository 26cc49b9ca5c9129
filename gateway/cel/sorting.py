"""Sorting for ``sort()``, ``sortBy(x, key)`` and ``sort(x, y, less)``: stable, one comparable type (TP 7.4)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from gateway.cel.errors import Failure, LimitExceeded, NoOverload
from gateway.cel.values import sort_key_class, type_name


class Loops(Protocol):
    """What pays for comparisons (``limits.Budget``)."""

    def loop(self, container: Any) -> Any: ...


def _check_keys(keys: Sequence[Any]) -> None:
    classes = {sort_key_class(key) for key in keys}
    if len(classes) > 1:
        raise NoOverload(*sorted({type_name(key) for key in keys}))
    if float in classes and any(key != key for key in keys):
        raise Failure("NaN cannot be sorted")


def sort_values(values: Sequence[Any]) -> list[Any]:
    """``l.sort()``"""
    _check_keys(values)
    return sorted(values)


def sort_by(values: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
    """``l.sortBy(x, key)``"""
    items = list(values)
    keys = [key(item) for item in items]
    _check_keys(keys)
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)]


def sort_by_lenient(values: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
    """The same over AI elements: where the key fails or is null, the element goes last, order kept."""
    items, keys, rest = [], [], []
    for item in values:
        try:
            found = key(item)
            sort_key_class(found)
        except LimitExceeded:
            raise
        except Exception:  # noqa: BLE001 - AG-107: any failure of one element concerns this element only
            rest.append(item)
        else:
            items.append(item)
            keys.append(found)
    _check_keys(keys)
    return [items[index] for index in sorted(range(len(items)), key=keys.__getitem__)] + rest


def sort_with(values: Iterable[Any], less: Callable[[Any, Any], bool], budget: Loops) -> list[Any]:
    """``l.sort(x, y, less)``; each comparison is an evaluation step."""

    def compare(left: Any, right: Any) -> int:
        budget.loop(())
        if less(left, right):
            return -1
        return 1 if less(right, left) else 0

    return sorted(values, key=functools.cmp_to_key(compare))
