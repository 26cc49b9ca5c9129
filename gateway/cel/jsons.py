"""JSON: ``json.encode``, ``json.decode``, ``isJson`` (TP 7.2), and how host objects look as JSON (TP-115)."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from gateway.cel.errors import Failure
from gateway.cel.limits import check_size
from gateway.cel.times import duration_text, timestamp_text
from gateway.cel.values import INT_MAX, INT_MIN, BoolKey, Duration, Timestamp, Uint, no_overload, type_name
from gateway.cel.work import Work

_MAX_DEPTH = 64
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def plain(value: Any) -> Any:
    """The value in terms of dict, list, str, int, float, bool and None, as the JSON encoder wants it."""
    return _plain(value, 0, Work())


def _plain(value: Any, depth: int, work: Work) -> Any:
    if value is None or value is True or value is False:
        return value
    kind = value.__class__
    if isinstance(value, str):
        return str(value)
    if kind is int or kind is Uint:
        return int(value)
    if kind is float:
        return _number(value)
    if depth >= _MAX_DEPTH:
        raise Failure(f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, list | tuple):
        work.done(len(value))
        return [_plain(item, depth + 1, work) for item in value]
    if isinstance(value, dict):
        work.done(len(value))
        return {_key(key): _plain(item, depth + 1, work) for key, item in value.items()}
    return _scalar_or_object(value, depth, work)


def _scalar_or_object(value: Any, depth: int, work: Work) -> Any:
    if isinstance(value, Timestamp):
        return timestamp_text(value)
    if isinstance(value, Duration):
        return duration_text(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    members: Mapping[str, object] | None = getattr(value.__class__, "__cel__", None)
    if members is None:
        raise no_overload(value)
    work.done(len(members))
    # members that are absent are not there (AG-280, TP-202); null stands only where a document or a list has it
    found = ((name, getattr(value, name)) for name in members)
    return {name: _plain(member, depth + 1, work) for name, member in found if member is not None}


def _number(value: float) -> float | int:
    if not math.isfinite(value):
        raise Failure("JSON has no such number")
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str(key)
    if isinstance(key, BoolKey):
        return "true" if key.value else "false"
    if isinstance(key, int):
        return str(int(key))
    raise Failure(f"JSON has no keys of type {type_name(key)}")


def encode_json(value: Any) -> str:
    """Compact, keys sorted."""
    text = _ENCODER.encode(plain(value))
    check_size(len(text))
    return text


def _integer(digits: str) -> int | float:
    if len(digits) > 20:
        return float(digits)
    number = int(digits)
    return number if INT_MIN <= number <= INT_MAX else float(digits)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse(text: str) -> object:
    raise ValueError(text)


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_finite, parse_constant=_refuse)


def decode_json(text: str) -> Any:
    """Integral numbers in the int64 range are int, all others double."""
    check_size(len(text))
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise Failure("invalid JSON") from None


def is_json(text: str) -> bool:
    """Any valid JSON text."""
    try:
        decode_json(text)
    except Failure:
        return False
    return True
