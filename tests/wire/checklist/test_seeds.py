"""Checklist, seeds: who may use the gateway (CL-1 to CL-8, CL-14, CL-15)."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.secrets.sources import MemorySource
from tests.unit.auth.issuers import document, jwk, token
from tests.wire.checklist.documents import (
    COMPARE,
    GATEWAY,
    LIMIT,
    MODEL,
    ONE_TOKEN,
    REFUSE,
    TOKENS,
    behind_a_proxy,
    refused,
    served,
)
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows


@row(
    1,
    """
        on_http_request:
          - type: ai-gateway
            config:
              providers:
                - id: openai
                  base_url: '@provider@'
                  api_keys:
                    - value: ${secrets.get('openai', 'api-key')}
    """,
    secrets=TOKENS,
)
async def one_provider_key_from_a_secret(stage: Stage) -> None:
    assert any("authenticates" in warning for warning in stage.warnings()), stage.warnings()
    await served(stage)
    assert stage.provider.last.key == "demo-key-openai"


@row(2, f"on_http_request:{COMPARE}{GATEWAY}", secrets=ONE_TOKEN)
async def bearer_token_compared_with_a_secret(stage: Stage) -> None:
    await refused(stage)
    for wrong in (
        "Bearer wrong-token",
        "right-token",
        "Basic right-token",
        "bearer right-token",
        "Bearer right-token x",
    ):
        await refused(stage, authorization=wrong)
    await served(stage, authorization="Bearer right-token")
    assert stage.provider.last.key == "demo-key-openai"
    await served(stage, "anthropic:demo:n=3,delay=0ms", authorization="Bearer right-token")
    assert stage.provider.last.key == "demo-key-anthropic"
    assert "right-token" not in str(stage.provider.last.request)


@row(
    3,
    f"""
        on_http_request:
          - actions:
              - type: set-vars
                config:
                  vars:
                    - valid_auth_headers:
                        - ${{'Bearer ' + secrets.get('gateway-auth', 'client-a-token')}}
                        - ${{'Bearer ' + secrets.get('gateway-auth', 'client-b-token')}}
                        - ${{'Bearer ' + secrets.get('gateway-auth', 'client-c-token')}}
          - expressions:
              - "!(req.headers['authorization'][0] in vars.valid_auth_headers)"
{REFUSE}{GATEWAY}
    """,
    secrets={**TOKENS, **{("gateway-auth", f"client-{name}-token"): f"token-{name}" for name in "abc"}},
)
async def one_of_three_tokens(stage: Stage) -> None:
    await refused(stage)
    await refused(stage, authorization="Bearer token-d")
    for name in "abc":
        await served(stage, authorization=f"Bearer token-{name}")


@row(
    4,
    f"""
        on_http_request:
          - expressions:
              - req.headers['x-api-key'][0] != secrets.get('gateway-auth', 'access-token')
{REFUSE}{GATEWAY}
    """,
    secrets=ONE_TOKEN,
)
async def x_api_key_compared_with_a_secret(stage: Stage) -> None:
    await refused(stage)
    await refused(stage, authorization="Bearer right-token")
    await refused(stage, x_api_key="wrong-token", authorization="Bearer right-token")
    await served(stage, x_api_key="right-token")
    await served(stage, x_api_key="right-token", authorization="Bearer not-used")
    assert stage.provider.last.key == "demo-key-openai"


@row(
    5,
    f"""
        on_http_request:
          - actions: [{{type: set-vars, config: {{vars: [{{tokens: [Bearer one, Bearer two]}}]}}}}]
          - expressions: ["!(req.headers['authorization'][0] in vars.tokens)"]
{REFUSE}{LIMIT}{GATEWAY}
    """,
    secrets=TOKENS,
)
async def a_limit_for_each_token(stage: Stage) -> None:
    await refused(stage)
    for _ in range(3):
        await refused(stage, authorization="Bearer three")
    answers = await asyncio.gather(*(stage.chat(model=MODEL, authorization="Bearer one") for _ in range(101)))
    assert sorted(each.status for each in answers) == [200] * 100 + [429]
    (limited,) = [each for each in answers if each.status == 429]
    assert 1 <= int(limited.headers["retry-after"]) <= 60
    assert limited.code == "ERR_TP_RATE_LIMITED"
    await served(stage, authorization="Bearer two")
    stage.clock.ahead_s = 60.0
    await served(stage, authorization="Bearer one")


@row(
    6,
    f"""
        on_http_request:
          - actions:
              - type: restrict-ips
                config:
                  enforce: true
                  allow:
                    - 203.0.113.0/24
                    - 198.51.100.50/32
{COMPARE}{GATEWAY}
    """,
    secrets=ONE_TOKEN,
    change=behind_a_proxy,
)
async def addresses_before_any_token(stage: Stage) -> None:
    for outside in ("198.51.100.51", "203.0.114.1", "::1"):
        for headers in ({}, {"authorization": "Bearer right-token"}, {"authorization": "Bearer wrong"}):
            answered = await stage.chat(headers, model=MODEL, x_forwarded_for=outside)
            assert (answered.status, answered.code) == (403, "ERR_NGROK_3203")
    for inside in ("203.0.113.0", "203.0.113.255", "198.51.100.50"):
        await refused(stage, x_forwarded_for=inside)
        await served(stage, x_forwarded_for=inside, authorization="Bearer right-token")


JWT = f"""
        on_http_request:
          - actions:
              - type: jwt-validation
                config:
                  issuer:
                    allow_list:
                      - value: https://your-auth-provider.com/
                  audience:
                    allow_list:
                      - value: your-ai-gateway
                  http:
                    tokens:
                      - type: access_token
                        method: header
                        name: Authorization
                        prefix: "Bearer "
                  jws:
                    allowed_algorithms:
                      - RS256
                    keys:
                      sources:
                        additional_jkus:
                          - '@service@/.well-known/jwks.json'
{GATEWAY}
"""
CLAIMS = {"iss": "https://your-auth-provider.com/", "aud": "your-ai-gateway", "sub": "alice"}


@row(7, JWT, secrets=TOKENS)
async def json_web_tokens_then_the_gateway(stage: Stage) -> None:
    stage.service.answers["/.well-known/jwks.json"] = answer(document(jwk("RS256", "k1")))
    missing = await stage.chat(model=MODEL)
    assert (missing.status, missing.code) == (401, "ERR_TP_JWT_MISSING")
    assert missing.headers["www-authenticate"] == "Bearer"
    for claims in (
        {**CLAIMS, "iss": "https://your-auth-provider.com"},
        {**CLAIMS, "aud": "other"},
        {**CLAIMS, "exp": 1_000_000_000},
    ):
        invalid = await stage.chat(model=MODEL, authorization=f"Bearer {token(claims)}")
        assert (invalid.status, invalid.code) == (401, "ERR_TP_JWT_INVALID")
        assert invalid.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    good = token({**CLAIMS, "exp": 4_000_000_000})
    await served(stage, authorization=f"Bearer {good}")
    assert good not in str(stage.provider.last.request)
    assert len(stage.service.requests) == 1


ROTATION = f"""
          - actions:
              - type: set-vars
                config:
                  vars:
                    - valid_auth_headers:
                        - ${{'Bearer ' + secrets.get('gateway-auth', 'old-token')}}
                        - ${{'Bearer ' + secrets.get('gateway-auth', 'new-token')}}
          - expressions:
              - "!(req.headers['authorization'][0] in vars.valid_auth_headers)"
{REFUSE}
"""
BOTH = {**TOKENS, ("gateway-auth", "old-token"): "old", ("gateway-auth", "new-token"): "new"}


async def both_tokens(stage: Stage) -> None:
    await refused(stage)
    await refused(stage, authorization="Bearer other")
    assert (await stage.ask(authorization="Bearer old")).status != 401
    assert (await stage.ask(authorization="Bearer new")).status != 401


@row(8, ROTATION, secrets=BOTH, forwards=True)
async def rotation_as_a_bare_list(stage: Stage) -> None:
    assert any("on_http_request" in warning for warning in stage.warnings())
    await both_tokens(stage)


@row(8, f"on_http_request:{ROTATION}{GATEWAY}", secrets=BOTH)
async def rotation_inside_a_phase(stage: Stage) -> None:
    await both_tokens(stage)
    await served(stage, authorization="Bearer old")
    await served(stage, authorization="Bearer new")


def set_secrets(stage: Stage, **changes: str | None) -> None:
    """What the vault holds from now on, without a reload (TP-605)."""
    for name, value in changes.items():
        at = ("gateway-auth", name.replace("_", "-"))
        stage.secrets.pop(at, None)
        if value is not None:
            stage.secrets[at] = value
    stage.gateway.parts.secrets.sources = (MemorySource(stage.secrets),)


@row(14, f"on_http_request:{COMPARE}{GATEWAY}", secrets=ONE_TOKEN)
async def a_changed_secret_holds_at_once(stage: Stage) -> None:
    await served(stage, authorization="Bearer right-token")
    set_secrets(stage, access_token="next-token")
    await refused(stage, authorization="Bearer right-token")
    await served(stage, authorization="Bearer next-token")


@row(15, f"on_http_request:{COMPARE}{GATEWAY}", secrets=ONE_TOKEN)
async def a_deleted_secret_lets_nobody_in(stage: Stage) -> None:
    set_secrets(stage, access_token=None)
    before = stage.provider.stats.requests
    for headers in ({}, {"authorization": "Bearer right-token"}, {"authorization": "Bearer "}, {"authorization": ""}):
        answered = await stage.chat(headers, model=MODEL)
        assert (answered.status, answered.code) == (500, "ERR_NGROK_2254")
        assert "secrets.get" not in json.dumps(answered.json)
    assert stage.provider.stats.requests == before


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
