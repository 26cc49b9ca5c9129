"""The OpenAI SDK reads our errors, error events and lists (AG-65, AG-172, AG-302, lessons 2.2 to 2.4)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from gateway.ai.dialects import codec_for, dialect_for
from gateway.ai.surfaces import CHAT, RESPONSES, Format
from gateway.errors import ALL_FAILED, GatewayError

DIALECT = dialect_for(Format.OPENAI)
CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
)
DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,"item_id":"i",'
    b'"output_index":0,"content_index":0,"delta":"hi","logprobs":[]}\n\n'
)


def client(status: int, content: bytes, content_type: str = "application/json") -> openai.OpenAI:
    answer = httpx2.Response(status, content=content, headers={"content-type": content_type, "x-request-id": "id-1"})
    transport = httpx2.MockTransport(lambda _: answer)
    return openai.OpenAI(
        api_key="k", base_url="http://gw/v1", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def ask(sdk: openai.OpenAI, **options: Any) -> Any:
    return sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], **options)


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError), (401, openai.AuthenticationError), (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError), (422, openai.UnprocessableEntityError), (429, openai.RateLimitError),
        (502, openai.InternalServerError), (503, openai.InternalServerError), (504, openai.InternalServerError),
    ],
)  # fmt: skip
def test_errors_raise_by_status(status, raised):
    body = DIALECT.error_body(GatewayError(ALL_FAILED, {"reason": "x"}, status=status), "id-1")
    with pytest.raises(raised) as caught:
        ask(client(status, body))
    assert caught.value.code == "ERR_NGROK_3807"
    assert "[ERR_NGROK_3807]" in str(caught.value)
    assert caught.value.request_id == "id-1"


def test_a_broken_chat_stream_raises():
    stream = ask(
        client(200, CHUNK + codec_for(CHAT).error_event("ERR_NGROK_3800", "Broken", CHUNK), "text/event-stream"),
        stream=True,
    )
    received = iter(stream)
    assert next(received).choices[0].delta.content == "hi"
    with pytest.raises(openai.APIError, match=r"ERR_NGROK_3800"):
        next(received)


def test_a_broken_responses_stream_tells_an_error():
    event = codec_for(RESPONSES).error_event("ERR_NGROK_3800", "Broken", DELTA)
    sdk = client(200, DELTA + event, "text/event-stream")
    received = list(sdk.responses.create(model="m", input="x", stream=True))
    last: Any = received[-1]
    assert (last.type, last.sequence_number) == ("error", 5)
    assert last.code == "ERR_NGROK_3800"


def test_models_are_listed():
    listed = [SimpleNamespace(id=name, owned_by="o", model=SimpleNamespace(display_name=name)) for name in "ab"]
    assert [model.id for model in client(200, DIALECT.models_list(listed)).models.list()] == ["a", "b"]
