"""Conversions ``int uint double string bytes bool timestamp duration type dyn``. Source: cel-spec."""

from __future__ import annotations

import math
import re
from typing import Any

from gateway.cel.errors import Failure
from gateway.cel.times import (
    SECOND,
    checked_duration,
    checked_timestamp,
    duration_text,
    parse_duration,
    parse_timestamp,
    timestamp_text,
)
from gateway.cel.values import (
    UINT_MAX,
    Duration,
    Timestamp,
    TypeValue,
    Uint,
    checked_int,
    checked_uint,
    no_overload,
    type_name,
)

_INT = re.compile(r"[+-]?[0-9]{1,32}")
_UINT = re.compile(r"[0-9]{1,32}")
_DOUBLE = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)", re.I
)
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def to_int(value: Any) -> int:
    """Doubles are truncated; timestamps give seconds."""
    kind = value.__class__
    if kind is int:
        return int(value)
    if kind is Uint:
        return checked_int(int(value))
    if kind is float:
        if not -(2.0**63) < value < 2.0**63:
            raise Failure("int out of range")
        return int(value)
    if isinstance(value, str):
        if not _INT.fullmatch(value):
            raise Failure("cannot convert string to int")
        return checked_int(int(value))
    if kind is Timestamp:
        return int(value) // SECOND
    raise no_overload(value)


def to_uint(value: Any) -> Uint:
    """Doubles are truncated."""
    kind = value.__class__
    if kind is Uint:
        return Uint(value)
    if kind is int:
        return checked_uint(value)
    if kind is float:
        if not 0 <= value < UINT_MAX + 1:
            raise Failure("uint out of range")
        return Uint(int(value))
    if isinstance(value, str):
        if not _UINT.fullmatch(value):
            raise Failure("cannot convert string to uint")
        return checked_uint(int(value))
    raise no_overload(value)


def to_double(value: Any) -> float:
    """Numbers and decimal text."""
    kind = value.__class__
    if kind is float or kind is int or kind is Uint:
        return float(value)
    if isinstance(value, str):
        if not _DOUBLE.fullmatch(value):
            raise Failure("cannot convert string to double")
        return float(value)
    raise no_overload(value)


def double_text(value: float) -> str:
    """Shortest form; integral values without ``.0``."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value).removesuffix(".0")


def bytes_text(value: bytes) -> str:
    """As UTF-8; Failure if it is not."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Failure("bytes are not valid UTF-8") from None


def to_string(value: Any) -> str:
    """``string()``"""
    if isinstance(value, str):
        return str(value)
    kind = value.__class__
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is Uint:
        return str(int(value))
    if kind is float:
        return double_text(value)
    if kind is bytes:
        return bytes_text(value)
    if kind is Timestamp:
        return timestamp_text(value)
    if kind is Duration:
        return duration_text(value)
    raise no_overload(value)


def utf8(text: str) -> bytes:
    """Its bytes; those of a header that were no UTF-8 as they came. Half a surrogate pair (JSON allows it) has none."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Failure("text is not valid Unicode") from None


def to_bytes(value: Any) -> bytes:
    """UTF-8."""
    if isinstance(value, str):
        return utf8(value)
    if value.__class__ is bytes:
        return bytes(value)
    raise no_overload(value)


def to_bool(value: Any) -> bool:
    """From bool, or the words that Go's ParseBool knows."""
    if value is True or value is False:
        return bool(value)
    if isinstance(value, str):
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise Failure("cannot convert string to bool")
    raise no_overload(value)


def to_timestamp(value: Any) -> Timestamp:
    """From RFC 3339 text or Unix seconds."""
    if value.__class__ is Timestamp:
        return Timestamp(value)
    if value.__class__ is int:
        return checked_timestamp(value * SECOND)
    if isinstance(value, str):
        return parse_timestamp(value)
    raise no_overload(value)


def to_duration(value: Any) -> Duration:
    """From Go's form or seconds."""
    if value.__class__ is Duration:
        return Duration(value)
    if value.__class__ is int:
        return checked_duration(value * SECOND)
    if isinstance(value, str):
        return parse_duration(value)
    raise no_overload(value)


def to_type(value: Any) -> TypeValue:
    """``type()``"""
    return TypeValue(type_name(value))


def to_dyn(value: Any) -> Any:
    """``dyn()``"""
    return value
