"""Checklist, documents of the AI gateway: CL-20 to CL-25."""

from __future__ import annotations

import json

import pytest

from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows

TRIED = "openai:gpt-4o"
PROVIDER = "{id: openai, base_url: '@service@/v1', api_keys: [{value: sk-key-of-the-operator-0123456789}]}"
COMPLETION = answer(json.dumps({"choices": [{"message": {"content": "hi"}}]}), content_type="application/json")
BROKEN = answer('{"error": {"message": "down"}}', status=500, content_type="application/json")


@row(20, "on_http_request: [{type: ai-gateway, config: }]")
async def config_is_empty(stage: Stage) -> None:
    assert (await stage.ask("/v1/models")).status == 200


@row(20, "on_http_request: [{type: ai-gateway}]")
async def config_is_left_out(stage: Stage) -> None:
    assert (await stage.ask("/v1/models")).status == 200


@row(
    20,
    """
        on_http_request:
          - type: add-headers
            config: {headers: {x-first: "1"}}
          - actions:
              - type: remove-headers
                config: {headers: [x-gone]}
              - type: add-headers
                config: {headers: {x-second: "2"}}
          - type: custom-response
            config:
              body: "${req.headers['x-first'][0]} ${req.headers['x-second'][0]} ${'x-gone' in req.headers}"
    """,
)
async def both_forms_in_one_phase(stage: Stage) -> None:
    assert (await stage.ask(x_gone="here")).text == "1 2 false"


FALLBACK = f"""
        on_http_request:
          - type: ai-gateway
            config: {{on_error: continue, providers: [{PROVIDER}]}}
"""


@row(
    21,
    f"""
{FALLBACK}
          - type: custom-response
            config: {{status_code: 503, body: All models are down.}}
    """,
)
async def fallback_as_plain_text(stage: Stage) -> None:
    stage.service.otherwise = COMPLETION
    assert (await stage.chat(model=TRIED)).json["choices"]
    stage.service.otherwise = BROKEN
    answered = await stage.chat(model=TRIED)
    assert (answered.status, answered.text) == (503, "All models are down.")
    assert answered.headers["content-type"] == "text/plain; charset=utf-8"
    assert answered.code is None


@row(
    21,
    f"""
{FALLBACK}
          - type: custom-response
            config:
              status_code: 503
              body: |
                {{
                  "error": "${{actions.ngrok.ai_gateway.error.code}}",
                  "status": "${{actions.ngrok.ai_gateway.status}}"
                }}
    """,
)
async def fallback_as_json_with_the_code(stage: Stage) -> None:
    stage.service.otherwise = BROKEN
    answered = await stage.chat(model=TRIED)
    assert answered.status == 503
    assert answered.json == {"error": "ERR_NGROK_3807", "status": "error"}
    assert answered.headers["content-type"] == "application/json"


@row(
    22,
    f"""
{FALLBACK}
          - type: log
            config: {{metadata: {{gateway: "${{actions.ngrok.ai_gateway}}"}}}}
          - type: deny
            config: {{status_code: 502}}
    """,
)
async def failures_are_logged_and_denied(stage: Stage) -> None:
    stage.service.otherwise = BROKEN
    answered = await stage.chat(model=TRIED)
    assert (answered.status, answered.body) == (502, b"")
    ((entry,),) = [record.log_metadata for record in stage.gateway.records]
    logged = entry["metadata"]["gateway"]
    assert logged["status"] == "error"
    (tried,) = logged["models_tried"]
    assert tried["requests_made"][0]["response"]["status_code"] == 500
    assert "sk-key-of-the-operator-0123456789" not in json.dumps(logged)


@row(
    23,
    f"""
{FALLBACK}
          - type: custom-response
            config: {{body: "${{actions.ngrok.ai_gateway}}"}}
    """,
)
async def the_whole_result_as_a_document(stage: Stage) -> None:
    stage.service.otherwise = BROKEN
    answered = await stage.chat(model=TRIED)
    assert answered.headers["content-type"] == "application/json"
    result = answered.json
    assert result["status"] == "error"
    assert result["error"]["code"].startswith("ERR_NGROK_")
    assert result["client"]["path"] == "/v1/chat/completions"
    assert "success" not in result, "what is absent is not there (AG-280)"
    assert "sk-key-of-the-operator-0123456789" not in answered.text


@row(
    24,
    """
        on_http_request:
          - type: ai-gateway
            config:
              headers:
                x-request-id: "${req.id}"
                x-client: "${conn.client_ip}"
              query_params: {api-version: "2024-10-21", who: "${req.headers['x-who'][0]}"}
              body:
                temperature: 0.2
                user: "${req.headers['x-who'][0]}"
                metadata: {path: "${req.url.path}", length: "${size(req.headers['x-who'])}"}
              providers:
                - {id: openai, base_url: '@service@/v1', api_keys: [{value: sk-key}]}
    """,
)
async def headers_query_and_body_defaults(stage: Stage) -> None:
    stage.service.otherwise = COMPLETION
    body = {"model": TRIED, "messages": [], "temperature": 1.5, "top_p": 0.5, "user": "mallory"}
    answered = await stage.ask("/v1/chat/completions", method="POST", body=json.dumps(body).encode(), x_who="ann")
    assert answered.status == 200
    asked = stage.asked
    assert asked.header("x-request-id") == stage.last.id == answered.headers["x-gateway-request-id"]
    assert asked.header("x-client") == "127.0.0.1"
    assert sorted(asked.query.split("&")) == ["api-version=2024-10-21", "who=ann"]
    sent = json.loads(asked.body)
    assert (sent["temperature"], sent["user"], sent["top_p"]) == (0.2, "ann", 0.5)
    assert sent["metadata"] == {"path": "/v1/chat/completions", "length": 1}


@row(
    25,
    """
        on_http_request:
          - type: ai-gateway
            config:
              providers:
                - {id: openai, base_url: '@service@/v1', api_keys: [{value: "${secrets.get('openai-key')}"}]}
    """,
    secrets={("any-vault", "openai-key"): "sk-only-one", ("other", "name"): "x"},
)
async def secrets_by_one_argument(stage: Stage) -> None:
    stage.service.otherwise = COMPLETION
    assert (await stage.chat(model=TRIED)).status == 200
    assert stage.asked.header("authorization") == "Bearer sk-only-one"


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
