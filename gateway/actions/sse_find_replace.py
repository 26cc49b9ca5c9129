"""``sse-find-replace``: changes each message of an event stream while it streams (TP-445).

Each message is looked at alone: text that is spread over several messages, token by token, is not found. A policy
that has to catch such text needs answers that are not streamed, and ``response-body-find-replace``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.document import Node
from gateway.policy.action import ActionSpec, CompiledAction, CompileDeps
from gateway.policy.fields import Interpolated, interpolated
from gateway.policy.model import Phase
from gateway.policy.replacements import Match, Replacement, Result, Step, apply_steps, compile_steps, replacements_shape
from gateway.policy.variables import StreamMessage
from gateway.schema.shapes import Invalid, Reader, nearest, record, then
from gateway.schema.shapes import field as shape_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.exchange import Exchange

FIELDS = frozenset(("data", "retry"))
#: of one message after replacing; the stream's own limit holds for what arrives (TP-446)
MAX_RESULT_BYTES = 8 << 20
#: longer numbers are no reconnection times
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Config:
    replacements: tuple[Replacement, ...]


def _known_field(name: Interpolated, node: Node, reader: Reader) -> Interpolated | Invalid:
    if name.literal is not None and name.literal not in FIELDS:
        words = f"must be one of 'data', 'retry'{nearest(name.literal, FIELDS)}"
        return reader.error(node, reader.codes.not_allowed, words)
    return name


def change_message(message: StreamMessage, steps: Sequence[Step]) -> list[Match]:
    """Applies the steps to one message, in order, each to the field it names."""
    matches: list[Match] = []
    for index, step in enumerate(steps):
        before = message.data if step.place == "data" else _retry_text(message)
        changed, found = apply_steps((step,), before.encode("utf-8", "surrogateescape"), MAX_RESULT_BYTES)
        if not found:
            continue
        matches.append(Match(index, found[0].matched_content))
        text = changed.decode("utf-8", "surrogateescape")
        if step.place == "retry":
            # a retry that is not all digits is dropped, as clients would (TP-445)
            digits = text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
            message.retry = int(text) if digits else None
        else:
            message.data = text
    return matches


def _retry_text(message: StreamMessage) -> str:
    return "" if message.retry is None else str(message.retry)


def compile_sse_find_replace(config: Config, deps: CompileDeps) -> CompiledAction:
    """TP-445, TP-447."""
    steps_of = compile_steps(config.replacements, FIELDS)

    def run(exchange: Exchange) -> None:
        matches = change_message(exchange.scope.sse, steps_of(exchange))
        exchange.results["sse_find_replace"] = Result(matches)

    return CompiledAction("sse-find-replace", run)


SPEC = ActionSpec(
    type="sse-find-replace",
    phases=frozenset((Phase.STREAM,)),
    shape=record(
        Config,
        replacements=shape_field(
            replacements_shape(
                field=shape_field(
                    then(interpolated(), _known_field), Interpolated.constant("data"), doc="'data' or 'retry'"
                )
            ),
            doc="made in order, in each message alone",
        ),
    ),
    compile=compile_sse_find_replace,
    result=Result,
    doc="Replaces text in each message of an event stream.",
)
