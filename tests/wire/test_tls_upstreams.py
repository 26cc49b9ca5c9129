"""Providers with whom TLS does not come about: a failed attempt that says why, and nothing left behind (AG-55)."""

from __future__ import annotations

import asyncio
import gc
import json
from urllib.parse import urlsplit

import pytest

from gateway.demo.tls import make_certificate
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.origin import Origin
from gateway.upstream.tls_transport import TlsTransport
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, chat_body, provider_entry, until
from tests.wire.upstreams import Move, Peer, ScriptedUpstream, close, json_answer, received, request, reset, send, stall

ANSWER = b'{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
#: a record that holds an alert: handshake_failure
ALERT = bytes.fromhex("15030300020228")
#: what is done with the client's hello → what the attempt's details say
REFUSALS: dict[str, tuple[Move, str]] = {
    "silent": (stall(), "took longer than 1 s"),
    "speaks HTTP": (send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "TLS with"),
    "alert": (send(ALERT), "TLS with"),
    "closes": (close(), "closed during the TLS handshake"),
    "resets": (reset(), "cannot connect to"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_no_handshake(name: str) -> None:
    move, said = REFUSALS[name]
    async with ScriptedUpstream([received(1), move, stall()]) as refusing:
        url = refusing.url.replace("http:", "https:")
        await refused(url, said)
        await gone(await refusing.peer())


async def test_a_certificate_that_is_not_trusted() -> None:
    certificate = await asyncio.to_thread(make_certificate)
    async with ScriptedUpstream([stall()], tls=certificate) as strange:
        await refused(strange.url, "is not valid: self-signed certificate")


async def refused(url: str, said: str) -> None:
    """The next provider answers, and the attempt's message is in the error of a request that has no other."""
    async with ScriptedUpstream([request(), json_answer(ANSWER), stall()]) as other:
        entries = [
            provider_entry(f"{url}/v1", "key-a", id="refusing"),
            provider_entry(f"{other.url}/v1", "key-b", id="other"),
        ]
        settings = settings_for(ai_policy(entries), connect_timeout_s=1.0)
        async with RunningGateway(settings) as gateway, gateway.session as client:
            async with client.post(CHAT_PATH, data=chat_body("refusing:m", models=["other:m"])) as answered:
                assert await answered.read() == ANSWER
                assert answered.headers["x-gateway-attempts"] == "2"
            async with client.post(CHAT_PATH, data=chat_body("refusing:m")) as answered:
                assert answered.status == 502
                (attempt,) = json.loads(await answered.read())["error"]["details"]["attempts"]
                assert said in attempt["message"]
            assert gateway.parts.pool.open_count == 1  # that of the provider who answered


async def gone(peer: Peer) -> None:
    await peer.wait_until(lambda: peer.lost or peer.ended)


@pytest.mark.parametrize("over_tls", [False, True])
async def test_connections_that_are_gone_need_no_collector(over_tls: bool) -> None:
    """Each holds 30 KiB with TLS, and the collector comes seldom."""
    certificate = await asyncio.to_thread(make_certificate) if over_tls else None
    async with ScriptedUpstream([stall()], tls=certificate) as upstream:
        policy = ai_policy([provider_entry(upstream.url, "key")])
        async with RunningGateway(settings_for(policy), trust=certificate) as gateway:
            gc.collect()
            before = connections()
            gc.disable()
            try:
                for abrupt in (False, True):
                    connection = await gateway.parts.pool.dial(origin_of(upstream.url), 5.0)
                    assert connection.transport is not None
                    if abrupt:
                        connection.abandon()
                    else:
                        connection.transport.close()
                    del connection
                    peer = await upstream.peer(int(abrupt))
                    await peer.wait_until(lambda peer=peer: peer.lost or peer.ended)  # type: ignore[misc]
                await until(lambda: connections() == before)
            finally:
                gc.enable()


def connections() -> int:
    return sum(isinstance(one, UpstreamConnection | TlsTransport) for one in gc.get_objects())


def origin_of(url: str) -> Origin:
    target = urlsplit(url)
    return Origin(target.scheme, target.hostname or "", target.port or 0)
