"""One request, and everything its client saw; a client may hang up."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp

from loadtest.scorecard.model import Request, Seen

_PATIENCE_S = 30.0


async def ask(session: aiohttp.ClientSession, models: list[str], request: Request) -> Seen:
    """Sends it and reads the answer to its end, or to where this client leaves."""
    seen = Seen()
    body = {
        "model": models[0], "messages": [{"role": "user", "content": "Hello"}], "stream": request.stream,
        **({"models": models} if len(models) > 1 else {}),
        **({"stream_options": {"include_usage": True}} if request.stream else {}),
    }  # fmt: skip
    if len(models) > 1:
        del body["model"]
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
    """One event of a chat stream."""
    if data.startswith(b"[DONE]"):
        seen.done = True
        return
    try:
        event = json.loads(data)
    except ValueError:  # the malformed event that a scenario asked for
        return
    if "error" in event:
        seen.error = event["error"]
        return
    for choice in event.get("choices", ()):
        if choice.get("delta", {}).get("content"):
            seen.texts.append(choice["delta"]["content"])
        seen.finish = choice.get("finish_reason") or seen.finish
