"""``rand.double()`` and ``rand.int()``: evaluated anew at each place and time (TP-170)."""

from __future__ import annotations

import random

from gateway.cel.env import Function
from gateway.cel.errors import Failure
from gateway.cel.types import DOUBLE, INT


def random_functions(generator: random.Random) -> tuple[Function, ...]:
    """The functions over a given generator; tests pass a seeded one as environment functions."""

    def integer(low: int = 0, high: int = 1) -> int:
        """Both ends included."""
        if low < 0 or low > high:
            raise Failure("rand.int: the bounds must satisfy 0 <= min <= max")
        return generator.randint(low, high)

    return (
        Function("rand.double", (), DOUBLE, generator.random, pure=False, total=True),
        Function("rand.int", (), INT, integer, pure=False, total=True),
        Function("rand.int", (INT, INT), INT, integer, pure=False),
    )
