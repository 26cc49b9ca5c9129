"""What the transport has to know of an API surface, without knowing the API. Implemented by ``gateway.ai.dialects``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from gateway.errors import GatewayError
    from gateway.upstream.sse import SseEvent


class Head(Protocol):
    """A parsed response head (``gateway.ai.inbound``)."""

    content_length: int | None
    chunked: bool
    keep_alive: bool
    #: lower-case media type without parameters, '' if none
    media_type: str
    #: lower-case tokens of content-encoding, '' if none
    content_encoding: str

    @property
    def is_event_stream(self) -> bool: ...


class Codec(Protocol):
    """One surface's event streams."""

    #: bytes that occur in the event that ends a stream properly, and in no other event
    end_marks: ClassVar[tuple[bytes, ...]]

    def first_event_error(self, event: SseEvent) -> str | None:
        """The provider's message if this first event of a stream is an error (AG-262), else None."""
        ...

    def error_event(self, code: str, message: str, last_block: bytes) -> bytes:
        """The event that tells the client that its stream broke (AG-172)."""
        ...

    def has_ended(self, events: bytes) -> bool:
        """Whether a stream may end behind these events: they hold an end mark, an error or a reason to finish."""
        ...

    def strip_usage(self, events: bytes) -> bytes:
        """The events without the chunk that only ``stream_options.include_usage`` asked for (AG-244)."""
        ...


class UsageTap(Protocol):
    """Collects what usage is read from: blocks that mention it."""

    def feed(self, block: bytes) -> None: ...


class RewriteError(Exception):
    """The body has to end here. ``sent``: what comes before the failure, which still goes to the client."""

    def __init__(self, sent: bytes, error: GatewayError) -> None:
        super().__init__(error.code)
        self.sent = sent
        self.error = error


class Rewriter(Protocol):
    """Changes a body on its way (``on_event_stream_message``, compression): payload in, payload out."""

    def feed(self, payload: bytes) -> bytes:
        """What goes on for these bytes; raises RewriteError."""
        ...

    def finish(self) -> bytes:
        """What is still held when the body ends properly; raises RewriteError."""
        ...
