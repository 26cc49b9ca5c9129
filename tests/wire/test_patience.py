"""One budget of time for a client call: first tokens, and attempts that the time left makes pointless (P11, P36)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.clock import ManualClock
from tests.wire.keyed import KeyedProvider, Say
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, MESSAGES_PATH, chat_body, serving
from tests.wire.upstreams import LAST_CHUNK, SSE_HEAD, ScriptedUpstream, chunk, events, request, send, stall

GOOD = events('{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}', "[DONE]") + LAST_CHUNK


class TestFirstToken:
    """``first_token_timeout`` (an extension)."""

    @pytest.mark.parametrize("pings", [b"", chunk(b": ping\n\n")], ids=["silence", "pings"])
    async def test_a_slow_model_gives_way_to_the_next(self, pings: bytes) -> None:
        """Its other key is not tried: another key makes a slow model no faster. Comments are no tokens."""
        slow = ScriptedUpstream([request(), send(SSE_HEAD + pings), stall()])
        fast = ScriptedUpstream([request(), send(SSE_HEAD + GOOD), stall()])
        async with slow, fast:
            entries: list[Any] = [
                {"id": "slow", "base_url": slow.url, "api_keys": [{"value": "k1"}, {"value": "k2"}]},
                {"id": "fast", "base_url": fast.url},
            ]
            policy = ai_policy(entries, first_token_timeout="150ms", per_request_timeout="10s")
            async with RunningGateway(settings_for(policy)) as gateway, gateway.session as client:
                body = chat_body("slow:m", models=["fast:m"], stream=True)
                async with client.post(CHAT_PATH, data=body) as answer:
                    assert answer.status == 200
                    assert b"[DONE]" in await answer.read()
            attempts = gateway.records[0].attempts
            assert [(a.candidate.provider.id, a.kind) for a in attempts] == [("slow", "timeout"), ("fast", "")]
            assert len(slow.requests) == 1

    async def test_a_key_that_fails_at_once_leaves_time_for_the_next(self) -> None:
        async with serving("demo-key-429", "demo-key-b", first_token_timeout="5s") as (_, gateway):
            async with gateway.session as client, client.post(CHAT_PATH, data=chat_body(stream=True)) as answer:
                assert answer.status == 200
                await answer.read()
            assert [attempt.status for attempt in gateway.records[0].attempts] == [429, 200]

    @pytest.mark.parametrize("path", [CHAT_PATH, MESSAGES_PATH])
    async def test_answers_that_are_no_streams_have_no_first_token(self, path: str) -> None:
        async with serving(first_token_timeout="20ms") as (_, gateway):
            body = chat_body("demo:late-200ms")
            async with gateway.session as client, client.post(path, data=body) as answer:
                assert answer.status == 200

    async def test_a_stream_that_has_begun_may_pause(self) -> None:
        async with serving(first_token_timeout="1s") as (_, gateway):
            body = chat_body("demo:n=3,delay=400ms", stream=True)
            async with gateway.session as client, client.post(CHAT_PATH, data=body) as answer:
                assert b"[DONE]" in await answer.read()


class TestPointless:
    """P36: a failing primary that takes 50 of 60 seconds."""

    @staticmethod
    def policy(provider: KeyedProvider) -> str:
        entry = {"id": "mine", "base_url": provider.url, "api_keys": [{"value": "k1"}, {"value": "k2"}]}
        return ai_policy([{**entry, "models": [{"id": "m"}]}], total_timeout="60s", per_request_timeout="58s")

    async def test_the_time_left_is_used_where_it_may_be_enough(self) -> None:
        clock = ManualClock()
        async with KeyedProvider() as provider:
            provider.answers["k1"] = Say(500, body="{}")
            provider.before = lambda: clock.advance(50.0 if provider.keys[-1] == "k1" else 0.1)
            settings = settings_for(self.policy(provider))
            async with (
                RunningGateway(settings, clock=clock) as gateway,
                gateway.session as client,
                client.post(CHAT_PATH, data=chat_body("m")) as answer,
            ):
                assert answer.status == 200, await answer.read()
            assert provider.keys == ["k1", "k2"]

    async def test_an_attempt_that_never_took_so_little_is_not_made(self) -> None:
        """A model that takes 20 seconds gets no 4: the client hears at once what it would hear four seconds later."""
        clock = ManualClock()
        async with KeyedProvider() as provider:
            settings = settings_for(self.policy(provider))
            async with RunningGateway(settings, clock=clock) as gateway, gateway.session as client:
                provider.before = lambda: clock.advance(20.0)
                for _ in range(12):
                    async with client.post(CHAT_PATH, data=chat_body("m")) as answer:
                        assert answer.status == 200
                provider.take()
                provider.answers["k1"] = Say(500, body="{}")
                provider.before = lambda: clock.advance(56.0)
                async with client.post(CHAT_PATH, data=chat_body("m")) as answer:
                    body = json.loads(await answer.read())
                    assert (answer.status, body["error"]["code"]) == (504, "ERR_NGROK_3810")
                assert clock.monotonic() - gateway.records[-1].started == 56.0
            assert provider.keys == ["k1"]

    async def test_p35_candidates_without_an_attempt_use_up_no_attempts(self) -> None:
        """AG-156 counts upstream requests."""
        keyless = [f"openai:gpt-4o-{number}" for number in range(5)]
        async with KeyedProvider() as provider:
            policy = ai_policy([{"id": "mine", "base_url": provider.url, "models": [{"id": "m"}]}])
            body = chat_body(keyless[0], models=[*keyless[1:], "m"])
            async with (
                RunningGateway(settings_for(policy, max_attempts=1)) as gateway,
                gateway.session as client,
                client.post(CHAT_PATH, data=body) as answer,
            ):
                assert answer.status == 200
            assert len(gateway.records[0].attempts) == 6
