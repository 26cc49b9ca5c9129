"""A demo provider and a gateway in front of it, for tests that only care about what goes through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.demo.server import DemoProvider
from tests.wire.running import RunningGateway, ai_policy, settings_for

CHAT_PATH, MESSAGES_PATH = "/v1/chat/completions", "/v1/messages"
HELLO: Any = [{"role": "user", "content": "Hello"}]
KEY = "demo-key-of-the-operator"


def provider_entry(base_url: str, *keys: str, **more: Any) -> dict[str, Any]:
    """A provider ``demo`` of both formats; any model name of the demo grammar goes behind ``demo:``."""
    return {
        "id": "demo",
        "base_url": base_url,
        "supported_api_surfaces": [{"format": "openai"}, {"format": "anthropic"}],
        "api_keys": [{"value": key} for key in keys],
        "models": [{"id": "demo"}],
        **more,
    }


@asynccontextmanager
async def serving(
    *keys: str,
    before: str = "",
    ai: Mapping[str, Any] | None = None,
    entry: Mapping[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[tuple[DemoProvider, RunningGateway]]:
    """``async with serving("demo-key-429", "demo-key-b", per_request_timeout="1s") as (provider, gateway)``.

    ``ai``: settings of appendix A; ``entry``: more of the provider's entry; ``config``: the action's own fields.
    """
    async with DemoProvider() as provider:
        policy = ai_policy([provider_entry(provider.base_url, *(keys or (KEY,)), **entry or {})], before, **config)
        async with RunningGateway(settings_for(policy, **ai or {})) as gateway:
            yield provider, gateway


async def connect(gateway: RunningGateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw connection to the gateway."""
    return await asyncio.open_connection(gateway.address.host, gateway.address.port, limit=1 << 22)


async def until(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    """Waits for something that has to become true."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - conditions of many objects, none of which has an event
            await asyncio.sleep(0.01)


def chat_body(model: str = "demo", **more: Any) -> bytes:
    """A body that both dialects accept."""
    return json.dumps({"model": model, "messages": HELLO, "max_tokens": 50, **more}).encode()
