"""What the clients of a soak ask for, and whether they got it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
#: a connection serves so many requests before its client opens another
_SESSION_REQUESTS = 200
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request: its share, its model, and what has to come of it."""

    name: str
    share: int
    #: a name of the demo provider's grammar behind the provider's id; ``{}`` stands for a number that is drawn
    model: str
    statuses: frozenset[int] = frozenset((200,))
    stream: bool = False
    path: str = CHAT
    #: bytes that a whole answer ends with or contains
    holds: bytes = b""
    #: a second model to fall back to
    fallback: bool = False
    #: the client hangs up after the first bytes, or after so many seconds
    leaves: bool = False
    leaves_after_s: float = 0.0
    body: bytes | None = None
    #: the gateway closes the connection after such an answer: a request that is sent on it at that moment is lost
    closes: bool = False


_ERRORS = frozenset((429, 502, 503))
KINDS = (
    Kind("plain", 400, "demo:demo:n={}", holds=b'"finish_reason":"stop"'),
    Kind("plain, catalog name", 150, "demo-fast", holds=b'"finish_reason":"stop"'),
    Kind("stream", 120, "demo:demo:n={},delay=0ms", stream=True, holds=b"data: [DONE]"),
    Kind("message stream", 40, "demo:demo:n={},delay=0ms", stream=True, path=MESSAGES, holds=b"message_stop"),
    Kind("long stream", 4, "demo:demo:n=400,delay=0ms", stream=True, holds=b"data: [DONE]"),
    Kind("large answer", 4, "demo:demo-big-200k", holds=b'"finish_reason":"stop"'),
    Kind("compressed answer", 10, "demo:demo-fast-gzip", holds=b'"finish_reason":"stop"'),
    Kind("failover", 60, "demo:demo-503", fallback=True, holds=b'"finish_reason":"stop"'),
    Kind("reset, failover", 20, "demo:demo-reset", fallback=True, holds=b'"finish_reason":"stop"'),
    Kind("error first, failover", 10, "demo:demo-error-first", stream=True, fallback=True, holds=b"data: [DONE]"),
    Kind("limited", 30, "demo:demo-429-retry-after-1", _ERRORS),
    Kind("garbage", 10, "demo:demo-garbage", _ERRORS),
    Kind("half a body", 10, "demo:demo-truncated-json", _ERRORS),
    Kind("rejected", 10, "demo:demo-400", frozenset((400,))),
    Kind("cut stream", 30, "demo:demo-cut-5:delay=1ms", stream=True, closes=True, holds=b"ERR_NGROK_3800"),
    Kind("malformed event", 10, "demo:demo-fast-malformed-5", stream=True, holds=b"data: [DONE]"),
    Kind("leaves mid-stream", 50, "demo:demo:n=500,delay=5ms", stream=True, leaves=True),
    Kind("leaves before an answer", 20, "demo:demo-late-5s", leaves_after_s=0.05),
    Kind("unknown provider", 6, "nobody-{}:model", frozenset((422,))),
    Kind("no JSON", 4, "", frozenset((400,)), body=b"{"),
    Kind("no such path", 2, "demo", frozenset((404, 405)), path="/v1/none"),
)


@dataclass(slots=True)
class Counts:
    """What has happened so far."""

    sent: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)
    #: kind and what was wrong with its answer
    wrong: Counter[str] = field(default_factory=Counter)


class Traffic:
    """Some clients, each sending one request after the other. ``enough``: of so many requests."""

    def __init__(
        self, url: str, *, enough: Callable[[int], bool], clients: int, seed: int, tick: Callable[[int], None]
    ) -> None:
        self._url = url
        self._enough = enough
        self._clients = clients
        self._random = random.Random(seed)
        self._tick = tick
        self._shares = [kind.share for kind in KINDS]
        self.counts = Counts()

    async def run(self) -> Counts:
        """Until there were enough, and all are answered."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._clients):
                group.create_task(self._client())
        return self.counts

    async def _client(self) -> None:
        while not self._enough(self.counts.sent):
            timeout = aiohttp.ClientTimeout(total=_PATIENCE_S)
            async with aiohttp.ClientSession(self._url, timeout=timeout) as session:
                for _ in range(_SESSION_REQUESTS):
                    if self._enough(self.counts.sent):
                        return
                    self.counts.sent += 1
                    self._tick(self.counts.sent)
                    await self._one(session)

    async def _one(self, session: aiohttp.ClientSession) -> None:
        (kind,) = self._random.choices(KINDS, self._shares)
        self.counts.by_kind[kind.name] += 1
        problem = await self._ask(session, kind)
        if problem:
            self.counts.wrong[f"{kind.name}: {problem}"] += 1

    async def _ask(self, session: aiohttp.ClientSession, kind: Kind) -> str:
        """'' or what was wrong."""
        number = self._random.randrange(10**8)
        model = kind.model.replace("n={}", f"n={number % 20 + 1},in={number}").replace("{}", str(number))
        headers = {"x-user": f"user-{number}", "x-key": f"demo-key-{number % 100}", "x-api-key": f"sk-{number:x}"}
        if kind.closes:
            headers["connection"] = "close"
        content: Mapping[str, Any] = {"data": kind.body} if kind.body is not None else {"json": _body(kind, model)}
        try:
            async with (
                asyncio.timeout(kind.leaves_after_s or None),
                session.post(kind.path, headers=headers, **content) as answer,
            ):
                if kind.leaves:
                    await answer.content.readany()
                    answer.close()
                    return ""
                text = await answer.read()
        except TimeoutError:
            return "" if kind.leaves_after_s else "no answer in time"
        except aiohttp.ClientError as error:
            return type(error).__name__
        if answer.status not in kind.statuses:
            return f"status {answer.status}"
        return "" if kind.holds in text else "not whole"


def _body(kind: Kind, model: str) -> dict[str, Any]:
    named: dict[str, Any] = {"models": [model, "demo-fast"]} if kind.fallback else {"model": model}
    messages = [{"role": "user", "content": "Hello"}]
    return {**named, "messages": messages, "stream": kind.stream, "max_tokens": 1_000}
