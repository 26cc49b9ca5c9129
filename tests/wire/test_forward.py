"""Requests that go on: to an endpoint's own upstream, and to endpoints of this gateway that only policies reach."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.settings.address import PublicUrl
from gateway.settings.model import PolicySource, Settings
from tests.wire.running import RunningGateway, ai_policy, read_answer, request_bytes, settings_for
from tests.wire.serving import KEY, chat_body, connect, provider_entry
from tests.wire.test_actions import BREAKER, COMPRESS, HIDE, ask, delta, next_chunk
from tests.wire.upstreams import (
    LAST_CHUNK,
    SSE_HEAD,
    Move,
    ScriptedUpstream,
    chunk,
    events,
    json_answer,
    request,
    reset,
    send,
)
from tests.wire.upstreams import until as wait_for

# ---- an endpoint's own upstream -------------------------------------------------------------------------------------


def with_upstream(url: str, policy: str | None = None) -> Settings:
    settings = settings_for(policy)
    endpoints = tuple(replace(entry, upstream_url=url, ai_gateway=False) for entry in settings.endpoints)
    return replace(settings, endpoints=endpoints)


@asynccontextmanager
async def forwarding(
    *script: Move, policy: str | None = None, path: str = ""
) -> AsyncIterator[tuple[ScriptedUpstream, RunningGateway]]:
    """A gateway whose only endpoint forwards to a script."""
    async with (
        ScriptedUpstream(list(script)) as upstream,
        RunningGateway(with_upstream(upstream.url + path, policy)) as gateway,
    ):
        yield upstream, gateway


async def test_what_the_policy_leaves_goes_to_the_upstream() -> None:
    """TP-50 (1), TP-541: method, path, query, body and headers; nothing hop-by-hop; cookies come back."""
    answer = json_answer(
        b"made", status="201 Created", headers="Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: mine\r\n"
    )
    async with forwarding(request(), answer, path="/base") as (upstream, gateway):
        reader, writer = await connect(gateway)
        raw = request_bytes(
            "/items/a%20b?x=1", b"payload", method="PATCH", x_own="kept", connection="keep-alive, x-private",
            x_private="no", te="trailers", x_forwarded_for="6.6.6.6", cookie="c=3", ngrok_req_hops="2",
        )  # fmt: skip
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201")
        assert head.lower().count(b"set-cookie: ") == 2
        assert b"server: mine" in head
        assert b"x-gateway-request-id: req_" in head
        assert await reader.readexactly(4) == b"made"
        writer.close()
        (seen,) = upstream.requests
        received = bytes(upstream.peers[0].received)
        assert received.startswith(b"PATCH /base/items/a%20b?x=1 HTTP/1.1\r\nhost: gateway.test\r\n")
        assert seen.body == b"payload"
        assert b"x-own: kept" in received
        assert b"cookie: c=3" in received
        assert b"x-forwarded-for: 127.0.0.1\r\n" in received
        assert b"x-forwarded-host: gateway.test\r\n" in received
        assert b"x-forwarded-proto: http\r\n" in received
        for absent in (b"x-private", b"te: ", b"6.6.6.6", b"ngrok-req-hops", b"connection"):
            assert absent not in received


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error", "302 Found"])
async def test_any_status_of_the_upstream_is_an_answer(status: str) -> None:
    """TP-542: with its own body and headers, however long."""
    body = b"x" * 100_000
    async with forwarding(request(), json_answer(body, status=status)) as (_, gateway):
        answered, headers, seen = await ask(gateway)
        assert answered == int(status[:3])
        assert seen == body
        assert "ngrok-error-code" not in headers


async def test_bodies_come_as_they_are_and_at_once() -> None:
    """A chunked answer is shown piece by piece; a content coding stays on."""
    more = asyncio.Event()
    packed = zlib.compress(b"hello" * 100, wbits=31)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    script = (request(), send(head + chunk(packed[:10])), wait_for(more), send(chunk(packed[10:]) + LAST_CHUNK))
    async with forwarding(*script) as (upstream, gateway):
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/", method="GET", accept_encoding="compress, gzip;q=0.5"))
        assert b"content-encoding: gzip" in await reader.readuntil(b"\r\n\r\n")
        seen = await next_chunk(reader)
        assert seen == packed[:10]
        more.set()
        while part := await next_chunk(reader):
            seen += part
        assert zlib.decompress(seen, 31) == b"hello" * 100
        writer.close()
        assert b"compress" not in upstream.peers[0].received
        assert b"gzip;q=0.5" in upstream.peers[0].received


async def test_head_has_the_length_and_no_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-A: b\r\n\r\n"
    async with forwarding(request(), send(head), request(), send(head)) as (upstream, gateway):
        reader, writer = await connect(gateway)
        for _ in range(2):
            writer.write(request_bytes("/", method="HEAD"))
            seen = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b"content-length: 1234" in seen
            assert b"x-a: b" in seen
        writer.close()
        assert bytes(upstream.peers[0].received).lower().count(b"\r\nhost: gateway.test") == 2


async def test_response_and_stream_rules_meet_upstream_answers() -> None:
    """TP-45: as for model providers; the coding of a stream comes off so that rules can read it."""
    packed = zlib.compress(b"data: a secret\n\ndata: DONE\n\n", wbits=31)
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: %d\r\n\r\n" % len(packed)
    )
    rules = "on_http_response:\n  - actions: [{type: add-headers, config: {headers: {x-seen: yes}}}]\n" + HIDE
    async with forwarding(request(), send(head + packed), policy=rules) as (_, gateway):
        _, headers, body = await ask(gateway)
        assert headers["x-seen"] == "yes"
        assert "content-encoding" not in headers
        assert body == b"data: a ***\n\ndata: OVER\n\n"


async def test_an_upstream_that_gives_no_answer_is_a_502() -> None:
    """TP-542: refused, reset, and no HTTP at all."""
    async with ScriptedUpstream([]) as gone:
        port = gone.port
    async with RunningGateway(with_upstream(f"http://127.0.0.1:{port}")) as gateway:
        status, headers, _ = await ask(gateway)
        assert (status, headers["ngrok-error-code"]) == (502, "ERR_NGROK_3004")
    for move in (reset(), send(b"nonsense\r\n\r\n")):
        async with forwarding(request(), move) as (_, gateway):
            status, headers, _ = await ask(gateway)
            assert (status, headers["ngrok-error-code"]) == (502, "ERR_NGROK_3004")


async def test_a_body_that_breaks_off_is_cut() -> None:
    """AG-172: nobody may take the part for the whole."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    gate = asyncio.Event()
    async with forwarding(request(), send(head + b"x" * 10), wait_for(gate), reset()) as (_, gateway):
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/", method="GET"))
        await reader.readuntil(b"x" * 10)
        gate.set()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(990)
        writer.close()


async def test_the_breaker_counts_answers_of_the_upstream() -> None:
    """TP-491."""
    script = [request(), json_answer(b"no", status="503 No")] * 2
    async with forwarding(*script, policy=BREAKER) as (upstream, gateway):
        assert [(await ask(gateway))[0] for _ in range(2)] == [503, 503]
        status, headers, _ = await ask(gateway)
        assert (status, headers["ngrok-error-code"]) == (503, "ERR_NGROK_3202")
        assert len(upstream.requests) == 2


# ---- .internal endpoints --------------------------------------------------------------------------------------------


def with_internal(outer: str, upstreams: dict[str, str] | None = None, **policies: str | None) -> Settings:
    """An endpoint with the policy ``outer``, and ``http://NAME.internal`` for each other one."""
    settings = settings_for(outer)
    (first,) = settings.endpoints
    inner = [
        replace(
            first,
            id=f"ep_{name}",
            name=name,
            url=PublicUrl("http", f"{name}.internal", 80),
            has_url=True,
            listen=None,
            policy=PolicySource(file=f"{name}.yaml", text=text) if text is not None else None,
            upstream_url=(upstreams or {}).get(name),
            ai_gateway=False,
        )
        for name, text in policies.items()
    ]
    return replace(settings, endpoints=(first, *inner))


def to(host: str, on_error: str = "halt") -> str:
    config = f"{{url: 'http://{host}.internal', on_error: {on_error}}}"
    return f"on_http_request:\n  - actions: [{{type: forward-internal, config: {config}}}]\n"


def adds(name: str) -> str:
    return f"on_http_response:\n  - actions: [{{type: add-headers, config: {{headers: {{{name}: yes}}}}}}]\n"


INSIDE = """
on_http_request:
  - actions:
      - {type: set-vars, config: {vars: [{place: inside}]}}
      - {type: custom-response, config: {status_code: 418, body: "${vars.place} ${req.headers['x-forwarded-host'][0]}"}}
"""


async def test_another_endpoint_answers_by_its_own_policy() -> None:
    """TP-540, TP-541: response rules of both, and the outer one's variables are its own."""
    outer = to("a") + adds("x-outer")
    async with RunningGateway(with_internal(outer, a=INSIDE + adds("x-inner"))) as gateway:
        status, headers, body = await ask(gateway)
        assert (status, body) == (418, b"inside gateway.test")
        assert headers["x-inner"] == headers["x-outer"] == "yes"
        (record,) = gateway.records
        assert record.endpoint.name == "default"


async def test_internal_endpoints_are_not_reachable_from_outside() -> None:
    """TP-540: naming one as the host reaches the endpoint of the listener."""
    async with RunningGateway(with_internal("on_http_request: [{actions: [{type: deny}]}]", a=INSIDE)) as gateway:
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/", method="GET").replace(b"gateway.test", b"a.internal"))
        assert (await read_answer(reader))[0] == 403
        writer.close()


async def test_a_missing_endpoint_and_a_dead_upstream_are_failures() -> None:
    """TP-542, TP-543: halt answers with the error; continue goes on with what the outer policy knew."""
    async with ScriptedUpstream([]) as gone:
        dead = gone.url
    for host, code, error in (("none", 404, "ERR_NGROK_3200"), ("a", 502, "ERR_NGROK_3004")):
        async with RunningGateway(with_internal(to(host), {"a": dead}, a=None)) as gateway:
            status, headers, _ = await ask(gateway)
            assert (status, headers["ngrok-error-code"]) == (code, error)
        going_on = f"""
on_http_request:
  - actions:
      - {{type: set-vars, config: {{vars: [{{mine: kept}}]}}}}
      - {{type: forward-internal, config: {{url: 'http://{host}.internal', on_error: continue}}}}
      - type: custom-response
        config: {{status_code: 200, body: "${{vars.mine}} ${{actions.ngrok.forward_internal.error.code}}"}}
"""
        async with RunningGateway(with_internal(going_on, {"a": dead}, a=None)) as gateway:
            status, _, body = await ask(gateway)
            assert (status, body) == (200, f"kept {error}".encode())


async def test_a_refusal_of_the_other_policy_is_an_answer() -> None:
    """TP-542: its status goes to the client, also with continue."""
    outer = to("a", "continue") + adds("x-outer")
    async with RunningGateway(with_internal(outer, a=None)) as gateway:
        status, headers, _ = await ask(gateway)
        assert (status, headers["ngrok-error-code"], headers["x-outer"]) == (404, "ERR_TP_UNHANDLED", "yes")


async def test_endpoints_that_forward_to_each_other_are_stopped() -> None:
    """TP-542."""
    async with RunningGateway(with_internal(to("a"), a=to("b"), b=to("a"))) as gateway:
        status, _, _ = await ask(gateway)
        assert status == 508


async def test_streams_come_through_the_rules_of_both_endpoints() -> None:
    """TP-45, TP-540: the inner one's first; compression behind all rules."""
    louder = HIDE.replace("secret", '"[*]+"').replace('"***"', '"!!!"').replace("OVER", "OVER!").replace("DONE", "OVER")
    for pieces in (0, 9):
        body = events(delta("a secret"), "[DONE]") + LAST_CHUNK
        async with ScriptedUpstream([request(), send(SSE_HEAD), send(body, size=pieces)]) as upstream:
            inner = ai_policy([provider_entry(f"{upstream.url}/v1", KEY)]) + COMPRESS + HIDE
            async with RunningGateway(with_internal(to("a") + louder, a=inner)) as gateway:
                reader, writer = await connect(gateway)
                raw = request_bytes("/v1/chat/completions", chat_body(stream=True), accept_encoding="gzip")
                writer.write(raw)
                _, headers, packed = await read_answer(reader)
                assert headers["content-encoding"] == "gzip"
                assert zlib.decompress(packed, 31) == f"data: {delta('a !!!')}\n\ndata: [OVER!]\n\n".encode()
                writer.close()


ASKING = """
on_http_request:
  - actions:
      - {type: http-request, config: {url: 'http://a.internal/look?x=1', method: POST, body: asked, on_error: %s}}
      - type: custom-response
        config:
          status_code: 200
          body: "${actions.ngrok.http_request.res.status_code} ${actions.ngrok.http_request.res.body}"
"""


async def test_policies_ask_internal_endpoints() -> None:
    """TP-471, TP-474: over the endpoint's policy and upstream; recorded as a request of its own."""
    packed = zlib.compress(b"told", wbits=31)
    answer = json_answer(packed, status="203 OK", headers="Content-Encoding: gzip\r\n")
    async with ScriptedUpstream([request(), answer]) as upstream:
        settings = with_internal(ASKING % "halt", {"a": upstream.url}, a=None)
        async with RunningGateway(settings) as gateway:
            status, _, body = await ask(gateway)
            assert (status, body) == (200, b"203 told")
            received = bytes(upstream.peers[0].received)
            assert received.startswith(b"POST /look?x=1 HTTP/1.1\r\nhost: a.internal\r\n")
            assert received.endswith(b"\r\n\r\nasked")
            assert b"ngrok-req-hops: 1" in received
            inner, outer = gateway.records
            assert (inner.endpoint.name, inner.status, inner.hops) == ("a", 203, 1)
            assert (outer.status, outer.hops) == (200, 0)


async def test_policies_that_ask_each_other_are_stopped() -> None:
    """TP-474: not more than three hops."""
    async with RunningGateway(with_internal(ASKING % "halt", a=ASKING % "continue")) as gateway:
        assert (await ask(gateway))[0] == 200
        assert max(record.hops for record in gateway.records) == 3


async def test_an_internal_endpoint_without_an_answer_is_a_failure() -> None:
    """TP-477."""
    async with ScriptedUpstream([]) as gone:
        dead = gone.url
    async with RunningGateway(with_internal(ASKING % "halt", {"a": dead}, a=None)) as gateway:
        status, headers, _ = await ask(gateway)
        assert (status, headers["ngrok-error-code"]) == (502, "ERR_TP_HTTP_REQUEST")
