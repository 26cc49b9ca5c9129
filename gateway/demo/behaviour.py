"""Behaviour: everything that a model name can ask of the demo provider. Pure values; ``faults.py`` builds them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields, replace


class Transport(enum.Enum):
    """What happens instead of an HTTP answer."""

    HTTP = "http"
    RESET = "reset"
    CLOSE = "close"
    SILENT = "silent"
    GARBAGE = "garbage"
    HEAD_CUT = "head-cut"


class Break(enum.Enum):
    """How an answer goes wrong after ``break_at`` tokens."""

    NONE = "none"
    CUT = "cut"
    END = "end"
    STOP = "stop"
    STALL = "stall"
    MALFORMED = "malformed"
    BAD_CHUNK = "bad-chunk"
    ERROR = "error"


class Ending(enum.Enum):
    """What follows the last token of a stream."""

    CLEAN = "clean"
    NO_DONE = "no-done"
    DONE_HANG = "done-hang"
    DONE_RESET = "done-reset"
    NO_FINISH = "no-finish"


class Body(enum.Enum):
    """A body that is not what was asked for."""

    MATCHING = "matching"
    JSON_FOR_STREAM = "json-for-stream"
    SSE_FOR_JSON = "sse-for-json"
    TRUNCATED = "truncated-json"
    INVALID = "invalid-json"
    EMPTY = "empty"
    PING_ONLY = "ping-only"


class Refusal(enum.Enum):
    """Errors that a status alone does not describe."""

    NONE = "none"
    CONTEXT_LENGTH = "context-length"
    CONTENT_FILTER = "content-filter"
    QUOTA = "insufficient-quota"
    OVERLOADED = "overloaded"
    ECHO_KEY = "echo-key"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One way to answer. The defaults are a healthy provider at 50 tokens per second."""

    #: tokens of text; one token is one streamed event
    n: int = 24
    delay_s: float = 0.02
    #: silence before the status line / between the head and the first event
    late_s: float = 0.0
    late_token_s: float = 0.0
    pad_bytes: int = 0
    #: reported usage; None: estimated from the request
    input_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    #: rate-limit headers; None: counted down per key
    remaining_requests: int | None = None
    remaining_tokens: int | None = None
    #: 0: no error
    status: int = 0
    refusal: Refusal = Refusal.NONE
    retry_after_s: int | None = None
    retry_after_ms: int | None = None
    retry_after_date_s: int | None = None
    html: bool = False
    numeric_code: bool = False
    redirect: bool = False
    transport: Transport = Transport.HTTP
    break_kind: Break = Break.NONE
    break_at: int = 0
    ending: Ending = Ending.CLEAN
    body: Body = Body.MATCHING
    #: size of the text in bytes; 0: by ``n``
    big_bytes: int = 0
    #: content coding applied whether or not it was accepted
    coding: str = ""
    close: bool = False
    no_length: bool = False
    early_hints: bool = False
    #: plays on although the client has closed its side
    deaf: bool = False
    big_head_bytes: int = 0
    tools: int = 0
    think: bool = False
    unicode: bool = False
    crlf: bool = False
    comments: bool = False
    no_usage: bool = False
    filtered: bool = False
    #: bytes per write / events per write; 0: one event is one write
    split_bytes: int = 0
    merge_events: int = 0
    #: so many failures, then as many successes, and so on
    flap: int = 0

    def healthy(self) -> Behaviour:
        """The same pace and length without any fault: the good half of flapping."""
        return Behaviour(n=self.n, delay_s=self.delay_s, pad_bytes=self.pad_bytes, tools=self.tools, think=self.think)

    def overlaid(self, other: Behaviour) -> Behaviour:
        """This behaviour with everything that ``other`` sets; a key's behaviour overlays the model's."""
        changes = {f.name: getattr(other, f.name) for f in fields(other) if getattr(other, f.name) != f.default}
        return replace(self, **changes) if changes else self


PLAIN = Behaviour()
