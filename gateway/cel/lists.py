"""List functions (TP 7.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.cel.errors import Failure
from gateway.cel.limits import check_size
from gateway.cel.sorting import sort_values
from gateway.cel.values import NUMBERS, Duration, Timestamp, TypeValue, same_as_any
from gateway.cel.work import Work

MAX_RANGE = 10_000
_MAX_FLATTEN = 64
_SCALARS = frozenset((bool, bytes, Timestamp, Duration, TypeValue))


def slice_list(values: Sequence[Any], start: int, end: int) -> list[Any]:
    """From ``start``, before ``end``."""
    if not 0 <= start <= end <= len(values):
        raise Failure(f"slice out of range: {start} to {end}")
    return list(values[start:end])


def flatten(values: Sequence[Any], depth: int = 1) -> list[Any]:
    """``[1, [2, [3]]]`` → ``[1, 2, [3]]``"""
    if depth < 0:
        raise Failure("flatten: the depth must not be negative")
    result: list[Any] = list(values)
    for _ in range(min(depth, _MAX_FLATTEN)):
        if not any(isinstance(value, list | tuple) for value in result):
            break
        check_size(sum(len(value) if isinstance(value, list | tuple) else 1 for value in result))
        flat: list[Any] = []
        for value in result:
            if isinstance(value, list | tuple):
                flat.extend(value)
            else:
                flat.append(value)
        result = flat
    return result


def distinct(values: Sequence[Any]) -> list[Any]:
    """First occurrences. Scalars are told apart by hash, lists and maps pairwise."""
    scalars: set[tuple[object, Any]] = set()
    others: list[Any] = []
    result: list[Any] = []
    work = Work()
    for value in values:
        kind = _scalar_kind(value)
        if kind is None:
            work.done(len(others))
            if same_as_any(value, others, work):
                continue
            others.append(value)
        elif value == value:  # NaN equals nothing, not even itself
            if (kind, value) in scalars:
                continue
            scalars.add((kind, value))
        result.append(value)
    return result


def _scalar_kind(value: object) -> object:
    """The same for values that may be equal; None if the value is no scalar."""
    kind = value.__class__
    if kind in NUMBERS:
        return float
    if isinstance(value, str):
        return str
    return kind if value is None or kind in _SCALARS else None


def number_range(count: int) -> list[int]:
    """``lists.range(n)``: 0 to n-1."""
    if not 0 <= count <= MAX_RANGE:
        raise Failure(f"lists.range: the size must be 0 to {MAX_RANGE:,}")
    return list(range(count))


def reverse_list(values: Sequence[Any]) -> list[Any]:
    return list(values)[::-1]


__all__ = ["distinct", "flatten", "number_range", "reverse_list", "slice_list", "sort_values"]
