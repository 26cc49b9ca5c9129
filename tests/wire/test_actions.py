"""Actions in a running gateway, over real sockets: what the composition root connects them to."""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from gateway.app.process import ConfigurationError, Process
from gateway.app.run import serve_process
from gateway.auth.jwks import JwksCache
from gateway.limiter.buckets import LimiterTable
from gateway.observability.logs import LogSink
from gateway.settings.address import PublicUrl
from gateway.settings.environment import Environment
from gateway.settings.model import IpPolicySettings, IpRule, PolicySource, SecretsSettings, Settings
from gateway.upstream.fetch import Fetcher
from tests.wire.running import RunningGateway, ai_policy, read_answer, request_bytes, settings_for
from tests.wire.serving import KEY, chat_body, connect, provider_entry, until
from tests.wire.upstreams import (
    LAST_CHUNK,
    SSE_HEAD,
    Move,
    ScriptedUpstream,
    events,
    json_answer,
    request,
    reset,
    send,
    told,
)
from tests.wire.upstreams import until as wait_for

ANSWER = """
  - actions:
      - type: custom-response
        config: {status_code: 200, body: reached}
"""


def limited(name: str = "few", capacity: int = 2) -> str:
    """Two requests a minute, then an answer."""
    return f"""
on_http_request:
  - actions:
      - type: rate-limit
        config:
          {{name: {name}, algorithm: sliding_window, capacity: {capacity}, rate: 60s, bucket_key: [conn.client_ip]}}
{ANSWER}"""


def with_policy(settings: Settings, text: str) -> Settings:
    """The same settings with another policy at every endpoint."""
    source = PolicySource(file="policy.yaml", text=text)
    return replace(settings, endpoints=tuple(replace(endpoint, policy=source) for endpoint in settings.endpoints))


async def ask(gateway: Any, path: str = "/x", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request over a connection of its own."""
    reader, writer = await connect(gateway)
    writer.write(request_bytes(path, None, "GET", **headers))
    try:
        return await read_answer(reader)
    finally:
        writer.close()


# ---- services -------------------------------------------------------------------------------------------------------


async def test_limiter_counts_survive_a_reload() -> None:
    """TP-269: the same limiter under a new snapshot keeps its counts; another capacity makes another limiter."""
    async with RunningGateway(settings_for(limited())) as gateway:
        assert (await ask(gateway))[0] == 200
        assert (await ask(gateway))[0] == 200
        await gateway.process.reload()
        assert gateway.process.snapshot is not None
        assert gateway.process.snapshot.current.generation == 2
        status, headers, _ = await ask(gateway)
        assert status == 429
        assert 0 < int(headers["retry-after"]) <= 60
        gateway.settings = with_policy(gateway.settings, limited(capacity=3))
        await gateway.process.reload()
        assert (await ask(gateway))[0] == 200


async def test_all_limiters_of_the_process_share_one_table() -> None:
    """TP-277: the bound on live buckets is the process's."""
    async with RunningGateway(settings_for(limited())) as gateway:
        assert (await ask(gateway))[0] == 200
        assert gateway.services.limiters.live == 1
        assert gateway.services.table[LimiterTable] is gateway.services.limiters
        assert {Fetcher, JwksCache} <= gateway.services.table.keys()


def ip_policy(action: str) -> IpPolicySettings:
    return IpPolicySettings(id="ipp_office", rules=(IpRule(cidr=ip_network("127.0.0.0/8"), action=action),))


async def test_ip_policies_hold_from_the_start_and_after_a_reload() -> None:
    """TP-305."""
    policy = (
        "on_http_request:\n  - actions:\n      - {type: restrict-ips, config: {ip_policies: [ipp_office]}}\n" + ANSWER
    )
    settings = replace(settings_for(policy), ip_policies=(ip_policy("allow"),))
    async with RunningGateway(settings) as gateway:
        assert (await ask(gateway))[0] == 200
        gateway.settings = replace(gateway.settings, ip_policies=(ip_policy("deny"),))
        await gateway.process.reload()
        status, headers, _ = await ask(gateway)
        assert (status, headers["ngrok-error-code"]) == (403, "ERR_NGROK_3203")


async def test_a_reload_that_fails_changes_no_state() -> None:
    """SV-20: counts and IP policies are those of the snapshot that stays."""
    async with RunningGateway(settings_for(limited())) as gateway:
        assert (await ask(gateway))[0] == 200
        good = gateway.settings
        gateway.settings = with_policy(good, "on_http_request: [{actions: [{type: unknown}]}]")
        problems = await gateway.process.reload()
        assert any(found.failed for found in problems)
        assert (await ask(gateway))[0] == 200
        assert (await ask(gateway))[0] == 429


# ---- masking --------------------------------------------------------------------------------------------------------


async def test_the_log_shows_no_secret_whatever_policies_write(tmp_path: Path) -> None:
    """P18: keys in policies, in the environment, in files, and in files that appear while the gateway runs."""
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "first").write_text("secret-of-a-file-1\n")
    echo = "  - actions: [{type: log, config: {metadata: {said: \"${req.headers['x-said'][0]}\"}}}]\n" + ANSWER
    provider: Mapping[str, Any] = {"id": "openai", "api_keys": [{"value": "sk-inline-key-of-the-policy"}]}
    settings = replace(
        settings_for(ai_policy([provider], before=echo)),
        secrets=SecretsSettings(dir=tmp_path),
        environment=Environment({"GATEWAY_SECRET_VAULT__ENV": "secret-of-the-environment"}),
    )
    reading, writing = os.pipe()
    written = bytearray()
    asyncio.get_running_loop().add_reader(reading, lambda: written.extend(os.read(reading, 65_536)))
    sink = LogSink(writing)
    running: list[Process] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_process(settings, sink, lambda process, management: running.append(process)))
        await until(lambda: running)
        gateway = running[0].listeners[0]
        for said in ("sk-inline-key-of-the-policy", "secret-of-the-environment", "secret-of-a-file-1"):
            assert (await ask(gateway, x_said=f"before {said} after"))[0] == 200
        known = sink.masker.count
        (vault / "second").write_text("secret-of-a-file-2\n")
        await until(lambda: sink.masker.count > known)
        assert (await ask(gateway, x_said="before secret-of-a-file-2 after"))[0] == 200
        running[0].stop()
    await asyncio.to_thread(sink.close)
    await until(lambda: written.count(b"before *** after") == 4)
    assert b"secret-of" not in written
    assert b"sk-inline" not in written
    asyncio.get_running_loop().remove_reader(reading)
    os.close(reading)
    os.close(writing)


# ---- on_tcp_connect -------------------------------------------------------------------------------------------------


def on_connect(action: str) -> str:
    return f"on_tcp_connect:\n  - actions: [{action}]\non_http_request:{ANSWER}"


async def received(gateway: RunningGateway) -> bytes:
    """Everything that a client gets which sends a request at once."""
    reader, writer = await connect(gateway)
    try:
        writer.write(request_bytes("/x", method="GET"))
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "action",
    [
        "{type: deny}",
        "{type: close-connection}",
        "{type: restrict-ips, config: {deny: [127.0.0.0/8], allow: [0.0.0.0/0]}}",
        '{type: set-vars, config: {vars: [{x: "${1 / 0}"}]}}',
    ],
)
async def test_a_connection_that_is_refused_gets_no_answer(action: str) -> None:
    """TP-46, TP-56: closed before a byte is read; a phase that fails closes it, too."""
    async with RunningGateway(settings_for(on_connect(action))) as gateway:
        assert await received(gateway) == b""
        assert not gateway.process.listeners[0].handler.connections
        assert not gateway.records


async def test_a_connection_that_is_admitted_is_decided_once() -> None:
    """TP-46: a reload does not reach connections that are open; new ones meet the new policy."""
    admit = on_connect("{type: restrict-ips, config: {allow: [127.0.0.0/8]}}")
    async with RunningGateway(settings_for(admit)) as gateway:
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/x", method="GET"))
        assert (await read_answer(reader))[0] == 200
        gateway.settings = with_policy(gateway.settings, on_connect("{type: deny}"))
        await gateway.process.reload()
        writer.write(request_bytes("/x", method="GET"))
        assert (await read_answer(reader))[0] == 200
        writer.close()
        assert await received(gateway) == b""


def two_endpoints(settings: Settings, tcp_at: str) -> Settings:
    """``a.test`` and ``*`` on one listener; one of them has a phase for connections."""
    (first,) = settings.endpoints
    plain = PolicySource(file="policy.yaml", text=f"on_http_request:{ANSWER}")
    closed = PolicySource(file="policy.yaml", text=on_connect("{type: deny}"))
    named = replace(first, id="ep_a", name="a", url=PublicUrl("http", "a.test", 80), has_url=True)
    return replace(
        settings,
        endpoints=(
            replace(named, policy=closed if tcp_at == "a.test" else plain),
            replace(first, policy=closed if tcp_at == "*" else plain),
        ),
    )


async def test_a_shared_listener_asks_the_endpoint_for_any_host() -> None:
    """Before a client names a host only ``*`` can be meant; a rule that could never run is refused."""
    settings = settings_for(None)
    async with RunningGateway(two_endpoints(settings, "*")) as gateway:
        assert await received(gateway) == b""
    with pytest.raises(ConfigurationError) as refused:
        await serve_process(two_endpoints(settings, "a.test"), LogSink(), lambda process, management: None)
    assert any("listener of its own" in str(problem) for found in refused.value.problems for problem in found)


async def test_an_endpoint_alone_on_its_listener_takes_any_host() -> None:
    """SV-11: the host selects among several."""
    (endpoint,) = settings_for(f"on_http_request:{ANSWER}").endpoints
    named = replace(endpoint, url=PublicUrl("http", "only.test", 80), has_url=True)
    async with RunningGateway(replace(settings_for(None), endpoints=(named,))) as gateway:
        assert (await ask(gateway))[0] == 200


# ---- bodies of answers ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def in_front_of(*script: Move, after: str) -> AsyncIterator[RunningGateway]:
    """A gateway whose provider plays a script; ``after``: the policy's other phases."""
    async with ScriptedUpstream([request(), *script]) as upstream:
        policy = ai_policy([provider_entry(f"{upstream.url}/v1", KEY)]) + after
        async with RunningGateway(settings_for(policy)) as gateway:
            yield gateway


async def chat(gateway: RunningGateway, *, stream: bool = False, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One chat request over a connection of its own."""
    reader, writer = await connect(gateway)
    writer.write(request_bytes("/v1/chat/completions", chat_body(stream=stream), **headers))
    try:
        return await read_answer(reader)
    finally:
        writer.close()


def answer_of(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    return json.dumps({"object": "chat.completion", "choices": [{"message": message}], "usage": usage}).encode()


REPLACE = """
on_http_response:
  - actions:
      - type: response-body-find-replace
        config: {replacements: [{from: "4111-[0-9]+", to: "####"}]}
"""
COMPRESS = "on_http_response:\n  - actions: [{type: compress-response}]\n"
#: more than is held before commit
LONG_BYTES = 5 << 20


@pytest.mark.parametrize("length", [10, LONG_BYTES])
async def test_find_replace_reads_an_upstream_answer_that_is_held(length: int) -> None:
    """TP-440: complete before commit, and longer than what is held; usage is read from what the upstream sent."""
    body = answer_of("card 4111-2222 " + "x" * length)
    async with in_front_of(json_answer(body), after=REPLACE) as gateway:
        status, headers, changed = await chat(gateway)
        assert status == 200
        assert changed == body.replace(b"4111-2222", b"####")
        assert int(headers["content-length"]) == len(changed)
        attempt = gateway.records[0].attempts[0]
        assert (attempt.usage.input, attempt.usage.output) == (5, 7)


async def test_find_replace_fails_closed_when_the_rest_does_not_come() -> None:
    """TP-56: the answer is replaced by the error."""
    body = answer_of("x" * LONG_BYTES)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with in_front_of(send(head + body[: LONG_BYTES - 100]), reset(), after=REPLACE) as gateway:
        status, headers, shown = await chat(gateway)
        assert (status, headers["ngrok-error-code"]) == (502, "ERR_NGROK_3800")
        assert b"xxxx" not in shown


async def test_find_replace_refuses_more_than_its_limit() -> None:
    """TP-441."""
    body = answer_of("4111-2222 " + "x" * LONG_BYTES)
    async with ScriptedUpstream([request(), json_answer(body)]) as upstream:
        settings = settings_for(ai_policy([provider_entry(f"{upstream.url}/v1", KEY)]) + REPLACE)
        settings = replace(settings, policy=replace(settings.policy, max_buffered_body_bytes=LONG_BYTES))
        async with RunningGateway(settings) as gateway:
            status, headers, _ = await chat(gateway)
            assert (status, headers["ngrok-error-code"]) == (500, "ERR_NGROK_3903")


@pytest.mark.parametrize("length", [10, LONG_BYTES])
async def test_answers_are_compressed_on_their_way(length: int) -> None:
    """TP-530: whole, and while they are relayed."""
    body = answer_of("x" * length)
    async with in_front_of(json_answer(body), after=COMPRESS) as gateway:
        status, headers, compressed = await chat(gateway, accept_encoding="gzip")
        assert (status, headers["content-encoding"]) == (200, "gzip")
        assert zlib.decompress(compressed, 31) == body
        assert ("content-length" in headers) is (length < LONG_BYTES)
        assert gateway.records[0].attempts[0].usage.output == 7


async def test_a_compressed_stream_can_be_read_event_by_event() -> None:
    """TP-530, AG-260: and the error event of a broken one is readable, too (AG-172)."""
    more = asyncio.Event()
    script = (send(SSE_HEAD + events('{"choices":[]}')), wait_for(more), reset())
    async with in_front_of(*script, after=COMPRESS) as gateway:
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/v1/chat/completions", chat_body(stream=True), accept_encoding="gzip"))
        assert b"content-encoding: gzip" in await reader.readuntil(b"\r\n\r\n")
        machine = zlib.decompressobj(31)
        seen = machine.decompress(await next_chunk(reader))
        assert seen == b'data: {"choices":[]}\n\n'
        more.set()
        while part := await next_chunk(reader):
            seen += machine.decompress(part)
        assert machine.eof
        assert b"ERR_NGROK_3800" in seen
        writer.close()


async def next_chunk(reader: asyncio.StreamReader) -> bytes:
    """The payload of one chunk frame; b"" for the last."""
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:-2]


# ---- on_event_stream_message ----------------------------------------------------------------------------------------


HIDE = """
on_event_stream_message:
  - actions:
      - type: sse-find-replace
        config: {replacements: [{from: secret, to: "***"}, {from: "DONE", to: "OVER"}]}
"""
#: fails at the message with the word in it
FAILING = """
on_event_stream_message:
  - expressions: ["sse.data.contains('poison') && 1 / (sse.index - sse.index) > 0"]
    actions: [{type: sse-find-replace, config: {replacements: [{from: a, to: b}]}}]
"""


def delta(text: str) -> str:
    return json.dumps({"choices": [{"delta": {"content": text}}]})


async def test_messages_are_changed_while_they_stream() -> None:
    """TP-445, AG-266: each leaves before the next comes; the end mark may be changed, too."""
    more = asyncio.Event()
    script = (
        send(SSE_HEAD + events(delta("a secret"))),
        wait_for(more),
        send(events(delta("another secret"), "[DONE]") + LAST_CHUNK, size=7),
    )
    async with in_front_of(*script, after=HIDE) as gateway:
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/v1/chat/completions", chat_body(stream=True)))
        await reader.readuntil(b"\r\n\r\n")
        assert await next_chunk(reader) == f"data: {delta('a ***')}\n\n".encode()
        more.set()
        rest = b""
        while part := await next_chunk(reader):
            rest += part
        assert rest == f"data: {delta('another ***')}\n\ndata: [OVER]\n\n".encode()
        writer.close()
        await until(lambda: gateway.records)
        assert gateway.records[0].error is None


async def test_a_stream_that_is_complete_before_commit_meets_the_rules() -> None:
    """TP-445: the fast way for whole answers is no way around them."""
    whole = SSE_HEAD + events(delta("a secret"), "[DONE]") + LAST_CHUNK
    async with in_front_of(send(whole), after=HIDE) as gateway:
        _, _, body = await chat(gateway, stream=True)
        assert body == f"data: {delta('a ***')}\n\ndata: [OVER]\n\n".encode()


async def test_the_end_mark_is_known_before_rules_change_it() -> None:
    """AG-172: behind the mark a reset ends the stream cleanly."""
    first = asyncio.Event()
    script = (send(SSE_HEAD + events(delta("a"))), wait_for(first), send(events("[DONE]")), reset())
    async with in_front_of(*script, after=HIDE) as gateway:
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/v1/chat/completions", chat_body(stream=True)))
        await reader.readuntil(b"\r\n\r\n")
        seen = await next_chunk(reader)
        first.set()
        while part := await next_chunk(reader):
            seen += part
        assert seen.endswith(b"data: [OVER]\n\n")
        assert b"error" not in seen
        writer.close()


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("first", [True, False])
async def test_a_rule_that_fails_ends_the_stream_with_an_error_event(first: bool, at_once: bool) -> None:
    """TP-56: before the first message and behind it, in a stream that comes piece by piece or at once."""
    texts = ["poison", "more"] if first else ["fine", "poison", "more"]
    body = events(*map(delta, texts), "[DONE]") + LAST_CHUNK
    script = [send(SSE_HEAD + body)] if at_once else [send(SSE_HEAD), send(body, size=40)]
    async with in_front_of(*script, after=FAILING) as gateway:
        reader, writer = await connect(gateway)
        writer.write(request_bytes("/v1/chat/completions", chat_body(stream=True)))
        status, _, seen = await read_answer(reader)
        assert status == 200
        assert (b"fine" in seen) is not first
        assert b"poison" not in seen
        assert b"more" not in seen
        assert b"DONE" not in seen
        assert seen.count(b'"error"') == 1
        assert b"ERR_NGROK_22" in seen
        assert await reader.read() == b""  # closed
        writer.close()
        await until(lambda: gateway.records)
        error = gateway.records[0].error
        assert error is not None
        assert error.status == 500


async def test_streams_are_compressed_behind_their_rules() -> None:
    """Both phases at one stream."""
    whole = SSE_HEAD + events(delta("a secret"), "[DONE]") + LAST_CHUNK
    gate = asyncio.Event()
    for script in ((send(whole),), (send(whole[:-20]), told(gate), send(whole[-20:]))):
        async with in_front_of(*script, after=COMPRESS + HIDE) as gateway:
            _, headers, body = await chat(gateway, stream=True, accept_encoding="gzip")
            assert headers["content-encoding"] == "gzip"
            assert zlib.decompress(body, 31) == f"data: {delta('a ***')}\n\ndata: [OVER]\n\n".encode()


# ---- results and settlement -----------------------------------------------------------------------------------------


RESULT = """
on_http_response:
  - actions:
      - type: add-headers
        config: {headers: {x-result: "${actions.ngrok.ai_gateway.status}"}}
      - type: log
        config: {metadata: {ai: "${actions.ngrok.ai_gateway}"}}
"""


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error"])
async def test_response_rules_and_logs_see_what_the_gateway_did(status: str) -> None:
    """AG-280, AG-282: on success and on failure, keys trimmed, with types kept (TP-425)."""
    async with in_front_of(json_answer(answer_of("hello"), status=status), after=RESULT) as gateway:
        answered, headers, _ = await chat(gateway)
        good = status.startswith("200")
        assert (answered < 300) is good
        assert headers["x-result"] == ("success" if good else "error")
        ((entry,),) = [record.log_metadata for record in gateway.records]
        shown = entry["metadata"]["ai"]
        assert shown["status"] == headers["x-result"]
        (tried,) = shown["models_tried"]
        assert tried["requests_made"][0]["response"]["status_code"] == int(status[:3])
        assert (shown.get("success") is not None) is good
        assert (shown.get("error") is not None) is not good
        assert KEY not in json.dumps(shown)


BREAKER = """
on_http_request:
  - actions:
      - type: circuit-breaker
        config: {error_threshold: 0.5, volume_threshold: 2, window_duration: 60s, tripped_duration: 60s}
"""


@pytest.mark.parametrize(("status", "trips"), [("500 Internal Server Error", True), ("404 Not Found", False)])
async def test_the_breaker_counts_what_the_provider_answered(status: str, trips: bool) -> None:
    """TP-491, TP-492: after the answer is settled; the third request meets a tripped breaker."""
    async with ScriptedUpstream([request(), json_answer(b"{}", status=status)]) as upstream:
        policy = ai_policy([provider_entry(f"{upstream.url}/v1", KEY)], BREAKER.partition(":")[2])
        async with RunningGateway(settings_for(policy)) as gateway:
            await chat(gateway)
            await chat(gateway)
            _, headers, _ = await chat(gateway)
            assert (headers.get("ngrok-error-code") == "ERR_NGROK_3202") is trips
            assert ("retry-after" in headers) is trips
            assert len(upstream.requests) == (2 if trips else 3)


async def test_the_breaker_counts_streams_that_break_and_survives_a_reload() -> None:
    """TP-491, TP-493: the status was 200 and the stream broke; a reload does not close the breaker."""
    gate = asyncio.Event()
    broken = [request(), send(SSE_HEAD + events(delta("a"))), wait_for(gate), reset()]
    async with ScriptedUpstream(broken) as upstream:
        policy = ai_policy([provider_entry(f"{upstream.url}/v1", KEY)], BREAKER.partition(":")[2])
        async with RunningGateway(settings_for(policy)) as gateway:
            gate.set()
            for _ in range(2):
                await chat(gateway, stream=True)
            await until(lambda: len(gateway.records) == 2)
            await gateway.process.reload()
            status, headers, _ = await chat(gateway)
            assert (status, headers["ngrok-error-code"]) == (503, "ERR_NGROK_3202")
