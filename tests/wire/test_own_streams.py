"""``on_event_stream_message`` over event streams that a policy makes itself (TP-45): no way around the rules."""

from __future__ import annotations

import json
import zlib

from tests.wire.running import RunningGateway, read_answer, request_bytes, settings_for
from tests.wire.serving import chat_body, connect
from tests.wire.test_actions import FAILING, HIDE, in_front_of
from tests.wire.test_forward import to, with_internal
from tests.wire.upstreams import json_answer

BODY = "data: a secret\\n\\nevent: x\\ndata: more\\n\\n"
ANSWER = f"""
  - type: custom-response
    config: {{headers: {{content-type: "text/event-stream; charset=utf-8"}}, body: "{BODY}"}}
"""
REQUEST = f"on_http_request:{ANSWER}"
RESPONSE = f"on_http_response:{ANSWER}"
CHANGED = b"data: a ***\n\nevent: x\ndata: more\n\n"
COMPRESS = "on_http_response: [{type: compress-response}]\n"


async def ask(gateway: RunningGateway, **headers: str) -> tuple[dict[str, str], bytes]:
    reader, writer = await connect(gateway)
    writer.write(request_bytes("/v1/chat/completions", chat_body(), **headers))
    try:
        _, head, body = await read_answer(reader)
    finally:
        writer.close()
    return head, body


async def test_an_answer_in_the_request_phase_meets_the_rules() -> None:
    async with RunningGateway(settings_for(REQUEST + HIDE)) as gateway:
        headers, body = await ask(gateway)
        assert body == CHANGED
        assert int(headers["content-length"]) == len(body)


async def test_other_answers_do_not() -> None:
    plain = REQUEST.replace("text/event-stream", "text/plain")
    async with RunningGateway(settings_for(plain + HIDE)) as gateway:
        assert b"a secret" in (await ask(gateway))[1]


async def test_an_answer_in_place_of_an_upstreams_meets_the_rules() -> None:
    """TP-221: what replaces the upstream's answer, and only that."""
    async with in_front_of(json_answer(b'{"a": "secret"}'), after=RESPONSE + HIDE) as gateway:
        assert (await ask(gateway))[1] == CHANGED


async def test_compression_comes_behind_the_rules() -> None:
    async with RunningGateway(settings_for(REQUEST + COMPRESS + HIDE)) as gateway:
        headers, body = await ask(gateway, accept_encoding="gzip")
        assert headers["content-encoding"] == "gzip"
        assert zlib.decompress(body, 31) == CHANGED
        assert (await ask(gateway))[1] == CHANGED


async def test_an_internal_endpoints_answer_meets_the_rules_of_both() -> None:
    """TP-540: also where the inner endpoint compressed it."""
    louder = HIDE.replace("secret", '"[*]+"').replace('"***"', '"!!!"')
    for inner in (REQUEST + HIDE, REQUEST + COMPRESS + HIDE):
        async with RunningGateway(with_internal(to("a") + louder, a=inner)) as gateway:
            _, body = await ask(gateway, accept_encoding="gzip")
            assert body == CHANGED.replace(b"***", b"!!!")


async def test_a_rule_that_fails_ends_the_stream_with_an_error_event() -> None:
    """TP-56."""
    poisoned = REQUEST.replace("data: more", "data: poison")
    async with RunningGateway(settings_for(poisoned + FAILING)) as gateway:
        headers, body = await ask(gateway)
        first, error, rest = body.split(b"\n\n")
        assert (first, rest) == (b"data: a secret", b"")
        assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "ERR_NGROK_2254"
        assert headers["connection"] == "close"
