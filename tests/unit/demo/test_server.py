"""The provider as an object: listener, TLS, addresses, log."""

from __future__ import annotations

import pytest

from gateway.demo.server import DemoProvider
from gateway.demo.tls import make_certificate
from tests.unit.demo.rawclient import chat, connected


async def test_listens_and_says_where():
    async with DemoProvider() as provider:
        assert provider.url == f"http://127.0.0.1:{provider.port}"
        assert provider.base_url == provider.url + "/v1"
        port = provider.port
    with pytest.raises(ConnectionRefusedError):
        await connected(provider).__aenter__()
    restarted = await DemoProvider().start(port=port)
    assert restarted.port == port
    await restarted.stop()


async def test_records_what_it_received(provider):
    seen = await chat(provider, "demo-fast:n=3", key="demo-second", temperature=0.5)
    received = provider.last
    assert (received.request.method, received.path, received.key) == ("POST", "/v1/chat/completions", "demo-second")
    assert received.header("content-type") == "application/json"
    assert b'"temperature": 0.5' in received.body
    assert (received.model, received.behaviour.n, received.status) == ("demo-fast:n=3", 3, 200)
    assert (received.streamed, received.completed, received.events_sent) == (True, True, len(seen.events()))
    provider.requests.clear()
    assert list(provider.requests) == []


@pytest.mark.parametrize("model", ["demo-fast", "demo-fast-cut-5", "demo-reset", "demo-fast-big-100k"])
async def test_speaks_tls(model):
    certificate = make_certificate()
    async with await DemoProvider().start(tls=certificate) as provider:
        assert provider.url.startswith("https://")
        async with connected(provider, certificate.client_context()) as client:
            seen = await client.chat(model)
        if model in ("demo-fast", "demo-fast-big-100k"):
            assert seen.events()[-1] == b"data: [DONE]"
        else:
            assert seen.ended in ("reset", "eof")
            assert len(seen.objects()) == (6 if "cut" in model else 0)
