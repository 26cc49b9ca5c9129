"""Checklist: hostile requests and failing policies (CL-92, CL-96 to CL-99)."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from gateway.observability.record import describe, encode_json, encode_text
from tests.wire.checklist.documents import MODEL
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows

PLANTED = {("v", "s"): "canary-of-the-vault"}


@row(
    92,
    """
        on_http_request:
          - type: set-vars
            config: {vars: [{said: "${req.headers['x-said'][0]}"}]}
          - type: custom-response
            config:
              headers: {x-echo: "${vars.said}"}
              body: "${req.headers['x-said'][0]} | ${vars.said} | ${'$' + '{1 + 1}'}"
    """,
    secrets=PLANTED,
)
async def what_a_client_says_is_never_evaluated(stage: Stage) -> None:
    for said in ("${secrets.get('v','s')}", "$${1}", "${", "${vars.said}"):
        answered = await stage.ask(x_said=said)
        assert answered.text == f"{said} | {said} | ${{1 + 1}}"
        assert answered.headers["x-echo"] == said
        assert "canary" not in answered.text


CATASTROPHIC = "(a+)+(b|a+)*$"


@row(
    96,
    f"""
        on_http_request:
          - type: request-body-find-replace
            config:
              replacements: [{{from: '{CATASTROPHIC}', to: x}}, {{from: '(.*)=(.*)=(.*)', to: '$3'}}]
          - expressions: ["req.headers['x-long'].matches('{CATASTROPHIC}')"]
            actions: [{{type: deny}}]
          - {{type: custom-response, config: {{body: done}}}}
    """,
)
async def catastrophic_expression_and_a_large_body(stage: Stage) -> None:
    """Ten megabytes that make a backtracking engine run for ever; other requests are answered meanwhile."""
    large = asyncio.get_running_loop().create_task(
        stage.ask(method="POST", body=b"a" * (10 << 20) + b"!", x_long="a" * 5_000 + "!")
    )
    await asyncio.sleep(0)
    assert (await stage.ask(x_long="aab")).status == 403
    assert (await large).text == "done"


def failing(second: str, first: str = "false") -> str:
    return f"""
        on_http_request:
          - expressions: ["{first}", "{second}"]
            actions: [{{type: deny}}]
          - {{type: custom-response, config: {{body: reached}}}}
    """


FAILURES = (
    "req.headers['x-n'][0] < '5'",
    "1 / 0 == 1",
    "vars.unset == 1",
    "secrets.get('v', 'missing') == ''",
    "json.decode('5')",
)


@row(97, failing(FAILURES[0]))
async def failing_behind_a_false_one(stage: Stage) -> None:
    assert stage.row.policy is not None
    for failure in FAILURES:
        text = stage.row.policy.replace(FAILURES[0], failure)
        for both in (text, text.replace('"false", ', "").replace("]\n", ', "false"]\n', 1)):
            await stage.reload(both)
            assert (await stage.ask()).text == "reached", "a false one decides (TP-75)"


@row(97, failing(FAILURES[0], "true"))
async def failing_alone(stage: Stage) -> None:
    assert stage.row.policy is not None
    for failure in FAILURES:
        await stage.reload(stage.row.policy.replace(FAILURES[0], failure))
        answered = await stage.ask()
        assert (answered.status, answered.code) == (500, "ERR_NGROK_2254")
        assert "vars" not in answered.text
        assert "missing" not in answered.text


@row(
    97,
    """
        on_http_response:
          - expressions: ["int(res.headers['x-number'][0]) > 5"]
            actions: [{type: log, config: {metadata: {a: b}}}]
    """,
    forwards=True,
)
async def failing_behind_an_upstream(stage: Stage) -> None:
    stage.service.otherwise = answer("of the upstream", x_number="six", x_leak="of the upstream")
    answered = await stage.ask()
    assert (answered.status, answered.code) == (500, "ERR_NGROK_2254")
    assert "of the upstream" not in answered.text
    assert "x-leak" not in answered.headers
    stage.service.otherwise = answer("of the upstream", x_number="6")
    assert (await stage.ask()).text == "of the upstream"


SECRETS = {
    ("v", "token"): "canary-token", ("v", "key"): "demo-key-canary", ("v", "word"): "canary-password",
    ("v", "hook"): "canary-hook", ("v", "number"): "canary-number",
}  # fmt: skip


@row(
    98,
    """
        on_http_request:
          - type: set-vars
            config: {vars: [{held: "Bearer ${secrets.get('v', 'token')}"}, {n: "${secrets.get('v', 'number')}"}]}
          - type: log
            config: {metadata: {all: "${vars}", part: "x${vars.held}x", n: "${vars.n.split('-')}"}}
          - type: http-request
            config:
              url: http://tool.internal/
              headers: {authorization: "${vars.held}"}
              body: "${vars.held}"
          - type: log
            config: {metadata: {asked: "${actions.ngrok.http_request}"}}
          - expressions: ["req.url.path == '/number'", "int(vars.n) > 1"]
            actions: [{type: deny}]
          - expressions: ["req.url.path == '/basic'"]
            actions:
              - {type: basic-auth, config: {credentials: ["ann:${secrets.get('v', 'word')}"]}}
              - {type: log, config: {metadata: {basic: "${actions.ngrok.basic_auth}"}}}
          - expressions: ["req.url.path == '/hook'"]
            actions: [{type: verify-webhook, config: {provider: gitlab, secret: "${secrets.get('v', 'hook')}"}}]
          - type: rate-limit
            config: {name: n, algorithm: sliding_window, capacity: 2, rate: 60s, bucket_key: [vars.held, req.url.path]}
          - type: log
            config: {metadata: {limit: "${actions.ngrok.rate_limit}"}}
          - type: ai-gateway
            config:
              on_error: continue
              providers: [{id: openai, base_url: '@provider@', api_keys: [{value: "${secrets.get('v', 'key')}"}]}]
          - type: log
            config: {metadata: {gateway: "${actions.ngrok.ai_gateway}"}}
          - {type: custom-response, config: {status_code: 502, body: "${actions.ngrok.ai_gateway}"}}
        on_http_response:
          - type: log
            config: {metadata: {gateway: "${actions.ngrok.ai_gateway}", hidden: "${secrets.get('v', 'token')}"}}
    """,
    secrets=SECRETS,
    inside={"tool": ""},
)
async def no_secret_shows(stage: Stage) -> None:
    paths = ("/number", "/basic", "/hook", "/other", "/other", "/other")
    shown = [await stage.ask(path, authorization="Basic YW5uOng=") for path in paths]
    for model in (MODEL, "openai:demo:401", "openai:demo:echo-key", "openai:demo:reset", "nobody:x"):
        stage.clock.ahead_s += 60.0
        shown += [await stage.chat(model=model), await stage.chat(model=model, stream=True)]
    text = "".join(f"{dict(each.headers)}{each.body!r}" for each in shown)
    for record in stage.gateway.records:
        text += encode_json(describe(record, record.started + 1, "T")).decode()
        text += encode_text(record, record.started + 1, "T", colour=False).decode()
    assert "***" in text
    for secret in SECRETS.values():
        assert secret not in text, secret
    assert {each.status for each in shown} >= {200, 401, 403, 429, 500, 502}


@row(
    99,
    """
        on_http_request:
          - expressions: ["req.url.path == '/admin'"]
            actions: [{type: custom-response, config: {status_code: 403, body: "admin ${req.url.raw_path}"}}]
          - type: custom-response
            config: {body: "${json.encode([req.url.path, req.url.raw_path])}"}
    """,
)
async def one_path_for_rules(stage: Stage) -> None:
    for raw in ("/admin", "/%61dmin", "/x/../admin", "/./admin", "/x/%2e%2E/admin", "/admin?x=/public"):
        answered = await stage.ask(raw)
        assert (answered.status, answered.text) == (403, f"admin {raw.partition('?')[0]}")
    # an escaped slash is no slash, repeated ones are kept, and so is case: other paths, for the gateway too
    for raw, path in (("//admin", "//admin"), ("/admin/", "/admin/"), ("/Admin", "/Admin"), ("/a%2fdmin", "/a%2Fdmin")):
        assert (await stage.ask(raw)).json == [path, raw]


@row(
    99,
    """
        on_http_request:
          - expressions: ["req.url.path.startsWith('/v1/chat/')"]
            actions: [{type: deny}]
          - type: ai-gateway
            config: {providers: [{id: openai, base_url: '@provider@', api_keys: [{value: demo-key}]}]}
    """,
)
async def one_path_for_rules_and_the_gateway(stage: Stage) -> None:
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x"}]}).encode()
    for raw in (
        "/v1/chat/completions",
        "/v1/%63hat/completions",
        "/x/../v1/chat/completions",
        "/v1/./chat/completions",
    ):
        assert (await stage.ask(raw, method="POST", body=body)).status == 403
    for raw in ("//v1/chat/completions", "/v1//chat/completions", "/V1/chat/completions", "/v1/chat%2Fcompletions"):
        assert (await stage.ask(raw, method="POST", body=body)).status in (403, 404, 405), raw
    assert stage.provider.stats.requests == 0


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await play(each, notation)
    assert "canary" not in caplog.text
