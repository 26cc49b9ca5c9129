"""Checklist, seeds: keys of providers and of the gateway (CL-9 to CL-13)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.auth.access_keys import AccessKeyTable, Identity
from gateway.auth.tokens import ADMIN_MARK, GATEWAY_MARK, Hasher, new_token
from gateway.control.view import View
from gateway.demo.wire import Request
from gateway.settings.model import Settings
from tests.wire.checklist.documents import LIMIT, served
from tests.wire.checklist.service import answer
from tests.wire.checklist.stage import NOTATIONS, Row, Stage, play, row, rows


def requires_keys(settings: Settings) -> Settings:
    (endpoint,) = settings.endpoints
    return replace(settings, endpoints=(replace(endpoint, gateway_keys="required"),))


def publish_keys(stage: Stage, count: int) -> list[str]:
    """Gateway keys of any endpoint, as the management side would publish them."""
    hasher = Hasher(b"h" * 32)
    tokens = [new_token(GATEWAY_MARK) for _ in range(count)]
    table = AccessKeyTable(hasher, GATEWAY_MARK)
    for number, key in enumerate(tokens):
        table = table.with_key(Identity(f"ak_{number}", key.public, hasher.digest(key.text)))
    view = View(version=1, access_keys=table, admin_keys=AccessKeyTable(hasher, ADMIN_MARK))
    stage.gateway.parts.keys.publish(view)
    return [key.text for key in tokens]


@row(9, f"on_http_request:{LIMIT.replace('100', '2')}", change=requires_keys)
async def only_a_limit_before_the_gateways_own_keys(stage: Stage) -> None:
    one, two = publish_keys(stage, 2)
    for _ in range(2):
        unknown = await stage.ask("/v1/models", authorization="Bearer nobody")
        assert (unknown.status, unknown.code) == (401, "ERR_NGROK_27007")
    for key in (one, two):
        answers = [await stage.ask("/v1/models", authorization=f"Bearer {key}") for _ in range(3)]
        assert [each.status for each in answers] == [200, 200, 429]
        assert answers[0].json["object"] == "list"


@row(
    10,
    """
        on_http_request:
          - type: ai-gateway
            config:
              providers:
                - id: openai
                  base_url: '@provider@'
                  api_keys:
                    - value: "demo-key-429"
                    - value: ${secrets.get('openai', 'key-two')}
                    - value: ${secrets.get('openai', 'key-three')}
                - id: anthropic
                  base_url: '@provider@'
                  api_keys:
                    - value: ${secrets.get('anthropic', 'key-one')}
                    - value: ${secrets.get('anthropic', 'key-two')}
                - id: google
                  base_url: '@provider@'
                  api_keys:
                    - value: ${secrets.get('google', 'key-one')}
    """,
    secrets={
        ("openai", "key-two"): "demo-key-500", ("openai", "key-three"): "demo-key-o3",
        ("anthropic", "key-one"): "demo-key-401", ("anthropic", "key-two"): "demo-key-a2",
        ("google", "key-one"): "demo-key-g1",
    },
)  # fmt: skip
async def several_keys_inline_and_from_secrets(stage: Stage) -> None:
    for provider, keys in (
        ("openai", ["demo-key-429", "demo-key-500", "demo-key-o3"]),
        ("anthropic", ["demo-key-401", "demo-key-a2"]),
        ("google", ["demo-key-g1"]),
    ):
        stage.provider.requests.clear()
        await served(stage, f"{provider}:demo:n=3,delay=0ms")
        assert [received.key for received in stage.provider.requests] == keys


SELECTION = """
        on_http_request:
          - type: ai-gateway
            config:
              providers:
                - id: openai
                  base_url: '@service@/v1'
                  api_keys: [{value: key-one}, {value: key-two}, {value: key-three}, {value: key-four}]
              api_key_selection:
                strategy: [%s]
"""


def by_quota(request: Request) -> bytes:
    """The first key is rate limited; the others have some requests left."""
    if request.header("authorization") == "Bearer key-one":
        return answer(b"{}", status=429, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="60s")
    body = json.dumps({"choices": [{}]})
    return answer(body, x_ratelimit_remaining_requests="500", x_ratelimit_reset_requests="60s")


async def keys_used(stage: Stage) -> list[str]:
    """The keys of the next request, in the order in which they were tried."""
    before = len(stage.service.requests)
    await served(stage, "openai:gpt-4o")
    return [(each.header("authorization") or "").removeprefix("Bearer ") for each in stage.service.requests[before:]]


@row(11, SELECTION % '"ai.keys.filter(k, k.quota.remaining_requests > 100)", ai.keys')
async def keys_by_quota(stage: Stage) -> None:
    stage.service.otherwise = by_quota
    assert await keys_used(stage) == ["key-one", "key-two"], "nothing is known yet"
    assert await keys_used(stage) == ["key-two"]


@row(11, SELECTION % '"ai.keys.filter(k, k.error_rate.rate_limit < 0.05)"')
async def keys_by_error_rate(stage: Stage) -> None:
    stage.service.otherwise = by_quota
    assert await keys_used(stage) == ["key-one", "key-two"]
    assert await keys_used(stage) == ["key-two"]


@row(11, SELECTION % "ai.keys.randomize()")
async def keys_shuffled(stage: Stage) -> None:
    stage.service.otherwise = by_quota
    assert len({(await keys_used(stage))[-1] for _ in range(40)}) == 3


async def passed_through(stage: Stage) -> None:
    await served(stage, authorization="Bearer demo-key-of-the-caller")
    assert stage.provider.last.key == "demo-key-of-the-caller"


@row(
    12,
    "on_http_request: [{type: ai-gateway, config: {providers: [{id: openai, base_url: '@provider@'}]}}]",
)
async def provider_without_keys(stage: Stage) -> None:
    await passed_through(stage)


@row(12, "on_http_request: [{type: ai-gateway, config: {}}]")
async def nothing_configured(stage: Stage) -> None:
    listed = await stage.ask("/v1/models")
    assert (listed.status, listed.json["object"]) == (200, "list")


@row(13, None, change=requires_keys)
async def no_policy_at_all(stage: Stage) -> None:
    (key,) = publish_keys(stage, 1)
    assert (await stage.ask("/v1/models")).status == 401
    assert (await stage.ask("/v1/models", authorization="Bearer wrong")).status == 401
    assert (await stage.ask("/v1/models", authorization=f"Bearer {key}")).status == 200


ROWS = rows(globals())


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("each", ROWS, ids=str)
async def test_row(each: Row, notation: str) -> None:
    await play(each, notation)
