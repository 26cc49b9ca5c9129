"""What one function may look at (TP-77): nested values can be far larger than what was written to make them."""

from __future__ import annotations

from gateway.cel.errors import LimitExceeded

MAX_STEPS = 100_000


class Work:
    """How many elements one call may still look at."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def done(self, count: int) -> None:
        """Pays for that many elements."""
        self._left -= count
        if self._left < 0:
            raise LimitExceeded(f"more than {MAX_STEPS:,} evaluation steps")
