"""What a wire format has to say: its errors, its lists of models, and what its event streams tell.

``Dialect`` is one object per format, ``gateway.upstream.codec.Codec`` one per surface. Shared here: what an upstream's
error looks like (``Problem``), and JSON that always encodes.

Invariants
    1. Text taken from an upstream is one line of at most 300 visible characters (AG-180).
    2. Encoding an error never fails, whatever text or details it carries.

Source: ai-gateway.md AG-65, AG-172, AG-180, AG-262, AG-300 to AG-302; lessons.md 2.2 to 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import orjson

from gateway.ai.surfaces import Format
from gateway.errors import GatewayError
from gateway.upstream.sse import SseEvent

MESSAGE_LIMIT: Final = 300
_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS


class Problem(NamedTuple):
    """An upstream's error: ``status`` is the HTTP status that it names or that its type means, 0 if neither."""

    message: str
    code: str = ""
    type: str = ""
    status: int = 0


class ModelListing(NamedTuple):
    """One entry of ``/v1/models`` (AG-65); ``owner`` is the author, or the provider."""

    id: str
    owner: str
    display_name: str


class Dialect(Protocol):
    """One wire format."""

    format: Format

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """The JSON body of a gateway error (AG-300)."""
        ...

    def models(self, listings: Sequence[ModelListing]) -> bytes:
        """The body of ``GET /v1/models``."""
        ...

    def model(self, listing: ModelListing) -> bytes:
        """The body of ``GET /v1/models/{id}``."""
        ...


#: status that the types and codes of upstream errors mean; used where an error names no status
_STATUS_OF: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def error_text(error: GatewayError) -> str:
    """The message with its code at the end, since some SDKs show only the message (AG-301)."""
    return _whole(str(error))


def coded(message: str, code: str) -> str:
    """``message [code]`` (AG-301), unless it already ends so."""
    return _whole(message if message.endswith(f"[{code}]") else f"{message} [{code}]")


def encode(value: Any) -> bytes:
    """JSON, also of text with lone surrogates and of values that JSON does not have."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return orjson.dumps(_encodable(value), option=_OPTIONS)


def data_of(event: SseEvent) -> dict[str, Any] | None:
    """The JSON object of an event's data; None if it is none."""
    if not event.data:
        return None
    try:
        document = orjson.loads(event.data)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def read_problem(body: bytes) -> Problem:
    """The error in an error response's body; an empty message if it says nothing to people.

    Understood: OpenAI ``{"error": {"message", "type", "code"}}``, Anthropic ``{"type": "error", "error": {…}}``,
    Google ``{"error": {"code": 400, "message", "status"}}``, also in a list, ``{"message"}``, ``{"detail"}``, text.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace").strip()
        return Problem("" if text.startswith("<") else clean(text))
    if isinstance(document, list) and document:
        document = document[0]
    return problem_of(document) if isinstance(document, dict) else Problem(_text(document))


def problem_of(document: Mapping[str, Any]) -> Problem:
    """The same for a parsed body, or for the data of an error event."""
    error = document.get("error")
    if not error:
        error = document
    if not isinstance(error, dict):
        return Problem(_text(error))
    nested = error.get("message") or error.get("detail") or error.get("error")
    if isinstance(nested, dict):
        nested = nested.get("message")
    elif isinstance(nested, list) and nested and isinstance(nested[0], dict):
        nested = nested[0].get("msg")
    code, kind = error.get("code"), error.get("type") or error.get("status")
    return Problem(_text(nested), _text(code), _text(kind), _status(code, error.get("status"), kind))


def clean(text: str) -> str:
    """One line of at most 300 characters."""
    line = _whole(_BLANKS.sub(" ", text[: 4 * MESSAGE_LIMIT])).strip()
    return line if len(line) <= MESSAGE_LIMIT else f"{line[: MESSAGE_LIMIT - 1]}…"


def _status(*hints: Any) -> int:
    for hint in hints:
        if isinstance(hint, int) and not isinstance(hint, bool) and 400 <= hint < 600:
            return hint
        if isinstance(hint, str) and hint in _STATUS_OF:
            return _STATUS_OF[hint]
    return 0


def _text(value: Any) -> str:
    if isinstance(value, str):
        return clean(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _whole(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, Mapping):
        return {_whole(str(name)): _encodable(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(item) for item in value]
    return value if value is None or isinstance(value, bool | float) else _integer_or_text(value)


def _integer_or_text(value: Any) -> Any:
    return value if isinstance(value, int) and -(1 << 63) <= value < 1 << 64 else _whole(str(value))
