"""The Anthropic SDK reads our errors, error events and lists (AG-65, AG-172, AG-302, lessons 2.2 to 2.4)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anthropic
import httpx2
import pytest

from gateway.ai.dialects import codec_for, dialect_for
from gateway.ai.surfaces import MESSAGES, Format
from gateway.errors import ALL_FAILED, GatewayError

DIALECT = dialect_for(Format.ANTHROPIC)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant",'
    b'"content":[],"model":"m","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
)


def client(status: int, content: bytes, content_type: str = "application/json") -> anthropic.Anthropic:
    answer = httpx2.Response(status, content=content, headers={"content-type": content_type, "request-id": "id-1"})
    transport = httpx2.MockTransport(lambda _: answer)
    http_client = httpx2.Client(transport=transport)
    return anthropic.Anthropic(api_key="k", base_url="http://gw", max_retries=0, http_client=http_client)


def ask(sdk: anthropic.Anthropic, **options: Any) -> Any:
    return sdk.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}], **options)


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError), (401, anthropic.AuthenticationError), (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError), (413, anthropic.APIStatusError), (422, anthropic.UnprocessableEntityError),
        (429, anthropic.RateLimitError), (503, anthropic.InternalServerError),
    ],
)  # fmt: skip
def test_errors_raise_by_status(status, raised):
    body = DIALECT.error_body(GatewayError(ALL_FAILED, {"reason": "x"}, status=status), "id-1")
    with pytest.raises(raised) as caught:
        ask(client(status, body))
    assert "[ERR_NGROK_3807]" in str(caught.value)
    assert caught.value.request_id == "id-1"


def test_a_broken_stream_raises():
    event = codec_for(MESSAGES).error_event("ERR_NGROK_3800", "Broken", START)
    received = iter(ask(client(200, START + event, "text/event-stream"), stream=True))
    assert next(received).type == "message_start"
    with pytest.raises(anthropic.APIStatusError, match=r"ERR_NGROK_3800"):
        next(received)


def test_models_are_listed_to_their_end():
    """Without ``has_more`` the pager would go on."""
    listed = [SimpleNamespace(id=name, owned_by="o", model=SimpleNamespace(display_name=name)) for name in "ab"]
    assert [model.id for model in client(200, DIALECT.models_list(listed)).models.list()] == ["a", "b"]
