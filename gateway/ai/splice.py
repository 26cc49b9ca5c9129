"""The upstream body: the client's bytes with single top-level members replaced, removed or added (AG-211).

Whatever is not edited stays byte for byte: white space, number literals, member order, deeper levels (AG-218, P26).

Invariants
    1. Nothing to change returns the client's own bytes object.
    2. A result of a valid body is valid JSON; its document is the client's with the edits applied.
    3. ``model`` is never removed.

The steps and their order are AG-211's: models, model, ``body``, output cap, ``stream_options``, allowlist, denylist.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from gateway.ai.request import AiRequest, Member, sets_include_usage
from gateway.ai.surfaces import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Surface

if TYPE_CHECKING:
    from gateway.ai.entities import Candidate

_SPACES: Final = re.compile(rb"[ \t\n\r]*")

#: members that limit the output, by path (AG-236)
_CAP_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    CHAT.path: ("max_tokens", "max_completion_tokens"),
    COMPLETIONS.path: ("max_tokens",),
    MESSAGES.path: ("max_tokens",),
    RESPONSES.path: ("max_output_tokens",),
}
_INJECTS_USAGE: Final = frozenset({CHAT.path, COMPLETIONS.path})


class Override(NamedTuple):
    """One entry of the action's ``body``, evaluated: its JSON text and the value itself."""

    name: str
    text: bytes
    value: Any


Overrides = tuple[Override, ...]


class UpstreamBody(NamedTuple):
    """What goes upstream. ``streams`` is judged on it (AG-261); ``injects_usage``: strip the usage chunk (AG-244)."""

    data: bytes
    streams: bool
    injects_usage: bool


@dataclass(frozen=True, slots=True)
class BodyPlan:
    """What AG-211 does to every body that goes to one candidate on one surface. Immutable; cache it per candidate."""

    model: str
    #: ``model`` as JSON text
    model_text: bytes
    #: AG-212; None allows everything
    allow: frozenset[str] | None = None
    #: AG-213
    deny: frozenset[str] = frozenset()
    #: AG-236
    cap: int | None = None
    cap_members: tuple[str, ...] = ()
    #: the member that is added where none of ``cap_members`` is present
    cap_default: str = ""
    #: the provider takes ``stream_options`` and the gateway may add it (AG-244)
    inject_usage: bool = False
    #: nothing but the model can differ
    plain: bool = True


def compile_plan(
    candidate: Candidate, surface: Surface, *, max_output_tokens: int | None = None, inject_stream_usage: bool = True
) -> BodyPlan:
    """The plan for a candidate; ``max_output_tokens`` is the action's, ``inject_stream_usage`` the setting's."""
    provider = candidate.provider
    params = provider.surfaces.get(surface.key)
    allow = frozenset(params) | {"model"} if params else None
    deny = (candidate.model.unsupported_params if candidate.model else frozenset()) - {"model"}
    lists_options = allow is not None and "stream_options" in allow
    takes_options = provider.stream_usage if provider.official else lists_options
    cap_members = _CAP_MEMBERS.get(surface.path, ()) if max_output_tokens is not None else ()
    is_openai_chat = surface is CHAT and provider.id == "openai"
    return BodyPlan(
        model=candidate.upstream_model,
        model_text=bytes(bytearray(_encode(candidate.upstream_model))),  # orjson's own answer occupies 4 KiB for good
        allow=allow,
        deny=deny,
        cap=max_output_tokens,
        cap_members=cap_members,
        cap_default="max_completion_tokens" if is_openai_chat else next(iter(cap_members), ""),
        inject_usage=(
            inject_stream_usage
            and surface.path in _INJECTS_USAGE
            and takes_options
            and (allow is None or "stream_options" in allow)
            and "stream_options" not in deny
        ),
        plain=allow is None and not deny and not cap_members,
    )


def encode_overrides(body: Mapping[str, Any]) -> Overrides:
    """The action's evaluated ``body`` in the form that ``build_body`` takes; once per client request (AG-10)."""
    return tuple(Override(name, _encode(value), value) for name, value in body.items())


def build_body(request: AiRequest, plan: BodyPlan, overrides: Overrides = ()) -> UpstreamBody:
    """The body for one attempt (AG-211); the client's own bytes where nothing changes (AG-218)."""
    document = request.document
    if (
        plan.plain
        and not overrides
        and document.get("model") == plan.model
        and "models" not in document
        and (not (plan.inject_usage and request.stream) or request.client_set_stream_options)
    ):
        return UpstreamBody(request.body, request.stream, False)
    edits = _Edits(request)
    edits.remove("models")
    if document.get("model") != plan.model:
        edits.put("model", plan.model_text, plan.model)
    for override in overrides:
        edits.put(*override)
    if plan.cap_members and plan.cap is not None:
        _cap_output(edits, plan, plan.cap)
    injects = plan.inject_usage and _inject_usage(edits, plan)
    if plan.allow is not None:
        edits.keep_only(plan.allow)
    for name in plan.deny:
        edits.remove(name)
    streams = edits.value("stream") is True
    return UpstreamBody(edits.apply(), streams, injects and streams)


def _cap_output(edits: _Edits, plan: BodyPlan, cap: int) -> None:
    """Lowers what is present, never raises; adds the default member where none is present (null equals absent)."""
    text = b"%d" % cap
    present = False
    for name in plan.cap_members:
        value = edits.value(name)
        if value is None:
            continue
        present = True
        if isinstance(value, int | float) and not isinstance(value, bool) and value > cap:
            edits.put(name, text, cap)
    if not present:
        edits.put(plan.cap_default, text, cap)


def _inject_usage(edits: _Edits, plan: BodyPlan) -> bool:
    if edits.value("stream") is not True or not _survives("stream", plan):
        return False
    options = edits.value("stream_options")
    if options is None:
        options = {}
    elif not isinstance(options, dict) or sets_include_usage(options):
        return False
    options = {**options, "include_usage": True}
    edits.put("stream_options", _encode(options), options)
    return True


def _survives(name: str, plan: BodyPlan) -> bool:
    return name not in plan.deny and (plan.allow is None or name in plan.allow)


class _Edits:
    """The wanted changes of one body: name → new JSON text, or None for "remove"."""

    __slots__ = ("_document", "_request", "_texts", "_values")

    def __init__(self, request: AiRequest) -> None:
        self._request = request
        self._document = request.document
        self._texts: dict[str, bytes | None] = {}
        self._values: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        """The member's value as edited so far; None where there is none."""
        return self._values[name] if name in self._texts else self._document.get(name)

    def put(self, name: str, text: bytes, value: Any) -> None:
        self._texts[name] = text
        self._values[name] = value

    def remove(self, name: str) -> None:
        if name in self._document:
            self._texts[name] = self._values[name] = None
        elif name in self._texts:
            del self._texts[name], self._values[name]

    def keep_only(self, names: frozenset[str]) -> None:
        for name in [*self._document, *self._texts]:
            if name not in names:
                self.remove(name)

    def apply(self) -> bytes:
        """The edited body, or the same object where every text is what already stands there."""
        body, document = self._request.body, self._document
        pieces: list[tuple[int, int, bytes]] = []
        added: list[bytes] = []
        removed: list[Member] = []
        for name, text in self._texts.items():
            if name not in document:
                if text is not None:
                    added.append(_encode(name) + b":" + text)
                continue
            member = self._request.member(name)
            if text is None:
                removed.append(member)
            elif body[member.value : member.end] != text:
                pieces.append((member.value, member.end, text))
        pieces.extend((start, end, b"") for start, end in _removals(body, removed))
        if added:
            kept = len(document) - len(removed)
            pieces.append(_addition(body, added, follows=kept > 0))
        return _splice(body, pieces) if pieces else body


def _removals(body: bytes, members: Iterable[Member]) -> list[tuple[int, int]]:
    """The spans to cut so that these members go, each with one comma."""
    spans: list[tuple[int, int]] = []
    for member in sorted(members):
        start, end = member.start, _skip_spaces(body, member.end)
        if body[end] == 0x2C:
            end = _skip_spaces(body, end + 1)
        else:  # the last member: its comma stands in front, before all removed neighbours
            end = member.end
            if spans and spans[-1][1] == start:
                start = spans.pop()[0]
            start = _before_spaces(body, start)
            if body[start - 1] == 0x2C:
                start -= 1
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def _addition(body: bytes, added: list[bytes], *, follows: bool) -> tuple[int, int, bytes]:
    """Inserts members behind the last one, or behind the opening brace."""
    place = _before_spaces(body, body.rindex(b"}"))
    text = b",".join(added)
    return place, place, b"," + text if follows else text


def _splice(body: bytes, pieces: list[tuple[int, int, bytes]]) -> bytes:
    parts: list[bytes] = []
    position = 0
    for start, end, text in sorted(pieces):
        parts.append(body[position:start])
        parts.append(text)
        position = end
    parts.append(body[position:])
    return b"".join(parts)


def _skip_spaces(body: bytes, position: int) -> int:
    found = _SPACES.match(body, position)
    return found.end() if found else position


def _before_spaces(body: bytes, position: int) -> int:
    return len(body[:position].rstrip())


def _encode(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
