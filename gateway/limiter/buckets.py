"""Keyed windows: limiters, their buckets, and the table that owns them all.

Invariants
    1. A limiter is the same object for the same identity, so that a reload keeps its counts (TP-269).
    2. Only SHA-256 digests are stored, never the text of a bucket (TP-269).
    3. The table holds at most ``max_buckets`` live buckets. A key that finds no room uses its limiter's overflow
       bucket, and no key is admitted more than ``capacity`` times per interval on its way in or out (TP-277).
    4. A bucket is in its shard's order by latest admission, so the first is the first to become empty.
    5. No step looks at more than a constant number of buckets, and growing moves 1/256 of them at most.

Resident bytes per live bucket with one admission: 236 (key 80, instant 32, place in table and order 124); 284 from the
second on, plus 8 for each further one (``window.py``). A single table for a million keys stalls for 133 ms when it
grows; a shard for 1 ms.
"""

from __future__ import annotations

import hashlib
import importlib
from array import array
from collections import OrderedDict
from collections.abc import Callable, Collection
from math import floor
from typing import NamedTuple, Protocol

from gateway.limiter.window import NS_PER_S, Window, window_for

#: TP-277: live buckets of the whole process.
MAX_BUCKETS = 1_000_000

#: A limiter's buckets are spread over this many shards once there are ``_SPLIT`` of them.
_SHARDS = 256
_SPLIT = 4_096

#: Buckets looked at in search of empty ones: when one is added, and when the table is full. Two are enough to drop
#: faster than traffic adds.
_LOOKS = 2
_LOOKS_WHEN_FULL = 64

_Shard = OrderedDict[bytes, "int | array[int]"]


class _Hash(Protocol):
    def digest(self) -> bytes: ...


def _sha256() -> Callable[[bytes], _Hash]:
    """CPython's own SHA-256: 430 ns for a short text; OpenSSL 3 sets up a context for 740 ns, half of an admission."""
    for name in ("_sha256", "_sha2"):  # CPython 3.11; from 3.12
        try:
            found: Callable[[bytes], _Hash] = importlib.import_module(name).sha256
        except (ImportError, AttributeError):
            continue
        return found
    return hashlib.sha256


_hash = _sha256()


def bucket_key(text: bytes) -> bytes:
    """The key of the bucket that the canonical text names (TP-266, TP-269)."""
    return _hash(text).digest()


class LimiterIdentity(NamedTuple):
    """What makes two limiters the same across reloads (TP-269)."""

    #: id of the endpoint
    endpoint: str
    name: str
    #: nanoseconds
    width: int
    capacity: int
    #: the expressions as written
    bucket_key: tuple[str, ...]
    #: position among limiters of this policy that are otherwise identical
    ordinal: int


class _Census:
    """How many buckets live, and who can drop empty ones when there are too many."""

    __slots__ = ("live", "make_room", "maximum")

    def __init__(self, maximum: int, make_room: Callable[[int], int]) -> None:
        self.live = 0
        self.maximum = maximum
        #: nanoseconds → how many buckets were dropped
        self.make_room = make_room


class _Overflow:
    """One limiter's bucket for all keys that found no room.

    While the table is full, new keys share it. Once there is room they get buckets of their own again; but until one
    width after its last forced use, when it may still hold admissions of theirs, such ``guarded`` keys are decided by
    it and recorded in both. Then their own logs are complete and stand alone.
    """

    __slots__ = ("guarded", "log", "until", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.log: array[int] | None = None
        self.until = 0
        self.guarded: set[bytes] = set()

    def force(self, now: int) -> int:
        """Decides for a key that found no room."""
        self.until = now + self.window.width
        return self.admit(now)

    def admit(self, now: int) -> int:
        if self.log is None:
            self.log = self.window.open(now)
            return 0
        return self.window.admit(self.log, now)

    def decide_guarded(self, key: bytes, now: int) -> int:
        """Its share of the decision about a key that has a bucket."""
        return self.admit(now) if self.in_use(now) and key in self.guarded else 0

    def in_use(self, now: int) -> bool:
        """Whether it may hold admissions of keys that have no bucket; forgets everything once it cannot."""
        if now < self.until:
            return True
        if self.log is not None:
            self.log = None
            self.guarded = set()
        return False


class Limiter:
    """The buckets of one ``rate-limit`` action. Made by ``LimiterTable``."""

    __slots__ = ("_census", "_cursor", "_decide", "_overflow", "_shards", "_window")

    def __init__(self, window: Window, census: _Census) -> None:
        self._window = window
        self._decide = window.admit
        self._census = census
        #: 256 references to one shard until it is worth splitting
        self._shards: list[_Shard] = [OrderedDict()] * _SHARDS
        self._cursor = 0
        self._overflow = _Overflow(window)

    def admit(self, key: bytes, now_s: float) -> int:
        """Decides and, if it admits, counts. 0: admitted. Else ``retry-after`` in whole seconds (TP-280).

        ``key`` is from ``bucket_key``; ``now_s`` a monotonic reading taken for this request.
        """
        now = floor(now_s * 1e9 + 0.5)  # for floats twice as quick as int()
        shard = self._shards[key[0]]
        log = shard.get(key)
        if log.__class__ is array and not self._overflow.guarded:  # as below, without the detours
            decide = self._decide
            wait = decide(log, now)
            if wait:
                return -(-wait // NS_PER_S)
            shard.move_to_end(key)
            return 0
        if log is None:
            return -(-self._admit_new(key, now) // NS_PER_S)
        wait = self._overflow.decide_guarded(key, now) if self._overflow.guarded else 0
        if not wait:
            if isinstance(log, int):
                log = shard[key] = self._window.open(log)
            wait = self._window.admit(log, now)
            if not wait:
                shard.move_to_end(key)
                return 0
        return -(-wait // NS_PER_S)

    @property
    def live(self) -> int:
        """Buckets held now; those that became empty and were not dropped yet included."""
        return sum(map(len, self._shards)) if self._is_split() else len(self._shards[0])

    def drop_empty(self, now: int, looks: int) -> int:
        """Drops buckets without a live admission, looking at ``looks`` of them at most; gives how many were dropped."""
        edge = now - self._window.width
        dropped = 0
        for _ in range(looks):
            shard = self._shards[self._cursor]
            key = next(iter(shard), None)
            if key is None or self._newest(shard[key]) > edge:
                self._cursor = (self._cursor + 1) % _SHARDS
                continue
            del shard[key]
            dropped += 1
        self._census.live -= dropped
        return dropped

    def leave(self) -> None:
        """Out of the table: requests that still run under the old configuration count on their own."""
        self._census.live -= self.live
        self._census = _Census(self._census.maximum, lambda now: self.drop_empty(now, _LOOKS_WHEN_FULL))
        self._census.live = self.live

    def _admit_new(self, key: bytes, now: int) -> int:
        self.drop_empty(now, _LOOKS)
        census = self._census
        if census.live >= census.maximum and not census.make_room(now):
            return self._overflow.force(now)
        if self._overflow.in_use(now):
            wait = self._overflow.admit(now)
            if wait:
                return wait
            self._overflow.guarded.add(key)
        if not self._is_split() and len(self._shards[0]) >= _SPLIT:
            self._split()
        self._shards[key[0]][key] = now
        census.live += 1
        return 0

    def _newest(self, log: int | array[int]) -> int:
        return log if isinstance(log, int) else self._window.newest(log)

    def _is_split(self) -> bool:
        return self._shards[0] is not self._shards[1]

    def _split(self) -> None:
        """From one shard to 256, in the order of admission: ``_SPLIT`` entries, about a millisecond."""
        shards: list[_Shard] = [OrderedDict() for _ in range(_SHARDS)]
        for key, log in self._shards[0].items():
            shards[key[0]][key] = log
        self._shards = shards


class LimiterTable:
    """All limiters of the process. One, made by the application; snapshots come and go and it stays."""

    def __init__(self, *, max_buckets: int = MAX_BUCKETS) -> None:
        self._census = _Census(max_buckets, lambda now: self._sweep(now, _LOOKS_WHEN_FULL))
        self._limiters: dict[LimiterIdentity, Limiter] = {}
        self._retired: set[LimiterIdentity] = set()
        self._turn = 0

    @property
    def live(self) -> int:
        """Buckets of all limiters, those that became empty and were not dropped yet included."""
        return self._census.live

    def limiter(self, identity: LimiterIdentity) -> Limiter:
        """The limiter of that identity, with the counts it has."""
        self._retired.discard(identity)
        limiter = self._limiters.get(identity)
        if limiter is None:
            limiter = Limiter(window_for(identity.width, identity.capacity), self._census)
            self._limiters[identity] = limiter
        return limiter

    def retain(self, identities: Collection[LimiterIdentity]) -> None:
        """After a reload: limiters that no policy has any more leave once they are empty.

        Not at once: taking an edit back must not hand out a second ``capacity``.
        """
        self._retired = self._limiters.keys() - set(identities)
        for identity in self._retired:
            self._leave_if_empty(identity)
        self._retired &= self._limiters.keys()

    def drop_empty(self, now_s: float, looks: int = 1_000) -> int:
        """A slice of housekeeping, under a millisecond, for a timer: so that memory returns when traffic stops.

        Gives how many empty buckets it dropped.
        """
        return self._sweep(floor(now_s * 1e9 + 0.5), looks)

    def _sweep(self, now: int, looks: int) -> int:
        """Goes round the limiters, a few looks each, from where the last sweep stopped."""
        identities = list(self._limiters)
        turns = min(len(identities), max(1, looks // 4))
        dropped = 0
        for _ in range(turns):
            self._turn = (self._turn + 1) % len(identities)
            identity = identities[self._turn]
            dropped += self._limiters[identity].drop_empty(now, looks // turns)
            if identity in self._retired:
                self._leave_if_empty(identity)
        return dropped

    def _leave_if_empty(self, identity: LimiterIdentity) -> None:
        limiter = self._limiters[identity]
        if not limiter.live:
            limiter.leave()
            del self._limiters[identity]
