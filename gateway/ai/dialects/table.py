"""Which dialect a format has, and which codec a surface. Adding a format is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.ai.dialects.anthropic import AnthropicDialect, MessagesCodec
from gateway.ai.dialects.dialect import Dialect, Problem
from gateway.ai.dialects.openai import ChatCodec, OpenAiDialect, ResponsesCodec
from gateway.ai.surfaces import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES, Format, Surface
from gateway.upstream.sse import events_of

SurfaceCodec = ChatCodec | ResponsesCodec | MessagesCodec

DIALECTS: Final[Mapping[Format, Dialect]] = {Format.OPENAI: OpenAiDialect(), Format.ANTHROPIC: AnthropicDialect()}

#: path → codec; embeddings and token counts never stream
_CODECS: Final[Mapping[str, SurfaceCodec]] = {
    **dict.fromkeys((CHAT.path, COMPLETIONS.path, EMBEDDINGS.path), ChatCodec()),
    RESPONSES.path: ResponsesCodec(),
    **dict.fromkeys((MESSAGES.path, COUNT_TOKENS.path), MessagesCodec()),
}


def codec_of(surface: Surface) -> SurfaceCodec:
    """The event streams of a surface."""
    return _CODECS[surface.path]


def stream_problem(surface: Surface, block: bytes) -> Problem | None:
    """The first error that the provider sent within a block of a running stream (AG-173)."""
    if b"error" not in block and b"response.failed" not in block:
        return None
    codec = codec_of(surface)
    return next((problem for event in events_of(block) if (problem := codec.problem(event)) is not None), None)
