"""Sliding-window arithmetic over one bucket's log of admissions. Pure: no clock, no keys, no I/O.

Invariants
    1. In every half-open interval of length ``width`` at most ``capacity`` admissions (TP-272, TP-273).
    2. ``ExactWindow`` refuses only if the interval really holds ``capacity`` admissions (TP-274).
    3. ``CountedWindow`` may refuse early, by less than one sub-window, and never admits more (TP-274).
    4. A refusal leaves the log as it was (TP-275).
    5. Every operation is O(1) amortised; no log outgrows its window's bound.

Instants and widths are integer nanoseconds; instants handed to one log never decrease.

Layouts compared (CPython 3.11, one admission per bucket, key and table included, resident bytes per bucket over
1,000,000 buckets in ``OrderedDict``): ``deque`` 1,004; slotted object around an array 333; ``list`` of ints 316;
``array('q')`` 284; a bare ``int`` 236. Hence a bucket is an ``int`` until its second admission and an array from then
on. Further admissions cost 8 bytes each in an array, 40 in a list or deque. ``array('d')`` is as small, but needs
seconds, which round. 32-bit ticks would halve the array and blur instants by up to 20 µs for W = 24 h: over-admission.
"""

from __future__ import annotations

from array import array
from typing import Protocol

NS_PER_S = 1_000_000_000

#: TP-274: up to here every admission has its own instant.
EXACT_CAPACITY = 10_000

#: Sub-windows of a ``CountedWindow``; the rule asks for 100 at least.
SUB_WINDOWS = 128

#: An instant before every interval: an unused place in a log.
_NEVER = -(1 << 62)


class Window(Protocol):
    """Decides about one bucket at a time; holds no bucket's state."""

    width: int
    capacity: int

    def open(self, first: int) -> array[int]:
        """A log that holds one admission, at ``first``."""
        ...

    def admit(self, log: array[int], now: int) -> int:
        """0: admitted and recorded. Else refused: nanoseconds until the next place frees."""
        ...

    def newest(self, log: array[int]) -> int:
        """The instant of the latest admission; the bucket is empty ``width`` after it."""
        ...


class ExactWindow:
    """The exact log: a ring of the latest admissions, 8 bytes each.

    ``log[0]`` is the index of the oldest admission, which the next one overwrites if it has left the interval.
    Otherwise the ring doubles, up to ``capacity`` places. So the places in use are the most admissions the bucket has
    held at once, rounded up to a power of two: ``capacity: 100`` costs at most 808 bytes, 10,000 at most 80 kB.
    """

    __slots__ = ("capacity", "width")

    def __init__(self, width: int, capacity: int) -> None:
        self.width = width
        self.capacity = capacity

    def open(self, first: int) -> array[int]:
        return array("q", (1, first))

    def admit(self, log: array[int], now: int) -> int:
        oldest = log[0]
        wait = log[oldest] + self.width - now
        if wait > 0:
            if len(log) > self.capacity:
                return wait
            oldest = self._grow(log, oldest)
        log[oldest] = now
        oldest += 1
        log[0] = oldest if oldest < len(log) else 1
        return 0

    def newest(self, log: array[int]) -> int:
        # index 1 is preceded by the last place of the ring, which is index -1
        return log[log[0] - 1] if log[0] > 1 else log[-1]

    def _grow(self, log: array[int], oldest: int) -> int:
        """Doubles the ring in place; gives the index of the first new place.

        ``[o, c, d, a, b]`` (oldest is ``a``) becomes ``[o, a, b, c, d, -, -, -, -]``: in ring order the new places
        come after the newest and before the oldest, where they read as admissions of long ago.
        """
        size = len(log) - 1
        if oldest > 1:
            log[1:] = log[oldest:] + log[1:oldest]
        log.extend([_NEVER] * (min(2 * size, self.capacity) - size))
        return size + 1


class CountedWindow:
    """Counts in sub-windows of equal length: 16 bytes each, at most ``SUB_WINDOWS`` + 1 of them: 2 kB.

    A sub-window opens with an admission and takes all that follow within ``width / SUB_WINDOWS``. It is counted in
    full until its *latest* admission has left the interval, so an admission counts for less than one sub-window too
    long. Sub-windows that start with an admission, instead of standing on a fixed grid, need no division, whose
    rounding could put an admission into the wrong one.

    ``log`` is ``[first, total, last, count, last, count, …]``: the first admission of the open (last) sub-window, the
    sum of all counts, then the sub-windows from old to new.
    """

    __slots__ = ("capacity", "sub_width", "width")

    def __init__(self, width: int, capacity: int) -> None:
        self.width = width
        self.capacity = capacity
        self.sub_width = -(-width // SUB_WINDOWS)

    def open(self, first: int) -> array[int]:
        return array("q", (first, 1, first, 1))

    def admit(self, log: array[int], now: int) -> int:
        edge = now - self.width
        if log[2] <= edge:
            self._drop_old(log, edge)
        total = log[1]
        if total >= self.capacity:
            return log[2] - edge
        log[1] = total + 1
        if now - log[0] < self.sub_width:
            log[-2] = now
            log[-1] += 1
        else:
            log[0] = now
            log.extend((now, 1))
        return 0

    def newest(self, log: array[int]) -> int:
        return log[-2]

    def _drop_old(self, log: array[int], edge: int) -> None:
        """Drops what has left the interval. If that is all of it, the admission under way follows."""
        while len(log) > 2 and log[2] <= edge:
            log[1] -= log[3]
            del log[2:4]


def window_for(width: int, capacity: int) -> Window:
    """The window that TP-274 demands for this capacity; ``width`` in nanoseconds."""
    return ExactWindow(width, capacity) if capacity <= EXACT_CAPACITY else CountedWindow(width, capacity)
