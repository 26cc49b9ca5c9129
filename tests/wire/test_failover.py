"""Two keys, the first of which fails: the client gets one clean answer, in both dialects, streamed or not (AG-150)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.demo.server import DemoProvider
from tests.wire.running import RunningGateway, ai_policy, settings_for

#: the first key's fault → what the first attempt is recorded as: (kind, status)
FAULTS: dict[str, tuple[str, int]] = {
    "429": ("http", 429),
    "429-retry-after-7": ("http", 429),
    "500": ("http", 500),
    "503": ("http", 503),
    "401": ("http", 401),
    "400": ("http", 400),
    "404": ("http", 404),
    "reset": ("connection", 0),
    "garbage": ("connection", 0),
    "silent": ("timeout", 0),
    "context-length": ("http", 400),
}
STREAM_FAULTS: dict[str, tuple[str, int]] = {
    "error-first": ("stream_error", 200),
    "json-for-stream": ("stream_error", 200),
    "empty": ("stream_error", 200),
}
BODY_FAULTS: dict[str, tuple[str, int]] = {"truncated-json": ("connection", 200), "empty": ("connection", 200)}

CHAT: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}
MESSAGES = {**CHAT, "max_tokens": 50}


def provider_entry(provider: DemoProvider, *keys: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "demo",
        "base_url": provider.base_url,
        "supported_api_surfaces": [{"format": "openai"}, {"format": "anthropic"}],
        "api_keys": [{"value": key} for key in keys],
        "models": [{"id": "demo"}],
        **more,
    }


def cases() -> list[Any]:
    rows = []
    for path, body in (("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGES)):
        for stream in (False, True):
            for fault, expected in {**FAULTS, **(STREAM_FAULTS if stream else BODY_FAULTS)}.items():
                name = f"{path.rpartition('/')[2]}-{'stream' if stream else 'whole'}-{fault}"
                rows.append(pytest.param(path, {**body, "stream": stream}, fault, expected, id=name))
    return rows


@pytest.mark.parametrize(("path", "body", "fault", "expected"), cases())
async def test_second_key_answers(path: str, body: dict[str, Any], fault: str, expected: tuple[str, int]) -> None:
    """AG-150 to AG-153, AG-262, AG-264: one clean answer from the second key; the first attempt is on record."""
    async with DemoProvider() as provider:
        entry = provider_entry(provider, f"demo-key-{fault}", "demo-key-good")
        policy = ai_policy([entry], per_request_timeout="300ms")
        async with RunningGateway(settings_for(policy)) as gateway, gateway.session as client:
            async with client.post(path, json=body) as answer:
                payload = await answer.read()
                assert answer.status == 200, payload
                assert answer.headers["x-gateway-attempts"] == "2"
                if body["stream"]:
                    end = b"[DONE]" if path.endswith("completions") else b"message_stop"
                    assert payload.count(end) >= 1
                    assert b'"error"' not in payload
                else:
                    assert "choices" in json.loads(payload) or "content" in json.loads(payload)
            first, second = gateway.records[0].attempts
            assert (first.kind, first.status) == expected
            assert (second.kind, second.status) == ("", 200)
            assert provider.stats.requests == 2


async def test_models_array_is_tried_in_order() -> None:
    """AG-72, AG-97: the client's own order, one attempt each."""
    async with DemoProvider() as provider:
        entry = provider_entry(provider, "demo-key-a")
        async with RunningGateway(settings_for(ai_policy([entry]))) as gateway, gateway.session as client:
            body = {**CHAT, "model": "demo:500", "models": ["demo:reset", "demo:n=2"]}
            async with client.post("/v1/chat/completions", json=body) as answer:
                assert answer.status == 200
                assert answer.headers["x-gateway-model"] == "n=2"
                assert answer.headers["x-gateway-attempts"] == "3"


async def test_stale_pooled_connection_is_replaced_within_the_attempt() -> None:
    """AG-157: a connection that the upstream closed while it was idle costs no attempt."""
    async with DemoProvider() as provider:
        entry = provider_entry(provider, "demo-key-a")
        async with RunningGateway(settings_for(ai_policy([entry]))) as gateway, gateway.session as client:
            for _ in range(2):
                async with client.post("/v1/chat/completions", json=CHAT) as answer:
                    assert answer.status == 200
                    assert answer.headers["x-gateway-attempts"] == "1"
                    await answer.read()
                # the provider forgets its connections, as providers do after their idle time
                for connection in tuple(provider._connections):
                    connection.transport.abort()


async def test_at_most_max_attempts() -> None:
    """AG-156: then 3812, with every attempt in its details."""
    async with DemoProvider() as provider:
        entry = provider_entry(provider, *(f"demo-key-500:n={n + 2}" for n in range(6)))
        settings = settings_for(ai_policy([entry]), max_attempts=3)
        async with RunningGateway(settings) as gateway, gateway.session as client:
            async with client.post("/v1/chat/completions", json=CHAT) as answer:
                error = (await answer.json())["error"]
            assert answer.status == 503
            assert error["code"] == "ERR_NGROK_3812"
            assert len(error["details"]["attempts"]) == 3


async def test_total_timeout_ends_the_search() -> None:
    """AG-165: 504 3810 although another key is left."""
    async with DemoProvider() as provider:
        entry = provider_entry(provider, "demo-key-silent", "demo-key-good")
        policy = ai_policy([entry], per_request_timeout="10s", total_timeout="300ms")
        async with RunningGateway(settings_for(policy)) as gateway, gateway.session as client:
            async with client.post("/v1/chat/completions", json=CHAT) as answer:
                assert answer.status == 504
                assert (await answer.json())["error"]["code"] == "ERR_NGROK_3810"
            assert provider.stats.requests == 1


@pytest.mark.parametrize(
    ("keys", "status", "code"),
    [
        (("429", "429"), 429, "ERR_NGROK_3807"),
        (("400", "400"), 400, "ERR_NGROK_3807"),
        (("500", "429"), 503, "ERR_NGROK_3807"),
        (("reset",), 502, "ERR_NGROK_3800"),
        (("silent", "silent"), 504, "ERR_NGROK_3810"),
        (("401", "401"), 503, "ERR_NGROK_3807"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_final_error(path: str, keys: tuple[str, ...], status: int, code: str) -> None:
    """AG-176, AG-179, AG-180, AG-300: status, code, advice and the caller's dialect."""
    async with DemoProvider() as provider:
        values = [f"demo-key-{fault}:n={n + 2}" for n, fault in enumerate(keys)]
        policy = ai_policy([provider_entry(provider, *values)], per_request_timeout="200ms")
        async with RunningGateway(settings_for(policy)) as gateway, gateway.session as client:
            async with client.post(path, json=MESSAGES) as answer:
                body = await answer.json()
                headers = answer.headers
            assert answer.status == status
            error = body["error"]
            assert error["code"] == code
            assert error["message"].endswith(f"[{code}]")
            assert headers["ngrok-error-code"] == code
            assert (body.get("type") == "error") == (path == "/v1/messages")
            if path == "/v1/messages":
                assert body["request_id"] == headers["request-id"]
            assert len(error["details"]["attempts"]) == len(keys)
            assert all(value not in json.dumps(body) for value in values)
            if status < 500 and status != 429:
                assert headers["x-should-retry"] == "false"
