"""The text that an upstream generated, out of a body or the events of a stream: what output estimates count (AG-230).

A reader of copies: nothing here raises, whatever an upstream sent. The deltas of one text are joined before they are
counted, since a token may reach over several of them; so texts are collected under the name of what they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson

from gateway.ai.surfaces import CHAT, COMPLETIONS, MESSAGES, RESPONSES, Surface
from gateway.upstream.blocks import unframed
from gateway.upstream.sse import events_of

_CHAT_TEXTS: Final = ("content", "refusal", "reasoning_content", "reasoning")
#: texts are joined when they are in more pieces, or as long as the last one is short
_PIECES: Final = 512
_SHORT: Final = 1_024
#: escapes that are well-formed (the group), those that are not, and control characters
_ESCAPES: Final = re.compile(
    r"""(\\(?:["\\/bfnrt]|u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u(?![dD][89a-fA-F])[\da-fA-F]{4}))"""
    r"""|\\(?:u[\da-fA-F]{4})?|[\x00-\x1f]"""
)
_MESSAGE_TEXTS: Final = ("text", "thinking", "partial_json")


class Generated:
    """Texts by what they belong to, in pieces."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: dict[tuple[Any, ...], list[str]] = {}

    def add(self, place: tuple[Any, ...], piece: Any) -> None:
        """The next piece of the text at that place; anything but text is passed over."""
        if isinstance(piece, str) and piece:
            self._pieces.setdefault(place, []).append(piece)

    def squeeze(self) -> None:
        """Joins what came in pieces: a short text is mostly overhead."""
        for pieces in self._pieces.values():
            if len(pieces) > _PIECES:
                pieces[:] = ["".join(pieces)]
            elif len(pieces) > 1 and len(pieces[-1]) < _SHORT:
                tail = next((n for n in range(len(pieces)) if len(pieces[n]) < _SHORT), len(pieces))
                pieces[tail:] = ["".join(pieces[tail:])]

    def texts(self) -> list[str]:
        """Each text whole."""
        return ["".join(pieces) for pieces in self._pieces.values()]


def read_body(generated: Generated, surface: Surface, body: bytes) -> None:
    """Takes in a complete JSON answer."""
    document = _object(body)
    reader = _BODIES.get(surface.path)
    if document is not None and reader is not None:
        reader(generated, document)


def read_events(generated: Generated, surface: Surface, blocks: Iterable[bytes]) -> None:
    """Takes in events of a stream: whole ones, with or without the framing they came in."""
    reader = _EVENTS.get(surface.path)
    if reader is None:
        return
    for block in blocks:
        for data in _data_of(unframed(block)):
            document = _object(data) or _object(_mended(data))
            if document is not None:
                reader(generated, document)


def _mended(data: bytes) -> bytes:
    """The same without what no JSON text may hold: one bad character is no reason to count nothing."""
    if not data.startswith(b"{"):
        return b""
    return _ESCAPES.sub(lambda found: found[1] or "?", data.decode("utf-8", "replace")).encode()


def _data_of(events: bytes) -> Iterable[bytes]:
    """The data of each event; the usual form, one ``data`` line and nothing else, by plain splitting."""
    if b"\r" not in events:
        for event in events.split(b"\n\n"):
            if event.startswith(b"data: ") and b"\n" not in event:
                yield event[6:]
            elif event:
                yield from (found.data for found in events_of(event + b"\n\n") if found.data)
        return
    whole = events if events.endswith((b"\r\n\r\n", b"\r\r")) else events + b"\n\n"
    yield from (found.data for found in events_of(whole) if found.data)


def _chat_body(generated: Generated, document: Mapping[str, Any]) -> None:
    for place, choice in _numbered(document.get("choices")):
        _chat_message(generated, place, choice.get("message"))
        generated.add((place, "text"), choice.get("text"))


def _chat_event(generated: Generated, document: Mapping[str, Any]) -> None:
    choices = document.get("choices")
    if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], dict):
        delta = choices[0].get("delta")
        if isinstance(delta, dict) and len(delta) == 1 and "content" in delta:  # the usual one
            generated.add((_index(choices[0], 0), "content"), delta["content"])
            return
    for place, choice in _numbered(document.get("choices")):
        place = _index(choice, place)
        _chat_message(generated, place, choice.get("delta"))
        generated.add((place, "text"), choice.get("text"))


def _chat_message(generated: Generated, place: int, message: Any) -> None:
    if not isinstance(message, dict):
        return
    for name in _CHAT_TEXTS:
        generated.add((place, name), message.get(name))
    for number, call in _numbered(message.get("tool_calls")):
        _function(generated, (place, "call", _index(call, number)), call.get("function"))
    _function(generated, (place, "function"), message.get("function_call"))


def _function(generated: Generated, place: tuple[Any, ...], function: Any) -> None:
    if isinstance(function, dict):
        generated.add((*place, "name"), function.get("name"))
        generated.add((*place, "arguments"), function.get("arguments"))


def _message_body(generated: Generated, document: Mapping[str, Any]) -> None:
    for place, block in _numbered(document.get("content")):
        _message_block(generated, place, block)
        arguments = block.get("input")
        if arguments:
            generated.add((place, "input"), orjson.dumps(arguments).decode())


def _message_block(generated: Generated, place: int, block: Mapping[str, Any]) -> None:
    for name in _MESSAGE_TEXTS:
        generated.add((place, name), block.get(name))
    generated.add((place, "name"), block.get("name"))


def _message_event(generated: Generated, document: Mapping[str, Any]) -> None:
    part = document.get("content_block") or document.get("delta")
    if isinstance(part, dict):
        _message_block(generated, _index(document, 0), part)


def _responses_body(generated: Generated, document: Mapping[str, Any]) -> None:
    for place, item in _numbered(document.get("output")):
        for name in ("content", "summary"):
            for number, part in _numbered(item.get(name)):
                generated.add((place, name, number), part.get("text") or part.get("refusal"))
        _function(generated, (place,), item)


def _responses_event(generated: Generated, document: Mapping[str, Any]) -> None:
    place = (document.get("output_index"), document.get("content_index"), document.get("summary_index"))
    generated.add((*map(str, place), str(document.get("type"))), document.get("delta"))
    item = document.get("item")
    if isinstance(item, dict) and document.get("type") == "response.output_item.added":
        generated.add((str(place[0]), "name"), item.get("name"))


def _numbered(values: Any) -> Iterable[tuple[int, dict[str, Any]]]:
    if not isinstance(values, list):
        return ()
    return ((number, value) for number, value in enumerate(values) if isinstance(value, dict))


def _index(members: Mapping[str, Any], otherwise: int) -> int:
    index = members.get("index")
    return index if isinstance(index, int) else otherwise


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


_Reader = Callable[[Generated, Mapping[str, Any]], None]
_BODIES: Final[Mapping[str, _Reader]] = {
    CHAT.path: _chat_body,
    COMPLETIONS.path: _chat_body,
    MESSAGES.path: _message_body,
    RESPONSES.path: _responses_body,
}
_EVENTS: Final[Mapping[str, _Reader]] = {
    CHAT.path: _chat_event,
    COMPLETIONS.path: _chat_event,
    MESSAGES.path: _message_event,
    RESPONSES.path: _responses_event,
}
