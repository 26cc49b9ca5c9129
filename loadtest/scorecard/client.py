"""One request, and everything its client saw; a client may hang up."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import aiohttp

from loadtest.scorecard.model import MESSAGES, RESPONSES, Request, Seen

_PATIENCE_S = 30.0


async def ask(session: aiohttp.ClientSession, models: list[str], request: Request) -> Seen:
    """Sends it and reads the answer to its end, or to where this client leaves."""
    seen = Seen()
    body = _body(models, request)
    started = time.perf_counter()
    try:
        async with (
            asyncio.timeout(request.leave_after_s or _PATIENCE_S),
            session.post(request.path, json=body) as answer,
        ):
            seen.status = answer.status
            seen.headers = {name.lower(): value for name, value in answer.headers.items()}
            seen.request_id = seen.headers.get("x-gateway-request-id", "")
            if answer.content_type == "text/event-stream":
                await _read_stream(answer, seen, request.leave_after)
            else:
                seen.body = await answer.read()
    except TimeoutError:
        seen.left = True
    except aiohttp.ClientError:
        seen.broken = True
    seen.seconds = time.perf_counter() - started
    return seen


def _body(models: list[str], request: Request) -> dict[str, Any]:
    """The same question in each format."""
    body: dict[str, Any] = {"models": models} if len(models) > 1 else {"model": models[0]}
    body["stream"] = request.stream
    if request.path == RESPONSES:
        return {**body, "input": "Hello"}
    body["messages"] = [{"role": "user", "content": "Hello"}]
    if request.path == MESSAGES:
        return {**body, "max_tokens": 1_000}
    return {**body, "stream_options": {"include_usage": True}} if request.stream else body


async def _read_stream(answer: aiohttp.ClientResponse, seen: Seen, leave_after: int | None) -> None:
    async for line in answer.content:
        if not line.startswith(b"data:"):
            continue
        _take(line[5:].strip(), seen)
        if leave_after is not None and len(seen.texts) >= leave_after:
            seen.left = True
            answer.close()  # not back to the pool: the connection ends
            return


def _take(data: bytes, seen: Seen) -> None:
    """One event of a stream, whatever its format."""
    if data.startswith(b"[DONE]"):
        seen.done = True
        return
    try:
        event = json.loads(data)
    except ValueError:  # the malformed event that a scenario asked for
        return
    if "choices" in event or "error" in event:
        _take_chat(event, seen)
    else:
        _take_typed(event, seen)


def _take_chat(event: dict[str, Any], seen: Seen) -> None:
    """Chat completions, and the error event of both chat completions and messages."""
    if "error" in event and "choices" not in event:
        seen.error = event["error"]
        return
    for choice in event["choices"]:
        if choice.get("delta", {}).get("content"):
            seen.texts.append(choice["delta"]["content"])
        seen.finish = choice.get("finish_reason") or seen.finish


def _take_typed(event: dict[str, Any], seen: Seen) -> None:
    """Messages and responses: every event has a type."""
    kind, delta = event.get("type"), event.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict) and delta.get("text"):
        seen.texts.append(delta["text"])
    elif kind == "response.output_text.delta" and isinstance(delta, str) and delta:
        seen.texts.append(delta)
    elif kind in ("message_stop", "response.completed"):
        seen.done = True
    elif kind == "error":
        seen.error = event
    elif kind == "response.failed":
        seen.error = event["response"]["error"]
