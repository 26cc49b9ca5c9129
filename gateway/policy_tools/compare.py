"""Expected and actual: every difference in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.exchange import Exchange
    from gateway.policy_tools.documents import Expected, Sent
    from gateway.policy_tools.offline import Served
    from gateway.policy_tools.played import SentRequest
    from gateway.policy_tools.trace import Recorder

_SHOWN = 300


def mismatches(
    expected: Expected | None, served: Served, sent: Sequence[SentRequest], recorder: Recorder
) -> Iterator[str]:
    """What is not as expected; a fault of the program never is."""
    for fault in served.faults:
        yield f"internal error: {type(fault).__name__}: {fault}"
    if expected is None:
        return
    actual = {
        "status": served.status, "decision": decision_of(served), "code": served.headers.first("ngrok-error-code")
    }  # fmt: skip
    for name, found in actual.items():
        yield from _equal(name, getattr(expected, name), found)
    if expected.rule is not None and expected.rule not in recorder.decided_by():
        shown = " ".join(recorder.decided_by()) or "none"
        yield f"rule: expected {expected.rule!r}, decided by {shown}"
    yield from _headers("header", expected.headers, {name: ", ".join(each) for name, each in served.headers.items()})
    yield from _body("body", expected.body, served.body)
    yield from _texts(expected.body_contains, expected.body_lacks, served.body)
    yield from _upstream(expected, served.exchange, sent)
    if expected.log is not None:
        noted = served.exchange.log_metadata if served.exchange is not None else []
        yield from _at_least("log", expected.log, [entry["metadata"] for entry in noted])


def decision_of(served: Served) -> str:
    """How the request ended: ``answered``, ``refused``, ``forwarded`` or ``closed``."""
    if served.closed:
        return "closed"
    if "ngrok-error-code" in served.headers:
        return "refused"
    return "forwarded" if served.headers.first("x-gateway-attempts") is not None else "answered"


def _upstream(expected: Expected, exchange: Exchange | None, sent: Sequence[SentRequest]) -> Iterator[str]:
    attempts = exchange.attempts if exchange is not None else []
    last = attempts[-1] if attempts and not attempts[-1].kind else None
    names = ("provider", "model", "key")
    answered = dict.fromkeys(names, "no upstream")
    if last is not None:
        candidate = last.candidate
        values = (candidate.provider.id, candidate.upstream_model, last.key.value.reveal())
        answered = dict(zip(names, values, strict=True))
    for name in names:
        yield from _equal(name, getattr(expected, name), answered[name])
    if expected.tried is not None:
        yield from _tried(expected.tried, [_attempt_words(each) for each in attempts])
    if expected.sent is not None:
        if sent:
            yield from _sent(expected.sent, sent[-1])
        else:
            yield "sent: expected a request to an upstream, there was none"


def _attempt_words(attempt: Any) -> list[str]:
    key = attempt.key.value.reveal() if attempt.key is not None else ""
    return [attempt.candidate.provider.id, attempt.candidate.upstream_model, key]


def _tried(expected: Sequence[str], actual: list[list[str]]) -> Iterator[str]:
    """Each expectation is some of an attempt's words: its provider, model and key."""
    fits = len(expected) == len(actual) and all(
        set(words.split()) <= set(attempt) for words, attempt in zip(expected, actual, strict=True)
    )
    if not fits:
        yield f"tried: expected {list(expected)}, got {[' '.join(each) for each in actual]}"


def _sent(expected: Sent, actual: SentRequest) -> Iterator[str]:
    yield from _equal("sent path", expected.path, actual.path)
    yield from _headers("sent header", expected.headers, actual.headers)
    yield from _body("sent body", expected.body, actual.body)
    for words in _texts((), expected.body_lacks, actual.body):
        yield f"sent {words}"


def _equal(name: str, expected: Any, actual: Any) -> Iterator[str]:
    if expected is not None and expected != (actual or type(expected)()):
        yield f"{name}: expected {_shown(expected)}, got {_shown(actual)}"


def _headers(label: str, expected: Sequence[tuple[str, Any]], actual: Mapping[str, str]) -> Iterator[str]:
    for name, value in expected:
        found = actual.get(name.lower())
        if value is None:
            if found is not None:
                yield f"{label} {name}: expected none, got {_shown(found)}"
        elif found is None:
            yield f"{label} {name}: expected {'one' if value is True else _shown(value)}, got none"
        elif value is not True and str(value) != found:
            yield f"{label} {name}: expected {_shown(value)}, got {_shown(found)}"


def _body(label: str, expected: Any, actual: bytes) -> Iterator[str]:
    if expected is None:
        return
    written = actual.decode("utf-8", "replace")
    if isinstance(expected, str):
        yield from _equal(label, expected, written)
        return
    try:
        value = json.loads(actual)
    except ValueError:
        yield f"{label}: expected JSON, got {_shown(written)}"
        return
    yield from _at_least(label, expected, value)


def _texts(contains: Sequence[str], lacks: Sequence[str], body: bytes) -> Iterator[str]:
    written = body.decode("utf-8", "replace")
    for words in contains:
        if words not in written:
            yield f"body: expected it to contain {words!r}, got {_shown(written)}"
    for words in lacks:
        if words in written:
            yield f"body: expected it not to contain {words!r}"


def _at_least(label: str, expected: Any, actual: Any) -> Iterator[str]:
    """A mapping must have these keys, a list these elements and no others."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name, value in expected.items():
            if name in actual:
                yield from _at_least(f"{label}.{name}", value, actual[name])
            else:
                yield f"{label}.{name}: expected {_shown(value)}, got nothing"
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for index, (value, found) in enumerate(zip(expected, actual, strict=True)):
            yield from _at_least(f"{label}[{index}]", value, found)
    elif expected != actual or isinstance(expected, bool) is not isinstance(actual, bool):
        yield f"{label}: expected {_shown(expected)}, got {_shown(actual)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
