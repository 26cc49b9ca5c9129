"""Pieces of the seeds' policies that several rows share, and what a client sees of them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from gateway.settings.model import Settings
from tests.wire.checklist.stage import Stage

INVALID = {"error": {"message": "Invalid or missing authorization token", "type": "authentication_error"}}
#: the seeds' providers, served by the demo provider
GATEWAY = """
          - actions:
              - type: ai-gateway
                config:
                  providers:
                    - id: openai
                      base_url: '@provider@'
                      api_keys:
                        - value: ${secrets.get('openai', 'api-key')}
                    - id: anthropic
                      base_url: '@provider@'
                      api_keys:
                        - value: ${secrets.get('anthropic', 'api-key')}
"""
REFUSE = """
            actions:
              - type: custom-response
                config:
                  status_code: 401
                  headers:
                    content-type: application/json
                  body: '{"error": {"message": "MESSAGE", "type": "authentication_error"}}'
""".replace("MESSAGE", "Invalid or missing authorization token")
LIMIT = """
          - actions:
              - type: rate-limit
                config:
                  name: ai-gateway-limit
                  algorithm: sliding_window
                  capacity: 100
                  rate: 100/min
                  bucket_key:
                    - req.headers['authorization']
"""
COMPARE = (
    """
          - expressions:
              - req.headers['authorization'][0] != 'Bearer ' + secrets.get('gateway-auth', 'access-token')
"""
    + REFUSE
)
TOKENS = {("openai", "api-key"): "demo-key-openai", ("anthropic", "api-key"): "demo-key-anthropic"}
ONE_TOKEN = {**TOKENS, ("gateway-auth", "access-token"): "right-token"}
MODEL = "openai:demo:n=3,delay=0ms"


def _lines(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


async def refused(stage: Stage, **headers: str) -> None:
    """The policy's own 401, and nothing reached the provider."""
    before = stage.provider.stats.requests
    answered = await stage.chat(_lines(headers), model=MODEL)
    assert (answered.status, answered.json) == (401, INVALID)
    assert answered.headers["content-type"] == "application/json"
    assert answered.code is None
    assert stage.provider.stats.requests == before


async def served(stage: Stage, model: str = MODEL, **headers: str) -> None:
    """The provider answered, and got its own key."""
    answered = await stage.chat(_lines(headers), model=model)
    assert answered.status == 200, answered.text
    assert answered.json["choices"]


def behind_a_proxy(settings: Settings) -> Settings:
    """The gateway believes 127.0.0.1, so that rows can choose the client's address (TP-132)."""
    return replace(settings, server=replace(settings.server, trusted_proxies=(ip_network("127.0.0.0/8"),)))
