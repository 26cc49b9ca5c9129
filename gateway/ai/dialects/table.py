"""Which dialect a format has, and which codec a surface. Adding a format is one file and its lines here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.ai.dialects.anthropic import AnthropicDialect, MessagesCodec
from gateway.ai.dialects.dialect import Dialect, SurfaceCodec
from gateway.ai.dialects.openai import ChatCodec, OpenAiDialect, ResponsesCodec
from gateway.ai.surfaces import CHAT, COMPLETIONS, COUNT_TOKENS, EMBEDDINGS, MESSAGES, RESPONSES, Format, Surface

_DIALECTS: Final[Mapping[Format, Dialect]] = {Format.OPENAI: OpenAiDialect(), Format.ANTHROPIC: AnthropicDialect()}

_CODECS: Final[Mapping[str, SurfaceCodec]] = {
    CHAT.path: ChatCodec(CHAT),
    COMPLETIONS.path: ChatCodec(COMPLETIONS),
    EMBEDDINGS.path: ChatCodec(EMBEDDINGS),
    RESPONSES.path: ResponsesCodec(RESPONSES),
    MESSAGES.path: MessagesCodec(MESSAGES),
    COUNT_TOKENS.path: MessagesCodec(COUNT_TOKENS),
}


def dialect_for(format: Format) -> Dialect:
    """How errors and lists of models are written in a format."""
    return _DIALECTS[format]


def codec_for(surface: Surface) -> SurfaceCodec:
    """How a surface's answers are read."""
    return _CODECS[surface.path]
