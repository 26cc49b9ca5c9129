"""TP-77: how much one evaluation may do. Counted only where work multiplies: loops, and values that grow.

A loop charges the length of what it iterates over before it starts; a single loop over a collection of the gateway's
own is not charged at all. Inside loops, what functions read is charged by its size, with everything in it: a list that
holds another a thousand times is as large as it looks. Exceeding a limit is never absorbed.
"""

from __future__ import annotations

from typing import Any

from gateway.cel.errors import LimitExceeded
from gateway.cel.values import elements
from gateway.cel.work import MAX_STEPS

MAX_PRODUCED = 1 << 20
#: characters that count like one element
_CHARACTERS = 4
#: of one value that is read inside a loop
_MOST_READ = 400_000
_TEXTS = (str, bytes)
_SIZED = (str, bytes, list, tuple, dict)


def weight(value: Any, most: int) -> int:
    """Elements and characters in a value, at all depths; not counted further once there are more than ``most``."""
    if isinstance(value, _TEXTS):
        return len(value) // _CHARACTERS
    found = 0
    waiting = [value]
    while waiting and found <= most:
        item = waiting.pop()
        if isinstance(item, _TEXTS):
            found += len(item) // _CHARACTERS
        elif isinstance(item, list | tuple):
            found += len(item)
            waiting.extend(inner for inner in item if isinstance(inner, _SIZED))
        else:
            found += len(item)
            waiting.extend(inner for inner in item.values() if isinstance(inner, _SIZED))
    return found


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
        """A value inside a loop that is about to be read: a step for sixteen elements, or for 64 characters."""
        return self._read(value, 16)

    def worked(self, value: Any) -> Any:
        """The same for functions that look at every character: a step for four of them."""
        return self._read(value, 1)

    def _read(self, value: Any, cheapness: int) -> Any:
        if isinstance(value, _SIZED):
            most = min(self._steps * cheapness, _MOST_READ)
            found = weight(value, most)
            self._steps -= found // cheapness if found <= most else MAX_STEPS
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
