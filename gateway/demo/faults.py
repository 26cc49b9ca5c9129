"""The grammar of model names, and FAULTS, the table that it and its documentation are made from.

    demo                                   a healthy answer, 24 tokens at 50 per second
    demo-429-retry-after-7                 faults are joined by '-', in any number
    demo:n=200,delay=5ms                   settings follow ':', joined by ','
    demo-tools:n=20,cut-5                  both; a fault may stand among the settings
    429        n=20,delay=5ms              the same without 'demo': what is left where 'demo' was the provider's name

A name that does not begin with ``demo`` and is no such list is served as ``demo``, so that the provider can stand in
for any other. An API key ``demo-key-429`` behaves like the model ``demo-429`` whatever the model is; what a key sets
wins over the model. Pure: no I/O.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.demo.behaviour import PLAIN, Behaviour, Body, Break, Ending, Refusal, Transport

MAX_TOKENS = 1_000_000
MAX_BYTES = 256 * 1024 * 1024
KEY_PREFIX = "demo-key"
#: a healthy model whose name says what it is for
EMBEDDING_MODEL = "demo-embedding"


class UnknownBehaviourError(ValueError):
    """The name begins with ``demo`` but the rest is not in the grammar."""


class Argument(enum.Enum):
    """What stands behind a fault's name; its value is how documentation writes it."""

    NONE = ""
    COUNT = "N"
    OPTIONAL_COUNT = "[N]"
    DURATION = "TIME"
    SIZE = "SIZE"


@dataclass(frozen=True, slots=True)
class Fault:
    """One word of the grammar. ``changes`` maps its argument to fields of Behaviour."""

    name: str
    argument: Argument
    description: str
    changes: Callable[[Any], Mapping[str, Any]]

    @property
    def usage(self) -> str:
        """``demo-cut-N``"""
        return f"demo-{self.name}" + (f"-{self.argument.value}" if self.argument.value else "")


_STATUS = re.compile(r"[45][0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,9}")
_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m)")
_SIZE = re.compile(r"([0-9]{1,9})(B|KiB|MiB|k|m)?", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SIZES = {"": 1, "b": 1, "k": 1_000, "m": 1_000_000, "kib": 1_024, "mib": 1_048_576}


def parse_duration(text: str) -> float | None:
    """``50ms`` → 0.05; None if it is not one."""
    match = _DURATION.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match else None


def parse_size(text: str) -> int | None:
    """``1MiB`` → 1048576; None if it is not one or too large."""
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _SIZES[(match[2] or "").lower()] if match else None
    return size if size is not None and size <= MAX_BYTES else None


def parse_count(text: str) -> int | None:
    """A decimal number; None if it is not one."""
    return int(text) if _COUNT.fullmatch(text) else None


_PARSERS: Mapping[Argument, Callable[[str], Any]] = {
    Argument.COUNT: parse_count,
    Argument.OPTIONAL_COUNT: parse_count,
    Argument.DURATION: parse_duration,
    Argument.SIZE: parse_size,
}


def _flag(name: str, description: str, **changes: Any) -> Fault:
    return Fault(name, Argument.NONE, description, lambda _: changes)


def _counted(name: str, description: str, changes: Callable[[int], Mapping[str, Any]]) -> Fault:
    return Fault(name, Argument.COUNT, description, changes)


def _broken(name: str, kind: Break, description: str) -> Fault:
    return _counted(name, description, lambda n: {"break_kind": kind, "break_at": n})


_ROWS = (
    # pace and length
    _flag("fast", "no delay between tokens", delay_s=0.0),
    _flag("slow", "4 tokens per second", delay_s=0.25),
    _flag("long", "2,000 tokens", n=2_000),
    Fault("late", Argument.DURATION, "silence for TIME before the status line", lambda t: {"late_s": t}),
    Fault("late-token", Argument.DURATION, "the head at once, a token after TIME", lambda t: {"late_token_s": t}),
    Fault("big", Argument.SIZE, "a text of SIZE bytes", lambda s: {"big_bytes": s}),
    # content
    Fault("tools", Argument.OPTIONAL_COUNT, "answers with N tool calls (1)", lambda n: {"tools": n or 1}),
    _flag("think", "reasons before it answers; reasoning tokens in the usage", think=True, reasoning_tokens=16),
    _flag("unicode", "text of several scripts and emoji", unicode=True),
    _flag("content-filter-finish", "ends with finish reason content_filter (refusal)", filtered=True),
    _flag("no-usage", "never reports usage", no_usage=True),
    # errors with a status
    _flag("context-length", "400: the prompt is longer than the model's context", refusal=Refusal.CONTEXT_LENGTH),
    _flag("content-filter", "400: the prompt was refused by the content filter", refusal=Refusal.CONTENT_FILTER),
    _flag("insufficient-quota", "429 that repeating cannot help", refusal=Refusal.QUOTA),
    _flag("overloaded", "529 overloaded_error (messages), 503 (others)", refusal=Refusal.OVERLOADED),
    _flag("echo-key", "401 whose message repeats the whole API key", refusal=Refusal.ECHO_KEY),
    _counted("retry-after", "adds retry-after: N seconds", lambda n: {"retry_after_s": n}),
    _counted("retry-after-ms", "adds retry-after-ms: N", lambda n: {"retry_after_ms": n}),
    _counted("retry-after-date", "adds retry-after as a date N seconds ahead", lambda n: {"retry_after_date_s": n}),
    _flag("html", "an error's body is a web page, as load balancers send it", html=True),
    _flag("numeric-code", "the error's code is a number", numeric_code=True),
    _flag("redirect", "307 to another path", redirect=True),
    _counted("flap", "N failures (503, or the status named), then N successes, and so on", lambda n: {"flap": n}),
    # instead of an answer
    _flag("reset", "resets the connection before any byte", transport=Transport.RESET),
    _flag("close", "closes the connection before any byte", transport=Transport.CLOSE),
    _flag("silent", "accepts the request and never answers", transport=Transport.SILENT),
    _flag("garbage", "answers with bytes that are not HTTP", transport=Transport.GARBAGE),
    _flag("head-cut", "resets in the middle of the head", transport=Transport.HEAD_CUT),
    # in the middle of the answer; on a body that is not streamed they strike at its half
    _broken("cut", Break.CUT, "resets after N tokens"),
    _broken("end", Break.END, "closes after N tokens, without the end of the body"),
    _broken("stop", Break.STOP, "ends the body cleanly after N tokens, without finish reason and end mark"),
    _broken("stall", Break.STALL, "falls silent after N tokens, the connection stays open"),
    _broken("malformed", Break.MALFORMED, "after N tokens one event that is not JSON, then goes on"),
    _broken("bad-chunk", Break.BAD_CHUNK, "after N tokens a chunk size that is not a number"),
    _broken("error-mid", Break.ERROR, "after N tokens an error event, then the end of the body"),
    _flag("error-first", "200 whose first event is an error", break_kind=Break.ERROR, break_at=-1),
    _flag("deaf", "goes on although the client has left, and counts what it sends then", deaf=True),
    # the end of a stream
    _flag("no-done", "all tokens and the finish reason, but no end mark", ending=Ending.NO_DONE),
    _flag("no-finish", "all tokens and the end mark, but no finish reason", ending=Ending.NO_FINISH),
    _flag("done-hang", "the end mark, then the body never ends", ending=Ending.DONE_HANG),
    _flag("done-reset", "the end mark, then a reset", ending=Ending.DONE_RESET),
    # bodies
    _flag("json-for-stream", "a JSON body although a stream was asked for", body=Body.JSON_FOR_STREAM),
    _flag("sse-for-json", "a stream although none was asked for", body=Body.SSE_FOR_JSON),
    _flag("truncated-json", "closes after half of the announced body", body=Body.TRUNCATED),
    _flag("invalid-json", "a complete body that is not JSON", body=Body.INVALID),
    _flag("empty", "200 without any byte of body", body=Body.EMPTY),
    _flag("ping-only", "a stream of comments and pings, without end", body=Body.PING_ONLY),
    _flag("gzip", "content-encoding: gzip, asked for or not", coding="gzip"),
    _flag("deflate", "content-encoding: deflate", coding="deflate"),
    _flag("br", "content-encoding: br", coding="br"),
    _flag("zstd", "content-encoding: zstd", coding="zstd"),
    _flag("coding-unknown", "content-encoding: x-demo, the bytes are unchanged", coding="x-demo"),
    # wire forms that are legal
    _flag("crlf", "events with CRLF line ends", crlf=True),
    _flag("comments", "a comment before every event", comments=True),
    _counted("split", "N bytes per write", lambda n: {"split_bytes": max(n, 1)}),
    _counted("merge", "N events per write", lambda n: {"merge_events": n}),
    _flag("conn-close", "connection: close, and closes after the body", close=True),
    _flag("no-length", "a body that ends with the connection", no_length=True),
    _flag("early-hints", "103 before the answer", early_hints=True),
    Fault("big-head", Argument.SIZE, "SIZE bytes of extra response headers", lambda s: {"big_head_bytes": s}),
)  # fmt: skip

#: name → Fault; ``STATUS`` stands for any number from 400 to 599
FAULTS: Mapping[str, Fault] = {
    "STATUS": Fault("STATUS", Argument.NONE, "that status (400 to 599) with its usual error", lambda _: {}),
    **{row.name: row for row in _ROWS},
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``key=value`` of the grammar."""

    name: str
    field: str
    argument: Argument
    description: str


_SETTING_ROWS = (
    Setting("n", "n", Argument.COUNT, "tokens of text"),
    Setting("delay", "delay_s", Argument.DURATION, "between two tokens"),
    Setting("late", "late_s", Argument.DURATION, "before the status line"),
    Setting("pad", "pad_bytes", Argument.SIZE, "extra bytes in each token"),
    Setting("in", "input_tokens", Argument.COUNT, "input tokens reported"),
    Setting("cached", "cached_tokens", Argument.COUNT, "of these read from the cache"),
    Setting("cache_write", "cache_write_tokens", Argument.COUNT, "written to the cache (messages)"),
    Setting("reasoning", "reasoning_tokens", Argument.COUNT, "reasoning tokens reported"),
    Setting("remaining", "remaining_requests", Argument.COUNT, "requests left, in the rate-limit headers"),
    Setting("remaining_tokens", "remaining_tokens", Argument.COUNT, "tokens left, in the rate-limit headers"),
)

SETTINGS: Mapping[str, Setting] = {row.name: row for row in _SETTING_ROWS}


@functools.lru_cache(maxsize=1_024)
def parse_model(name: str) -> Behaviour:
    """The behaviour that a model name asks for; UnknownBehaviourError for a ``demo…`` name outside the grammar."""
    name = name.rpartition("/")[2].removeprefix("demo:" if name.startswith("demo:demo") else "")
    if name in ("demo", EMBEDDING_MODEL):
        return PLAIN
    if name.startswith("demo") and name[4:5] in ("-", ":"):
        return _parse_parts(name[4:])
    try:
        return _parse_parts(":" + name)
    except UnknownBehaviourError:
        return PLAIN


@functools.lru_cache(maxsize=1_024)
def parse_key(key: str) -> Behaviour:
    """The behaviour that an API key asks for: PLAIN unless it is ``demo-key`` with something behind it."""
    if not key.startswith(KEY_PREFIX):
        return PLAIN
    try:
        return _parse_parts(key[len(KEY_PREFIX) :])
    except UnknownBehaviourError:
        return PLAIN


def _parse_parts(rest: str) -> Behaviour:
    """``-cut-5:n=20`` → Behaviour; '' is PLAIN."""
    faults, _, settings = rest.partition(":")
    behaviour = PLAIN
    if faults:
        behaviour = _apply_faults(behaviour, faults.removeprefix("-"))
    for item in settings.split(",") if settings else ():
        key, equals, value = item.partition("=")
        behaviour = _apply_setting(behaviour, key, value) if equals else _apply_faults(behaviour, item)
    if behaviour.flap and not behaviour.status:
        behaviour = replace(behaviour, status=503)
    return behaviour


def _apply_setting(behaviour: Behaviour, key: str, text: str) -> Behaviour:
    setting = SETTINGS.get(key)
    if setting is None:
        raise UnknownBehaviourError(f"no setting {key!r}; there are {', '.join(SETTINGS)}")
    value = _PARSERS[setting.argument](text)
    if value is None or value > MAX_BYTES:
        raise UnknownBehaviourError(f"{key}={text} is not a {setting.argument.name.lower()}")
    return replace(behaviour, **{setting.field: min(value, MAX_TOKENS)})


def _apply_faults(behaviour: Behaviour, text: str) -> Behaviour:
    words = text.split("-")
    at = 0
    while at < len(words):
        if _STATUS.fullmatch(words[at]):
            behaviour, at = replace(behaviour, status=int(words[at])), at + 1
            continue
        fault, at = _longest_fault(words, at)
        value: Any = None
        if fault.argument is not Argument.NONE:
            value = _PARSERS[fault.argument](words[at]) if at < len(words) else None
            if value is not None:
                at += 1
            elif fault.argument is not Argument.OPTIONAL_COUNT:
                raise UnknownBehaviourError(f"write {fault.usage}")
        behaviour = replace(behaviour, **fault.changes(value))
    return behaviour


def _longest_fault(words: list[str], at: int) -> tuple[Fault, int]:
    """The fault with the longest name that begins at a word, and the place behind it."""
    for end in range(min(len(words), at + 4), at, -1):
        fault = FAULTS.get("-".join(words[at:end]))
        if fault is not None and fault.name != "STATUS":
            return fault, end
    raise UnknownBehaviourError(f"no behaviour {'-'.join(words[at:])!r}")


def render_faults() -> str:
    """The table as Markdown, for the documentation."""
    lines = ["| Model | Does |", "|---|---|", "| `demo` | a healthy answer: 24 tokens, 50 per second |"]
    lines += [f"| `{fault.usage}` | {fault.description} |" for fault in FAULTS.values()]
    lines += ["", "| Setting | Meaning |", "|---|---|"]
    lines += [f"| `{row.name}={row.argument.value}` | {row.description} |" for row in SETTINGS.values()]
    return "\n".join(lines) + "\n"
