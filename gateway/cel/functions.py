"""The standard functions: one row per overload. What they do stands in the modules by subject. Source: TP 7, cel-spec."""

from __future__ import annotations

import ast as python
from collections.abc import Callable, Sequence

from gateway.cel import conversions, lists, regexes, strings, times
from gateway.cel.emit import Emitter
from gateway.cel.ast import Node
from gateway.cel.env import Function
from gateway.cel.types import (
    BOOL, BYTES, DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, TYPE, UINT, VALUE_LIST, CelType, list_of, map_of,
)  # fmt: skip

_LIST = list_of(DYN)
_MAP = map_of(DYN)
_STRINGS = list_of(STRING)


def _same_list(types: Sequence[CelType]) -> CelType:
    return list_of(types[0].item)


def _length(emit: Emitter, node: Node, value: python.expr) -> python.expr:
    return emit.call(node, len, value)


def _unchanged(emit: Emitter, node: Node, value: python.expr) -> python.expr:
    return value


def _starts_with(emit: Emitter, node: Node, text: python.expr, prefix: python.expr) -> python.expr:
    return emit.method(node, text, "startswith", prefix)


def _ends_with(emit: Emitter, node: Node, text: python.expr, suffix: python.expr) -> python.expr:
    return emit.method(node, text, "endswith", suffix)


def _contains(emit: Emitter, node: Node, text: python.expr, part: python.expr) -> python.expr:
    return emit.compare(node, part, "in", text)


def _constant(function: Callable[..., object]) -> Callable[[Sequence[object]], Callable[..., object] | None]:
    """Literal arguments: evaluated at load."""

    def prepare(literals: Sequence[object]) -> Callable[..., object] | None:
        (literal,) = literals
        return (lambda: function(literal)) if isinstance(literal, str) else None

    return prepare


def _conversions() -> list[Function]:
    return [
        Function("int", (DYN,), INT, conversions.to_int),
        Function("uint", (DYN,), UINT, conversions.to_uint),
        Function("double", (DYN,), DOUBLE, conversions.to_double),
        Function("string", (DYN,), STRING, conversions.to_string),
        Function("bytes", (DYN,), BYTES, conversions.to_bytes),
        Function("bool", (DYN,), BOOL, conversions.to_bool),
        Function("timestamp", (DYN,), TIMESTAMP, conversions.to_timestamp, prepare=_constant(times.parse_timestamp)),
        Function("duration", (DYN,), DURATION, conversions.to_duration, prepare=_constant(times.parse_duration)),
        Function("type", (DYN,), TYPE, conversions.to_type, total=True),
        Function("dyn", (DYN,), DYN, conversions.to_dyn, total=True, inline=_unchanged),
    ]


def _sizes() -> list[Function]:
    rows = [
        Function("size", (kind,), INT, len, method=method, total=True, absent=0, inline=_length)
        for kind in (STRING, BYTES, _LIST, _MAP)
        for method in (False, True)
    ]
    return rows


def _text_tests() -> list[Function]:
    def method(
        name: str, text: Callable[..., bool], values: Callable[..., bool], inline: Callable[..., python.expr]
    ) -> list[Function]:
        return [
            Function(name, (STRING, STRING), BOOL, text, method=True, total=True, absent=False, inline=inline),
            Function(name, (VALUE_LIST, STRING), BOOL, values, method=True, total=True, absent=False),
        ]

    pattern = {"absent": False, "prepare": regexes.prepare_matches}
    return [
        *method("startsWith", strings.starts_with, strings.any_starts_with, _starts_with),
        *method("endsWith", strings.ends_with, strings.any_ends_with, _ends_with),
        *method("contains", strings.contains, strings.any_contains, _contains),
        *method("includes", strings.contains, strings.any_contains, _contains),
        Function("matches", (STRING, STRING), BOOL, regexes.matches, **pattern),
        Function("matches", (STRING, STRING), BOOL, regexes.matches, method=True, **pattern),
        Function(
            "matches", (VALUE_LIST, STRING), BOOL, regexes.any_matches, method=True, absent=False,
            prepare=regexes.prepare_any_matches,
        ),
    ]  # fmt: skip


def _texts() -> list[Function]:
    def method(name: str, params: tuple[CelType, ...], result: CelType, function: Callable[..., object], *, grows: bool = False) -> Function:
        return Function(name, (STRING, *params), result, function, method=True, grows=grows)

    return [
        method("charAt", (INT,), STRING, strings.char_at),
        method("indexOf", (STRING,), INT, strings.index_of),
        method("indexOf", (STRING, INT), INT, strings.index_of),
        method("lastIndexOf", (STRING,), INT, strings.last_index_of),
        method("lastIndexOf", (STRING, INT), INT, strings.last_index_of),
        method("substring", (INT,), STRING, strings.substring),
        method("substring", (INT, INT), STRING, strings.substring),
        method("split", (), _STRINGS, strings.split, grows=True),
        method("split", (STRING,), _STRINGS, strings.split, grows=True),
        method("split", (STRING, INT), _STRINGS, strings.split, grows=True),
        method("replace", (STRING, STRING), STRING, strings.replace, grows=True),
        method("replace", (STRING, STRING, INT), STRING, strings.replace, grows=True),
        method("trim", (), STRING, strings.trim),
        method("lower", (), STRING, strings.lower),
        method("upper", (), STRING, strings.upper),
        method("lowerAscii", (), STRING, strings.lower_ascii),
        method("upperAscii", (), STRING, strings.upper_ascii),
        method("reverse", (), STRING, strings.reverse),
        Function("strings.quote", (STRING,), STRING, strings.quote, grows=True),
        Function("join", (_LIST,), STRING, strings.join, method=True, absent="", grows=True),
        Function("join", (_LIST, STRING), STRING, strings.join, method=True, absent="", grows=True),
    ]


def _lists() -> list[Function]:
    def method(name: str, params: tuple[CelType, ...], function: Callable[..., object], *, grows: bool = False) -> Function:
        return Function(name, (_LIST, *params), _same_list, function, method=True, grows=grows)

    return [
        method("slice", (INT, INT), lists.slice_list),
        Function("flatten", (_LIST,), _LIST, lists.flatten, method=True, grows=True),
        Function("flatten", (_LIST, INT), _LIST, lists.flatten, method=True, grows=True),
        method("distinct", (), lists.distinct),
        method("sort", (), lists.sort_values),
        method("reverse", (), lists.reverse_list),
        Function("lists.range", (INT,), list_of(INT), lists.number_range, grows=True),
    ]


def _times() -> list[Function]:
    rows = []
    for name, part in times.MOMENT_PARTS.items():
        rows.append(Function(name, (TIMESTAMP,), INT, part, method=True))
        rows.append(Function(name, (TIMESTAMP, STRING), INT, part, method=True))
    for name, part in times.DURATION_PARTS.items():
        rows.append(Function(name, (DURATION,), INT, part, method=True, total=True))
    return rows


STANDARD: tuple[Function, ...] = (*_conversions(), *_sizes(), *_text_tests(), *_texts(), *_lists(), *_times())
