"""The standard functions: one row per overload; what they do stands in the modules by subject. Source: TP 7."""

from __future__ import annotations

import ast as python
import random
from collections.abc import Callable, Sequence

from gateway.cel import (
    conversions,
    encoding,
    formatting,
    hashes,
    jsons,
    lists,
    networks,
    randoms,
    regexes,
    strings,
    times,
)
from gateway.cel.ast import Node
from gateway.cel.emit import Emitter
from gateway.cel.env import Function
from gateway.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    VALUE_LIST,
    CelType,
    list_of,
    map_of,
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
    return [
        Function("size", (kind,), INT, len, method=method, total=True, absent=0, inline=_length)
        for kind in (STRING, BYTES, _LIST, _MAP)
        for method in (False, True)
    ]


def _text_tests() -> list[Function]:
    def method(
        name: str, text: Callable[..., bool], values: Callable[..., bool], inline: Callable[..., python.expr]
    ) -> list[Function]:
        return [
            Function(name, (STRING, STRING), BOOL, text, method=True, total=True, absent=False, inline=inline),
            Function(name, (VALUE_LIST, STRING), BOOL, values, method=True, total=True, absent=False),
        ]

    return [
        *method("startsWith", strings.starts_with, strings.any_starts_with, _starts_with),
        *method("endsWith", strings.ends_with, strings.any_ends_with, _ends_with),
        *method("contains", strings.contains, strings.any_contains, _contains),
        *method("includes", strings.contains, strings.any_contains, _contains),
        *(
            Function(
                "matches", (STRING, STRING), BOOL, regexes.matches, method=method_form, absent=False,
                prepare=regexes.prepare_matches, slow=True,
            )
            for method_form in (False, True)
        ),
        Function(
            "matches", (VALUE_LIST, STRING), BOOL, regexes.any_matches, method=True, absent=False,
            prepare=regexes.prepare_any_matches, slow=True,
        ),
    ]  # fmt: skip


def _texts() -> list[Function]:
    def method(
        name: str, params: tuple[CelType, ...], result: CelType, function: Callable[..., object], *, grows: bool = False
    ) -> Function:
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
        method("format", (_LIST,), STRING, formatting.format_text, grows=True),
        Function("strings.quote", (STRING,), STRING, strings.quote, grows=True),
        Function("join", (_LIST,), STRING, strings.join, method=True, absent="", grows=True),
        Function("join", (_LIST, STRING), STRING, strings.join, method=True, absent="", grows=True),
    ]


def _lists() -> list[Function]:
    def method(
        name: str, params: tuple[CelType, ...], function: Callable[..., object], *, grows: bool = False
    ) -> Function:
        return Function(name, (_LIST, *params), _same_list, function, method=True, grows=grows)

    return [
        method("slice", (INT, INT), lists.slice_list, grows=True),
        Function("flatten", (_LIST,), _LIST, lists.flatten, method=True, grows=True),
        Function("flatten", (_LIST, INT), _LIST, lists.flatten, method=True, grows=True),
        method("distinct", (), lists.distinct, grows=True),
        method("sort", (), lists.sort_values, grows=True),
        method("reverse", (), lists.reverse_list, grows=True),
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


def _both(
    name: str, params: tuple[CelType, ...], result: CelType, function: Callable[..., object], method: str
) -> list[Function]:
    """``name(x, …)`` and ``x.method(…)``"""
    return [
        Function(name, params, result, function, grows=True, slow=True),
        Function(method, params, result, function, method=True, grows=True, slow=True),
    ]


def _encodings() -> list[Function]:
    return [
        Function("base64.encode", (BYTES,), STRING, encoding.encode_base64, grows=True),
        Function("base64.decode", (STRING,), BYTES, encoding.decode_base64, grows=True),
        Function("encodeBase64", (STRING,), STRING, encoding.encode_text_base64, method=True, grows=True),
        Function("decodeBase64", (STRING,), STRING, encoding.decode_text_base64, method=True, grows=True),
        Function("basic_auth.encode", (STRING, STRING), STRING, encoding.basic_credentials, grows=True),
        *_both("json.decode", (STRING,), DYN, jsons.decode_json, "decodeJson"),
        Function("json.encode", (DYN,), STRING, jsons.encode_json, grows=True),
        Function("encodeJson", (_LIST,), STRING, jsons.encode_json, method=True, grows=True),
        Function("encodeJson", (_MAP,), STRING, jsons.encode_json, method=True, grows=True),
        Function("isJson", (STRING,), BOOL, jsons.is_json, method=True, slow=True),
        *_both("url.parse", (STRING,), map_of(STRING), encoding.parse_url, "parseUrl"),
        *_both("url.escape", (STRING,), STRING, encoding.escape_url, "escapeUrl"),
        *_both("url.unescape", (STRING,), STRING, encoding.unescape_url, "unescapeUrl"),
        Function("isURL", (STRING,), BOOL, encoding.is_url, method=True, total=True, slow=True),
        *_both("queryString.decode", (STRING,), map_of(STRING), encoding.decode_query, "decodeQueryString"),
        *_both("queryString.encode", (_MAP,), STRING, encoding.encode_query, "encodeQueryString"),
        Function("isQueryString", (STRING,), BOOL, encoding.is_query, method=True, total=True),
    ]


def _hashes() -> list[Function]:
    rows = []
    for name in hashes.HASHES:
        digest, slow = hashes.digest_function(name), name in hashes.IN_PYTHON
        for params in ((STRING,), (STRING, STRING)):
            rows.append(Function(f"hash.{name}", params, STRING, digest, check=hashes.check_format, slow=slow))
            rows.append(Function(name, params, STRING, digest, method=True, check=hashes.check_format, slow=slow))
    return rows


def _networks() -> list[Function]:
    return [
        Function("isPrivateIp", (STRING,), BOOL, networks.is_private, method=True, total=True),
        Function("inCidrRange", (STRING, STRING), BOOL, networks.in_range, total=True, prepare=networks.prepare_ranges),
        Function(
            "inCidrRanges", (STRING, _LIST), BOOL, networks.in_ranges, total=True, prepare=networks.prepare_ranges
        ),
    ]


#: the generator behind ``rand.*`` where an environment brings none; its state is the point of it
_RANDOM = random.Random()  # noqa: S311 - policies draw lots with it, nothing secret

STANDARD: tuple[Function, ...] = (
    *_conversions(), *_sizes(), *_text_tests(), *_texts(), *_lists(), *_times(), *_encodings(), *_hashes(),
    *_networks(), *randoms.random_functions(_RANDOM),
)  # fmt: skip
