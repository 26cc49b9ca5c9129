"""Planted secrets: those of the client never reach a provider, those of the operator never a client or a log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.ai.catalog import load_overlay
from gateway.app import catalogs
from gateway.demo.server import DemoProvider
from gateway.observability.record import describe
from gateway.problems import Problems
from tests.wire.running import RunningGateway, ai_policy, settings_for
from tests.wire.serving import CHAT_PATH, HELLO, MESSAGES_PATH, chat_body, provider_entry
from tests.wire.upstreams import ScriptedUpstream, json_answer, request

CANARY = "canary-4f1c9"
OWN = f"sk-{CANARY}-of-the-client"
ISSUED = f"ng-{CANARY}-g1-abcdefghijklmnop"
TEAM = f"{CANARY}-team-token-of-the-vault"

#: everything of AG-205 and AG-215 that says who the client is
PLANTED = {
    "authorization": f"Bearer {OWN}",
    "x-api-key": f"{OWN}-2",
    "api-key": f"{OWN}-3",
    "x-goog-api-key": f"{OWN}-4",
    "proxy-authorization": f"Basic {CANARY}",
    "cookie": f"session={CANARY}",
    "forwarded": f"for={CANARY}",
    "via": f"1.1 {CANARY}",
    "x-forwarded-for": CANARY,
    "x-forwarded-host": CANARY,
    "x-forwarded-proto": CANARY,
    "x-real-ip": CANARY,
    "origin": f"http://{CANARY}",
    "referer": f"http://{CANARY}/",
    "sec-fetch-site": CANARY,
    "x-ai-gateway-debug": CANARY,
    "connection": "x-hop",
    "x-hop": CANARY,
    "openai-organization": CANARY,
    "openai-project": CANARY,
    "te": CANARY,
    "keep-alive": CANARY,
}
QUERY = "".join(f"&{name}={CANARY}" for name in ("key", "api_key", "api-key", "access_token", "%6bey"))
#: these have to pass (AG-215)
PASSING = {
    "user-agent": "tests/1",
    "anthropic-version": "2023-06-01",
    "anthropic-beta": "a,b",
    "openai-beta": "c",
    "idempotency-key": "d",
    "traceparent": "e",
    "x-stainless-lang": "python",
}


@asynccontextmanager
async def world(
    *keys: str, before: str = "", secrets: Mapping[tuple[str, str], str] | None = None, **config: Any
) -> AsyncIterator[tuple[DemoProvider, RunningGateway]]:
    """Without ``keys``: a custom provider that gets what the client sends."""
    async with DemoProvider() as provider:
        policy = ai_policy([provider_entry(provider.base_url, *keys)], before, **config)
        async with RunningGateway(settings_for(policy), secrets=secrets or {}) as gateway:
            yield provider, gateway


async def ask(
    gateway: RunningGateway, headers: Mapping[str, str], path: str = CHAT_PATH, body: bytes | None = None
) -> tuple[int, str]:
    """(status, everything the client gets: status, headers and body)."""
    async with gateway.session as client:
        sent = {"content-type": "application/json", **headers}
        async with client.post(path, data=body or chat_body(), headers=sent, allow_redirects=False) as answer:
            return answer.status, f"{answer.raw_headers!r}{(await answer.read())!r}"


def received(provider: DemoProvider) -> str:
    """Every byte of every request that reached the provider."""
    return "".join(f"{each.request.target}{each.request.headers}{each.request.body!r}" for each in provider.requests)


# ---- towards the provider ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CHAT_PATH, MESSAGES_PATH])
async def test_client_credentials_stay_here(path: str) -> None:
    """AG-205, AG-210, AG-215: with a key of the operator nothing of the client's identity goes upstream."""
    async with world("demo-key-operator") as (provider, gateway):
        status, _ = await ask(gateway, {**PLANTED, **PASSING}, f"{path}?beta=true{QUERY}")
        assert status == 200
        assert CANARY not in received(provider)
        assert provider.last.request.query == "beta=true"
        sent = {name.lower(): value for name, value in provider.last.request.headers}
        assert {name: sent.get(name) for name in PASSING} == PASSING
        key = sent["x-api-key"] if path == MESSAGES_PATH else sent["authorization"].removeprefix("Bearer ")
        assert key == "demo-key-operator"
        assert ("authorization" in sent) != ("x-api-key" in sent)
        assert "set-cookie" not in sent


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
async def test_gateway_tokens_stay_here(header: str) -> None:
    """AG-186, AG-195 (a), AG-208: refused, never passed through, never shown."""
    for token in (ISSUED, ISSUED.replace("-g1-", "-a1-")):
        async with world() as (provider, gateway):
            status, shown = await ask(gateway, {header: f"Bearer {token}" if header == "authorization" else token})
            assert status == 401
            assert "ERR_NGROK_27007" in shown
            assert CANARY not in shown
            assert provider.stats.requests == 0


async def test_gateway_tokens_in_other_headers_stay_here() -> None:
    """AG-208."""
    async with world("demo-key-operator") as (provider, gateway):
        await ask(gateway, {"x-note": f"my key is {ISSUED}"})
        assert ISSUED not in received(provider)


GUARD = """
  - expressions: ["!('x-team' in req.headers) || req.headers['x-team'][0] != secrets.get('vault', 'team')"]
    actions: [{type: deny, config: {status_code: 403}}]
"""


async def test_tokens_that_the_policy_compared_stay_here() -> None:
    """AG-195 (b), AG-196, AG-215, P17: a secret of the vault is no credential for a provider."""
    secrets = {("vault", "team"): TEAM}
    async with world(before=GUARD, secrets=secrets) as (provider, gateway):
        status, _ = await ask(gateway, {"x-team": "wrong", "authorization": f"Bearer {TEAM}"})
        assert (status, provider.stats.requests) == (403, 0)
        status, _ = await ask(gateway, {"x-team": TEAM, "authorization": f"Bearer {TEAM}", "x-copy": f"Token {TEAM}"})
        assert provider.stats.requests == 1
        assert TEAM not in received(provider)
        status, _ = await ask(gateway, {"x-team": TEAM, "authorization": f"Bearer {OWN}"})
        assert provider.last.header("authorization") == f"Bearer {OWN}"  # another token is the client's own affair


# ---- passthrough ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers", "name", "value"),
    [
        (CHAT_PATH, {"authorization": f"Bearer {OWN}"}, "authorization", f"Bearer {OWN}"),
        (CHAT_PATH, {"x-api-key": OWN}, "authorization", f"Bearer {OWN}"),
        (CHAT_PATH, {"x-goog-api-key": OWN}, "authorization", f"Bearer {OWN}"),
        (MESSAGES_PATH, {"authorization": f"Bearer {OWN}"}, "authorization", f"Bearer {OWN}"),
        (MESSAGES_PATH, {"x-api-key": OWN}, "x-api-key", OWN),
        (CHAT_PATH, {"authorization": f"Bearer {OWN}", "x-api-key": "other"}, "authorization", f"Bearer {OWN}"),
        (MESSAGES_PATH, {"authorization": "Bearer other", "x-api-key": OWN}, "x-api-key", OWN),
    ],
)
async def test_passthrough(path: str, headers: dict[str, str], name: str, value: str) -> None:
    """AG-185, AG-195, AG-206: one credential, in the header that fits."""
    async with world() as (provider, gateway):
        account = {"openai-organization": "org-own"}
        await ask(gateway, {**headers, **account}, path)
        sent = {each.lower(): value for each, value in provider.last.request.headers}
        assert sent[name] == value
        assert len({"authorization", "x-api-key", "api-key", "x-goog-api-key"} & set(sent)) == 1
        assert sent["openai-organization"] == "org-own"  # AG-210 is about the operator's keys


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", f"Digest {OWN}", OWN])
async def test_only_bearer_tokens_pass(value: str) -> None:
    """AG-195 (c): a custom provider is asked without a credential."""
    async with world() as (provider, gateway):
        await ask(gateway, {"authorization": value})
        assert provider.last.header("authorization") is None
        assert value.partition(" ")[2] or value not in received(provider)


async def test_passthrough_goes_to_one_provider_only() -> None:
    """AG-195 (d): failover must not hand the client's key around."""
    async with DemoProvider() as first, DemoProvider() as second:
        entries = [
            provider_entry(first.base_url, id="first"),
            provider_entry(second.base_url, id="second"),
        ]
        async with RunningGateway(settings_for(ai_policy(entries))) as gateway:
            body = json.dumps({"models": ["first:500", "second:n=2"], "messages": HELLO}).encode()
            status, _ = await ask(gateway, {"authorization": f"Bearer {OWN}"}, body=body)
        assert first.last.header("authorization") == f"Bearer {OWN}"
        assert OWN not in received(second)
        assert second.stats.requests == 1  # row 8: without a credential
        assert status == 200 or second.last.status == 401


async def test_token_of_one_official_provider_does_not_go_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """AG-195 (e): by documented prefix; a token without one may go to any."""
    tokens = (f"sk-proj-{CANARY}", f"gsk_{CANARY}", CANARY)
    async with DemoProvider(keys=tokens) as openai, DemoProvider(keys=tokens) as groq:
        addresses = {"openai": openai.base_url, "groq": groq.base_url}
        overlay = {"providers": [{"id": name, "base_url": url} for name, url in addresses.items()]}
        problems = Problems("overlay")
        catalog = await asyncio.to_thread(load_overlay, json.dumps(overlay), problems)
        assert catalog is not None, list(problems)
        monkeypatch.setattr(catalogs, "load_shipped", lambda: catalog)
        async with RunningGateway(settings_for(ai_policy([]))) as gateway:
            for token, model, status in (
                (f"sk-proj-{CANARY}", "groq:n=2", 400),
                (f"gsk_{CANARY}", "openai:n=2", 400),
                (f"gsk_{CANARY}", "groq:n=2", 200),
                (f"sk-proj-{CANARY}", "openai:n=2", 200),
                (CANARY, "groq:n=3", 200),
            ):
                seen, shown = await ask(gateway, {"authorization": f"Bearer {token}"}, body=chat_body(model))
                assert (seen, "ERR_NGROK_3802" in shown) == (status, status == 400), (token, model)
        assert [each.header("authorization") for each in openai.requests] == [f"Bearer sk-proj-{CANARY}"]
        assert f"sk-proj-{CANARY}" not in received(groq)


# ---- towards the client --------------------------------------------------------------------------------------------

FAULTS = (
    "demo", "400", "401", "403", "404", "409", "422", "429", "500", "503", "echo-key", "overloaded", "html", "reset",
    "garbage", "silent", "cut-3", "error-first", "error-mid-3", "stall-3", "empty", "redirect", "truncated-json",
    "context-length", "500-html", "numeric-code",
)  # fmt: skip


async def test_operator_keys_stay_here(caplog: pytest.LogCaptureFixture) -> None:
    """AG-180, AG-208, AG-209: on success and on every fault, in answers, records and logs."""
    caplog.set_level(logging.DEBUG)
    key = f"demo-key:pad=0,{CANARY}"
    async with DemoProvider() as provider:
        policy = ai_policy([provider_entry(provider.base_url, key)], per_request_timeout="150ms")
        settings = settings_for(policy, stream_idle_timeout_s=0.2)
        async with RunningGateway(settings) as gateway:
            for path in (CHAT_PATH, MESSAGES_PATH):
                for fault in FAULTS:
                    for stream in (False, True):
                        body = chat_body(f"demo:{fault}" if fault != "demo" else fault, stream=stream)
                        try:
                            _, shown = await ask(gateway, {}, path, body)
                        except OSError:  # a body that is cut is cut here too
                            continue
                        assert CANARY not in shown, (fault, path, stream)
            records = [json.dumps(describe(record, 0.0, "")) for record in gateway.records]
        assert CANARY in received(provider)
        assert len(records) == 4 * len(FAULTS)
        assert not any(CANARY in record for record in records)
        assert key not in caplog.text


async def test_headers_of_a_provider_are_searched() -> None:
    """AG-209, AG-210, AG-220: a key in ``location`` or any header, the operator's account, cookies, forged codes."""
    key = f"sk-{CANARY}-of-the-operator"
    headers = (
        f"Location: https://example.test/?key={key}\r\nX-Echo: {key}\r\nX-Issued: {ISSUED}\r\nX-Plain: kept\r\n"
        "OpenAI-Organization: org-operator\r\nOpenAI-Project: p-operator\r\nAnthropic-Organization-Id: a-operator\r\n"
        "Set-Cookie: a=operator\r\nServer: operator\r\nAlt-Svc: operator\r\nStrict-Transport-Security: operator\r\n"
        "Ngrok-Error-Code: operator\r\nX-Gateway-Provider: operator\r\nX-Request-Id: theirs\r\n"
    )
    answer = json_answer(b'{"choices":[]}', headers=headers)
    moved = json_answer(b"", status="307 Temporary Redirect", headers=headers)
    async with ScriptedUpstream([request(), answer], [request(), moved]) as upstream:
        policy = ai_policy([provider_entry(f"{upstream.url}/v1", key)])
        async with RunningGateway(settings_for(policy)) as gateway:
            for status in (200, 307):
                seen, shown = await ask(gateway, {})
                assert seen == status
                assert CANARY not in shown
                assert "operator" not in shown.replace("of-the-operator", "")
                assert "https://example.test/?key=***" in shown
                assert "kept" in shown
                assert "theirs" in shown


async def test_own_account_headers_reach_the_client_with_its_own_key() -> None:
    """AG-210: passthrough is the client's own account."""
    answer = json_answer(b'{"choices":[]}', headers="OpenAI-Organization: org-own\r\n")
    async with ScriptedUpstream([request(), answer]) as upstream:
        async with RunningGateway(settings_for(ai_policy([provider_entry(f"{upstream.url}/v1")]))) as gateway:
            _, shown = await ask(gateway, {"authorization": f"Bearer {OWN}"})
        assert "org-own" in shown


async def test_internal_errors_say_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """AG-305: a bug's text may hold anything; neither client nor log gets it."""

    def explode(*_: object) -> None:
        raise RuntimeError(f"the key is {CANARY}")

    async with world("demo-key-operator") as (_, gateway):
        monkeypatch.setattr("gateway.ai.attempts.build_body", explode)
        status, shown = await ask(gateway, {})
        assert status == 500
        assert "ERR_AIGW_INTERNAL" in shown
        record = json.dumps(describe(gateway.records[0], 0.0, ""))
    assert "RuntimeError" in record
    assert CANARY not in shown + record + caplog.text
