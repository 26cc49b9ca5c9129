"""Public keys of issuers: JWKS documents, cached and kept fresh (TP-325, P31).

A document is fetched when it is first needed, renewed in the background every quarter of an hour while it is in use,
and once more, at most every 30 s, when a token names a key that is not in it. What was fetched last stays in use for
up to a day when renewing fails.

Invariants
    1. One fetch per URL at a time; who needs its result waits for the same one.
    2. However many tokens come: at most one fetch per URL and ``UNKNOWN_KID_S`` for unknown keys, and one per
       ``RETRY_S`` while there are none.
    3. A fetch outlives the request that started it; a request that leaves stops nobody else's.
    4. Bounded: ``MAX_SOURCES`` URLs, ``MAX_DOCUMENT_BYTES``, ``MAX_KEYS`` keys each.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from gateway.auth.web_tokens import PublicKey, parse_key
from gateway.clock import Clock

REFRESH_S = 900.0
KEEP_S = 86_400.0
UNKNOWN_KID_S = 30.0
RETRY_S = 5.0
FETCH_S = 5.0
MAX_DOCUMENT_BYTES = 1 << 20
MAX_KEYS = 256
MAX_SOURCES = 1_000

log = logging.getLogger(__name__)


class JwksUnavailableError(Exception):
    """No document gave any key."""


class _Source:
    """One URL. Times are monotonic seconds; None: never."""

    __slots__ = ("asked_at", "fetched_at", "fetches", "flight", "keys", "searched_at", "url")

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: tuple[PublicKey, ...] = ()
        self.fetched_at: float | None = None
        self.fetches = 0
        #: when the last fetch began, for any reason; when the last one for an unknown kid began
        self.asked_at: float | None = None
        self.searched_at: float | None = None
        self.flight: asyncio.Future[None] | None = None


def _due(since: float | None, now: float, interval_s: float) -> bool:
    return since is None or now - since >= interval_s


def parse_document(document: bytes) -> tuple[PublicKey, ...]:
    """The usable keys of a JWKS document; raises ValueError if it is none."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise ValueError("larger than 1 MiB")
    try:
        parsed = json.loads(document)
    except RecursionError:
        raise ValueError("nested too deep") from None
    keys = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(keys, list):
        raise ValueError("not a JWKS document")  # noqa: TRY004 - its caller knows one kind of failure
    usable = tuple(key for jwk in keys[:MAX_KEYS] if (key := parse_key(jwk)) is not None)
    if not usable:
        raise ValueError("no key in it can verify signatures")
    return usable


class JwksCache:
    """All documents of the process. ``fetch`` gets a URL and gives the document; ``spawn`` owns the tasks."""

    def __init__(
        self, *, fetch: Callable[[str], Awaitable[bytes]], spawn: Callable[[Coroutine[Any, Any, None]], object],
        clock: Clock,
    ) -> None:  # fmt: skip
        self._fetch = fetch
        self._spawn = spawn
        self._clock = clock
        self._sources: OrderedDict[str, _Source] = OrderedDict()

    async def find(self, urls: Sequence[str], kid: str | None, algorithm: str) -> list[PublicKey]:
        """The keys that a token may be signed with, in the order of the URLs; raises JwksUnavailableError."""
        sources = [self._source(url) for url in urls]
        fetches = [source.fetches for source in sources]
        for source in sources:
            await self._ready(source)
        if not any(source.keys for source in sources):
            raise JwksUnavailableError
        found = _matching(sources, kid, algorithm)
        if found or kid is None:
            return found
        for source, before in zip(sources, fetches, strict=True):
            if source.flight is not None or source.fetches == before:  # else it was fetched just now
                await self._search(source)
        return _matching(sources, kid, algorithm)

    def _source(self, url: str) -> _Source:
        source = self._sources.get(url)
        if source is None:
            source = self._sources[url] = _Source(url)
            if len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
        else:
            self._sources.move_to_end(url)
        return source

    async def _ready(self, source: _Source) -> None:
        """Waits only if there is nothing to work with; renews in the background."""
        now = self._clock.monotonic()
        if source.keys and _due(source.fetched_at, now, KEEP_S):
            source.keys = ()
        if not source.keys:
            if source.flight is not None or _due(source.asked_at, now, RETRY_S):
                await self._fetched(source)
        elif _due(source.fetched_at, now, REFRESH_S) and _due(source.asked_at, now, UNKNOWN_KID_S):
            self._start(source)

    async def _search(self, source: _Source) -> None:
        """One early fetch for a key that is not there (P31)."""
        now = self._clock.monotonic()
        if source.flight is not None:
            await self._fetched(source)
        elif _due(source.searched_at, now, UNKNOWN_KID_S):
            source.searched_at = now
            await self._fetched(source)

    async def _fetched(self, source: _Source) -> None:
        self._start(source)
        if source.flight is not None:
            # shielded: a client that leaves must not cancel what others wait for
            await asyncio.shield(source.flight)

    def _start(self, source: _Source) -> None:
        if source.flight is None:
            source.asked_at = self._clock.monotonic()
            source.fetches += 1
            source.flight = asyncio.get_running_loop().create_future()
            self._spawn(self._load(source, source.flight))

    async def _load(self, source: _Source, flight: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(FETCH_S):
                document = await self._fetch(source.url)
            source.keys = parse_document(document)
            source.fetched_at = self._clock.monotonic()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the last good keys stay
            log.warning("signing keys of %s could not be fetched: %s", _without_query(source.url), _reason(error))
        finally:
            source.flight = None
            if not flight.done():
                flight.set_result(None)


def _matching(sources: Sequence[_Source], kid: str | None, algorithm: str) -> list[PublicKey]:
    return [key for source in sources for key in source.keys if (kid is None or key.kid == kid) and key.fits(algorithm)]


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _reason(error: Exception) -> str:
    return "timeout" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
