"""Checklist: routing, asking other services, compression (CL-55, CL-63, CL-66, CL-67, CL-70)."""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import replace

import pytest

from gateway.settings.model import Settings
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Headers, Row, Stage, play, row, rows

AGENTS = {
    "curl/8.5.0": "by kind",
    "OpenAI/Python 1.99.0": "reached",
    "GPTBot/1.2 (+https://openai.com/gptbot)": "by name",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "by kind",
    "sqlmap/1.7.2#stable (https://sqlmap.org)": "by pattern",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36": "reached",
}


@row(
    55,
    """
        on_http_request:
          - expressions: ["req.user_agent.name in ['GPTBot', 'ChatGPT-User', 'anthropic-ai']"]
            actions: [{type: custom-response, config: {status_code: 403, body: by name}}]
          - expressions: ["req.user_agent.is_bot"]
            actions: [{type: custom-response, config: {status_code: 403, body: by kind}}]
          - expressions: ["req.user_agent.matches('(?i)(sqlmap|nikto)/')"]
            actions: [{type: custom-response, config: {status_code: 403, body: by pattern}}]
          - {type: custom-response, config: {body: reached}}
    """,
)
async def user_agents(stage: Stage) -> None:
    assert {agent: (await stage.ask(user_agent=agent)).text for agent in AGENTS} == AGENTS
    assert (await stage.ask()).text == "reached"


def to(host: str) -> str:
    return f"actions: [{{type: forward-internal, config: {{url: '{host}'}}}}]"


NAMED = 'on_http_request: [{type: custom-response, config: {body: \'%s ${req.headers["x-canary"].join(",")}\'}}]'
INSIDE = {name: NAMED % name for name in ("a", "b", "old", "new")}


async def chosen(stage: Stage, headers: Headers = (), **more: str) -> str:
    """Which endpoint answered. ``more``: target, method and host."""
    asked = {"target": "/x", "method": "GET", "host": "gateway.test", **more}
    answered = await stage.ask(asked["target"], headers, method=asked["method"], host=asked["host"])
    return answered.text.split(" ")[0]


@row(
    63,
    """
        on_http_request:
          - type: forward-internal
            config: {url: "http://${req.host.split('.')[0]}.internal"}
    """,
    inside=INSIDE,
)
async def by_subdomain(stage: Stage) -> None:
    assert await chosen(stage, host="a.example.com") == "a"
    assert await chosen(stage, host="b.example.com") == "b"
    missing = await stage.ask(host="c.example.com")
    assert (missing.status, missing.code) == (404, "ERR_NGROK_3200")


ROUTES = {
    "path and method": "req.url.path.startsWith('/api/') && req.method == 'POST'",
    "header": "getReqHeader('x-version')[0] == 'b'",
    "feature list": "'b' in getReqHeader('x-features').join(',').split(',')",
    "cookie": "hasReqCookie('beta') && getReqCookie('beta').value == 'yes'",
    "query parameter": "getQueryParam('v').exists(v, v == 'b')",
    "content type": "req.content_type == 'application/xml'",
    "device": "req.user_agent.is_mobile",
    "canary header": "getReqHeader('x-canary').exists_one(v, v == 'true')",
    "joined header": "req.headers['x-joined'].join(',') == 'one,two'",
}
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1"
Case = tuple[dict[str, str], Headers]
ASKED: tuple[Case, ...] = (
    ({"target": "/api/x", "method": "POST"}, ()),
    ({}, (("X-Version", "b"),)),
    ({}, (("x-features", "a,b,c"),)),
    ({}, (("cookie", "a=1; beta=yes"),)),
    ({"target": "/x?v=a&v=b"}, ()),
    ({}, (("content-type", "Application/XML; charset=utf-8"),)),
    ({}, (("user-agent", PHONE),)),
    ({}, (("x-canary", "true"), ("x-canary", "false"))),
    ({}, (("x-joined", "one"), ("x-joined", "two"))),
)
OTHERWISE: tuple[Case, ...] = (
    ({"target": "/api/x"}, ()),
    ({"target": "/apix", "method": "POST"}, ()),
    ({}, (("x-version", "B"),)),
    ({}, (("x-features", "abc"),)),
    ({}, (("cookie", "beta=no"),)),
    ({"target": "/x?V=b"}, ()),
    ({}, (("x-canary", "true"), ("x-canary", "true"))),
    ({}, (("x-joined", "two"), ("x-joined", "one"))),
)


@row(
    63,
    "        on_http_request:\n"
    + "".join(
        f"          - expressions: [{json.dumps(condition)}]\n            {to('http://b.internal')}\n"
        for condition in ROUTES.values()
    )
    + f"          - {to('http://a.internal')}\n",
    inside=INSIDE,
)
async def by_parts_of_the_request(stage: Stage) -> None:
    for more, headers in ASKED:
        assert await chosen(stage, headers, **more) == "b", (more, headers)
    for more, headers in OTHERWISE:
        assert await chosen(stage, headers, **more) == "a", (more, headers)


@row(
    63,
    """
        on_http_request:
          - type: set-vars
            config:
              vars:
                - weights: [{host: old, upto: 70}, {host: new, upto: 90}, {host: a, upto: 100}]
                - drawn: "${rand.int(1, 100)}"
                - host: "${vars.weights.filter(w, vars.drawn <= w.upto)[0].host}"
          - type: forward-internal
            config: {url: "http://${vars.host}.internal"}
    """,
    inside=INSIDE,
)
async def by_weight(stage: Stage) -> None:
    drawn = [await chosen(stage) for _ in range(200)]
    assert set(drawn) == {"old", "new", "a"}
    assert drawn.count("old") > drawn.count("new") + drawn.count("a")


@row(
    63,
    f"""
        on_http_request:
          - expressions: ["rand.double() <= 0.25"]
            {to("http://new.internal")}
          - {to("http://old.internal")}
    """,
    inside=INSIDE,
)
async def by_chance(stage: Stage) -> None:
    drawn = [await chosen(stage) for _ in range(200)]
    assert 15 <= drawn.count("new") <= 100


@row(
    63,
    """
        on_http_request:
          - type: set-vars
            config: {vars: {blue: old, green: new, live: green}}
          - expressions: ["vars.live == 'blue'"]
            actions: [{type: forward-internal, config: {url: "http://${vars.blue}.internal"}}]
          - expressions: ["vars.live == 'green'"]
            actions: [{type: forward-internal, config: {url: "http://${vars.green}.internal"}}]
    """,
    inside=INSIDE,
)
async def blue_and_green(stage: Stage) -> None:
    assert any("list" in warning for warning in stage.warnings()), "a mapping is tolerated (TP-241)"
    assert await chosen(stage) == "new"
    assert stage.row.policy is not None
    await stage.reload(stage.row.policy.replace("live: green", "live: blue"))
    assert await chosen(stage) == "old"


ANALYTICS = """
        on_http_request: [{type: custom-response, config: {status_code: 201, body: made}}]
        on_http_response:
          - type: http-request
            config:
              url: http://analytics.internal/event
              method: POST
              headers: {content-type: application/json}
              body: '${json.encode({"path": req.url.path, "status": res.status_code})}'
              timeout: 1s
          - type: add-headers
            config: {headers: {x-reported: "${actions.ngrok.http_request.error == null}"}}
"""


@row(66, ANALYTICS, inside={"analytics": ""})
async def analytics_behind_the_answer(stage: Stage) -> None:
    answered = await stage.ask("/shop")
    assert (answered.status, answered.text, answered.headers["x-reported"]) == (201, "made", "true")
    assert json.loads(stage.asked.body) == {"path": "/shop", "status": 201}
    assert (stage.asked.method, stage.asked.target) == ("POST", "/event")
    assert stage.asked.header("ngrok-req-type") == "http-request"


@row(66, ANALYTICS, inside={"analytics": ""})
async def dead_analytics_never_break_the_answer(stage: Stage) -> None:
    stage.service.otherwise = b""  # takes the request and never answers
    async with asyncio.timeout(5):
        answered = await stage.ask("/shop")
    assert (answered.status, answered.text, answered.headers["x-reported"]) == (201, "made", "false")
    stage.service.otherwise = b"nonsense\r\n\r\n"
    assert (await stage.ask("/shop")).text == "made"


def open_to_loopback(settings: Settings) -> Settings:
    return replace(settings, policy=replace(settings.policy, http_request_allow_external=("127.0.0.1",)))


@row(
    67,
    r"""
        on_http_request:
          - type: http-request
            config:
              url: '@service@/first?given=1'
              method: POST
              query_params:
                - {key: path, value: "${req.url.path}"}
                - {key: a b, value: "&="}
                - {key: plain, value: req.method}
              body: '{"agent": "${req.headers[\"user-agent\"][0]}", "n": ${1 + 1}}'
              max_redirects: 2
          - type: custom-response
            config:
              body: "${actions.ngrok.http_request.res.status_code} ${actions.ngrok.http_request.res.body}"
    """,
    change=open_to_loopback,
)
async def parameters_body_and_redirects(stage: Stage) -> None:
    stage.service.answers |= {
        "/first": answer(status=307, location="/second?kept=no"),
        "/second": answer(status=302, location="third"),
        "/third": answer("end of the road"),
    }
    assert (await stage.ask("/shop", user_agent="curl")).text == "200 end of the road"
    first, second, third = stage.service.requests
    assert first.target == "/first?given=1&path=%2Fshop&a%20b=%26%3D&plain=req.method", "plain text stays text (CL-87)"
    assert json.loads(first.body) == {"agent": "curl", "n": 2}
    assert (second.method, second.target, second.body) == ("POST", "/second?kept=no", first.body)
    assert (third.method, third.target, third.body) == ("GET", "/third", b"")


COMPRESS = "        on_http_response: [{type: compress-response}]\n        on_http_request: []\n"
TEXT = b"compress me " * 400


async def coding(stage: Stage, accepted: str | None, target: str = "/x") -> str | None:
    """Of an answer whose body is as it should be."""
    answered = await stage.ask(target, {} if accepted is None else {"accept-encoding": accepted})
    found = answered.headers.get("content-encoding")
    unpacked = {"gzip": lambda body: zlib.decompress(body, 31), "deflate": zlib.decompress}.get(found or "")
    assert (unpacked(answered.body) if unpacked else answered.body) == TEXT or found == "br"
    if found is not None:
        assert "accept-encoding" in answered.headers["vary"].lower()
    return found


@row(70, COMPRESS, forwards=True)
async def compression_without_a_config(stage: Stage) -> None:
    stage.service.otherwise = answer(TEXT, content_type="text/plain")
    assert await coding(stage, None) is None
    assert await coding(stage, "identity") is None
    assert await coding(stage, "gzip;q=0.5, deflate") == "deflate"
    assert await coding(stage, "gzip, deflate, br") == "gzip", "ties by the order of the list"
    assert await coding(stage, "br") == "br"


@row(70, COMPRESS.replace("}]", ", config: {algorithms: [deflate]}}]", 1), forwards=True)
async def compression_with_a_list(stage: Stage) -> None:
    stage.service.otherwise = answer(TEXT, content_type="text/plain")
    assert await coding(stage, "gzip, deflate") == "deflate"
    assert await coding(stage, "gzip, br") is None


@row(
    70,
    """
        on_http_response:
          - expressions: ["req.url.path.startsWith('/static/')"]
            actions: [{type: compress-response, config: {algorithms: [gzip]}}]
    """,
    forwards=True,
)
async def compression_on_one_path(stage: Stage) -> None:
    stage.service.otherwise = answer(TEXT, content_type="text/plain")
    assert await coding(stage, "gzip", "/static/a.css") == "gzip"
    assert await coding(stage, "gzip", "/a.css") is None


@row(70, COMPRESS, forwards=True)
async def encoded_answers_are_left_alone(stage: Stage) -> None:
    packed = zlib.compress(TEXT)
    stage.service.otherwise = answer(packed, content_encoding="deflate")
    answered = await stage.ask("/x", {"accept-encoding": "gzip, deflate"})
    assert (answered.headers["content-encoding"], answered.body) == ("deflate", packed)


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
