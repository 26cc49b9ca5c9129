"""Members of the body that a provider or model does not take, on the wire (AG-211 to AG-213, AG-218)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.keyed import KeyedProvider
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, HELLO, MESSAGES_PATH

ASKED = b'{"temperature": 1.50, "model": "m", "messages": [{"role":"user","content":"Hello"}], "seed": 7, "top_p": 1e0}'
CHAT = {"format": "openai", "surface": "chat-completions"}
ONLY = {**CHAT, "supported_params": [{"name": "messages"}, "temperature"]}


async def sent(asked: bytes, entry: dict[str, Any], path: str = CHAT_PATH, **config: Any) -> bytes:
    """What reached the provider."""
    async with KeyedProvider() as provider:
        made = {"id": "mine", "base_url": provider.url, "models": [{"id": "m"}], **entry}
        settings = settings_for(ai_policy([made], **config))
        async with (
            RunningGateway(settings) as gateway,
            gateway.session as client,
            client.post(path, data=asked) as answer,
        ):
            assert answer.status == 200, await answer.read()
        (found,) = provider.bodies
        return found


async def test_ag_218_without_lists_the_bytes_stay() -> None:
    assert await sent(ASKED, {}) == ASKED


async def test_ag_212_members_that_are_not_listed_go() -> None:
    """``model`` never does; what stays keeps its order and its literals."""
    found = await sent(ASKED, {"supported_api_surfaces": [ONLY]})
    assert list(json.loads(found)) == ["temperature", "model", "messages"]
    assert b"1.50" in found


async def test_ag_212_a_list_holds_for_its_own_surface() -> None:
    both = [ONLY, {"format": "anthropic"}]
    asked = json.dumps({"model": "m", "messages": HELLO, "max_tokens": 5, "top_k": 3}).encode()
    assert await sent(asked, {"supported_api_surfaces": both}, MESSAGES_PATH) == asked


async def test_ag_213_a_model_s_list_holds_whatever_the_provider_says() -> None:
    model = {"id": "m", "unsupported_params": ["seed", {"name": "temperature"}]}
    found = await sent(ASKED, {"supported_api_surfaces": [ONLY], "models": [model]})
    assert list(json.loads(found)) == ["model", "messages"]
    found = await sent(ASKED, {"models": [model]})
    assert list(json.loads(found)) == ["model", "messages", "top_p"]
    assert b"1e0" in found


async def test_ag_213_on_every_surface() -> None:
    model = {"id": "m", "unsupported_params": ["top_k"]}
    asked = json.dumps({"model": "m", "messages": HELLO, "max_tokens": 5, "top_k": 3}).encode()
    surfaces = {"supported_api_surfaces": [{"format": "anthropic"}]}
    found = await sent(asked, {**surfaces, "models": [model]}, MESSAGES_PATH)
    assert list(json.loads(found)) == ["model", "messages", "max_tokens"]


@pytest.mark.parametrize(("cap", "member"), [({"max_output_tokens": 10}, "max_tokens"), ({}, "")])
async def test_ag_211_the_lists_come_last(cap: dict[str, Any], member: str) -> None:
    """Also what ``body`` and the cap added is taken away again."""
    listed = [{**CHAT, "supported_params": ["messages", "user"]}]
    found = json.loads(await sent(ASKED, {"supported_api_surfaces": listed}, body={"user": "u", "seed": 1}, **cap))
    assert found == {"model": "m", "messages": HELLO, "user": "u"}
    assert member not in found


async def test_only_top_level_members_are_looked_at() -> None:
    asked = json.dumps({"model": "m", "messages": HELLO, "metadata": {"seed": 1}}).encode()
    model = {"id": "m", "unsupported_params": ["seed", "role"]}
    assert await sent(asked, {"models": [model]}) == asked
