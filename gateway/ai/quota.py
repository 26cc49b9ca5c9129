"""What a provider says about a key's remaining quota, and when that stops being true.

Pure: readings of the clock are arguments. One ``Quota`` per (provider, key, upstream model), read directly by
expressions. The head of a response is only kept (``observe``); ``settle`` reads it before somebody looks, so that an
installation without strategies does not parse headers, and answers that repeat themselves are parsed once.

Invariants
    1. Unparsable header values change nothing.
    2. No reading outlives its reset, nor ``LONGEST_RESET_S``: a key is never written off because of one odd header.
    3. After ``settle``, ``due_s`` is the earliest moment at which ``settle`` has something to do again.
    4. ``version`` grows whenever a visible value changes.
Source: ai-gateway.md AG-121, AG-130, AG-131, AG-178; lessons.md P16, P40.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf
from typing import ClassVar, Final, NamedTuple

from gateway.cel.env import DOUBLE, INT, CelType, nullable
from gateway.headers import HeaderMap

DEFAULT_RESET_S: Final = 60.0
#: providers' longest windows are days; anything beyond is a clock or unit error
LONGEST_RESET_S: Final = 86_400.0
#: a forecast looks back between one and two of these
_FORECAST_SPAN_S: Final = 60.0

_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_GO_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_GO_DURATION: Final = re.compile(rf"(?:{_GO_PART.pattern})+")
_NUMBER: Final = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,9})?")


def parse_count(text: str | None) -> int | None:
    """``"4999"`` → 4999; anything but up to 18 ASCII digits → None."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    return int(text)


def parse_reset(text: str | None, now_unix_s: float) -> float | None:
    """Seconds from now: ``"6m0s"``, ``"120ms"`` (Go), ``"1.5"`` (seconds), ``"2026-08-01T12:00:00Z"`` (RFC 3339)."""
    if not text or len(text) > 64 or not text.isprintable():
        return None
    if _NUMBER.fullmatch(text):
        return _bounded(float(text))
    if _GO_DURATION.fullmatch(text):
        return _bounded(sum(float(number) * _UNITS[unit] for number, unit in _GO_PART.findall(text)))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _bounded(_unix_s(moment) - now_unix_s)


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
    return _bounded(_unix_s(moment) - now_unix_s)


def _unix_s(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_RESET_S)


class _Names(NamedTuple):
    """Header names of one kind of quota, ``openai`` and ``anthropic``."""

    remaining: tuple[str, str]
    limit: tuple[str, str]
    reset: tuple[str, str]


_REQUESTS: Final = _Names(
    ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining"),
    ("x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit"),
    ("x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset"),
)
_TOKENS: Final = _Names(
    ("x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining"),
    ("x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit"),
    ("x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset"),
)


class _Gauge:
    """One kind of quota over time: what is left, when it resets, how fast it falls."""

    __slots__ = (
        "_headers", "_marked", "_marked_s", "_names", "_older", "_older_s", "_reset_text", "_resets_in_s",
        "_said_limit", "_said_remaining", "_texts", "limit", "remaining", "reset_s", "seen_s",
    )  # fmt: skip

    def __init__(self, names: _Names) -> None:
        self._names = names
        self.limit: int | None = None
        self.remaining: int | None = None
        #: monotonic; ``inf`` when nothing is pending
        self.reset_s = inf
        self.seen_s = 0.0
        #: the head read last and what it says
        self._headers: HeaderMap | None = None
        self._texts: tuple[str | None, str | None] = (None, None)
        self._said_remaining: int | None = None
        self._said_limit: int | None = None
        self._reset_text: str | None = None
        #: None: a moment, to be compared with the clock
        self._resets_in_s: float | None = DEFAULT_RESET_S
        self._older = self._marked = 0
        self._older_s = self._marked_s = 0.0

    def read(self, headers: HeaderMap, now_s: float, now_unix_s: float) -> None:
        """Takes in the head of a response."""
        if headers is not self._headers:  # an object for each head: the same one says the same again
            self._parse(headers, now_unix_s)
        if self.reset_s <= now_s:
            self.expire(now_s)
        limit, remaining, resets_in_s = self._said_limit, self._said_remaining, self._resets_in_s
        if limit is not None:
            self.limit = limit
        if remaining is None:
            return
        if resets_in_s is None:
            resets_in_s = _reset_or_default(self._reset_text, now_unix_s)
        if resets_in_s:
            self.set(remaining, resets_in_s, now_s)
        else:  # past already
            self.expire(now_s)

    def _parse(self, headers: HeaderMap, now_unix_s: float) -> None:
        self._headers = headers
        names = self._names
        texts = (_text(headers, names.remaining), _text(headers, names.limit))
        if texts != self._texts:
            self._texts = texts
            self._said_remaining, self._said_limit = parse_count(texts[0]), parse_count(texts[1])
        reset = _text(headers, names.reset)
        if reset != self._reset_text:
            self._reset_text = reset
            is_moment = reset is not None and "T" in reset
            self._resets_in_s = None if is_moment else _reset_or_default(reset, now_unix_s)

    def set(self, remaining: int, resets_in_s: float, now_s: float) -> None:
        """A new reading."""
        before = self.remaining
        if before is None or remaining > before:  # a new window: what was consumed before it says nothing
            self._older = self._marked = remaining
            self._older_s = self._marked_s = now_s
        elif now_s - self._marked_s >= _FORECAST_SPAN_S:
            self._older, self._older_s = self._marked, self._marked_s
            self._marked, self._marked_s = remaining, now_s
        self.remaining = remaining
        self.seen_s = now_s
        self.reset_s = now_s + resets_in_s

    def expire(self, now_s: float) -> None:
        """The reset: a remaining value becomes the limit if known, else unknown."""
        limit = self.remaining = self.limit
        self.reset_s = inf
        self._older = self._marked = limit or 0
        self._older_s = self._marked_s = now_s

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


def _reset_or_default(text: str | None, now_unix_s: float) -> float:
    resets_in_s = parse_reset(text, now_unix_s)
    return DEFAULT_RESET_S if resets_in_s is None else resets_in_s


def _text(headers: HeaderMap, names: tuple[str, str]) -> str | None:
    values = headers.get(names[0]) or headers.get(names[1])
    return values[0] if values else None


def _tells(headers: HeaderMap) -> bool:
    """Whether a head says anything about a quota."""
    return any(
        _text(headers, of) is not None for names in (_REQUESTS, _TOKENS) for of in (names.remaining, names.limit)
    )


class Quota:
    """``k.quota``: counts or None (unknown)."""

    __slots__ = (
        "_clock", "_requests", "_seen", "_tokens", "due_s", "limit_requests", "limit_tokens", "remaining_requests",
        "remaining_tokens", "version",
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
        self._requests = _Gauge(_REQUESTS)
        self._tokens = _Gauge(_TOKENS)
        #: a head that was not read yet, and when it came (monotonic, Unix)
        self._seen: tuple[HeaderMap, float, float] | None = None
        #: monotonic moment of the next change without a request; ``inf`` when none is pending
        self.due_s = inf
        self.version = 0
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

    def observe(self, headers: HeaderMap, status: int, now_s: float, now_unix_s: float) -> bool:
        """One response: both header families (AG-130); a 429 without them means no requests (AG-131).

        True if ``settle`` has something to read.
        """
        if status == 429 and not _tells(headers):
            self._read()
            wait_s = parse_retry_after(headers, now_unix_s)
            self._requests.set(0, DEFAULT_RESET_S if wait_s is None else wait_s, now_s)
            return True
        if not headers:
            return False
        seen = self._seen
        if seen is not None and seen[0] is not headers and seen[0].keys() != headers.keys():
            self._read()  # the new head does not tell all that the kept one does
        self._seen = (headers, now_s, now_unix_s)
        return True

    def _read(self) -> None:
        """Takes in the head that was kept."""
        seen = self._seen
        if seen is not None:
            self._seen = None
            self._requests.read(*seen)
            self._tokens.read(*seen)

    def settle(self, now_s: float) -> None:
        """Brings the visible values up to date: heads that were kept, resets that have passed."""
        requests, tokens = self._requests, self._tokens
        if self._seen is not None:
            self._read()
        due_s, other_s = requests.reset_s, tokens.reset_s
        if due_s <= now_s:
            requests.expire(now_s)
            due_s = inf
        if other_s <= now_s:
            tokens.expire(now_s)
            other_s = inf
        self.due_s = due_s if due_s < other_s else other_s
        if (
            self.remaining_requests != requests.remaining
            or self.remaining_tokens != tokens.remaining
            or self.limit_requests != requests.limit
            or self.limit_tokens != tokens.limit
        ):
            self.version += 1
            self.remaining_requests = requests.remaining
            self.remaining_tokens = tokens.remaining
            self.limit_requests = requests.limit
            self.limit_tokens = tokens.limit

    def exhausted_reset_s(self) -> float | None:
        """Monotonic moment when the last exhausted quota resets; None while none is exhausted. After ``settle``."""
        resets = [g.reset_s for g in (self._requests, self._tokens) if g.remaining == 0 and g.reset_s < inf]
        return max(resets) if resets else None
