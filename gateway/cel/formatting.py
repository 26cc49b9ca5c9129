"""``s.format(list)``: ``%s %d %f %e %b %x %X %o %%``, optional precision. Source: cel-spec string_ext, TP 7.6."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.cel.conversions import bytes_text, to_string, utf8
from gateway.cel.errors import Failure
from gateway.cel.limits import check_size
from gateway.cel.values import BoolKey, TypeValue, Uint, type_name
from gateway.cel.work import Work

_CLAUSE = re.compile(r"%(?:(%)|(?:\.([0-9]{1,3}))?([sdfebxXo])|([\s\S]?))")
_DEFAULT_PRECISION = 6
_MAX_PRECISION = 100
_MAX_DEPTH = 64


def format_text(pattern: str, values: Sequence[Any]) -> str:
    """Failure for an unknown clause, too few values, or a value that the clause does not take."""
    pieces: list[str] = []
    end = used = size = 0
    for match in _CLAUSE.finditer(pattern):
        pieces.append(pattern[end : match.start()])
        end = match.end()
        if match[1]:
            pieces.append("%")
            continue
        clause = match[3]
        if clause is None:
            raise Failure("format: unknown clause")
        if used >= len(values):
            raise Failure(f"format: index {used} out of range")
        precision = _DEFAULT_PRECISION if match[2] is None else int(match[2])
        if precision > _MAX_PRECISION:
            raise Failure("format: precision out of range")
        pieces.append(_CLAUSES[clause](values[used], precision))
        used += 1
        size += len(pieces[-1])
        check_size(size)
    pieces.append(pattern[end:])
    return "".join(pieces)


def _refused(clause: str, value: object) -> Failure:
    return Failure(f"format: %{clause} does not take {type_name(value)}")


def _special(value: float) -> str:
    """What stands for NaN and the infinities."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _text(value: Any, precision: int) -> str:
    return _shown(value, 0, Work())


def _shown(value: Any, depth: int, work: Work) -> str:
    if depth > _MAX_DEPTH:
        raise Failure("format: value is nested too deeply")
    if value is None:
        return "null"
    if isinstance(value, TypeValue):
        return value.name
    if value.__class__ is float and not math.isfinite(value):
        return _special(value)
    if value.__class__ is bytes:
        return bytes_text(value)
    if isinstance(value, list | tuple):
        work.done(len(value))
        return f"[{', '.join([_shown(item, depth + 1, work) for item in value])}]"
    if isinstance(value, dict):
        work.done(len(value))
        shown = sorted((_shown_key(key), _shown(item, depth + 1, work)) for key, item in value.items())
        return f"{{{', '.join([f'{key}: {item}' for key, item in shown])}}}"
    return to_string(value)


def _shown_key(key: Any) -> str:
    return to_string(key.value if isinstance(key, BoolKey) else key)


def _decimal(value: Any, precision: int) -> str:
    if value.__class__ in (int, Uint):
        return str(int(value))
    if value.__class__ is float and not math.isfinite(value):
        return _special(value)
    raise _refused("d", value)


def _floating(clause: str) -> Callable[[Any, int], str]:
    def show(value: Any, precision: int) -> str:
        if value.__class__ not in (int, Uint, float):
            raise _refused(clause, value)
        if not math.isfinite(value):
            return _special(value)
        return f"{float(value):.{precision}{clause}}"

    return show


def _binary(value: Any, precision: int) -> str:
    if value.__class__ in (int, Uint, bool):
        return f"{int(value):b}"
    raise _refused("b", value)


def _octal(value: Any, precision: int) -> str:
    if value.__class__ in (int, Uint):
        return f"{int(value):o}"
    raise _refused("o", value)


def _hexadecimal(value: Any, precision: int) -> str:
    if value.__class__ in (int, Uint):
        return f"{int(value):x}"
    if isinstance(value, str):
        return utf8(value).hex()
    if value.__class__ is bytes:
        return str(value.hex())
    raise _refused("x", value)


def _hexadecimal_upper(value: Any, precision: int) -> str:
    return _hexadecimal(value, precision).upper()


_CLAUSES: Mapping[str, Callable[[Any, int], str]] = {
    "s": _text, "d": _decimal, "f": _floating("f"), "e": _floating("e"), "b": _binary, "o": _octal,
    "x": _hexadecimal, "X": _hexadecimal_upper,
}  # fmt: skip
