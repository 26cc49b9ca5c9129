"""The demo policy's text."""

from __future__ import annotations

from ruamel.yaml import YAML

from gateway.demo.policy import render_policy
from gateway.demo.service import LISTED_MODELS


def read(text: str):
    return YAML(typ="safe").load(text)["on_http_request"][0]


def test_is_one_ai_gateway_action_for_the_demo_provider():
    action = read(render_policy("http://127.0.0.1:9000/v1"))
    assert action["type"] == "ai-gateway"
    (provider,) = action["config"]["providers"]
    assert (provider["id"], provider["base_url"]) == ("demo", "http://127.0.0.1:9000/v1")
    assert provider["api_keys"] == [{"value": "demo-key"}]
    assert {s["format"] for s in provider["supported_api_surfaces"]} == {"openai", "anthropic"}
    assert [m["id"] for m in provider["models"]][: len(LISTED_MODELS)] == list(LISTED_MODELS)


def test_keys_and_other_providers():
    text = render_policy(
        "http://h/v1", keys=["demo-key-429", "demo-key"], others={"openai": "${secrets.get('d', 'o')}"}
    )
    demo, openai = read(text)["config"]["providers"]
    assert [k["value"] for k in demo["api_keys"]] == ["demo-key-429", "demo-key"]
    assert openai == {"id": "openai", "api_keys": [{"value": "${secrets.get('d', 'o')}"}]}
