"""What an admission costs: with its hash, refused, for a new key, and with 10 against 100,000 buckets (budget B10).

``python -m tests.bench.bench_limiter`` runs it.
"""

from __future__ import annotations

import gc
import itertools
import time
import timeit
from collections.abc import Callable

from gateway.limiter.buckets import Limiter, LimiterIdentity, LimiterTable, bucket_key

_TEXT = b'[["Bearer sk-abcdefghijklmnopqrstuvwxyz012345"]]'
_MINUTE_NS = 60_000_000_000


def _ns(call: Callable[[], object], number: int = 1_000) -> float:
    """Nanoseconds per call: the best of many short rounds, so that a busy machine disturbs little."""
    empty = min(timeit.repeat(lambda: None, number=number, repeat=100))
    return (min(timeit.repeat(call, number=number, repeat=200)) - empty) / number * 1e9


def _limiter(capacity: int, buckets: int) -> tuple[Limiter, bytes]:
    identity = LimiterIdentity("ep_bench", "bench", _MINUTE_NS, capacity, ("req.headers['authorization']",), 0)
    limiter = LimiterTable().limiter(identity)
    for number in range(buckets):
        limiter.admit(bucket_key(str(number).encode()), 1_000.0 + number * 1e-5)
    key = bucket_key(_TEXT)
    limiter.admit(key, 1_002.0)
    return limiter, key


def _admissions(limiter: Limiter) -> Callable[[], object]:
    """Requests just far enough apart that each is admitted; the real clock is read for its cost."""
    instants = itertools.count(1_003.0, 60.0 / 9_000)
    clock = time.monotonic

    def admit() -> object:
        clock()
        return limiter.admit(bucket_key(_TEXT), next(instants))

    return admit


def admission() -> None:
    """A whole admission, hashing and clock included, is meant to take 1.5 µs at most."""
    costs: dict[int, float] = {}
    for buckets in (10, 100_000):
        limiter, _ = _limiter(10_000, buckets)
        costs[buckets] = _ns(_admissions(limiter))
        print(f"exact, {buckets:>7,} buckets, hash and clock: {costs[buckets]:7.0f} ns")
    print(f"100,000 against 10 buckets: ratio {costs[100_000] / costs[10]:.2f}")
    counted, _ = _limiter(2_000_000, 10)
    print(f"counted,     10 buckets, hash and clock: {_ns(_admissions(counted)):7.0f} ns")


def parts() -> None:
    """The parts of an admission, each without the others."""
    full, key = _limiter(1, 10)
    print(f"refusal                {_ns(lambda: full.admit(key, 1_002.0)):7.0f} ns")
    print(f"hash                   {_ns(lambda: bucket_key(_TEXT)):7.0f} ns")
    fresh, _ = _limiter(10, 10)
    numbers = itertools.count()
    print(f"new key, hash included {_ns(lambda: fresh.admit(bucket_key(b'%d' % next(numbers)), 1_002.0)):7.0f} ns")


def longest_step() -> None:
    """The longest single call while 300,000 keys arrive and leave: growing and dropping are spread out."""
    limiter, _ = _limiter(10, 10)
    longest = 0.0
    gc.disable()
    try:
        for number in range(300_000):
            key = bucket_key(b"%d" % number)
            start = time.perf_counter()
            limiter.admit(key, 1_002.0 + number * 1e-3)
            longest = max(longest, time.perf_counter() - start)
    finally:
        gc.enable()
    print(f"longest admission {longest * 1e3:.2f} ms; {limiter.live:,} buckets kept, of which 60,000 still count")


if __name__ == "__main__":
    admission()
    parts()
    longest_step()
