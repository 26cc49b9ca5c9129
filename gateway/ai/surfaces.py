"""API surfaces: which paths the gateway serves and what they are called. Source: ai-gateway.md table 4.1."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Format(enum.Enum):
    """A provider wire format."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class Surface:
    """One API within a format. ``key`` names (format, surface) in configuration and in provider lists."""

    format: Format
    name: str
    path: str
    #: a response may be an event stream
    streams: bool = True
    #: an answer makes a usage event
    counts_usage: bool = True

    @property
    def key(self) -> tuple[str, str]:
        return (self.format.value, self.name)


CHAT = Surface(Format.OPENAI, "chat-completions", "/v1/chat/completions")
COMPLETIONS = Surface(Format.OPENAI, "completions", "/v1/completions")
EMBEDDINGS = Surface(Format.OPENAI, "embeddings", "/v1/embeddings", streams=False)
RESPONSES = Surface(Format.OPENAI, "responses", "/v1/responses")
MESSAGES = Surface(Format.ANTHROPIC, "messages", "/v1/messages")
COUNT_TOKENS = Surface(Format.ANTHROPIC, "messages", "/v1/messages/count_tokens", streams=False, counts_usage=False)

SURFACES: dict[str, Surface] = {s.path: s for s in (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, COUNT_TOKENS)}
MODELS_PATH = "/v1/models"


def path_format(path: str) -> Format:
    """The format that errors on this path are written in (AG-300)."""
    return Format.ANTHROPIC if path.startswith("/v1/messages") else Format.OPENAI
