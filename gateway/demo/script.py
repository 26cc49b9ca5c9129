"""Scripts: an answer as steps of waiting, writing and breaking. Pure; ``player.py`` carries them out.

1. One step is one write; ``merge`` and ``split`` are the only exceptions, and they are asked for.
2. Breaks are counted in tokens: with ``cut-5`` five tokens leave.
3. A script that is left by FINISH has written a complete body; the other endings have not, but for CLOSE of a body
   that ends with the connection.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.demo.behaviour import Behaviour, Body, Break, Ending, Transport
from gateway.demo.codings import Coder
from gateway.demo.reply import EventStream
from gateway.demo.wire import LAST_CHUNK, frame

GARBAGE = b"\x15\x03\x01\x00\x02\x02F\x00 this is not HTTP \xff\xfe\r\n\r\n"
_PING_EVERY_S = 0.05
_ERROR_MESSAGE = "The server had an error while processing your request. Sorry about that!"


class Then(enum.Enum):
    """What follows a write."""

    GO_ON = "go on"
    FINISH = "finish"
    CLOSE = "close"
    RESET = "reset"
    STALL = "stall"


class Step(NamedTuple):
    """Wait, write, then. ``events`` is how many events the bytes hold."""

    wait_s: float
    data: bytes
    then: Then = Then.GO_ON
    events: int = 0


def transport_script(behaviour: Behaviour, head: bytes) -> Iterator[Step] | None:
    """The script of a fault that answers nothing; None if there is an answer."""
    steps = {
        Transport.RESET: Step(behaviour.late_s, b"", Then.RESET),
        Transport.CLOSE: Step(behaviour.late_s, b"", Then.CLOSE),
        Transport.SILENT: Step(0.0, b"", Then.STALL),
        Transport.GARBAGE: Step(behaviour.late_s, GARBAGE, Then.CLOSE),
        Transport.HEAD_CUT: Step(behaviour.late_s, head[: len(head) // 2], Then.RESET),
    }
    step = steps.get(behaviour.transport)
    return iter((step,)) if step is not None else None


def sized_script(behaviour: Behaviour, head: bytes, body: bytes) -> Iterator[Step]:
    """A body of known length, already encoded; the head announces it."""
    half = len(body) // 2
    then, length = Then.CLOSE if behaviour.no_length else Then.FINISH, len(body)
    if behaviour.break_kind is Break.CUT:
        then, length = Then.RESET, half
    elif behaviour.break_kind is Break.STALL:
        then, length = Then.STALL, half
    elif behaviour.break_kind is Break.END or behaviour.body is Body.TRUNCATED:
        then, length = Then.CLOSE, half
    return _split(iter((Step(behaviour.late_s, head + body[:length], then),)), behaviour.split_bytes)


def spoil(behaviour: Behaviour, body: bytes) -> bytes:
    """The body as the behaviour wants it: emptied, or no longer JSON."""
    if behaviour.body is Body.EMPTY:
        return b""
    if behaviour.body is Body.INVALID or behaviour.break_kind in (Break.MALFORMED, Break.BAD_CHUNK, Break.STOP):
        return body[: len(body) // 2] + b"\x00"
    return body


def encode_whole(coder: Coder, body: bytes) -> bytes:
    """A body in its coding."""
    return coder.encode(body) + coder.finish() if body else b""


def event_script(behaviour: Behaviour, head: bytes, stream: EventStream, coder: Coder) -> Iterator[Step]:
    """An event stream, chunked unless the behaviour asks for a body without length."""
    steps = _payloads(behaviour, stream)
    steps = _framed(behaviour, steps, coder)
    if behaviour.merge_events > 1:
        steps = _merged(steps, behaviour.merge_events)
    return _split(_led(behaviour, steps, head), behaviour.split_bytes)


def _payloads(behaviour: Behaviour, stream: EventStream) -> Iterator[Step]:
    """Steps whose bytes are events, not yet framed."""
    if behaviour.body is Body.EMPTY:
        yield Step(0.0, b"", Then.FINISH)
        return
    if behaviour.body is Body.PING_ONLY:
        for _ in itertools.repeat(None):
            yield Step(max(behaviour.delay_s, _PING_EVERY_S), stream.ping, events=1)
    if behaviour.break_kind is Break.ERROR and behaviour.break_at < 0:
        yield Step(0.0, stream.error(_ERROR_MESSAGE, first=True), events=1)
        yield Step(0.0, b"", Then.FINISH)
        return
    for event in stream.opening():
        yield Step(0.0, event, events=1)
    broken = False
    for number, event in enumerate(stream.deltas()):
        if number == behaviour.break_at and behaviour.break_kind is not Break.NONE:
            broken = True
            yield from _break(behaviour, stream)
        yield Step(behaviour.delay_s, event, events=1)
    if behaviour.break_kind is not Break.NONE and not broken:
        yield from _break(behaviour, stream)
    yield from _ending(behaviour, stream)


def _break(behaviour: Behaviour, stream: EventStream) -> Iterator[Step]:
    """The break; whatever does not end with GO_ON ends the script."""
    match behaviour.break_kind:
        case Break.CUT:
            yield Step(0.0, b"", Then.RESET)
        case Break.END:
            yield Step(0.0, b"", Then.CLOSE)
        case Break.STOP:
            yield Step(0.0, b"", Then.FINISH)
        case Break.STALL:
            yield Step(0.0, b"", Then.STALL)
        case Break.MALFORMED:
            yield Step(behaviour.delay_s, stream.malformed, events=1)
        case Break.BAD_CHUNK:
            yield Step(behaviour.delay_s, b"ZZ\r\nnot a chunk\r\n", Then.CLOSE)
        case Break.ERROR:
            yield Step(behaviour.delay_s, stream.error(_ERROR_MESSAGE, first=False), events=1)
            yield Step(0.0, b"", Then.FINISH)
        case Break.NONE:
            pass


def _ending(behaviour: Behaviour, stream: EventStream) -> Iterator[Step]:
    if behaviour.ending is not Ending.NO_FINISH:
        for event in stream.finishing():
            yield Step(0.0, event, events=1)
    if behaviour.ending is not Ending.NO_DONE:
        for event in stream.end_mark():
            yield Step(0.0, event, events=1)
    match behaviour.ending:
        case Ending.DONE_HANG:
            yield Step(0.0, b"", Then.STALL)
        case Ending.DONE_RESET:
            yield Step(0.0, b"", Then.RESET)
        case _:
            yield Step(0.0, b"", Then.FINISH)


def _framed(behaviour: Behaviour, steps: Iterable[Step], coder: Coder) -> Iterator[Step]:
    """Comments, line ends, coding and chunks, in this order; ends with the first step that does not go on."""
    for wait_s, event, then, events in steps:
        data = event
        if events:
            if behaviour.comments:
                data = b": comment\n\n" + data
            if behaviour.crlf:
                data = data.replace(b"\n", b"\r\n")
            data = coder.encode(data)
            if not behaviour.no_length:
                data = frame(data)
        if then is Then.GO_ON:
            yield Step(wait_s, data, then, events)
            continue
        if then is Then.FINISH:
            tail = coder.finish()
            if behaviour.no_length:
                data, then = data + tail, Then.CLOSE
            else:
                data += (frame(tail) if tail else b"") + LAST_CHUNK
        yield Step(wait_s, data, then, events)
        return


def _led(behaviour: Behaviour, steps: Iterator[Step], head: bytes) -> Iterator[Step]:
    """The head in one write with the first event, or ahead of it."""
    wait_s = behaviour.late_s
    if behaviour.late_token_s or behaviour.body is Body.PING_ONLY:
        yield Step(wait_s, head)
        head, wait_s = b"", behaviour.late_token_s
    first = next(steps)
    yield first._replace(wait_s=wait_s + first.wait_s, data=head + first.data)
    yield from steps


def _merged(steps: Iterable[Step], count: int) -> Iterator[Step]:
    """``count`` events in one write."""
    held: list[Step] = []
    for step in steps:
        held.append(step)
        if len(held) == count or step.then is not Then.GO_ON:
            yield Step(
                sum(s.wait_s for s in held), b"".join(s.data for s in held), step.then, sum(s.events for s in held)
            )
            held.clear()


def _split(steps: Iterator[Step], size: int) -> Iterator[Step]:
    """At most ``size`` bytes per write; 0: as they are."""
    if not size:
        return steps
    return (piece for step in steps for piece in _pieces(step, size))


def _pieces(step: Step, size: int) -> Iterator[Step]:
    starts = range(0, len(step.data), size) or range(1)
    for start in starts:
        last = start == starts[-1]
        yield Step(
            step.wait_s if start == 0 else 0.0, step.data[start : start + size],
            step.then if last else Then.GO_ON, step.events if last else 0,
        )  # fmt: skip
