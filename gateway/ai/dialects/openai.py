"""OpenAI's formats: chat completions, completions, embeddings and responses.

Streams carry neither ``id`` nor ``retry`` lines, and ``[DONE]`` or ``response.completed`` only if the upstream sent it
(lessons 2.3, P09). Source: ai-gateway.md AG-65, AG-172, AG-244, AG-262, AG-300 to AG-302.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.ai.dialects.dialect import (
    ListedModel,
    Problem,
    SurfaceCodec,
    coded,
    data_of,
    encode,
    error_text,
    problem_of,
)
from gateway.ai.surfaces import Format
from gateway.errors import GatewayError
from gateway.upstream.sse import SseEvent, events_of

_TYPE_OF: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_FINISHED: Final = re.compile(rb'"finish_reason": ?"')
_NO_CHOICES: Final = re.compile(rb'"choices": ?\[\]')
_USAGE: Final = re.compile(rb'"usage": ?\{')
_SEQUENCE: Final = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')


class OpenAiDialect:
    """``dialect.Dialect``."""

    format = Format.OPENAI

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """``{"error": {"message", "type", "param", "code", "details"?}}``; the request id is in a header."""
        body: dict[str, Any] = {
            "message": error_text(error),
            "type": error.type or error_type(error.status),
            "param": error.spec.param,
            "code": error.code,
        }
        if error.details is not None:
            body["details"] = error.details
        return encode({"error": body})

    def models_list(self, models: Sequence[ListedModel]) -> bytes:
        return encode({"object": "list", "data": [self.model(model) for model in models]})

    def model(self, model: ListedModel) -> dict[str, Any]:
        return {"id": model.id, "object": "model", "created": 0, "owned_by": model.owned_by}


class ChatCodec(SurfaceCodec):
    """Streams of chat completions and completions."""

    __slots__ = ()
    #: a line end cannot stand unescaped in a JSON string, so generated text never looks like the mark
    end_marks = (b"[DONE]\n", b"[DONE]\r")

    def problem(self, event: SseEvent) -> Problem | None:
        """The error that an event of any place in the stream carries (AG-173, AG-262)."""
        if event.data is None or (b'"error"' not in event.data and event.event != "error"):
            return None
        document = data_of(event)
        if document is None or not (document.get("error") or event.event == "error"):
            return None
        return problem_of(document)

    def error_event(self, code: str, message: str, last_block: bytes) -> bytes:
        error = {"message": coded(message, code), "type": "server_error", "param": None, "code": code}
        return b"data: %b\n\n" % encode({"error": error})

    def has_ended(self, events: bytes) -> bool:
        """Some providers leave out the mark: a finish reason, or the usage that follows it, is enough."""
        if _FINISHED.search(events) or (_NO_CHOICES.search(events) and _USAGE.search(events)):
            return True
        return super().has_ended(events)

    def strip_usage(self, events: bytes) -> bytes:
        if b'"choices":[]' not in events and b'"choices": []' not in events:
            return events
        kept: list[bytes] = []
        position = 0
        for event in events_of(events):
            position += len(event.raw)
            if not _is_usage_chunk(event):
                kept.append(event.raw)
        kept.append(events[position:])
        return b"".join(kept)


class ResponsesCodec(SurfaceCodec):
    """Streams of the Responses API."""

    __slots__ = ()
    end_marks = tuple(
        b'"type":%b"response.%b"' % (blank, end)
        for blank in (b"", b" ")
        for end in (b"completed", b"incomplete", b"failed")
    )

    def problem(self, event: SseEvent) -> Problem | None:
        """``error`` or ``response.failed``."""
        if event.data is None or (b'"error"' not in event.data and b'"response.failed"' not in event.data):
            return None
        document = data_of(event)
        kind = event.event if document is None else document.get("type", event.event)
        if document is None or kind not in {"error", "response.failed"}:
            return None
        response = document.get("response")
        return problem_of(response if isinstance(response, Mapping) and response.get("error") else document)

    def error_event(self, code: str, message: str, last_block: bytes) -> bytes:
        """Goes on counting where the last event stopped; without a number there, from 0."""
        numbers = _SEQUENCE.findall(last_block)
        error = {
            "type": "error",
            "code": code,
            "message": coded(message, code),
            "param": None,
            "sequence_number": int(numbers[-1]) + 1 if numbers else 0,
        }
        return b"event: error\ndata: %b\n\n" % encode(error)


def error_type(status: int) -> str:
    """AG-302."""
    return _TYPE_OF.get(status) or ("server_error" if status >= 500 and status != 508 else "invalid_request_error")


def _is_usage_chunk(event: SseEvent) -> bool:
    document = data_of(event)
    return document is not None and document.get("choices") == [] and isinstance(document.get("usage"), dict)
