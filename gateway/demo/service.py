"""The demo provider without its sockets: a request in, a script of steps out."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterator, Mapping
from email.utils import formatdate
from typing import Any

import orjson

from gateway.clock import Clock
from gateway.demo import chat, messages, responses
from gateway.demo.behaviour import PLAIN, Behaviour, Body, Break
from gateway.demo.call import Call, RefusedError, Surface, bearer_key, check_key, find_surface, read_call
from gateway.demo.codings import build_coder
from gateway.demo.faults import EMBEDDING_MODEL, FAULTS, UnknownBehaviourError, parse_key, parse_model
from gateway.demo.refusals import asked_refusal, render_refusal, unknown_model
from gateway.demo.reply import EventStream, Reply, build_reply
from gateway.demo.script import Step, encode_whole, event_script, sized_script, spoil, transport_script
from gateway.demo.text import make_hex_id, make_id
from gateway.demo.wire import Headers, Request, render_head

#: what ``GET /v1/models`` lists: enough to try policies on; every other name of the grammar works too
LISTED_MODELS = (
    "demo", "demo-fast", "demo-slow", "demo-long", "demo-tools", "demo-think", "demo-429", "demo-429-retry-after-7",
    "demo-500", "demo-503", "demo-overloaded", "demo-reset", "demo-silent", "demo-late-2s", "demo-cut-5",
    "demo-stall-5", "demo-malformed-3", "demo-no-done", "demo-error-first", "demo-context-length",
    "demo-content-filter", "demo-flap-3",
)  # fmt: skip
_LIMIT_REQUESTS = 10_000
_LIMIT_TOKENS = 2_000_000
_TRACKED_KEYS = 1_024

_BODIES: Mapping[Surface, Callable[[Reply], dict[str, Any]]] = {
    Surface.CHAT: chat.chat_body,
    Surface.COMPLETIONS: chat.completion_body,
    Surface.EMBEDDINGS: chat.embeddings_body,
    Surface.RESPONSES: responses.responses_body,
    Surface.MESSAGES: messages.messages_body,
    Surface.COUNT_TOKENS: messages.count_body,
}
_STREAMS: Mapping[Surface, Callable[[Reply], EventStream]] = {
    Surface.CHAT: chat.ChatStream,
    Surface.COMPLETIONS: chat.ChatStream,
    Surface.RESPONSES: responses.ResponseStream,
    Surface.MESSAGES: messages.MessageStream,
}


class Answer:
    """A script and what the log says about it."""

    __slots__ = ("behaviour", "key", "model", "status", "steps", "streamed")

    def __init__(self, steps: Iterator[Step], status: int, *, streamed: bool = False) -> None:
        self.steps = steps
        #: 0: nothing that has a status
        self.status = status
        self.streamed = streamed
        self.model = ""
        self.key = ""
        self.behaviour = PLAIN


class DemoService:
    """Counts what flaps and what is left of the made-up rate limits; everything else follows from the request."""

    def __init__(self, *, clock: Clock, listed_keys: Collection[str], read_stats: Callable[[], dict[str, Any]]) -> None:
        self._clock = clock
        self._listed = frozenset(listed_keys)
        self._read_stats = read_stats
        self._number = 0
        self._flaps: dict[str, int] = {}
        self._used: dict[str, int] = {}

    def answer(self, request: Request) -> Answer:
        """The answer to one request. Never raises."""
        self._number += 1
        if request.path.startswith("/demo/"):
            return self._own_page(request)
        surface = find_surface(request.path)
        anthropic = surface.anthropic if surface else request.header("anthropic-version") is not None
        key = bearer_key(request, anthropic=anthropic)
        scene = _Scene(request, key, parse_key(key), self._number, anthropic)
        try:
            check_key(key, anthropic=anthropic, listed=self._listed)
            answer = self._models(scene) if surface is None else self._call(scene, surface)
        except RefusedError as refused:
            answer = self._refuse(scene, refused)
        answer.key, answer.model, answer.behaviour = key, scene.model, scene.behaviour
        return answer

    def _own_page(self, request: Request) -> Answer:
        if request.path == "/demo/stats":
            return self._sized(PLAIN, 200, (), orjson.dumps(self._read_stats()))
        if request.path == "/demo/faults":
            return self._sized(PLAIN, 200, (), orjson.dumps({f.usage: f.description for f in FAULTS.values()}))
        return self._sized(PLAIN, 404, (), b'{"error":{"message":"There are /demo/stats and /demo/faults."}}')

    def _models(self, scene: _Scene) -> Answer:
        before, _, name = scene.request.path.rpartition("/models")
        if not before or (name and not name.startswith("/")):
            raise RefusedError(404, f"Invalid URL ({scene.request.method} {scene.request.path})")
        if scene.request.method not in ("GET", "HEAD"):
            raise RefusedError(405, f"Not allowed to {scene.request.method} on {scene.request.path}")
        self._raise_asked(scene)
        created = int(self._clock.now())
        names = (*LISTED_MODELS, EMBEDDING_MODEL)
        body: dict[str, Any]
        if not name:
            body = messages.models_body(names) if scene.anthropic else chat.models_body(names, created)
        else:
            scene.model = name[1:]
            self._behave(scene)
            body = messages.model_entry(name[1:]) if scene.anthropic else chat.model_entry(name[1:], created)
        return self._sized(scene.behaviour, 200, self._headers(scene), orjson.dumps(body))

    def _call(self, scene: _Scene, surface: Surface) -> Answer:
        if scene.request.method != "POST":
            raise RefusedError(405, f"Not allowed to {scene.request.method} on {scene.request.path} (HINT: use POST)")
        call = read_call(scene.request, surface)
        scene.model = call.model
        behaviour = self._behave(scene)
        script = transport_script(behaviour, self._head(behaviour, 200, self._headers(scene), 0))
        if script is not None:
            return Answer(script, 0)
        if behaviour.redirect:
            location = ("location", f"{scene.request.path}/elsewhere")
            return self._sized(behaviour, 307, (*self._headers(scene), location), b"")
        self._raise_asked(scene)
        return self._reply(scene, call)

    def _behave(self, scene: _Scene) -> Behaviour:
        """The model's behaviour under the key's, after flapping."""
        try:
            behaviour = parse_model(scene.model).overlaid(scene.behaviour)
        except UnknownBehaviourError as unknown:
            raise unknown_model(scene.model, str(unknown), anthropic=scene.anthropic) from None
        if behaviour.flap:
            seen = _count_up(self._flaps, f"{scene.model}\0{scene.key}")
            if (seen // behaviour.flap) % 2:
                behaviour = behaviour.healthy()
        scene.behaviour = behaviour
        return behaviour

    def _raise_asked(self, scene: _Scene) -> None:
        refused = asked_refusal(scene.behaviour, scene.model, scene.key, anthropic=scene.anthropic)
        if refused is not None:
            raise refused

    def _reply(self, scene: _Scene, call: Call) -> Answer:
        behaviour = scene.behaviour
        reply = build_reply(call, behaviour, number=self._number, created_s=int(self._clock.now()))
        streams = call.surface in _STREAMS
        wants_stream = behaviour.body is Body.SSE_FOR_JSON or (
            call.stream and behaviour.body is not Body.JSON_FOR_STREAM
        )
        if streams and wants_stream:
            head = self._head(behaviour, 200, self._headers(scene), None)
            stream = _STREAMS[call.surface](reply)
            script = event_script(behaviour, head, stream, build_coder(behaviour.coding))
            return Answer(script, 200, streamed=True)
        if behaviour.break_kind is Break.ERROR:
            raise RefusedError(500, "The server had an error while processing your request. Sorry about that!")
        return self._sized(behaviour, 200, self._headers(scene), orjson.dumps(_BODIES[call.surface](reply)))

    def _refuse(self, scene: _Scene, refused: RefusedError) -> Answer:
        behaviour = scene.behaviour
        error = render_refusal(refused, behaviour, scene.request_id, anthropic=scene.anthropic)
        headers = [*self._headers(scene), *self._retry_headers(behaviour)]
        if refused.status == 405:
            headers.append(("allow", "POST"))
        return self._sized(behaviour, error.status, tuple(headers), error.body, error.content_type)

    def _sized(
        self, behaviour: Behaviour, status: int, headers: Headers, body: bytes, content_type: str = "application/json"
    ) -> Answer:
        coder = build_coder(behaviour.coding)
        encoded = encode_whole(coder, spoil(behaviour, body) if status == 200 else body)
        head = self._head(behaviour, status, headers, len(encoded), content_type)
        return Answer(sized_script(behaviour, head, encoded), status)

    def _head(
        self,
        behaviour: Behaviour,
        status: int,
        headers: Headers,
        length: int | None,
        content_type: str = "application/json",
    ) -> bytes:
        """The head of a sized body, or of a stream (``length`` None)."""
        lines = [("Content-Type", "text/event-stream; charset=utf-8" if length is None else content_type)]
        if length is None:
            lines.append(("Cache-Control", "no-cache"))
        if not behaviour.no_length:
            lines.append(("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length)))
        if behaviour.close or behaviour.no_length:
            lines.append(("Connection", "close"))
        if behaviour.coding:
            lines.append(("Content-Encoding", behaviour.coding))
        lines += headers
        for number in range(-(-behaviour.big_head_bytes // 1_000)):
            lines.append((f"x-demo-filler-{number}", "x" * min(1_000, behaviour.big_head_bytes - 1_000 * number)))
        now_s = self._clock.now()
        hints = render_head(103, (("Link", "</style.css>; rel=preload"),), now_s) if behaviour.early_hints else b""
        return hints + render_head(status, lines, now_s)

    def _headers(self, scene: _Scene) -> Headers:
        """Request id, organisation and rate limits as the two services send them, and what proxies should drop."""
        if scene.service_headers is None:
            left = scene.behaviour.remaining_requests
            if left is None:
                left = max(_LIMIT_REQUESTS - _count_up(self._used, scene.key) - 1, 0)
            tokens = scene.behaviour.remaining_tokens
            tokens = _LIMIT_TOKENS - 1_000 if tokens is None else tokens
            family = _anthropic_headers if scene.anthropic else _openai_headers
            scene.service_headers = family(scene.request_id, left, tokens, self._clock.now())
        return scene.service_headers

    def _retry_headers(self, behaviour: Behaviour) -> Headers:
        headers = []
        if behaviour.retry_after_s is not None:
            headers.append(("retry-after", str(behaviour.retry_after_s)))
        if behaviour.retry_after_date_s is not None:
            date = formatdate(self._clock.now() + behaviour.retry_after_date_s, usegmt=True)
            headers.append(("retry-after", date))
        if behaviour.retry_after_ms is not None:
            headers.append(("retry-after-ms", str(behaviour.retry_after_ms)))
        return tuple(headers)


class _Scene:
    """What is known of one request while it is answered."""

    __slots__ = ("anthropic", "behaviour", "key", "model", "request", "request_id", "service_headers")

    def __init__(self, request: Request, key: str, behaviour: Behaviour, number: int, anthropic: bool) -> None:
        self.request = request
        self.key = key
        self.behaviour = behaviour
        self.anthropic = anthropic
        self.request_id = make_id("req_01", number, 22) if anthropic else make_hex_id("req_", number, 32)
        self.model = ""
        self.service_headers: Headers | None = None


def _count_up(counts: dict[str, int], key: str) -> int:
    """The count before this call; the oldest key makes room when there are too many."""
    seen = counts.pop(key, 0)
    counts[key] = seen + 1
    if len(counts) > _TRACKED_KEYS:
        del counts[next(iter(counts))]
    return seen


_EDGE_HEADERS = (
    ("server", "demo-provider"),
    ("set-cookie", "__demo=1; path=/; HttpOnly; Secure"),
    ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
    ("alt-svc", 'h3=":443"; ma=86400'),
)


def _openai_headers(request_id: str, requests_left: int, tokens_left: int, _now_s: float) -> Headers:
    return (
        ("access-control-expose-headers", "X-Request-ID"),
        ("openai-organization", "org-demo"),
        ("openai-processing-ms", "42"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", str(_LIMIT_REQUESTS)),
        ("x-ratelimit-limit-tokens", str(_LIMIT_TOKENS)),
        ("x-ratelimit-remaining-requests", str(requests_left)),
        ("x-ratelimit-remaining-tokens", str(tokens_left)),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "1m30s"),
        ("x-request-id", request_id),
        *_EDGE_HEADERS,
    )


def _anthropic_headers(request_id: str, requests_left: int, tokens_left: int, now_s: float) -> Headers:
    limits = (
        ("requests", _LIMIT_REQUESTS, requests_left),
        ("tokens", _LIMIT_TOKENS, tokens_left),
        ("input-tokens", _LIMIT_TOKENS, tokens_left),
        ("output-tokens", _LIMIT_TOKENS, tokens_left),
    )
    lines = [("anthropic-organization-id", "00000000-0000-4000-8000-000000000de0")]
    for name, limit, left in limits:
        lines.append((f"anthropic-ratelimit-{name}-limit", str(limit)))
        lines.append((f"anthropic-ratelimit-{name}-remaining", str(left)))
        lines.append((f"anthropic-ratelimit-{name}-reset", _rfc3339(now_s + 60)))
    lines.append(("request-id", request_id))
    return (*lines, *_EDGE_HEADERS)


def _rfc3339(at_s: float) -> str:
    return datetime.datetime.fromtimestamp(int(at_s), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
