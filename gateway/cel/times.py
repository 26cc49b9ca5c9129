"""Timestamps and durations: parsing, text, range checks, the ``get…`` accessors. Sources: cel-spec, TP 7.7."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from gateway.cel.errors import Failure
from gateway.cel.values import INT_MAX, INT_MIN, Duration, Timestamp

SECOND = 1_000_000_000
_MIN_TIMESTAMP = -62_135_596_800 * SECOND
_MAX_TIMESTAMP = 253_402_300_800 * SECOND - 1
_MAX_DURATION = 315_576_000_000 * SECOND
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|([+-])(\d\d):(\d\d))", re.A
)
_UNITS = {
    "h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 1_000_000, "us": 1_000, "µs": 1_000, "μs": 1_000, "ns": 1,
}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|μs|ns|m|s)", re.A)
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:h|ms|us|µs|μs|ns|m|s))+)", re.A)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.A)


def checked_timestamp(value: int) -> Timestamp:
    """Years 1 to 9999."""
    if _MIN_TIMESTAMP <= value <= _MAX_TIMESTAMP:
        return Timestamp(value)
    raise Failure("timestamp out of range")


def checked_duration(value: int) -> Duration:
    """Fits in 64 bits of nanoseconds."""
    if -_MAX_DURATION <= value <= _MAX_DURATION and INT_MIN <= value <= INT_MAX:
        return Duration(value)
    raise Failure("duration out of range")


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise Failure("invalid timestamp")
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        moment = datetime.datetime(year, month, day, hour, minute, second, tzinfo=datetime.UTC)
    except ValueError:
        raise Failure("timestamp out of range") from None
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    if match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            raise Failure("invalid timestamp")
        seconds -= (1 if match[9] == "+" else -1) * (hours * 3600 + minutes * 60)
    return checked_timestamp(seconds * SECOND + int((match[7] or "").ljust(9, "0") or "0"))


def parse_duration(text: str) -> Duration:
    """Go's form: ``1h30m``, ``-1.5s``."""
    if len(text) > 256 or not _DURATION.fullmatch(text):
        raise Failure("invalid duration")
    total = Fraction(0)
    for amount, unit in _PART.findall(text):
        total += Fraction(amount if amount[0] != "." else f"0{amount}") * _UNITS[unit]
    return checked_duration(int(-total if text[0] == "-" else total))


def _fraction(nanoseconds: int) -> str:
    return f".{nanoseconds:09d}".rstrip("0") if nanoseconds else ""


def timestamp_text(value: Timestamp) -> str:
    """``2026-11-22T10:00:00.5Z``"""
    seconds, nanoseconds = divmod(int(value), SECOND)
    moment = _EPOCH + datetime.timedelta(seconds=seconds)
    return f"{moment.isoformat()[:19]}{_fraction(nanoseconds)}Z"


def duration_text(value: Duration) -> str:
    """``90s``, ``-0.5s``"""
    seconds, nanoseconds = divmod(abs(int(value)), SECOND)
    return f"{'-' if value < 0 else ''}{seconds}{_fraction(nanoseconds)}s"


@lru_cache(maxsize=64)
def _zone(name: str) -> datetime.tzinfo:
    match = _OFFSET.fullmatch(name)
    if match:
        offset = datetime.timedelta(hours=int(match[2]), minutes=int(match[3]))
        if offset >= datetime.timedelta(hours=24):
            raise Failure("unknown time zone")
        return datetime.timezone(-offset if match[1] == "-" else offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Failure("unknown time zone") from None


def _moment(value: Timestamp, zone: str | None) -> datetime.datetime:
    """Microseconds are dropped: no accessor but the milliseconds', which reads the value itself, needs them."""
    moment = _EPOCH + datetime.timedelta(seconds=int(value) // SECOND)
    if zone is None:
        return moment
    try:
        return moment.astimezone(_zone(zone))
    except OverflowError:
        raise Failure("timestamp out of range") from None


def _of_moment(part: Callable[[datetime.datetime], int]) -> Callable[..., int]:
    def accessor(value: Timestamp, zone: str | None = None) -> int:
        return part(_moment(value, zone))

    return accessor


def _whole(unit: int) -> Callable[[Duration], int]:
    def accessor(value: Duration) -> int:
        amount = abs(int(value)) // unit
        return -amount if value < 0 else amount

    return accessor


def _milliseconds_of_moment(value: Timestamp, zone: str | None = None) -> int:
    if zone is not None:
        _zone(zone)
    return int(value) % SECOND // 1_000_000


def _milliseconds_of_duration(value: Duration) -> int:
    amount = abs(int(value)) % SECOND // 1_000_000
    return -amount if value < 0 else amount


#: of a timestamp, with an optional time zone
MOMENT_PARTS: dict[str, Callable[..., int]] = {
    "getFullYear": _of_moment(lambda moment: moment.year),
    "getMonth": _of_moment(lambda moment: moment.month - 1),
    "getDate": _of_moment(lambda moment: moment.day),
    "getDayOfMonth": _of_moment(lambda moment: moment.day - 1),
    "getDayOfWeek": _of_moment(lambda moment: moment.isoweekday() % 7),
    "getDayOfYear": _of_moment(lambda moment: moment.timetuple().tm_yday - 1),
    "getHours": _of_moment(lambda moment: moment.hour),
    "getMinutes": _of_moment(lambda moment: moment.minute),
    "getSeconds": _of_moment(lambda moment: moment.second),
    "getMilliseconds": _milliseconds_of_moment,
}

#: of a duration
DURATION_PARTS: dict[str, Callable[[Any], int]] = {
    "getHours": _whole(3600 * SECOND),
    "getMinutes": _whole(60 * SECOND),
    "getSeconds": _whole(SECOND),
    "getMilliseconds": _milliseconds_of_duration,
}
