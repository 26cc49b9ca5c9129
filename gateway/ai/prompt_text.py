"""What of a request body the input estimate counts: its texts, and a fixed number for what is no text (AG-229).

A reader of what clients sent: nothing here raises, whatever the members are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.ai.surfaces import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, Surface

MESSAGE_TOKENS: Final = 3
IMAGE_TOKENS: Final = 765
OTHER_TOKENS: Final = 1_000
#: tool results hold parts, which hold no further results
_DEEPEST: Final = 4
_JSON: Final = orjson.OPT_NON_STR_KEYS


class Prompt:
    """Texts to be counted, and tokens that need no counting."""

    __slots__ = ("texts", "tokens")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.tokens = 0

    def text(self, value: Any) -> None:
        """Text that counts; anything else is passed over."""
        if isinstance(value, str) and value:
            self.texts.append(value)

    def json(self, value: Any) -> None:
        """A value that counts as compact JSON."""
        if value:
            try:
                self.texts.append(orjson.dumps(value, option=_JSON).decode())
            except (TypeError, RecursionError):  # lone surrogates, numbers beyond 64 bits
                self.texts.append(str(value))


def prompt_of(surface: Surface, document: Mapping[str, Any]) -> Prompt:
    """The countable parts of a request body."""
    prompt = Prompt()
    reader = _READERS.get(surface.path)
    if reader is not None:
        reader(prompt, document)
    return prompt


def _chat(prompt: Prompt, document: Mapping[str, Any]) -> None:
    _messages(prompt, document.get("messages"))
    for name in ("tools", "functions", "response_format"):
        prompt.json(document.get(name))


def _anthropic(prompt: Prompt, document: Mapping[str, Any]) -> None:
    _content(prompt, document.get("system"))
    _messages(prompt, document.get("messages"))
    prompt.json(document.get("tools"))


def _responses(prompt: Prompt, document: Mapping[str, Any]) -> None:
    prompt.text(document.get("instructions"))
    given = document.get("input")
    if isinstance(given, list):
        for item in given:
            prompt.tokens += MESSAGE_TOKENS
            _item(prompt, item)
    else:
        prompt.text(given)
    prompt.json(document.get("tools"))


def _completions(prompt: Prompt, document: Mapping[str, Any]) -> None:
    _plain(prompt, document.get("prompt"))


def _embeddings(prompt: Prompt, document: Mapping[str, Any]) -> None:
    _plain(prompt, document.get("input"))


def _plain(prompt: Prompt, value: Any) -> None:
    """A text, a list of texts, a list of tokens, or a list of such lists."""
    if not isinstance(value, list):
        prompt.text(value)
        return
    for item in value:
        if isinstance(item, str):
            prompt.text(item)
        elif isinstance(item, list):
            prompt.tokens += len(item)
        elif isinstance(item, int):
            prompt.tokens += 1


def _messages(prompt: Prompt, messages: Any) -> None:
    prompt.tokens += MESSAGE_TOKENS
    for message in messages if isinstance(messages, list) else ():
        prompt.tokens += MESSAGE_TOKENS
        if not isinstance(message, dict):
            continue
        _content(prompt, message.get("content"))
        prompt.text(message.get("name"))
        prompt.text(message.get("refusal"))
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            _call(prompt, call.get("function") if isinstance(call, dict) else None)
        _call(prompt, message.get("function_call"))


def _call(prompt: Prompt, function: Any) -> None:
    if isinstance(function, dict):
        prompt.text(function.get("name"))
        prompt.text(function.get("arguments"))


def _item(prompt: Prompt, item: Any) -> None:
    """One item of a Responses input."""
    if not isinstance(item, dict):
        prompt.text(item)
        return
    _content(prompt, item.get("content"))
    _content(prompt, item.get("summary"))
    _content(prompt, item.get("output"))
    _call(prompt, item)


def _content(prompt: Prompt, content: Any, depth: int = 0) -> None:
    """A text, or a list of parts of either format."""
    if not isinstance(content, list):
        prompt.text(content)
        return
    for part in content:
        if isinstance(part, dict):
            _part(prompt, part, depth)
        else:
            prompt.text(part)


def _part(prompt: Prompt, part: Mapping[str, Any], depth: int) -> None:
    kind = str(part.get("type"))
    if kind in _TEXT_PARTS:
        for name in ("text", "refusal", "thinking"):
            prompt.text(part.get(name))
    elif kind in _IMAGE_PARTS:
        prompt.tokens += IMAGE_TOKENS
    elif kind == "tool_use":
        prompt.text(part.get("name"))
        prompt.json(part.get("input"))
    elif kind == "tool_result" and depth < _DEEPEST:
        _content(prompt, part.get("content"), depth + 1)
    else:
        prompt.tokens += OTHER_TOKENS


_TEXT_PARTS: Final = frozenset(
    ("text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal", "thinking", None)
)
_IMAGE_PARTS: Final = frozenset(("image", "image_url", "input_image"))
_READERS: Final[Mapping[str, Callable[[Prompt, Mapping[str, Any]], None]]] = {
    CHAT.path: _chat,
    COMPLETIONS.path: _completions,
    EMBEDDINGS.path: _embeddings,
    RESPONSES.path: _responses,
    MESSAGES.path: _anthropic,
}
