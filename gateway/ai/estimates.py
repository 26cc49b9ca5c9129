"""Estimates: tokens of a request before it is sent, and of an answer whose provider does not report them (AG 9.1).

Counting is done only where somebody needs the number: a limit on the input, a policy or strategy that reads estimates,
or an answer whose provider did not say what it used, in particular one that its client left (P02). What is long, or
needs a vocabulary that is not loaded yet, is counted in a thread.

Invariants
    1. A reported number is never replaced by a smaller estimate.
    2. A failed attempt that generated nothing used nothing (AG-240, P03).
    3. Nothing that a client or an upstream sent makes an estimate fail.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.ai.delivered import Retention
from gateway.ai.generated_text import Generated, read_body, read_events
from gateway.ai.prompt_text import prompt_of
from gateway.ai.surfaces import EMBEDDINGS
from gateway.ai.tokens import Encoder, Encoders, count_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.ai.request import AiRequest
    from gateway.ai.usage import Usage

#: longer texts are counted in a thread (AG-228)
INLINE_BYTES: Final = 65_536
_BYTES_PER_TOKEN: Final = 4
_STREAMED_BYTES_PER_TOKEN: Final = 150


class Output(NamedTuple):
    """What an answer generated: the blocks of a stream or a whole body; else only how much of it was relayed."""

    #: what was read out of a stream before its ``blocks``
    generated: Generated | None = None
    #: None: no stream
    blocks: Sequence[bytes] | None = None
    body: bytes = b""
    relayed_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        return len(self.body) + (self.relayed_bytes if self.blocks is not None else 0)


class Unreported(NamedTuple):
    """An answer to be counted: which parts of it."""

    request: AiRequest
    encoding: str
    output: Output
    #: the input was not reported either
    needs_input: bool
    #: all of it was reported: counted to be kept beside the report (AG-240)
    beside: bool = False


class Counted(NamedTuple):
    """Tokens."""

    input: int
    output: int


class Estimator:
    """One per process: vocabularies, and the room for streams whose end may have to be counted."""

    __slots__ = ("always", "encoders", "retention")

    def __init__(self) -> None:
        #: a strategy looks at estimates: every answer is counted, reported or not
        self.always = False
        self.encoders = Encoders()
        self.retention = Retention()

    def prepare(self, encodings: Iterable[str]) -> None:
        """Loads vocabularies. Blocks: for the thread that builds a snapshot."""
        for encoding in encodings:
            self.encoders.load(encoding)

    async def count_input(self, request: AiRequest, encoding: str) -> int:
        """The estimate of the client's body (AG-229, AG-232)."""
        encoder = self.encoders.loaded(encoding)
        if encoder is not None and len(request.body) <= INLINE_BYTES:
            return count_input(encoder, request)
        return await asyncio.to_thread(lambda: count_input(self.encoders.load(encoding), request))

    def guess_input(self, request: AiRequest, encoding: str) -> int:
        """The same where nobody can wait: by size if it is long or the vocabulary is not loaded."""
        encoder = self.encoders.loaded(encoding)
        if encoder is None or len(request.body) > INLINE_BYTES:
            return -(-len(request.body) // _BYTES_PER_TOKEN)
        return count_input(encoder, request)

    def count_now(self, answer: Unreported) -> Counted | None:
        """The usage of an answer; None if that takes too long for the event loop."""
        encoder = self.encoders.loaded(answer.encoding)
        if encoder is None:
            return None
        if answer.output.size_bytes + (len(answer.request.body) if answer.needs_input else 0) > INLINE_BYTES:
            return None
        return count_answer(encoder, answer)

    async def count_later(self, answer: Unreported) -> Counted:
        """The same in a thread."""
        return await asyncio.to_thread(lambda: count_answer(self.encoders.load(answer.encoding), answer))


def count_input(encoder: Encoder, request: AiRequest) -> int:
    """Tokens of a request body."""
    prompt = prompt_of(request.surface, request.document)
    return prompt.tokens + count_tokens(encoder, prompt.texts)


def count_answer(encoder: Encoder, answer: Unreported) -> Counted:
    """Tokens of what was not reported."""
    request, output = answer.request, answer.output
    given = count_input(encoder, request) if answer.needs_input else 0
    if request.surface is EMBEDDINGS:
        return Counted(given, 0)
    if output.blocks is None and not output.body:
        return Counted(given, -(-output.relayed_bytes // _BYTES_PER_TOKEN))
    generated = output.generated or Generated()
    read_events(generated, request.surface, output.blocks or ())
    if output.body.lstrip()[:1] == b"{":
        read_body(generated, request.surface, output.body)
    elif output.body:  # a stream that was collected
        read_events(generated, request.surface, (output.body,))
    return Counted(given, count_tokens(encoder, generated.texts()))


def count_roughly(answer: Unreported) -> Counted:
    """By sizes alone, where there is no time to count: generous, what providers stream per token is rarely less."""
    output = answer.output
    per_token = _BYTES_PER_TOKEN if output.blocks is None else _STREAMED_BYTES_PER_TOKEN
    size = max(len(output.body), output.relayed_bytes)
    return Counted(-(-len(answer.request.body) // _BYTES_PER_TOKEN), -(-size // per_token))


def add_estimate(usage: Usage, counted: Counted, *, failed: bool) -> None:
    """Puts what was counted where nothing was reported; reported numbers stay (AG-240)."""
    usage.estimated = True
    usage.reported = False
    usage.output = max(usage.output, counted.output)
    if failed and not usage.output:
        usage.input = usage.cached = usage.cache_write = 0
        return
    usage.input = usage.input or counted.input
