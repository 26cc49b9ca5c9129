"""Checklist, documents of the AI gateway: what changes on the way (CL-26 to CL-29)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows

TRIED = "openai:gpt-4o"
GATEWAY = """
          - type: ai-gateway
            config:
              providers: [{id: openai, base_url: '@service@/v1', api_keys: [{value: sk-key}]}]
"""


def completion(text: str, status: int = 200) -> bytes:
    """A chat completion with this text."""
    message = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return answer(json.dumps({"choices": [message]}), status, content_type="application/json")


def stream(*texts: str) -> bytes:
    """A streamed answer, a word per message."""
    words = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in texts]
    body = "".join(f"data: {word}\n\n" for word in [*words, "[DONE]"])
    return answer(body, content_type="text/event-stream")


async def prompt_seen(stage: Stage, body: Any) -> Any:
    """The body that the provider got for this one."""
    stage.service.otherwise = completion("hi")
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answered = await stage.ask("/v1/chat/completions", method="POST", body=raw, content_type="application/json")
    assert answered.status == 200, answered.text
    assert stage.asked.header("content-length") == str(len(stage.asked.body))
    return json.loads(stage.asked.body)


@row(
    26,
    r"""
        on_http_request:
          - type: request-body-find-replace
            config:
              replacements:
                - {from: '[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}', to: "[EMAIL]"}
                - {from: '\b\d{3}-\d{2}-\d{4}\b', to: "[SSN]"}
                - {from: '\b(?:\d{4}[- ]?){3}\d{4}\b', to: "[CARD]"}
                - {from: '\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}', to: "[PHONE]"}
                - {from: '"password"\s*:\s*"[^"]*"', to: '"password": "[REDACTED]"'}
"""
    + GATEWAY,
)
async def personal_details_never_reach_the_provider(stage: Stage) -> None:
    text = "ann@example.com, 078-05-1120, (555) 123-4567 and 4111 1111 1111 1111"
    body = {"model": TRIED, "messages": [{"role": "user", "content": text}], "metadata": {"password": "hunter2"}}
    sent = await prompt_seen(stage, body)
    assert sent["messages"][0]["content"] == "[EMAIL], [SSN], [PHONE] and [CARD]"
    assert sent["metadata"] == {"password": "[REDACTED]"}
    everything = str(stage.service.requests)
    for original in ("ann@example.com", "078-05-1120", "123-4567", "4111", "hunter2"):
        assert original not in everything


@row(
    27,
    r"""
        on_http_request:
          - type: request-body-find-replace
            config:
              replacements:
                - {from: '("role":\s*"system",\s*"content":\s*")', to: '$1You speak for Acme. '}
"""
    + GATEWAY,
)
async def the_system_prompt_is_extended(stage: Stage) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "system"}]
    sent = await prompt_seen(stage, {"model": TRIED, "messages": messages})
    assert [message["content"] for message in sent["messages"]] == ["You speak for Acme. Be brief.", "system"]


@row(
    27,
    """
        on_http_request:
          - type: set-vars
            config: {vars: [{old: 'A[ck]me'}, {new: "${req.headers['x-brand'][0]}"}]}
          - type: request-body-find-replace
            config: {replacements: [{from: "${vars.old}", to: "${vars.new}"}]}
"""
    + GATEWAY,
)
async def patterns_and_texts_from_variables(stage: Stage) -> None:
    stage.service.otherwise = completion("hi")
    assert (await stage.chat(model=TRIED, text="Acme and Akme", x_brand="Globex")).status == 200
    assert json.loads(stage.asked.body)["messages"][0]["content"] == "Globex and Globex"
    failed = await stage.chat(model=TRIED, text="Acme")
    assert (failed.status, failed.code) == (200, None), "an absent header is an empty text (TP-115)"
    assert json.loads(stage.asked.body)["messages"][0]["content"] == ""


REPLACE = """
        on_http_response:
          - type: response-body-find-replace
            config: {replacements: [{from: 'secret-[0-9]+', to: '***'}]}
"""


@row(28, f"        on_http_request:{GATEWAY}{REPLACE}")
async def plain_answers_are_changed(stage: Stage) -> None:
    stage.service.otherwise = completion("the secret-12 and secret-3")
    answered = await stage.chat(model=TRIED)
    assert answered.json["choices"][0]["message"]["content"] == "the *** and ***"
    assert int(answered.headers["content-length"]) == len(answered.body)
    stage.service.otherwise = stream("secret-1")
    assert any("stream" in warning for warning in stage.warnings()), "TP-444"
    assert b"secret-1" in (await stage.chat(model=TRIED, stream=True)).body


@row(
    28,
    f"""
        on_http_request:{GATEWAY}
        on_http_response:
          - type: response-body-find-replace
            config: {{replacements: [{{from: '("finish_reason":\\s*"[a-z]+")', to: '$1, "reviewed": true'}}]}}
    """,
)
async def a_field_behind_the_finish_reason(stage: Stage) -> None:
    stage.service.otherwise = completion("hello")
    (choice,) = (await stage.chat(model=TRIED)).json["choices"]
    assert (choice["finish_reason"], choice["reviewed"]) == ("stop", True)


@row(
    28,
    f"""
        on_http_request:{GATEWAY}
        on_http_response:
          - expressions: ["res.status_code >= 500"]
            actions:
              - type: response-body-find-replace
                config: {{replacements: [{{from: 'openai/[a-z0-9-]+', to: 'a model'}}]}}
    """,
)
async def only_errors_are_sanitised(stage: Stage) -> None:
    stage.service.otherwise = completion("openai/gpt-4o is fine")
    assert b"openai/gpt-4o is fine" in (await stage.chat(model=TRIED)).body
    stage.service.otherwise = answer('{"error": {"message": "down"}}', 503, content_type="application/json")
    failed = await stage.chat(model=TRIED)
    assert failed.status >= 500
    assert "openai/gpt-4o" not in failed.text
    assert "a model" in failed.text


STREAM = """
        on_event_stream_message:
          - type: sse-find-replace
            config: {replacements: [REPLACEMENTS]}
"""


def streamed(replacement: str) -> str:
    """A gateway whose streams are changed."""
    return f"        on_http_request:{GATEWAY}" + STREAM.replace("REPLACEMENTS", replacement)


def words(body: bytes) -> list[str]:
    """The text of each message."""
    payloads = [line.removeprefix("data: ") for line in body.decode().split("\n") if line.startswith("data: ")]
    assert payloads[-1] == "[DONE]"
    return [json.loads(payload)["choices"][0]["delta"]["content"] for payload in payloads[:-1]]


@row(29, streamed(r"{from: '\b\d{3}-\d{2}-\d{4}\b', to: '[SSN]'}"))
async def numbers_in_streams(stage: Stage) -> None:
    stage.service.otherwise = stream("It is 078-05-1120.", "078-05-", "1120")
    answered = await stage.chat(model=TRIED, stream=True)
    assert words(answered.body) == ["It is [SSN].", "078-05-", "1120"], "messages are looked at one by one (TP-445)"


@row(29, streamed("{from: '(important|urgent)', to: '**$1**'}, {from: 'very ', to: ''}, {from: 'um, '}"))
async def words_are_wrapped_and_deleted(stage: Stage) -> None:
    stage.service.otherwise = stream("very important", "um, urgent things")
    assert words((await stage.chat(model=TRIED, stream=True)).body) == ["**important**", "**urgent** things"]


@row(29, streamed("{field: retry, from: '.*', to: '5000'}"))
async def the_retry_time_is_set(stage: Stage) -> None:
    stage.service.otherwise = answer("retry: 10\ndata: [DONE]\n\n", content_type="text/event-stream")
    assert (await stage.chat(model=TRIED, stream=True)).text == "retry: 5000\ndata: [DONE]\n\n"


@row(
    29,
    f"""
        on_http_request:{GATEWAY}{REPLACE}
        on_event_stream_message:
          - type: sse-find-replace
            config: {{replacements: [{{from: 'secret-[0-9]+', to: '***'}}]}}
    """,
)
async def plain_and_streamed_answers_together(stage: Stage) -> None:
    assert not any("TP-444" in warning or "streamed" in warning for warning in stage.warnings())
    stage.service.otherwise = completion("a secret-1")
    assert (await stage.chat(model=TRIED)).json["choices"][0]["message"]["content"] == "a ***"
    stage.service.otherwise = stream("a secret-1", "b")
    assert words((await stage.chat(model=TRIED, stream=True)).body) == ["a ***", "b"]


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
