"""What a wire format has to say: its errors, its lists of models, and what its event streams tell.

``Dialect`` is one object per format, ``SurfaceCodec`` one per surface. Shared here: what an upstream's
error looks like (``Problem``), and JSON that always encodes.

Invariants
    1. Text taken from an upstream is one line of at most 300 visible characters (AG-180).
    2. Encoding an error never fails, whatever text or details it carries.

Source: ai-gateway.md AG-65, AG-172, AG-180, AG-262, AG-300 to AG-302; lessons.md 2.2 to 2.4.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import orjson

from gateway.ai.surfaces import Format, Surface
from gateway.ai.usage import UsageTap
from gateway.errors import GatewayError
from gateway.upstream.sse import SseEvent, events_of

MESSAGE_LIMIT: Final = 300
_BLANKS: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS


class Problem(NamedTuple):
    """An upstream's error: ``status`` is the HTTP status that it names or that its type means, 0 if neither."""

    message: str
    code: str = ""
    type: str = ""
    status: int = 0


class Named(Protocol):
    """A model, as far as a list of models shows it: ``entities.Model``."""

    @property
    def display_name(self) -> str: ...


class ListedModel(Protocol):
    """One entry of ``/v1/models`` (AG-65): ``candidates.ListedModel``."""

    @property
    def id(self) -> str: ...
    @property
    def owned_by(self) -> str:
        """The author, or the provider where none is known."""
        ...

    @property
    def model(self) -> Named: ...


class Dialect(Protocol):
    """One wire format."""

    format: Format

    def error_body(self, error: GatewayError, request_id: str) -> bytes:
        """The JSON body of a gateway error (AG-300)."""
        ...

    def models_list(self, models: Sequence[ListedModel]) -> bytes:
        """The body of ``GET /v1/models``."""
        ...

    def model(self, model: ListedModel) -> dict[str, Any]:
        """One entry of that list, the answer to ``GET /v1/models/{id}``."""
        ...


class SurfaceCodec(abc.ABC):
    """One surface's answers: ``gateway.upstream.codec.Codec``, and what the attempt and the books ask.

    Formats state ``end_marks``, ``problem`` and ``error_event``; the rest is the same for all.
    """

    __slots__ = ("surface",)

    #: bytes that occur in the event that ends a stream properly, and in no other
    end_marks: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self, surface: Surface) -> None:
        self.surface = surface

    @abc.abstractmethod
    def problem(self, event: SseEvent) -> Problem | None:
        """The error that an event carries, at any place of the stream (AG-173, AG-262)."""

    @abc.abstractmethod
    def error_event(self, code: str, message: str, last_block: bytes) -> bytes:
        """The event that tells the client that its stream broke (AG-172)."""

    def has_ended(self, events: bytes) -> bool:
        """Whether a stream may end behind these events (P09): they hold the end mark or the provider's own error."""
        return any(mark in events for mark in self.end_marks) or self.stream_problem(events) is not None

    def strip_usage(self, events: bytes) -> bytes:
        """The events without the chunk that only ``stream_options.include_usage`` asked for (AG-244)."""
        return events

    def first_event_error(self, event: SseEvent) -> str | None:
        """The provider's message if this first event of a stream is an error (AG-262), else None."""
        problem = self.problem(event)
        return None if problem is None else problem.message or "the provider's stream began with an error"

    def stream_problem(self, block: bytes) -> Problem | None:
        """The first error within a block of a running stream (AG-173)."""
        if b"error" not in block and b"response.failed" not in block:
            return None
        return next((problem for event in events_of(block) if (problem := self.problem(event)) is not None), None)

    def error_message(self, body: bytes) -> str:
        """What an error response says, for ``details.attempts`` (AG-180); '' if nothing."""
        return read_problem(body).message

    def usage_tap(self) -> UsageTap:
        return UsageTap(self.surface)


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
