"""Checklist, examples: answers that policies make (CL-40 to CL-45, CL-64, CL-65, CL-71, CL-72)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest

from gateway.settings.model import Settings
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows

MAINTENANCE = """<!DOCTYPE html>
<html><body><h1>We are fixing things</h1></body></html>"""


@row(40, "on_http_request: [{type: custom-response, config: {status_code: 200, body: Hello, headers: {X-A: b}}}]")
async def the_same_for_everything(stage: Stage) -> None:
    for method, target in (("GET", "/"), ("POST", "/a/b?c"), ("DELETE", "/v1/models"), ("OPTIONS", "/x")):
        answered = await stage.ask(target, method=method)
        assert (answered.status, answered.text, answered.headers["x-a"]) == (200, "Hello", "b")
        assert answered.headers["content-type"] == "text/plain; charset=utf-8"
    head = await stage.ask("/", method="HEAD")
    assert (head.status, head.headers["x-a"]) == (200, "b")


@row(
    40,
    """
        on_http_request:
          - actions:
              - type: custom-response
                config:
                  status_code: 503
                  headers: {retry-after: 3600}
                  body: |-
                    <!DOCTYPE html>
                    <html><body><h1>We are fixing things</h1></body></html>
              - type: forward-internal
                config: {url: 'https://app.internal'}
    """,
)
async def maintenance_page_before_what_cannot_run(stage: Stage) -> None:
    assert any("ERR_NGROK_2207" in warning for warning in stage.warnings())
    answered = await stage.ask()
    assert (answered.status, answered.text) == (503, MAINTENANCE)
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    assert answered.headers["retry-after"] == "3600"


UNREACHABLE = """
        on_http_request:
          - type: forward-internal
            config: {url: 'http://app.internal', on_error: continue}
"""


@row(
    41,
    UNREACHABLE
    + """
          - type: redirect
            config: {to: 'https://status.example.com/?from=${req.host}'}
    """,
)
async def redirected_when_the_application_is_down(stage: Stage) -> None:
    answered = await stage.ask()
    assert (answered.status, answered.location) == (302, "https://status.example.com/?from=gateway.test")


def somewhere(settings: Settings) -> Settings:
    return replace(settings, server=replace(settings.server, region="eu"))


@row(
    41,
    UNREACHABLE
    + """
          - type: custom-response
            config:
              status_code: 502
              body: >-
                <html><p>${req.host}${req.url.path} at ${time.now} in ${conn.server_region}:
                ${actions.ngrok.forward_internal.error.code} of ${actions.ngrok.forward_internal.url}</p></html>
    """,
    change=somewhere,
)
async def error_page_when_the_application_is_down(stage: Stage) -> None:
    answered = await stage.ask("/shop?x=1")
    assert answered.status == 502
    assert answered.headers["content-type"] == "text/html; charset=utf-8"
    when = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
    assert re.fullmatch(
        rf"<html><p>gateway.test/shop at {when} in eu: ERR_NGROK_3200 of http://app.internal</p></html>", answered.text
    )


@row(
    42,
    """
        on_http_request:
          - expressions: ["req.url.path == '/text'"]
            actions:
              - type: custom-response
                config: {body: "since ${conn.ts.start} now ${timestamp(time.now)}"}
          - type: custom-response
            config:
              body: '{"start": "${conn.ts.start}", "year": ${timestamp(time.now).getFullYear()}}'
    """,
)
async def times_in_text_and_json(stage: Stage) -> None:
    answered = await stage.ask()
    assert answered.headers["content-type"] == "application/json"
    start = datetime.fromisoformat(answered.json["start"])
    assert start.year == answered.json["year"]
    _, since, _, now = (await stage.ask("/text")).text.split(" ")
    assert datetime.fromisoformat(since) <= datetime.fromisoformat(now)


@row(
    43,
    """
        on_tcp_connect:
          - expressions: ["conn.client_ip.startsWith('127.')"]
            actions: [{type: deny}]
        on_http_request: [{type: custom-response}]
    """,
)
async def connections_denied_by_address(stage: Stage) -> None:
    assert await stage.is_closed()


@row(
    43,
    """
        on_tcp_connect:
          - expressions: ["inCidrRange(conn.client_ip, '203.0.113.0/24')"]
            actions: [{type: deny}]
        on_http_request: [{type: custom-response}]
    """,
)
async def connections_of_other_addresses(stage: Stage) -> None:
    assert (await stage.ask()).status == 200


@row(43, "on_tcp_connect: [{type: deny}]")
async def every_connection_denied(stage: Stage) -> None:
    assert await stage.is_closed()


@row(
    43,
    """
        on_http_request:
          - expressions: ["req.method != 'GET'"]
            actions: [{type: deny, config: {status_code: 405}}]
          - type: deny
            config: {status_code: 404}
        on_http_response:
          - {type: add-headers, config: {headers: {x-response-phase: ran}}}
    """,
)
async def requests_denied_by_status(stage: Stage) -> None:
    for method, status in (("GET", 404), ("POST", 405), ("DELETE", 405)):
        answered = await stage.ask(method=method)
        assert (answered.status, answered.body, answered.code) == (status, b"", None)
        assert "x-response-phase" not in answered.headers, "deny stops everything (TP-43)"


@row(
    44,
    """
        on_http_request:
          - type: set-vars
            config:
              vars:
                - text: plain
                - whole: 42
                - half: 0.5
                - on: true
                - nothing: null
                - list: [a, 2, 3.5, false, null, [deep]]
                - map: {name: x, inner: {list: [1, 2]}}
                - sum: "${vars.whole + size(vars.list)}"
                - greeting: "Hello ${vars.map.name}"
                - again: "${vars.map['inner'].list[1] * 10}"
          - type: custom-response
            config:
              body: >-
                ${json.encode([vars.text, vars.whole, vars.half, vars.on, vars.nothing, vars.list[1], vars.list[5][0],
                vars.map.name, vars.map.inner.list[0], vars.sum, vars.greeting, vars.again, type(vars.whole) == int,
                type(vars.half) == double])}
    """,
)
async def variables_of_every_type(stage: Stage) -> None:
    assert (await stage.ask()).json == [
        "plain", 42, 0.5, True, None, 2, "deep", "x", 1, 48, "Hello x", 20, True, True,
    ]  # fmt: skip


def refuses_strangers(condition: str) -> str:
    return f"""
        on_http_request:
          - expressions: ["{condition}"]
            actions: [{{type: custom-response, config: {{status_code: 401, body: Unauthorized}}}}]
          - {{type: custom-response, config: {{body: welcome}}}}
    """


async def strangers_are_refused(stage: Stage) -> None:
    assert ((await stage.ask()).status, (await stage.ask(authorization="")).status) == (401, 200)
    assert (await stage.ask("/x", {"AUTHORIZATION": "x"})).text == "welcome"


@row(45, refuses_strangers("!('authorization' in req.headers)"))
async def authorization_is_required(stage: Stage) -> None:
    await strangers_are_refused(stage)


@row(45, refuses_strangers("!hasReqHeader('authorization')"))
async def authorization_is_required_by_function(stage: Stage) -> None:
    await strangers_are_refused(stage)


@row(
    64,
    """
        on_http_request:
          - expressions: ["req.url.path == '/robots.txt'"]
            actions:
              - type: custom-response
                config:
                  headers: {content-type: text/plain}
                  body: "User-agent: *\\r\\nDisallow: /private\\r\\n"
    """,
    forwards=True,
)
async def robots_txt_beside_forwarding(stage: Stage) -> None:
    answered = await stage.ask("/robots.txt")
    assert answered.text == "User-agent: *\r\nDisallow: /private\r\n"
    assert answered.headers["content-type"] == "text/plain"
    assert not stage.service.requests
    assert (await stage.ask("/robots.txt.html")).target == "/robots.txt.html"


@row(65, "on_http_request: [{type: log, config: {metadata: {endpoint_id: '${endpoint.id}'}}}]", forwards=True)
async def the_endpoint_is_logged(stage: Stage) -> None:
    assert (await stage.ask()).status == 200
    assert stage.last.log_metadata == [{"metadata": {"endpoint_id": stage.last.endpoint.id}}]


@row(
    65,
    """
        on_http_request:
          - type: custom-response
            config: {status_code: "503", body: sorry}
        on_http_response:
          - expressions: ["res.status_code < 200 || res.status_code >= 300"]
            actions:
              - type: log
                config: {metadata: {message: No success, status: "${res.status_code}", path: "${req.url.path}"}}
    """,
)
async def unsuccessful_answers_are_logged(stage: Stage) -> None:
    assert (await stage.ask("/y")).status == 503
    assert stage.last.log_metadata == [
        {"metadata": {"message": "No success", "status": 503, "path": "/y"}}
    ]  # fmt: skip


@row(
    71,
    """
        on_http_request:
          - expressions: ["req.url.path.startsWith('/closed')"]
            actions: [{type: close-connection}]
          - {type: custom-response, config: {body: open}}
    """,
)
async def one_path_is_closed(stage: Stage) -> None:
    with pytest.raises((ConnectionError, EOFError)):
        await stage.ask("/closed/x")
    assert (await stage.ask("/open")).text == "open"


@row(
    72,
    """
        on_http_request:
          - expressions: ["!('x-mcp-key' in req.headers)"]
            actions: [{type: deny, config: {status_code: 401, body: Send x-mcp-key.}}]
          - type: rate-limit
            config:
              name: mcp
              algorithm: sliding_window
              capacity: 2
              rate: 60s
              bucket_key: ["req.headers['x-mcp-key']"]
          - type: forward-internal
            config: {url: 'http://mcp.internal'}
    """,
    inside={"mcp": ""},
)
async def mcp_gateway(stage: Stage) -> None:
    assert any("body" in warning for warning in stage.warnings()), "tolerated with a warning (TP-360)"
    refused = await stage.ask("/mcp", method="POST", body=b"{}")
    assert (refused.status, refused.text) == (401, "Send x-mcp-key.")
    assert refused.headers["content-type"].startswith("text/plain")
    stage.service.otherwise = answer('{"jsonrpc": "2.0"}', content_type="application/json")
    for key in ("a", "b"):
        statuses = [(await stage.ask("/mcp", method="POST", body=b"{}", x_mcp_key=key)).status for _ in range(3)]
        assert statuses == [200, 200, 429]
    assert len(stage.service.requests) == 4


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
