"""Anthropic's Messages format.

Clients dispatch on the ``event`` line, so every event has one; there is no ``[DONE]`` (lessons 2.3, P26).
Source: ai-gateway.md AG-65, AG-172, AG-262, AG-300 to AG-302.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
from gateway.upstream.sse import SseEvent

_TYPE_OF: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_STOPPED: Final = re.compile(rb'"stop_reason": ?"')
_EPOCH: Final = "1970-01-01T00:00:00Z"


class AnthropicDialect:
    """``dialect.Dialect``."""

    format = Format.ANTHROPIC

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """``{"type": "error", "error": {"type", "message", "code", "details"?}, "request_id"}``."""
        body: dict[str, Any] = {
            "type": error.type or error_type(error.status),
            "message": error_text(error),
            "code": error.code,
        }
        if error.details is not None:
            body["details"] = error.details
        return encode({"type": "error", "error": body, "request_id": request_id})

    def models_list(self, models: Sequence[ListedModel]) -> bytes:
        """One page: without ``has_more`` the SDK's pager never stops (lessons 2.4)."""
        return encode(
            {
                "data": [self.model(model) for model in models],
                "has_more": False,
                "first_id": models[0].id if models else None,
                "last_id": models[-1].id if models else None,
            }
        )

    def model(self, model: ListedModel) -> dict[str, Any]:
        name = model.model.display_name
        return {"type": "model", "id": model.id, "display_name": name, "created_at": _EPOCH}


class MessagesCodec(SurfaceCodec):
    """Streams of messages."""

    __slots__ = ()
    end_marks = (b'"message_stop"',)

    def has_ended(self, events: bytes) -> bool:
        """A stop reason is enough where a provider leaves out the mark."""
        return _STOPPED.search(events) is not None or super().has_ended(events)

    def problem(self, event: SseEvent) -> Problem | None:
        """``event: error``."""
        if event.data is None or (event.event != "error" and b'"error"' not in event.data):
            return None
        document = data_of(event)
        if document is None:
            return Problem("") if event.event == "error" else None
        return problem_of(document) if event.event == "error" or document.get("type") == "error" else None

    def error_event(self, code: str, message: str, last_block: bytes) -> bytes:
        error = {"type": "api_error", "message": coded(message, code), "code": code}
        return b"event: error\ndata: %b\n\n" % encode({"type": "error", "error": error})


def error_type(status: int) -> str:
    """AG-302."""
    return _TYPE_OF.get(status) or ("api_error" if status >= 500 and status != 508 else "invalid_request_error")
