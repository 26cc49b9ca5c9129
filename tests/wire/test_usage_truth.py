"""What a request is booked with: usage and cost of every shape of answer, reported, estimated, or cut off.

AG-228 to AG-248; lessons P02 (a client that leaves pays for what it got), P03 (an error costs nothing), P24 (cost).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from gateway.ai.surfaces import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES
from gateway.ai.tokens import count_tokens, load_encoder
from gateway.ai.usage import usd
from gateway.exchange import Exchange
from tests.wire.keyed import KeyedProvider, Say
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import HELLO, until
from tests.wire.upstreams import (
    LAST_CHUNK,
    SSE_HEAD,
    Move,
    ScriptedUpstream,
    chunk,
    json_answer,
    request,
    reset,
    send,
    stall,
)

#: USD per million tokens; a missing price of cached input is that of input (AG-248)
PRICES = {"input": 2.5, "output": 10, "input_cache_read": 1.25, "input_cache_write": 3.125}
PATHS = {"chat": CHAT.path, "responses": RESPONSES.path, "messages": MESSAGES.path}
ASKED: dict[str, dict[str, Any]] = {
    CHAT.path: {"messages": HELLO},
    COMPLETIONS.path: {"prompt": "Hello"},
    EMBEDDINGS.path: {"input": "Hello"},
    RESPONSES.path: {"input": "Hello"},
    MESSAGES.path: {"messages": HELLO, "max_tokens": 50},
}


def data(document: Mapping[str, Any] | str, name: str = "") -> bytes:
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def chat_chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "service_tier": "default",
    }
    return data({**head, "choices": [choice], **more})


def response_event(kind: str, number: int, **members: Any) -> bytes:
    return data({"type": f"response.{kind}", "sequence_number": number, **members}, f"response.{kind}")


def message_event(kind: str, **members: Any) -> bytes:
    return data({"type": kind, **members}, kind)


CHAT_USAGE = {
    "prompt_tokens": 1_117, "completion_tokens": 246, "total_tokens": 1_363,
    "prompt_tokens_details": {"cached_tokens": 1_024, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 192, "audio_tokens": 0, "accepted_prediction_tokens": 0},
}  # fmt: skip
RESPONSE_USAGE = {
    "input_tokens": 328, "input_tokens_details": {"cached_tokens": 256}, "output_tokens": 52,
    "output_tokens_details": {"reasoning_tokens": 20}, "total_tokens": 380,
}  # fmt: skip
MESSAGE_USAGE = {
    "input_tokens": 21, "cache_creation_input_tokens": 188_086, "cache_read_input_tokens": 2_000, "output_tokens": 393,
    "cache_creation": {"ephemeral_5m_input_tokens": 188_086}, "service_tier": "standard",
}  # fmt: skip
#: (surface, JSON body or events, input, output, cached, written, reasoning, stop reason, cost)
REPORTED: list[tuple[str, str, bytes, list[bytes], tuple[int, int, int, int, int], str, str]] = [
    (
        "chat", CHAT.path,
        json.dumps({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi", "refusal": None},
                         "logprobs": None, "finish_reason": "stop"}],
            "usage": CHAT_USAGE, "service_tier": "default", "system_fingerprint": "fp_1",
        }).encode(),
        [
            chat_chunk({"role": "assistant", "content": "", "refusal": None}), chat_chunk({"content": "Hi"}),
            chat_chunk({}, "stop"), data({"id": "chatcmpl-1", "choices": [], "usage": CHAT_USAGE}), data("[DONE]"),
        ],
        # 93 at 2.5, 1024 at 1.25, 246 at 10
        (1_117, 246, 1_024, 0, 192), "stop", "0.00397",
    ),
    (
        "completions", COMPLETIONS.path,
        json.dumps({
            "id": "cmpl-1", "object": "text_completion", "model": "m",
            "choices": [{"text": "Hi", "index": 0, "logprobs": None, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        }).encode(),
        [
            data({"id": "cmpl-1", "choices": [{"text": "Hi", "index": 0, "finish_reason": "length"}]}),
            data({"id": "cmpl-1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}),
            data("[DONE]"),
        ],
        (5, 7, 0, 0, 0), "length", "0.00008",
    ),
    (
        "embeddings", EMBEDDINGS.path,
        json.dumps({
            "object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}],
            "usage": {"prompt_tokens": 800, "total_tokens": 800},
        }).encode(),
        [], (800, 0, 0, 0, 0), "", "0.00200",
    ),
    (
        "responses", RESPONSES.path,
        json.dumps({
            "id": "resp_1", "object": "response", "status": "completed", "incomplete_details": None, "model": "m",
            "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}],
            "usage": RESPONSE_USAGE,
        }).encode(),
        [
            response_event("created", 0, response={"id": "resp_1", "status": "in_progress", "usage": None}),
            response_event("output_text.delta", 1, item_id="msg_1", output_index=0, content_index=0, delta="Hi"),
            response_event("completed", 2, response={"id": "resp_1", "status": "completed", "usage": RESPONSE_USAGE}),
        ],
        # 72 at 2.5, 256 at 1.25, 52 at 10
        (328, 52, 256, 0, 20), "completed", "0.00102",
    ),
    (
        "messages", MESSAGES.path,
        json.dumps({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None,
            "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": MESSAGE_USAGE,
        }).encode(),
        [
            message_event("message_start", message={
                "id": "msg_1", "type": "message", "content": [], "usage": {**MESSAGE_USAGE, "output_tokens": 1},
            }),
            message_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            message_event("ping"),
            message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
            message_event("content_block_stop", index=0),
            message_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 393}),
            message_event("message_stop"),
        ],
        # 21 at 2.5, 2000 at 1.25, 188086 at 3.125, 393 at 10
        (190_107, 393, 2_000, 188_086, 0), "end_turn", "0.59425",
    ),
]  # fmt: skip


@asynccontextmanager
async def gateway_for(base_url: str, *keys: str, before: str = "", **config: Any) -> AsyncIterator[RunningGateway]:
    entry = {
        "id": "mine",
        "base_url": base_url,
        "supported_api_surfaces": [{"format": "openai"}, {"format": "anthropic"}],
        "api_keys": [{"value": key} for key in keys],
        "models": [{"id": "m", "pricing": {"text": PRICES}}],
    }
    async with RunningGateway(settings_for(ai_policy([entry], before, **config))) as gateway:
        yield gateway


def asked(path: str, **more: Any) -> bytes:
    return json.dumps({"model": "m", **ASKED[path], **more}).encode()


async def ask(gateway: RunningGateway, path: str, **more: Any) -> bytes:
    async with gateway.session as client, client.post(path, data=asked(path, **more)) as answer:
        return await answer.read()


async def booked(gateway: RunningGateway) -> Exchange:
    """The one record of the one request."""
    await until(lambda: gateway.records)
    (record,) = gateway.records
    return record


def stream(*events: bytes) -> Sequence[Move]:
    """A provider that sends these events, and then waits for what the client does."""
    return [request(), send(SSE_HEAD), *(send(chunk(event)) for event in events)]


def check_booked(record: Exchange, expected: tuple[int, int, int, int, int], stop: str, cost: str) -> None:
    usage = record.attempts[-1].usage
    counts = (usage.input, usage.output, usage.cached, usage.cache_write, usage.reasoning)
    assert counts == expected
    assert (usage.stop_reason, usage.reported, usage.estimated) == (stop, True, False)
    # written with five places (AG-248)
    assert str(usd(record.ai.cost_units)) == cost
    parts = [usage.input - usage.cached - usage.cache_write, usage.cached, usage.cache_write, usage.output]
    prices = [Decimal(str(PRICES[name])) for name in ("input", "input_cache_read", "input_cache_write", "output")]
    exact = sum((count * price for count, price in zip(parts, prices, strict=True)), Decimal(0)) / 1_000_000
    assert abs(usd(record.ai.cost_units) - exact) <= Decimal("0.000005")


class TestReported:
    @pytest.mark.parametrize(
        ("path", "body", "expected", "stop", "cost"),
        [(row[1], row[2], *row[4:]) for row in REPORTED],
        ids=[row[0] for row in REPORTED],
    )
    async def test_ag_240_bodies(self, path: str, body: bytes, expected: Any, stop: str, cost: str) -> None:
        async with (
            ScriptedUpstream([request(), json_answer(body), stall()]) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            assert await ask(gateway, path) == body
            check_booked(await booked(gateway), expected, stop, cost)

    @pytest.mark.parametrize("whole", [True, False], ids=["at once", "event by event"])
    @pytest.mark.parametrize(
        ("path", "events", "expected", "stop", "cost"),
        [(row[1], *row[3:]) for row in REPORTED if row[3]],
        ids=[row[0] for row in REPORTED if row[3]],
    )
    async def test_ag_240_streams(
        self, path: str, events: list[bytes], expected: Any, stop: str, cost: str, *, whole: bool
    ) -> None:
        body = b"".join(map(chunk, events)) + LAST_CHUNK
        moves = [request(), send(SSE_HEAD + body, size=0 if whole else 60), stall()]
        async with ScriptedUpstream(moves) as upstream, gateway_for(upstream.url, "k") as gateway:
            assert await ask(gateway, path, stream=True) == b"".join(events)
            check_booked(await booked(gateway), expected, stop, cost)


#: four pieces of text, each of several tokens
WORDS = ("The gateway", " relays what", " providers generate,", " antidisestablishmentarianism included.")
#: what comes before the text, the text in pieces, what comes behind it; without any usage at the end
CUT: dict[str, tuple[list[bytes], list[bytes], list[bytes]]] = {
    CHAT.path: (
        [chat_chunk({"role": "assistant", "content": ""})],
        [chat_chunk({"content": word}) for word in WORDS],
        [chat_chunk({}, "stop"), data("[DONE]")],
    ),
    RESPONSES.path: (
        [response_event("created", 0, response={"status": "in_progress"})],
        [
            response_event("output_text.delta", number + 1, output_index=0, content_index=0, delta=word)
            for number, word in enumerate(WORDS)
        ],
        [response_event("completed", 9, response={"status": "completed"})],
    ),
    MESSAGES.path: (
        [message_event("message_start", message={"usage": {"input_tokens": 30, "output_tokens": 1}})],
        [message_event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in WORDS],
        [message_event("message_stop")],
    ),
}


def tokens_of(texts: Sequence[str]) -> int:
    return count_tokens(load_encoder("o200k_base"), ["".join(texts)])


class TestCut:
    @pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
    @pytest.mark.parametrize("count", range(len(WORDS) + 1))
    async def test_p02_a_client_that_leaves_pays_for_what_it_got(self, path: str, count: int) -> None:
        """After k of n pieces: booked is at least what was delivered, and exactly once."""
        first, texts, _ = CUT[path]
        async with (
            ScriptedUpstream([*stream(*first, *texts[:count]), stall()]) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            async with gateway.session as client:
                answer = await client.post(path, data=asked(path, stream=True))
                expected = b"".join([*first, *texts[:count]])
                assert await answer.content.readexactly(len(expected)) == expected
                answer.close()
            record = await booked(gateway)
            usage = record.attempts[0].usage
            assert (record.status, usage.estimated, usage.reported) == (499, True, False)
            assert usage.output == max(tokens_of(WORDS[:count]), 1 if path == MESSAGES.path else 0)
            assert usage.input == (30 if path == MESSAGES.path else {CHAT.path: 7, RESPONSES.path: 1}[path])
            assert usd(record.ai.cost_units) == usd(usage.units(record.attempts[0].candidate.element.pricing))
            await asyncio.sleep(0)
            assert len(gateway.records) == 1
            # P04: the upstream is not left generating
            peer = await upstream.peer()
            await peer.wait_until(lambda: peer.lost or peer.ended)

    @pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
    async def test_ag_240_a_client_that_leaves_before_the_first_byte_pays_nothing(self, path: str) -> None:
        async with (
            ScriptedUpstream([request(), send(SSE_HEAD), stall()]) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            async with gateway.session as client:
                task = asyncio.get_running_loop().create_task(client.post(path, data=asked(path, stream=True)))
                peer = await upstream.peer()
                await peer.wait_until(lambda: bool(peer.requests))
                task.cancel()
            record = await booked(gateway)
            assert (record.status, record.ai.cost_units) == (499, None)
            assert record.attempts[0].usage is None

    @pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
    async def test_p02_an_upstream_that_breaks(self, path: str) -> None:
        first, texts, _ = CUT[path]
        async with (
            ScriptedUpstream([*stream(*first, *texts), reset()]) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            assert b"ERR_NGROK_3800" in await ask(gateway, path, stream=True)
            usage = (await booked(gateway)).attempts[0].usage
            assert (usage.output, usage.estimated) == (tokens_of(WORDS), True)

    @pytest.mark.parametrize("path", [CHAT.path, RESPONSES.path])
    async def test_p03_an_upstream_that_breaks_before_any_output(self, path: str) -> None:
        """A failed attempt without output costs nothing, whatever its estimates (AG-240)."""
        first, _, _ = CUT[path]
        async with (
            ScriptedUpstream([*stream(*first), reset()]) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            await ask(gateway, path, stream=True)
            record = await booked(gateway)
            usage = record.attempts[0].usage
            assert (usage.input, usage.output, usd(record.ai.cost_units)) == (0, 0, Decimal(0))

    async def test_long_streams_are_counted_in_a_thread(self) -> None:
        """The record is there when all of it was counted."""
        first, _, _ = CUT[CHAT.path]
        words = [f" word{number}" for number in range(1_500)]
        events = [*first, *(chat_chunk({"content": word}) for word in words)]
        expected = b"".join(events)
        assert len(expected) > 200_000
        async with (
            ScriptedUpstream(
                [request(), send(SSE_HEAD + b"".join(map(chunk, events)), size=16_384), stall()]
            ) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            async with gateway.session as client:
                answer = await client.post(CHAT.path, data=asked(CHAT.path, stream=True))
                assert await answer.content.readexactly(len(expected)) == expected
                answer.close()
            usage = (await booked(gateway)).attempts[0].usage
            assert usage.output == tokens_of(words)


class TestUnreported:
    @pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
    async def test_ag_230_a_stream_without_usage(self, path: str) -> None:
        first, texts, last = CUT[path]
        events = [*first, *texts, *last]
        async with (
            ScriptedUpstream([*stream(*events), send(LAST_CHUNK), stall()]) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            assert await ask(gateway, path, stream=True) == b"".join(events)
            usage = (await booked(gateway)).attempts[0].usage
            assert (usage.output, usage.estimated, usage.reported) == (tokens_of(WORDS), True, False)

    async def test_ag_230_a_body_without_usage(self) -> None:
        body = json.dumps({"choices": [{"index": 0, "message": {"content": "".join(WORDS)}}]}).encode()
        async with (
            ScriptedUpstream([request(), json_answer(body), stall()]) as upstream,
            gateway_for(upstream.url, "k") as gateway,
        ):
            await ask(gateway, CHAT.path)
            record = await booked(gateway)
            usage = record.attempts[0].usage
            assert (usage.input, usage.output, usage.estimated) == (7, tokens_of(WORDS), True)
            assert usd(record.ai.cost_units) == usd(usage.units(record.attempts[0].candidate.element.pricing))

    async def test_ag_240_an_error_costs_nothing(self) -> None:
        """The second key's answer is all that is booked."""
        async with KeyedProvider() as provider, gateway_for(provider.url, "k1", "k2") as gateway:
            provider.answers["k1"] = Say(500, body=json.dumps({"error": {"message": "long " * 500}}))
            await ask(gateway, CHAT.path)
            record = await booked(gateway)
            assert [attempt.usage is None for attempt in record.attempts] == [True, False]
            assert usd(record.ai.cost_units) == Decimal("0.00003")

    @pytest.mark.parametrize("place", ["first", "middle", "last"])
    async def test_p03_an_error_event(self, place: str) -> None:
        """First: another attempt, no cost. Later: an error on record, and what came before it is paid for."""
        first, texts, last = CUT[CHAT.path]
        wrong = data({"error": {"message": "boom", "type": "server_error", "code": None}})
        plays = {"first": [wrong], "middle": [*first, *texts[:2], wrong], "last": [*first, *texts, last[0], wrong]}
        healthy = [*stream(*first, *texts, *last), send(LAST_CHUNK), stall()]
        async with (
            ScriptedUpstream([*stream(*plays[place]), send(LAST_CHUNK), stall()], healthy) as upstream,
            gateway_for(upstream.url, "k1", "k2") as gateway,
        ):
            await ask(gateway, CHAT.path, stream=True)
            record = await booked(gateway)
            if place == "first":
                failed, good = record.attempts
                assert (failed.kind, failed.usage, good.kind) == ("stream_error", None, "")
                assert good.usage.output == tokens_of(WORDS)
            else:
                (attempt,) = record.attempts
                assert attempt.kind == "stream_error"
                got = WORDS[:2] if place == "middle" else WORDS
                assert attempt.usage.output == tokens_of(got)


class TestInputLimit:
    """AG-231, AG-232."""

    async def test_equal_is_allowed(self) -> None:
        async with KeyedProvider() as provider:
            async with gateway_for(provider.url, "k", max_input_tokens=7) as gateway:
                await ask(gateway, CHAT.path)
                assert (await booked(gateway)).status == 200
            async with gateway_for(provider.url, "k", max_input_tokens=6) as gateway:
                body = json.loads(await ask(gateway, CHAT.path))
                assert body["error"]["message"].startswith("Input too large: 7 tokens (max 6).")
                assert body["error"]["details"]["attempts"][0]["kind"] == "input_too_large"
                assert (await booked(gateway)).status == 413
            assert len(provider.models) == 1

    async def test_each_candidate_counts_in_its_own_encoding(self) -> None:
        """AG-154: what is too long for one model may fit another; the client's body counts, not what is sent."""
        text = "お誕生日おめでとう"
        async with KeyedProvider() as provider:
            entry = {"id": "openai", "base_url": provider.url, "api_keys": [{"value": "k"}]}
            policy = ai_policy([entry], max_input_tokens=6 + 8, body={"user": "somebody with a long name"})
            async with RunningGateway(settings_for(policy)) as gateway, gateway.session as client:
                messages = [{"role": "user", "content": text}]
                body = {"model": "gpt-4", "models": ["gpt-4o"], "messages": messages}
                async with client.post(CHAT.path, json=body) as answer:
                    assert answer.status == 200
                    assert answer.headers["x-gateway-model"] == "gpt-4o"
                short, sent = gateway.records[0].attempts
                assert (short.kind, sent.kind) == ("input_too_large", "")
            assert provider.models == ["gpt-4o"]

    async def test_long_inputs_are_counted_before_anything_is_sent(self) -> None:
        async with KeyedProvider() as provider, gateway_for(provider.url, "k", max_input_tokens=100_000) as gateway:
            text = "word " * 120_000
            body = json.loads(await ask(gateway, CHAT.path, messages=[{"role": "user", "content": text}]))
            assert body["error"]["code"] == "ERR_NGROK_3811"
            assert "120007 tokens" in body["error"]["message"] or "120006 tokens" in body["error"]["message"]
            assert provider.models == []

    async def test_estimates_are_shown_to_policies_that_ask(self) -> None:
        """AG-280: ``input_ngrok_tokens`` and ``output_ngrok_tokens``."""
        shown = "${actions.ngrok.ai_gateway.input_ngrok_tokens}"
        after = f'on_http_response:\n  - type: add-headers\n    config: {{headers: {{x-in: "{shown}"}}}}\n'
        async with KeyedProvider() as provider:
            entry = {"id": "mine", "base_url": provider.url, "models": [{"id": "m"}]}
            policy = ai_policy([entry]) + after
            async with (
                RunningGateway(settings_for(policy)) as gateway,
                gateway.session as client,
                client.post(CHAT.path, data=asked(CHAT.path)) as answer,
            ):
                assert answer.headers["x-in"] == "7"
