"""Views whose members are computed when they are first read, and then cost no more than an attribute.

A slot that was never set raises AttributeError in C; ``__getattr__`` then computes the member and fills the slot.
A property would cost a Python call on every read, and policies read the same few members in rule after rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar


class LazyView:
    """Base of the views. ``_members`` maps names to functions of the view."""

    __slots__ = ()
    _members: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        compute = self._members.get(name)
        if compute is None:
            raise AttributeError(name)
        value = compute(self)
        setattr(self, name, value)
        return value

    def forget(self, names: Iterable[str]) -> None:
        """Drops members whose sources have changed; they are computed anew when read."""
        for name in names:
            try:
                delattr(self, name)
            except AttributeError:
                continue
