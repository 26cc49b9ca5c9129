"""The ``replacements`` list of the find-and-replace actions: its shape, and applying it (TP-440 … TP-448)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from gateway.cel.env import INT, STRING, CelType, list_of, nullable, object_of
from gateway.errors import INTERPOLATION_FAILED, REPLACE_FAILED, REPLACE_INTERPOLATION, REPLACE_REGEX, GatewayError
from gateway.policy.action import ActionError
from gateway.policy.fields import Interpolated, interpolated
from gateway.policy.replacement import (
    Part,
    Pattern,
    PatternError,
    ReplaceError,
    compile_pattern,
    compile_target,
    replace_all,
)
from gateway.policy.url_change import checked_pattern
from gateway.schema import shapes
from gateway.schema.shapes import Field, Shape, field, record, then

if TYPE_CHECKING:
    from gateway.exchange import Exchange

MAX_REPLACEMENTS = 1_000
#: all replacements of one body together
TIME_LIMIT_S = 5.0
#: longer bodies are searched in a thread: RE2 lets other threads run meanwhile
_INLINE_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class Replacement:
    """One entry; ``place`` is only used by ``sse-find-replace``."""

    source: Interpolated
    to: Interpolated
    place: Interpolated


class Step(NamedTuple):
    """An entry with everything evaluated. ``place``: which field of a message."""

    pattern: Pattern
    target: tuple[Part, ...]
    place: str


class Match:
    """One entry of ``<action>.replacements`` (TP-447)."""

    __slots__ = ("matched_content", "replacement_index")
    __cel__: ClassVar[Mapping[str, CelType]] = {"replacement_index": INT, "matched_content": STRING}

    def __init__(self, replacement_index: int, matched_content: str) -> None:
        self.replacement_index = replacement_index
        self.matched_content = matched_content


class Result:
    """``actions.ngrok.<action>`` of the find-and-replace actions."""

    __slots__ = ("error", "replacements")
    __cel__: ClassVar[Mapping[str, CelType]] = {
        "replacements": list_of(object_of(Match), lookup=True), "error": nullable(object_of(ActionError)),
    }  # fmt: skip

    def __init__(self, replacements: list[Match]) -> None:
        self.replacements = replacements
        self.error: ActionError | None = None


def replacements_shape(**more: Field) -> Shape[tuple[Replacement, ...]]:
    """The list; ``more`` are fields of an entry besides ``from`` and ``to``."""

    def build(to: Interpolated, **fields: Interpolated) -> Replacement:
        return Replacement(fields["from"], to, fields.get("field", Interpolated.constant("data")))

    entry = record(
        build,
        **{"from": field(then(interpolated(), checked_pattern), doc="RE2; all matches are replaced")},
        to=field(interpolated(), Interpolated.constant(""), doc="what matches become; $1 is the first group"),
        **more,
    )
    return shapes.list_of(entry, minimum=1, maximum=MAX_REPLACEMENTS)


Steps = Callable[["Exchange"], Sequence[Step]]


def compile_steps(replacements: tuple[Replacement, ...], allowed: frozenset[str] = frozenset(("data",))) -> Steps:
    """Gives the steps for an exchange; everything is evaluated before anything is changed (TP-111)."""
    parts = [_compile_step(replacement, allowed) for replacement in replacements]
    if all(isinstance(part, Step) for part in parts):
        constant = tuple(part for part in parts if isinstance(part, Step))
        return lambda exchange: constant
    return lambda exchange: [part if isinstance(part, Step) else part(exchange) for part in parts]


def _compile_step(replacement: Replacement, allowed: frozenset[str]) -> Step | Callable[[Exchange], Step]:
    source, to, place = replacement.source.literal, replacement.to.literal, replacement.place.literal
    fixed = compile_pattern(source) if source is not None else None
    if fixed is not None and to is not None and place is not None:
        return Step(fixed, compile_target(to, fixed), place)

    def step(exchange: Exchange) -> Step:
        try:
            pattern = fixed or compile_pattern(replacement.source.text(exchange))
            where = replacement.place.text(exchange)
            target = compile_target(replacement.to.text(exchange), pattern)
        except PatternError as error:
            raise GatewayError(REPLACE_REGEX, cause=f"{replacement.source.place}: {error}") from None
        except GatewayError as error:
            if error.spec is INTERPOLATION_FAILED:
                raise GatewayError(REPLACE_INTERPOLATION, cause=error.cause) from None
            raise
        if where not in allowed:
            raise GatewayError(REPLACE_INTERPOLATION, cause=f"{replacement.place.place}: no such field of a message")
        return Step(pattern, target, where)

    return step


class Changed(NamedTuple):
    """A changed text and what was found in it."""

    text: bytes
    matches: list[Match]


def apply_steps(
    steps: Sequence[Step], text: bytes, limit_bytes: int, monotonic: Callable[[], float] | None = None
) -> Changed:
    """Each step on the result of the one before (TP-440); raises 3904, and then nothing was changed."""
    matches: list[Match] = []
    deadline = monotonic() + TIME_LIMIT_S if monotonic is not None else 0.0
    expired = None if monotonic is None else lambda: monotonic() > deadline
    for index, (pattern, target, _) in enumerate(steps):
        try:
            text, found, _ = replace_all(pattern, target, text, limit_bytes=limit_bytes, expired=expired)
        except ReplaceError as error:
            raise GatewayError(REPLACE_FAILED, cause=f"replacements[{index}]: {error}") from None
        if found:
            matches.append(Match(index, found[0].decode("utf-8", "surrogateescape")))
    return Changed(text, matches)


async def apply_to_body(
    steps: Sequence[Step], body: bytes, limit_bytes: int, monotonic: Callable[[], float]
) -> Changed:
    """``apply_steps`` that does not hold up the event loop."""
    if len(body) <= _INLINE_BYTES:
        return apply_steps(steps, body, limit_bytes, monotonic)
    return await asyncio.to_thread(apply_steps, steps, body, limit_bytes, monotonic)
