"""Who may talk to the management listener: host check, admin keys, throttled failures (CP-2 to CP-4)."""

from __future__ import annotations

import ipaddress
from collections import deque
from typing import Final

from gateway.auth.access_keys import AccessKeyTable, Identity
from gateway.auth.tokens import ADMIN_MARK, parse_token
from gateway.clock import Clock
from gateway.control.errors import (
    NO_CREDENTIAL,
    NOT_AN_ADMIN_KEY,
    NOT_BEARER,
    THROTTLED,
    UNKNOWN_ADMIN_KEY,
    ApiError,
    Code,
)

_MINUTE_S: Final = 60.0
_SOURCES_MAXIMUM: Final = 10_000
_CHALLENGE: Final = (("www-authenticate", "Bearer"),)


class Throttle:
    """Counts events per name in a sliding minute; remembers a bounded number of names."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._seen: dict[str, deque[float]] = {}

    def wait_s(self, name: str) -> int:
        """Seconds until another event is allowed; 0 if one is now, or if there is no limit."""
        times = self._seen.get(name)
        if not self._per_minute or times is None:
            return 0
        now = self._clock.monotonic()
        while times and now - times[0] >= _MINUTE_S:
            times.popleft()
        if len(times) < self._per_minute:
            return 0
        return max(1, int(times[0] + _MINUTE_S - now) + 1)

    def count(self, name: str) -> None:
        if not self._per_minute:
            return
        if name not in self._seen and len(self._seen) >= _SOURCES_MAXIMUM:
            # Oldest first: whoever floods with many addresses loses its own past, not everybody's.
            del self._seen[next(iter(self._seen))]
        self._seen.setdefault(name, deque(maxlen=self._per_minute)).append(self._clock.monotonic())


class Gatekeeper:
    """Finds the admin key of a request; counts failures per source address."""

    def __init__(self, failures_per_minute: int, requests_per_minute: int, clock: Clock) -> None:
        self._failures = Throttle(failures_per_minute, clock)
        self._requests = Throttle(requests_per_minute, clock)

    def identify(self, authorization: str | None, keys: AccessKeyTable, source: str) -> Identity:
        """Whose key it is. A valid key is never held up by failures of others at the same address (CP-3)."""
        found = _find(authorization, keys)
        if isinstance(found, Identity):
            self._admit(found.id)
            return found
        wait_s = self._failures.wait_s(source)
        if wait_s:
            raise _too_many("failed authentications", wait_s)
        self._failures.count(source)
        raise ApiError(found, headers=_CHALLENGE)

    def _admit(self, key_id: str) -> None:
        wait_s = self._requests.wait_s(key_id)
        if wait_s:
            raise _too_many("requests", wait_s)
        self._requests.count(key_id)


class HostCheck:
    """Against DNS rebinding: which ``Host`` headers are this listener's (CP-4)."""

    def __init__(self, listen_host: str, allowed: tuple[str, ...]) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in (*allowed, listen_host) if name)

    def admits(self, header: str | None, local_address: str) -> bool:
        """A loopback name or address, the address that was connected to, the listen address, or an allowed host."""
        host = _host_of(header or "")
        if host == "localhost" or host.endswith(".localhost") or host in self._names:
            return True
        if (header or "").lower() in self._names:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or str(address) == local_address


def _find(authorization: str | None, keys: AccessKeyTable) -> Identity | Code:
    if not authorization:
        return NO_CREDENTIAL
    scheme, _, text = authorization.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        return NOT_BEARER
    token = parse_token(text)
    if token is None or token.mark != ADMIN_MARK:
        return NOT_AN_ADMIN_KEY
    return keys.find(text) or UNKNOWN_ADMIN_KEY


def _too_many(what: str, wait_s: int) -> ApiError:
    return ApiError(THROTTLED, what=what, seconds=wait_s, headers=(("retry-after", str(wait_s)),))


def _host_of(header: str) -> str:
    """``[::1]:4041`` → ``::1``, ``Localhost:4041`` → ``localhost``."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    name = header.rpartition(":")[0] if header.count(":") == 1 else header
    return name.lower().rstrip(".")
