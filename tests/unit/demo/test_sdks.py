"""The official SDKs take the demo provider for the real services."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.unit.demo.rawclient import eventually

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}


@pytest.fixture
async def oai(provider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="demo-key", max_retries=0) as client:
        yield client


@pytest.fixture
async def ant(provider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="demo-key", max_retries=0) as client:
        yield client


@pytest.fixture
def cheap_collections() -> Iterator[None]:
    """The collector looks only at what the test itself makes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def collected() -> None:
    """A stream that raises leaves its nested generators to the collector, which closes one level at a time."""
    for _ in range(12):
        gc.collect()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await eventually(lambda: len(asyncio.all_tasks()) == 1)


async def test_openai_chat(oai):
    answer = await oai.chat.completions.create(
        model="demo:cached=3,reasoning=5,in=40", messages=HELLO, max_completion_tokens=10
    )
    assert answer.choices[0].finish_reason == "length"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (40, 15, 55)
    assert answer.usage.prompt_tokens_details.cached_tokens == 3
    assert answer.usage.completion_tokens_details.reasoning_tokens == 5
    assert answer._request_id.startswith("req_")


async def test_openai_chat_streamed(oai):
    whole = await oai.chat.completions.create(model="demo-fast", messages=HELLO)
    stream = await oai.chat.completions.create(
        model="demo-fast", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(c.usage is None for c in chunks[:-1])


async def test_openai_stream_without_usage_has_none(oai):
    stream = await oai.chat.completions.create(model="demo-fast", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_openai_tools(oai):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    answer = await oai.chat.completions.create(model="demo-tools-2", messages=HELLO, tools=tools)
    calls = answer.choices[0].message.tool_calls
    assert [c.function.name for c in calls] == ["weather", "weather"]
    assert calls[0].function.arguments == '{"city":"Paris","days":3}'
    assert calls[0].id != calls[1].id
    done: Any = [
        *HELLO,
        answer.choices[0].message.model_dump(),
        {"role": "tool", "tool_call_id": calls[0].id, "content": "x"},
    ]
    assert (await oai.chat.completions.create(model="demo-tools-2", messages=done)).choices[0].message.content


async def test_openai_tools_streamed(oai):
    async with oai.chat.completions.stream(model="demo-fast-tools", messages=HELLO) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.tool_calls[0].function.arguments == '{"location":"Paris","unit":"celsius"}'


async def test_openai_responses(oai):
    answer = await oai.responses.create(model="demo", input="Hello")
    assert (answer.status, answer.output_text.count(" ")) == ("completed", 23)
    assert answer.usage.total_tokens == answer.usage.input_tokens + 24
    cut = await oai.responses.create(model="demo", input="Hello", max_output_tokens=5)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize("model", ["demo-fast", "demo-fast-think", "demo-fast-tools"])
async def test_openai_responses_streamed(oai, model):
    async with oai.responses.stream(model=model, input="Hello") as stream:
        seen = [event async for event in stream]
        final = await stream.get_final_response()
    assert [e.sequence_number for e in seen] == list(range(len(seen)))
    assert (seen[0].type, seen[-1].type) == ("response.created", "response.completed")
    assert final.output_text or final.output[-1].type == "function_call"


async def test_openai_completions_and_embeddings(oai):
    answer = await oai.completions.create(model="demo", prompt="Hello")
    assert answer.choices[0].text
    stream = await oai.completions.create(model="demo-fast", prompt="Hello", stream=True)
    assert "".join([c.choices[0].text async for c in stream]) != ""
    vectors = await oai.embeddings.create(model="demo-embedding", input=["a", "b"], dimensions=16)
    assert [len(v.embedding) for v in vectors.data] == [16, 16]
    plain = await oai.embeddings.create(model="demo-embedding", input="a", dimensions=16, encoding_format="float")
    assert all(-1 <= number <= 1 for number in plain.data[0].embedding)


async def test_model_lists(oai, ant):
    assert "demo-429" in [model.id async for model in oai.models.list()]
    assert "demo-429" in [model.id async for model in ant.models.list()]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("demo-400", openai.BadRequestError),
        ("demo-401", openai.AuthenticationError),
        ("demo-403", openai.PermissionDeniedError),
        ("demo-nonsense", openai.NotFoundError),
        ("demo-409", openai.ConflictError),
        ("demo-422", openai.UnprocessableEntityError),
        ("demo-429", openai.RateLimitError),
        ("demo-503", openai.InternalServerError),
        ("demo-reset", openai.APIConnectionError),
    ],
)
async def test_openai_errors_have_the_usual_classes(oai, model, error):
    with pytest.raises(error):
        await oai.chat.completions.create(model=model, messages=HELLO)


async def test_openai_stream_errors(oai, cheap_collections):
    for model in ("demo-error-first", "demo-fast-error-mid-3"):
        with pytest.raises(openai.APIError, match="had an error"):
            async for _ in await oai.chat.completions.create(model=model, messages=HELLO, stream=True):
                pass
    await collected()
    types = [e.type async for e in await oai.responses.create(model="demo-error-first", input="x", stream=True)]
    assert types == ["error"]
    types = [e.type async for e in await oai.responses.create(model="demo-fast-error-mid-3", input="x", stream=True)]
    assert types[-1] == "response.failed"


async def test_openai_sdk_retries_flapping(provider):
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="demo-key") as client:
        await client.chat.completions.create(model="demo-flap-2-503-retry-after-ms-1", messages=HELLO)
    assert [r.status for r in provider.requests] == [503, 503, 200]


async def test_anthropic_messages(ant):
    answer = await ant.messages.create(model="demo:in=50,cached=20,cache_write=10", max_tokens=100, messages=HELLO)
    assert answer.stop_reason == "end_turn"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (20, 20, 10)
    assert usage.output_tokens == 24
    assert answer._request_id.startswith("req_01")
    assert (await ant.messages.create(model="demo", max_tokens=5, messages=HELLO)).stop_reason == "max_tokens"


async def test_anthropic_streamed(ant):
    whole = await ant.messages.create(model="demo-fast", max_tokens=100, messages=HELLO)
    async with ant.messages.stream(model="demo-fast", max_tokens=100, messages=HELLO) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens


async def test_anthropic_thinking_and_tools(ant):
    async with ant.messages.stream(model="demo-fast-think", max_tokens=100, messages=HELLO) as stream:
        final = await stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "text"]
    assert final.content[0].signature
    tools = [{"name": "weather", "input_schema": WEATHER}]
    async with ant.messages.stream(model="demo-fast-tools-2", max_tokens=100, messages=HELLO, tools=tools) as stream:
        final = await stream.get_final_message()
    assert [(b.type, b.input) for b in final.content] == [("tool_use", {"city": "Paris", "days": 3})] * 2
    assert final.stop_reason == "tool_use"


async def test_anthropic_count_tokens(ant):
    assert (await ant.messages.count_tokens(model="demo:in=77", messages=HELLO)).input_tokens == 77


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("demo-401", anthropic.AuthenticationError),
        ("demo-404", anthropic.NotFoundError),
        ("demo-413", anthropic.APIStatusError),
        ("demo-429", anthropic.RateLimitError),
        ("demo-overloaded", anthropic.APIStatusError),
        ("demo-context-length", anthropic.BadRequestError),
        ("demo-reset", anthropic.APIConnectionError),
    ],
)
async def test_anthropic_errors_have_the_usual_classes(ant, model, error):
    with pytest.raises(error):
        await ant.messages.create(model=model, max_tokens=5, messages=HELLO)


async def test_anthropic_stream_errors(ant, cheap_collections):
    async def error_type(model: str) -> str:
        try:
            async with ant.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
                async for _ in stream:
                    pass
        except anthropic.APIStatusError as error:
            body: Any = error.body
            return str(body["error"]["type"])
        return "none"

    assert await error_type("demo-error-first") == "overloaded_error"
    assert await error_type("demo-fast-error-mid-3") == "api_error"
    await collected()
    await collected()
