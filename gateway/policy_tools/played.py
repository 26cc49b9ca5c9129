"""Upstreams that stand in a document: a transport without sockets (``upstream.transport.Transport``).

An answer that nobody wrote is what the API would say to the request: a short text, as one document or as a stream.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.ai.inbound import parse_head
from gateway.policy_tools.documents import Played, body_bytes
from gateway.upstream.attempt import Expectations, Failure, Held
from gateway.upstream.framing import Framing

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.clock import ManualClock
    from gateway.exchange import Attempt
    from gateway.upstream.origin import Origin

#: what a made-up answer says
WORDS = "Hello from a played upstream."
_DEFAULT = Played(
    provider=None, model=None, key=None, times=None, status=200, headers=(), body=None, events=None, error=None,
    takes=0.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One upstream request as it would have gone out."""

    origin: Origin
    method: str
    path: str
    #: lower-case name → value
    headers: Mapping[str, str]
    body: bytes
    #: status of the answer; 0: none
    status: int

    def json(self) -> Any:
        """The body's value; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class PlayedTransport:
    """Gives the first answer that fits an attempt. ``call`` is the client call that is being served."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._answers: Sequence[Played] = ()
        self._left: dict[int, int] = {}
        self.call: AiCall | None = None
        #: what went out since ``expect_none`` was called
        self.sent: list[SentRequest] = []

    def play(self, answers: Sequence[Played]) -> None:
        """From now on these; counted ones are counted anew only when they are others."""
        if answers != self._answers:
            self._answers = answers
            self._left = {index: answer.times for index, answer in enumerate(answers) if answer.times is not None}

    def begin(self, origin: Origin, request: bytes, expect: Expectations) -> Held | None:
        """See ``Transport``."""
        return None

    async def send(
        self, origin: Origin, request: bytes, expect: Expectations, attempt_s: float, total_s: float, *,
        pooled: bool = True,
    ) -> Held:  # fmt: skip
        """See ``Transport``."""
        assert self.call is not None
        played = self._answer(self.call.exchange.attempts[-1])
        held = Held(asyncio.get_running_loop(), expect)
        limit_s = min(attempt_s, total_s)
        self._clock.advance(min(played.takes, limit_s))
        if played.error == "timeout" or played.takes > limit_s:
            self._clock.advance(max(0.0, limit_s - played.takes))
            held.failure = Failure("timeout", "no answer in time")
        elif played.error is not None:
            held.failure = Failure("connection", "connection refused")
        else:
            _deliver(held, played, self.call, streaming=expect.streaming)
        self.sent.append(_parsed(origin, request, held.status))
        return held

    def _answer(self, attempt: Attempt) -> Played:
        wanted = (attempt.candidate.provider.id, attempt.candidate.upstream_model, attempt.key.value.reveal())
        for index, answer in enumerate(self._answers):
            named = (answer.provider, answer.model, answer.key)
            if any(name is not None and name != actual for name, actual in zip(named, wanted, strict=True)):
                continue
            if index in self._left:
                if not self._left[index]:
                    continue
                self._left[index] -= 1
            return answer
        return _DEFAULT


def _deliver(held: Held, played: Played, call: AiCall, *, streaming: bool) -> None:
    """Puts a whole answer into ``held``."""
    events = played.events
    if events is None and played.body is None and played.status < 300 and streaming:
        events = _stream(call)
    if events is not None:
        payload = b"".join(map(_event, events))
        content_type = "text/event-stream"
    else:
        body = played.body
        if body is None:
            body = _whole(call) if played.status < 300 else {"error": {"message": f"played status {played.status}"}}
        payload = body_bytes(body)
        content_type = "text/plain" if isinstance(body, str) else "application/json"
    headers = {"content-type": content_type, **{name.lower(): value for name, value in played.headers}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = parse_head(f"HTTP/1.1 {played.status} -\r\n{lines}content-length: {len(payload)}\r\n".encode())
    held.on_head(played.status, head, Framing.SIZED if payload else Framing.NONE)
    if payload and held.failure is None:
        held.on_payload(payload)
    if held.failure is None:
        held.on_end()


def _event(event: Any) -> bytes:
    """A text that has fields of its own is one event as it stands; anything else is the data of one."""
    if isinstance(event, str):
        return (
            event.rstrip("\n") + "\n\n" if event.startswith(("data:", "event:", ":")) else f"data: {event}\n\n"
        ).encode()
    named = f"event: {event['type']}\n" if isinstance(event, dict) and isinstance(event.get("type"), str) else ""
    return f"{named}data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _model(call: AiCall) -> str:
    model: str = call.exchange.attempts[-1].candidate.upstream_model
    return model


def _whole(call: AiCall) -> Any:
    """The API's answer as one document."""
    surface, model = call.surface, _model(call)
    if surface == "messages":
        if call.exchange.path.endswith("/count_tokens"):
            return {"input_tokens": 5}
        content = [{"type": "text", "text": WORDS}]
        usage = {"input_tokens": 5, "output_tokens": 6}
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content,
            "stop_reason": "end_turn", "stop_sequence": None, "usage": usage,
        }  # fmt: skip
    if surface == "embeddings":
        embedding = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return {"object": "list", "model": model, "data": [embedding], "usage": usage}
    if surface == "responses":
        message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": WORDS}]}
        usage = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}
        return {
            "id": "resp_1", "object": "response", "status": "completed", "model": model, "output": [message],
            "usage": usage,
        }  # fmt: skip
    usage = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}
    chat = surface == "chat-completions"
    said = {"message": {"role": "assistant", "content": WORDS}} if chat else {"text": WORDS}
    return {
        "id": "cmpl-1", "object": "chat.completion" if chat else "text_completion", "created": 0, "model": model,
        "choices": [{"index": 0, **said, "finish_reason": "stop"}], "usage": usage,
    }  # fmt: skip


def _stream(call: AiCall) -> tuple[Any, ...]:
    """The API's answer as events."""
    surface = call.surface
    if surface == "messages":
        message = {**_whole(call), "content": [], "stop_reason": None}
        return (
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": WORDS}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}},
            {"type": "message_stop"},
        )
    if surface == "responses":
        return (
            {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
            {"type": "response.output_text.delta", "delta": WORDS},
            {"type": "response.completed", "response": _whole(call)},
        )
    chat = surface == "chat-completions"
    chunk = {"id": "cmpl-1", "object": "chat.completion.chunk" if chat else "text_completion", "model": _model(call)}
    said = {"delta": {"role": "assistant", "content": WORDS}} if chat else {"text": WORDS}
    last: dict[str, Any] = {"delta": {}} if chat else {"text": ""}
    return (
        {**chunk, "choices": [{"index": 0, **said, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, **last, "finish_reason": "stop"}]},
        {**chunk, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}},
        "[DONE]",
    )


def _parsed(origin: Origin, request: bytes, status: int) -> SentRequest:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    return SentRequest(
        origin, method, path, {name.lower(): value.strip() for name, _, value in pairs}, body, status
    )  # fmt: skip
