"""Actions in a running gateway, over real sockets: what the composition root connects them to."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
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
from tests.wire.serving import connect, until

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
    writer.write(request_bytes(path, method="GET", **headers))
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
        group.create_task(serve_process(settings, sink, running.append))
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
        await serve_process(two_endpoints(settings, "a.test"), LogSink(), lambda process: None)
    assert any("listener of its own" in str(problem) for found in refused.value.problems for problem in found)


async def test_an_endpoint_alone_on_its_listener_takes_any_host() -> None:
    """SV-11: the host selects among several."""
    (endpoint,) = settings_for(f"on_http_request:{ANSWER}").endpoints
    named = replace(endpoint, url=PublicUrl("http", "only.test", 80), has_url=True)
    async with RunningGateway(replace(settings_for(None), endpoints=(named,))) as gateway:
        assert (await ask(gateway))[0] == 200
