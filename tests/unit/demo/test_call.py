"""Keys and validation, as the real services answer."""

from __future__ import annotations

import gzip
import json

import pytest

from gateway.demo.call import Surface, find_surface
from tests.unit.demo.rawclient import MESSAGES, connected

CHAT = "/v1/chat/completions"
GOOD = {"model": "demo-fast", "messages": MESSAGES}
ANTHROPIC = {"anthropic_version": "2023-06-01"}


def test_surfaces_are_found_below_any_base_path():
    assert find_surface("/v1/chat/completions") is Surface.CHAT
    assert find_surface("/openai/deployments/d/chat/completions") is Surface.CHAT
    assert find_surface("/v1/completions") is Surface.COMPLETIONS
    assert find_surface("/anthropic/v1/messages") is Surface.MESSAGES
    assert find_surface("/v1/messages/count_tokens") is Surface.COUNT_TOKENS
    assert find_surface("/v1/audio/speech") is None


@pytest.mark.parametrize("key", ["demo-key", "demo-x", "sk-listed"])
async def test_keys_of_the_demo_and_listed_ones_are_accepted(provider, key):
    async with connected(provider) as client:
        assert (await client.ask(CHAT, GOOD, key=key)).status == 200
        assert (await client.ask(CHAT, GOOD, key="", api_key=key)).status == 200


@pytest.mark.parametrize(
    ("key", "code", "message"),
    [("", None, "You didn't provide an API key."), ("sk-wrong-0123456789", "invalid_api_key", "sk-w********6789")],
)
async def test_other_keys_get_401_in_the_openai_dialect(provider, key, code, message):
    async with connected(provider) as client:
        seen = await client.ask(CHAT, GOOD, key=key)
    error = seen.json()["error"]
    assert (seen.status, error["type"], error["code"], error["param"]) == (401, "invalid_request_error", code, None)
    assert message in error["message"]
    assert "sk-wrong-0123456789" not in seen.body.decode()


async def test_other_keys_get_401_in_the_anthropic_dialect(provider):
    body = {**GOOD, "max_tokens": 5}
    async with connected(provider) as client:
        wrong = await client.ask("/v1/messages", body, key="", x_api_key="sk-ant-x", **ANTHROPIC)
        missing = await client.ask("/v1/messages", body, key="", **ANTHROPIC)
        bearer = await client.ask("/v1/messages", body, **ANTHROPIC)
    assert (wrong.status, wrong.json()["error"]["type"]) == (401, "authentication_error")
    assert wrong.json()["error"]["message"] == "invalid x-api-key"
    assert wrong.json()["request_id"] == wrong.headers["request-id"]
    assert missing.status == 401
    assert bearer.status == 200


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", None, None),
        ([], None, None),
        ({"messages": MESSAGES}, None, None),
        ({"model": "demo"}, "missing_required_parameter", "messages"),
        ({"model": "demo", "messages": "x"}, "invalid_type", "messages"),
        ({"model": "demo", "messages": []}, "empty_array", "messages"),
        ({"model": "demo", "messages": ["x"]}, "invalid_type", "messages[0]"),
        ({"model": "demo", "messages": [{}]}, "missing_required_parameter", "messages[0].role"),
        ({**GOOD, "stream": "yes"}, "invalid_type", "stream"),
        ({**GOOD, "stream_options": {}}, None, "stream_options"),
        ({**GOOD, "n": 2}, "invalid_value", "n"),
        ({**GOOD, "temperature": 3}, "decimal_above_max_value", "temperature"),
        ({**GOOD, "temperature": -1}, "decimal_below_min_value", "temperature"),
        ({**GOOD, "temperature": "hot"}, "invalid_type", "temperature"),
        ({**GOOD, "max_tokens": 0}, "integer_below_min_value", "max_tokens"),
        ({**GOOD, "max_completion_tokens": "9"}, "invalid_type", "max_completion_tokens"),
    ],
)
async def test_openai_bodies_are_validated(provider, body, code, param):
    async with connected(provider) as client:
        seen = await client.ask(CHAT, body)
    error = seen.json()["error"]
    assert (seen.status, error["type"], error["code"], error["param"]) == (400, "invalid_request_error", code, param)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not valid JSON"),
        ({}, "model: Field required"),
        ({"model": "demo"}, "messages: Field required"),
        ({"model": "demo", "messages": 1}, "valid list"),
        ({"model": "demo", "messages": []}, "at least one message"),
        ({"model": "demo", "messages": [{"role": "x"}]}, "messages.0.role"),
        ({"model": "demo", "messages": MESSAGES}, "max_tokens: Field required"),
        ({"model": "demo", "messages": MESSAGES, "max_tokens": 0}, "greater than or equal to 1"),
        ({"model": "demo", "messages": MESSAGES, "max_tokens": 1, "stream": 1}, "valid boolean"),
    ],
)
async def test_anthropic_bodies_are_validated(provider, body, message):
    async with connected(provider) as client:
        seen = await client.ask("/v1/messages", body, **ANTHROPIC)
    assert (seen.status, seen.json()["error"]["type"]) == (400, "invalid_request_error")
    assert message in seen.json()["error"]["message"]


async def test_anthropic_version_is_required(provider):
    """AG-43: whoever forwards a request must have added it."""
    async with connected(provider) as client:
        seen = await client.ask("/v1/messages", {**GOOD, "max_tokens": 5})
    assert seen.json()["error"]["message"] == "anthropic-version: header is required"


async def test_paths_and_methods(provider):
    async with connected(provider) as client:
        wrong_method = await client.ask(CHAT, None, method="GET")
        unknown = await client.ask("/v1/audio/speech", GOOD)
        unknown_model = await client.ask(CHAT, {**GOOD, "model": "demo-nonsense"})
    assert (wrong_method.status, wrong_method.headers["allow"]) == (405, "POST")
    assert unknown.status == 404
    assert unknown_model.json()["error"]["code"] == "model_not_found"


async def test_request_codings(provider):
    async with connected(provider) as client:
        body = gzip.compress(json.dumps(GOOD).encode())
        assert (await client.ask(CHAT, body, content_encoding="gzip")).status == 200
        assert (await client.ask(CHAT, b"no gzip", content_encoding="gzip")).status == 400
        assert (await client.ask(CHAT, body, content_encoding="br")).status == 415
