"""The official OpenAI and Anthropic SDKs, unchanged, against a gateway with its own keys (P25, P35, AG-300 ff.)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anthropic
import openai
import pytest

from gateway.demo.server import DemoProvider
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import HELLO, provider_entry, serving

FAST = "demo:n=6,delay=0ms"
WEATHER: Any = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}
#: what an SDK of a user would hold; with keys in the policy it is ignored
OWN_KEY = "sk-own-key-of-the-client"


@dataclass(frozen=True)
class World:
    """One gateway and a client of each kind for it."""

    provider: DemoProvider
    gateway: RunningGateway
    oai: openai.AsyncOpenAI
    ant: anthropic.AsyncAnthropic


@pytest.fixture(autouse=True)
def no_system_authorities() -> None:
    """The SDKs refuse an empty list of authorities."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving(per_request_timeout="400ms") as (provider, gateway):
        url = gateway.url
        async with (
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=OWN_KEY, max_retries=0) as oai,
            anthropic.AsyncAnthropic(base_url=url, api_key=OWN_KEY, max_retries=0) as ant,
        ):
            yield World(provider, gateway, oai, ant)


@pytest.fixture
def cheap_collections() -> Iterator[None]:
    """The collector looks only at what the test itself makes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def collected() -> None:
    """A stream that raises leaves nested generators to the collector, which closes one level at a time."""
    for _ in range(12):
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


# ---- what works ----------------------------------------------------------------------------------------------------


async def test_openai_chat(world: World) -> None:
    """Plain, streamed with and without usage: the same text, the provider's ids, no chunk that was not asked for."""
    whole = await world.oai.chat.completions.create(model=FAST, messages=HELLO)
    assert whole.choices[0].finish_reason == "stop"
    assert whole._request_id
    assert world.provider.last.header("authorization") != f"Bearer {OWN_KEY}"
    stream = await world.oai.chat.completions.create(model=FAST, messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    stream = await world.oai.chat.completions.create(
        model=FAST, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage == whole.usage
    first, _, third = [record.ai for record in world.gateway.records]
    assert whole.usage is not None
    assert first.output_tokens == third.output_tokens == whole.usage.completion_tokens == 6


async def test_usage_that_the_client_did_not_ask_for() -> None:
    """AG-244: asked of the provider for the books, taken out of the client's stream."""
    known = ["messages", "stream", "stream_options"]
    surfaces = [{"format": "openai", "surface": "chat-completions", "supported_params": known}]
    async with (
        serving(entry={"supported_api_surfaces": surfaces}) as (provider, gateway),
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=OWN_KEY, max_retries=0) as oai,
    ):
        stream = await oai.chat.completions.create(model=FAST, messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        assert b'"include_usage":true' in provider.last.body
        assert all(chunk.choices and chunk.usage is None for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert gateway.records[0].ai.output_tokens == 6


async def test_openai_tools(world: World) -> None:
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    answer = await world.oai.chat.completions.create(model="demo:tools-2", messages=HELLO, tools=tools)
    calls: Any = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "weather"]
    async with world.oai.chat.completions.stream(model="demo:fast-tools", messages=HELLO, tools=tools) as stream:
        final: Any = await stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"city":"Paris","days":3}'


async def test_openai_responses(world: World) -> None:
    answer = await world.oai.responses.create(model=FAST, input="Hello")
    assert (answer.status, answer.output_text != "") == ("completed", True)
    async with world.oai.responses.stream(model=FAST, input="Hello") as stream:
        seen = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert final.output_text == answer.output_text


async def test_openai_completions_embeddings_and_models(world: World) -> None:
    stream = await world.oai.completions.create(model=FAST, prompt="Hello", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream])
    vectors = await world.oai.embeddings.create(model="demo:demo-embedding", input=["a", "b"], dimensions=16)
    assert [len(vector.embedding) for vector in vectors.data] == [16, 16]
    assert "demo:demo" in [model.id async for model in world.oai.models.list()]
    assert (await world.oai.models.retrieve("demo:demo")).id == "demo:demo"
    sent = [received.path for received in world.provider.requests]
    assert sent == ["/v1/completions", "/v1/embeddings"]  # AG-65: the list is the gateway's own


async def test_anthropic_messages(world: World) -> None:
    whole = await world.ant.messages.create(model=FAST, max_tokens=100, messages=HELLO)
    assert whole.stop_reason == "end_turn"
    assert whole._request_id
    async with world.ant.messages.stream(model=FAST, max_tokens=100, messages=HELLO) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    first: Any = whole.content[0]
    assert text == first.text
    assert final.usage.output_tokens == whole.usage.output_tokens
    tools: Any = [{"name": "weather", "input_schema": WEATHER}]
    async with world.ant.messages.stream(model="demo:fast-tools", max_tokens=9, messages=HELLO, tools=tools) as stream:
        final = await stream.get_final_message()
    called: Any = final.content[0]
    assert (called.type, called.input) == ("tool_use", {"city": "Paris", "days": 3})


async def test_anthropic_count_tokens_and_models(world: World) -> None:
    counted = await world.ant.messages.count_tokens(model="demo:in=77", messages=HELLO)
    assert counted.input_tokens == 77
    assert "demo:demo" in [model.id async for model in world.ant.models.list()]


async def test_synchronous_clients(world: World) -> None:
    """The same over the blocking clients, from a thread."""
    url = world.gateway.url

    def converse() -> tuple[str, str, str, str]:
        with (
            openai.OpenAI(base_url=f"{url}/v1", api_key=OWN_KEY, max_retries=0) as oai,
            anthropic.Anthropic(base_url=url, api_key=OWN_KEY, max_retries=0) as ant,
        ):
            chat = oai.chat.completions.create(model=FAST, messages=HELLO).choices[0].message.content
            with oai.chat.completions.create(model=FAST, messages=HELLO, stream=True) as chunks:
                streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            message: Any = ant.messages.create(model=FAST, max_tokens=50, messages=HELLO).content[0]
            with ant.messages.stream(model=FAST, max_tokens=50, messages=HELLO) as stream:
                pieces = "".join(stream.text_stream)
            with pytest.raises(openai.UnprocessableEntityError):
                oai.chat.completions.create(model="nobody-has-it", messages=HELLO)
            with pytest.raises(anthropic.UnprocessableEntityError):
                ant.messages.create(model="nobody-has-it", max_tokens=5, messages=HELLO)
            return chat or "", streamed, message.text, pieces

    chat, streamed, message, pieces = await asyncio.to_thread(converse)
    assert chat == streamed != ""
    assert message == pieces != ""


# ---- errors --------------------------------------------------------------------------------------------------------

GATEWAY_KEY = "ng-xxxxxxxx-g1-notissuedhere"


def openai_calls(client: openai.AsyncOpenAI) -> dict[str, Callable[[], Awaitable[object]]]:
    """Error by name → the call that causes it."""

    def chat(model: Any, **more: Any) -> Callable[[], Awaitable[object]]:
        return lambda: client.chat.completions.create(model=model, messages=HELLO, **more)

    return {
        "gateway-key": chat(FAST, extra_headers={"authorization": f"Bearer {GATEWAY_KEY}"}),
        "body": chat(FAST, extra_body={"models": 7}),
        "path": lambda: client.moderations.create(input="Hello"),
        "model": chat("nobody-has-it"),
        "429": chat("demo:429"),
        "400": chat("demo:context-length"),
        "502": chat("demo:reset"),
        "503": chat("demo:500"),
        "504": chat("demo:silent"),
        "401": chat("demo:401"),
        "stream-429": chat("demo:429", stream=True),
        "responses-model": lambda: client.responses.create(model="nobody-has-it", input="Hello"),
    }


OPENAI_ERRORS: dict[str, tuple[type[openai.APIStatusError], int, str, str]] = {
    "gateway-key": (openai.AuthenticationError, 401, "ERR_NGROK_27007", "authentication_error"),
    "body": (openai.BadRequestError, 400, "ERR_NGROK_3801", "invalid_request_error"),
    "path": (openai.NotFoundError, 404, "ERR_NGROK_3814", "invalid_request_error"),
    "model": (openai.UnprocessableEntityError, 422, "ERR_NGROK_3804", "invalid_request_error"),
    "429": (openai.RateLimitError, 429, "ERR_NGROK_3807", "rate_limit_error"),
    "400": (openai.BadRequestError, 400, "ERR_NGROK_3807", "invalid_request_error"),
    "502": (openai.InternalServerError, 502, "ERR_NGROK_3800", "server_error"),
    "503": (openai.InternalServerError, 503, "ERR_NGROK_3807", "server_error"),
    "504": (openai.InternalServerError, 504, "ERR_NGROK_3810", "server_error"),
    "401": (openai.InternalServerError, 503, "ERR_NGROK_3807", "server_error"),
    "stream-429": (openai.RateLimitError, 429, "ERR_NGROK_3807", "rate_limit_error"),
    "responses-model": (openai.UnprocessableEntityError, 422, "ERR_NGROK_3804", "invalid_request_error"),
}


async def test_openai_errors(world: World) -> None:
    """AG-300 to AG-302: class, status, code, type, and the code inside the message; the request id is the record's."""
    calls = openai_calls(world.oai)
    assert set(calls) == set(OPENAI_ERRORS)
    for name, (kind, status, code, type_) in OPENAI_ERRORS.items():
        with pytest.raises(openai.APIStatusError) as caught:
            await calls[name]()
        error = caught.value
        assert (type(error), error.status_code, error.code, error.type) == (kind, status, code, type_), name
        assert f"[{code}]" in str(error), name
        assert error.request_id == world.gateway.records[-1].id, name
        assert error.param == ("model" if code == "ERR_NGROK_3804" else None), name


def anthropic_calls(client: anthropic.AsyncAnthropic) -> dict[str, Callable[[], Awaitable[object]]]:
    def message(model: str, **more: Any) -> Callable[[], Awaitable[object]]:
        return lambda: client.messages.create(model=model, max_tokens=50, messages=HELLO, **more)

    return {
        "gateway-key": message(FAST, extra_headers={"x-api-key": GATEWAY_KEY}),
        "body": message(FAST, extra_body={"models": 7}),
        "path": lambda: client.messages.batches.list(),
        "model": message("nobody-has-it"),
        "429": message("demo:429"),
        "400": message("demo:context-length"),
        "502": message("demo:reset"),
        "503": message("demo:500"),
        "504": message("demo:silent"),
        "stream-429": message("demo:429", stream=True),
    }


ANTHROPIC_ERRORS: dict[str, tuple[type[anthropic.APIStatusError], int, str, str]] = {
    "gateway-key": (anthropic.AuthenticationError, 401, "ERR_NGROK_27007", "authentication_error"),
    "body": (anthropic.BadRequestError, 400, "ERR_NGROK_3801", "invalid_request_error"),
    "path": (anthropic.NotFoundError, 404, "ERR_NGROK_3814", "not_found_error"),
    "model": (anthropic.UnprocessableEntityError, 422, "ERR_NGROK_3804", "invalid_request_error"),
    "429": (anthropic.RateLimitError, 429, "ERR_NGROK_3807", "rate_limit_error"),
    "400": (anthropic.BadRequestError, 400, "ERR_NGROK_3807", "invalid_request_error"),
    "502": (anthropic.InternalServerError, 502, "ERR_NGROK_3800", "api_error"),
    "503": (anthropic.ServiceUnavailableError, 503, "ERR_NGROK_3807", "overloaded_error"),
    "504": (anthropic.GatewayTimeoutError, 504, "ERR_NGROK_3810", "api_error"),
    "stream-429": (anthropic.RateLimitError, 429, "ERR_NGROK_3807", "rate_limit_error"),
}


async def test_anthropic_errors(world: World) -> None:
    """The same in the other dialect; the SDK reads ``request-id``."""
    calls = anthropic_calls(world.ant)
    assert set(calls) == set(ANTHROPIC_ERRORS)
    for name, (kind, status, code, type_) in ANTHROPIC_ERRORS.items():
        with pytest.raises(anthropic.APIStatusError) as caught:
            await calls[name]()
        error = caught.value
        body: Any = error.body
        seen = (type(error), error.status_code, body["error"]["code"], body["error"]["type"])
        assert seen == (kind, status, code, type_), name
        assert f"[{code}]" in str(error), name
        assert error.request_id == body["request_id"] == world.gateway.records[-1].id, name


async def test_broken_streams_raise(world: World, cheap_collections: None) -> None:
    """AG-172, AG-302: a cut raises in the SDK that would take the missing end mark for a success."""

    async def chat() -> None:
        stream = await world.oai.chat.completions.create(model="demo:cut-3", messages=HELLO, stream=True)
        async for chunk in stream:
            assert chunk.choices

    async def message() -> None:
        async with world.ant.messages.stream(model="demo:cut-3", max_tokens=50, messages=HELLO) as stream:
            async for event in stream:
                assert event.type != "message_stop"

    with pytest.raises(openai.APIError) as caught:
        await chat()
    assert caught.value.code == "ERR_NGROK_3800"
    assert caught.value.message.endswith("[ERR_NGROK_3800]")
    events: list[Any] = [
        event
        async for event in await world.oai.responses.create(
            model="demo:n=200,delay=1ms,cut-130", input="Hello", stream=True
        )
    ]
    assert len(events) > 130
    assert (events[-1].type, events[-1].code) == ("error", "ERR_NGROK_3800")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with pytest.raises(anthropic.APIStatusError) as broken:
        await message()
    body: Any = broken.value.body
    assert (body["error"]["type"], body["error"]["code"]) == ("api_error", "ERR_NGROK_3800")
    await collected()


# ---- retries -------------------------------------------------------------------------------------------------------

#: the faults of two keys → how many requests reach the provider for one call with the SDK's default retries
RETRIES: dict[tuple[str, str], int] = {
    ("500", "503"): 2,
    ("reset", "reset"): 2,
    ("silent", "silent"): 2,
    ("401", "401"): 2,
    ("400", "400"): 2,
    ("409", "409"): 2,
    ("503-retry-after-90", "503-retry-after-90"): 2,
    ("429-retry-after-90", "429-retry-after-90"): 2,
}


@pytest.mark.parametrize("faults", RETRIES, ids="+".join)
async def test_default_retries_do_not_multiply(faults: tuple[str, str]) -> None:
    """P35, AG-179: the gateway has tried every key; its answer tells the SDKs not to start over."""
    keys = [f"demo-key-{fault}:n={number + 2}" for number, fault in enumerate(faults)]
    async with serving(*keys, per_request_timeout="150ms") as (provider, gateway):
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=OWN_KEY) as oai:
            with pytest.raises(openai.APIStatusError):
                await oai.chat.completions.create(model="demo", messages=HELLO)
        assert provider.stats.requests == RETRIES[faults]
        async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key=OWN_KEY) as ant:
            with pytest.raises(anthropic.APIStatusError):
                await ant.messages.create(model="demo", max_tokens=5, messages=HELLO)
        assert provider.stats.requests == 2 * RETRIES[faults]


async def test_short_waits_are_left_to_the_sdk() -> None:
    """AG-178, AG-179: a single key that asks for a short wait; the SDK waits as told and succeeds."""
    async with serving("demo-key-flap-1-503-retry-after-1") as (provider, gateway):
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=OWN_KEY) as oai:
            answer = await oai.chat.completions.create(model=FAST, messages=HELLO)
        assert answer.choices
        assert provider.stats.requests == 2


async def test_endpoint_that_requires_gateway_keys() -> None:
    """AG-187: no credential is 27201, the SDK's own key is 27007; nothing goes upstream."""
    async with DemoProvider() as provider:
        settings = settings_for(ai_policy([provider_entry(provider.base_url, "demo-key")]))
        endpoints = tuple(replace(endpoint, gateway_keys="required") for endpoint in settings.endpoints)
        async with (
            RunningGateway(replace(settings, endpoints=endpoints)) as gateway,
            openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=OWN_KEY, max_retries=0) as oai,
            anthropic.AsyncAnthropic(base_url=gateway.url, api_key=OWN_KEY, max_retries=0) as ant,
        ):
            with pytest.raises(openai.AuthenticationError, match=r"\[ERR_NGROK_27007\]"):
                await oai.chat.completions.create(model=FAST, messages=HELLO)
            with pytest.raises(openai.AuthenticationError, match=r"\[ERR_NGROK_27201\]"):
                await oai.chat.completions.create(
                    model=FAST, messages=HELLO, extra_headers={"authorization": openai.Omit()}
                )
            with pytest.raises(anthropic.AuthenticationError, match=r"\[ERR_NGROK_27007\]"):
                await ant.messages.create(model=FAST, max_tokens=5, messages=HELLO)
        assert provider.stats.requests == 0
