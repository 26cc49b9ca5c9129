"""What a provider says about a key's remaining quota, and when that stops being true.

Pure: readings of the clock are arguments. One ``Quota`` per (provider, key, upstream model), updated in place and
read directly by expressions.

Invariants
    1. Unparsable header values change nothing.
    2. No reading outlives its reset, nor ``LONGEST_RESET_S``: a key is never written off because of one odd header.
    3. ``due_s`` is the earliest moment at which ``expire`` has something to do.
Source: ai-gateway.md AG-121, AG-130, AG-131, AG-178; lessons.md P16, P40.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import ClassVar, Final

from gateway.cel.env import DOUBLE, INT, CelType, nullable
from gateway.headers import HeaderMap

DEFAULT_RESET_S: Final = 60.0
#: providers' longest windows are days; anything beyond is a clock or unit error
LONGEST_RESET_S: Final = 86_400.0
#: a forecast looks back between one and two of these
_FORECAST_SPAN_S: Final = 60.0

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_GO_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_GO_DURATION: Final = re.compile(rf"(?:{_GO_PART.pattern})+")
_NUMBER: Final = re.compile(r"\d{1,18}(?:\.\d{1,9})?")


def parse_count(text: str | None) -> int | None:
    """``"4999"`` → 4999; anything but up to 18 ASCII digits → None."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return int(text)


def parse_reset(text: str | None, now_unix_s: float) -> float | None:
    """Seconds from now: ``"6m0s"``, ``"120ms"`` (Go), ``"1.5"`` (seconds), ``"2026-08-01T12:00:00Z"`` (RFC 3339)."""
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        return _bounded(float(text))
    if _GO_DURATION.fullmatch(text):
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in _GO_PART.findall(text)))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _bounded((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_unix_s)


def parse_retry_after(headers: HeaderMap, now_unix_s: float) -> float | None:
    """Seconds that ``retry-after-ms`` or ``retry-after`` (seconds or HTTP date) ask for; None without a usable one."""
    milliseconds = headers.first("retry-after-ms")
    if milliseconds is not None and _NUMBER.fullmatch(milliseconds):
        return _bounded(float(milliseconds) / 1_000)
    text = headers.first("retry-after")
    if text is None:
        return None
    if _NUMBER.fullmatch(text):
        return _bounded(float(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return _bounded((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_unix_s)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_RESET_S)


class _Gauge:
    """One remaining value over time: when it resets and how fast it falls."""

    __slots__ = ("_marked", "_marked_s", "_older", "_older_s", "remaining", "reset_s", "seen_s")

    def __init__(self) -> None:
        self.remaining: int | None = None
        #: monotonic; ``inf`` when nothing is pending
        self.reset_s = inf
        self.seen_s = 0.0
        self._older = self._marked = 0
        self._older_s = self._marked_s = 0.0

    def see(self, remaining: int, reset_in_s: float | None, now_s: float) -> None:
        before = self.remaining
        if before is None or remaining > before:  # a new window: what was consumed before it says nothing
            self._older = self._marked = remaining
            self._older_s = self._marked_s = now_s
        elif now_s - self._marked_s >= _FORECAST_SPAN_S:
            self._older, self._older_s = self._marked, self._marked_s
            self._marked, self._marked_s = remaining, now_s
        self.remaining = remaining
        self.seen_s = now_s
        self.reset_s = now_s + (DEFAULT_RESET_S if reset_in_s is None else reset_in_s)

    def forget(self, remaining: int | None) -> None:
        self.remaining = remaining
        self.reset_s = inf
        self._older = self._marked = remaining or 0
        self._older_s = self._marked_s = self.seen_s

    def exhausted_in_s(self, now_s: float) -> float:
        """Seconds until nothing remains at the present rate; ``inf`` when the reset comes first or nothing falls."""
        if self.remaining is None or self.reset_s == inf:
            return inf
        if self.remaining == 0:
            return 0.0
        fallen, span_s = self._older - self.remaining, self.seen_s - self._older_s
        if fallen <= 0 or span_s <= 0.0:
            return inf
        end_s = self.seen_s + self.remaining * span_s / fallen
        return max(end_s - now_s, 0.0) if end_s < self.reset_s else inf


class Quota:
    """``k.quota``: counts or None (unknown)."""

    __slots__ = (
        "_clock", "_requests", "_tokens", "due_s",
        "limit_requests", "limit_tokens", "remaining_requests", "remaining_tokens",
    )  # fmt: skip
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "remaining_requests": nullable(INT),
        "remaining_tokens": nullable(INT),
        "limit_requests": nullable(INT),
        "limit_tokens": nullable(INT),
        "exhausted_in_s": nullable(DOUBLE),
    }

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._requests = _Gauge()
        self._tokens = _Gauge()
        #: monotonic moment of the next change without a request; ``inf`` when none is pending
        self.due_s = inf
        self.remaining_requests: int | None = None
        self.remaining_tokens: int | None = None
        self.limit_requests: int | None = None
        self.limit_tokens: int | None = None

    @property
    def exhausted_in_s(self) -> float | None:
        """Forecast: seconds until a quota is used up at the present rate; None if unknown or the reset comes first."""
        now_s = self._clock()
        soonest = min(self._requests.exhausted_in_s(now_s), self._tokens.exhausted_in_s(now_s))
        return None if soonest == inf else soonest

    def observe(self, headers: HeaderMap, status: int, now_unix_s: float) -> None:
        """Reads both header families of one response (AG-130); a 429 without them means no requests (AG-131)."""
        seen = self._observe_requests(headers, now_unix_s)
        seen = self._observe_tokens(headers, now_unix_s) or seen
        if not seen and status == 429:
            wait_s = parse_retry_after(headers, now_unix_s)
            self._requests.see(0, wait_s, self._clock())
            self.remaining_requests = 0
        elif not seen:
            return
        self.due_s = min(self._requests.reset_s, self._tokens.reset_s)

    def _observe_requests(self, headers: HeaderMap, now_unix_s: float) -> bool:
        limit = _count(headers, "x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit")
        remaining = _count(headers, "x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining")
        if limit is not None:
            self.limit_requests = limit
        if remaining is not None:
            names = ("x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset")
            self._requests.see(remaining, _reset(headers, names, now_unix_s), self._clock())
            self.remaining_requests = remaining
        return limit is not None or remaining is not None

    def _observe_tokens(self, headers: HeaderMap, now_unix_s: float) -> bool:
        limit = _count(headers, "x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit")
        remaining = _count(headers, "x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining")
        if limit is not None:
            self.limit_tokens = limit
        if remaining is not None:
            names = ("x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset")
            self._tokens.see(remaining, _reset(headers, names, now_unix_s), self._clock())
            self.remaining_tokens = remaining
        return limit is not None or remaining is not None

    def expire(self, now_s: float) -> None:
        """After a reset a remaining value becomes the limit if known, else unknown (AG-131)."""
        if self._requests.reset_s <= now_s:
            self.remaining_requests = self.limit_requests
            self._requests.forget(self.remaining_requests)
        if self._tokens.reset_s <= now_s:
            self.remaining_tokens = self.limit_tokens
            self._tokens.forget(self.remaining_tokens)
        self.due_s = min(self._requests.reset_s, self._tokens.reset_s)

    def exhausted_reset_s(self) -> float | None:
        """Monotonic moment when the last exhausted quota resets; None while none is exhausted."""
        resets = [g.reset_s for g in (self._requests, self._tokens) if g.remaining == 0 and g.reset_s < inf]
        return max(resets) if resets else None


def _count(headers: HeaderMap, name: str, other: str) -> int | None:
    values = headers.get(name) or headers.get(other)
    return parse_count(values[0]) if values else None


def _reset(headers: HeaderMap, names: tuple[str, str], now_unix_s: float) -> float | None:
    values = headers.get(names[0]) or headers.get(names[1])
    return parse_reset(values[0], now_unix_s) if values else None
