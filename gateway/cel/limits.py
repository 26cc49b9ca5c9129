"""TP-77: how much one evaluation may do. Counted only where work multiplies: loops, and values that grow.

A loop charges the length of what it iterates over before it starts; a single loop over a collection of the gateway's
own is not charged at all. Exceeding a limit is never absorbed.
"""

from __future__ import annotations

from typing import Any

from gateway.cel.errors import LimitExceeded
from gateway.cel.values import elements

MAX_STEPS = 100_000
MAX_PRODUCED = 1 << 20


class Budget:
    """What is left for one evaluation; made at the start of an expression that has loops to charge."""

    __slots__ = ("_produced", "_steps")

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._produced = MAX_PRODUCED

    def loop(self, container: Any) -> Any:
        """What to iterate over, after paying for it."""
        values = elements(container)
        self._steps -= len(values) + 1
        if self._steps < 0:
            raise LimitExceeded(f"more than {MAX_STEPS:,} evaluation steps")
        return values

    def scanned(self, value: Any) -> Any:
        """A value inside a loop whose elements are about to be compared: sixteen of them cost as much as a step."""
        if isinstance(value, list | tuple | dict):
            self._steps -= len(value) // 16
            if self._steps < 0:
                raise LimitExceeded(f"more than {MAX_STEPS:,} evaluation steps")
        return value

    def grown(self, value: Any) -> Any:
        """A value made inside a loop, after paying for its size."""
        if isinstance(value, str | bytes | list | dict):
            self._produced -= len(value)
            if self._produced < 0:
                raise LimitExceeded(f"more than {MAX_PRODUCED:,} bytes of produced data")
        return value


def bounded(value: Any) -> Any:
    """A value made outside loops: at most 1 MiB."""
    if isinstance(value, str | bytes | list | dict):
        check_size(len(value))
    return value


def check_size(size: int) -> None:
    """Fails if a value of that size may not be made; called before making it where the size is known."""
    if size > MAX_PRODUCED:
        raise LimitExceeded(f"more than {MAX_PRODUCED:,} bytes of produced data")
