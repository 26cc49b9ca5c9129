"""What the transport has to know of an API surface, without knowing the API. Implemented by ``gateway.ai.dialects``."""

from __future__ import annotations

import functools
import sys
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

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


class Blocks(Protocol):
    """A list, as far as the relay looks at it."""

    def append(self, block: bytes, /) -> None: ...


class Kept(Protocol):
    """Takes the blocks of a stream as they are relayed: ``gateway.ai.delivered``."""

    @property
    def blocks(self) -> Blocks:
        """What the relay appends to; stays the same object."""
        ...

    def make_room(self, sent_bytes: int) -> int:
        """``sent_bytes`` were relayed in all; gives the number at which this has to be called again."""
        ...


class _NothingKept:
    """For streams whose output nobody counts."""

    def __init__(self) -> None:
        #: drops what is appended, without a Python frame
        self.blocks: deque[bytes] = deque(maxlen=0)

    def make_room(self, sent_bytes: int) -> int:
        return sys.maxsize


NOTHING_KEPT: Final[Kept] = _NothingKept()


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


@functools.lru_cache(maxsize=16)
def common_part(marks: tuple[bytes, ...]) -> bytes:
    """The longest piece that stands in all of them: a block without it has none of them, at the cost of one search."""
    shortest = min(marks, key=len, default=b"\n")
    pieces = (
        shortest[start : start + size]
        for size in range(len(shortest), 0, -1)
        for start in range(len(shortest) - size + 1)
    )
    return next((piece for piece in pieces if all(piece in mark for mark in marks)), b"")
