"""A provider whose answers a test decides per key or per model, and that notes in which order it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.demo.wire import Request
from tests.wire.upstreams import Peer, ScriptedUpstream

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
    }
)


@dataclass(frozen=True)
class Say:
    """One answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ANSWER

    def encode(self) -> bytes:
        head = [f"HTTP/1.1 {self.status} Scripted", "content-type: application/json"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*head, f"content-length: {len(self.body)}", "", self.body]).encode()


class KeyedProvider(ScriptedUpstream):
    """``async with KeyedProvider() as provider``; ``says`` is for the keys and models that ``answers`` leaves out."""

    def __init__(self, says: Say | None = None) -> None:
        super().__init__([self._serve])
        self.says = says or Say()
        #: key or model → answer
        self.answers: dict[str, Say] = {}
        #: keys, and models, in the order in which they came
        self.keys: list[str] = []
        self.models: list[str] = []
        #: the bodies as they came
        self.bodies: list[bytes] = []
        #: called before each answer: tests move their clock here
        self.before: Callable[[], None] = lambda: None

    async def _serve(self, peer: Peer) -> None:
        while True:
            try:
                request = await peer.next_request()
            except (ConnectionError, TimeoutError):
                return
            await peer.write(self._answer(request).encode())

    def _answer(self, request: Request) -> Say:
        key = (request.header("authorization") or request.header("x-api-key") or "").removeprefix("Bearer ")
        document: Any = json.loads(request.body)
        self.bodies.append(request.body)
        self.keys.append(key)
        self.models.append(document["model"])
        self.before()
        return self.answers.get(key) or self.answers.get(document["model"]) or self.says

    def take(self) -> tuple[list[str], list[str]]:
        """(keys, models) since the last call."""
        taken = self.keys, self.models
        self.keys, self.models = [], []
        return taken
