"""Checklist: policies that must not load (CL-31, CL-47, CL-55, CL-74, CL-80, CL-82 to CL-85, CL-89)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.checklist.refusals import Refusal, check_command, check_loading, check_start, refusals, refused


def condition(text: str) -> str:
    """A policy with this line in its list of expressions, as it stands."""
    return f"on_http_request:\n- expressions:\n  - {text}\n  actions:\n  - type: deny\n"


def body(text: str) -> str:
    """A policy that answers with this text, as it stands."""
    return f"on_http_request:\n- type: custom-response\n  config:\n    body: {text}\n"


def unsupported(number: int, type: str, *words: str, phase: str = "on_http_request") -> Refusal:
    return refused(number, type, f"{phase}:\n- type: {type}\n", "2:9", "2201", *words)


WEBHOOK = "on_http_request:\n- type: verify-webhook\n  config:\n    provider: %s\n    secret: s\n"

REFUSALS = (
    refused(
        31, "two gateways in one policy",
        """
        on_http_request:
        - expressions: [req.url.path == '/a']
          actions:
          - type: ai-gateway
        - expressions: [req.url.path == '/b']
          actions:
          - type: ai-gateway
            config: {}
        """,
        "7:11", "2266", "ai-gateway",
    ),
    refused(31, "two as shorthand", "on_http_request:\n- type: ai-gateway\n- type: ai-gateway\n", "3:9", "2266"),
    refused(47, "limit with an exemption by category", condition("\"!('com.acme' in conn.client_ip.categories)\""),
            "3:37", "2200", "variable not available", "conn.client_ip.categories"),
    refused(55, "category", condition("\"'com.x' in conn.client_ip.categories\""), "3:32", "2200", "not available"),
    refused(55, "Tor", condition("conn.client_ip.is_tor_node"), "3:20", "2200", "not available"),
    refused(55, "blocklist", condition("conn.client_ip.is_on_blocklist"), "3:20", "2200", "not available"),
    refused(55, "country", condition("conn.geo.country_code in ['KP']"), "3:10", "2200", "not available"),
    refused(55, "EU", condition("conn.client_ip.geo.location.is_eu"), "3:20", "2200", "not available"),
    refused(55, "continent", condition("conn.client_ip.geo.location.continent == 'Asia'"), "3:20", "2200", "geo"),
    unsupported(74, "oauth", "known but not supported here", "jwt-validation"),
    unsupported(74, "openid-connect", "known but not supported here", "jwt-validation"),
    unsupported(74, "oidc", "known but not supported here"),
    unsupported(74, "saml", "known but not supported here"),
    unsupported(74, "owasp-crs-request", "known but not supported here"),
    unsupported(74, "owasp-crs-response", "known but not supported here", phase="on_http_response"),
    unsupported(74, "terminate-tls", "known but not supported here", "listener", phase="on_tcp_connect"),
    unsupported(74, "denny", "unknown action type", "did you mean 'deny'"),
    refused(74, "webhook provider of the reference", WEBHOOK % "adobe_sign", "4:15", "2222", "not supported here"),
    refused(74, "webhook provider of nobody", WEBHOOK % "gitlub", "4:15", "2222", "gitlab"),
    refused(80, "unquoted negation", condition("!('authorization' in req.headers)"), "3:5", "2236", "quote"),
    refused(80, "unquoted negation of a function", condition("!hasReqHeader('x')"), "3:5", "2236", "quote"),
    refused(82, "action under expressions", "on_http_request:\n- expressions:\n  - type: deny\n  type: deny\n",
            "3:5", "2200", "is a mapping"),
    refused(82, "action under expressions only", "on_http_request:\n- expressions:\n  - type: deny\n", "2:3", "2206"),
    refused(83, "nested quotes", condition("req.headers['a'][0] != '${secrets.get('a', 'b')}'"), "3:44", "2200"),
    refused(83, "a method of maps", condition("req.headers.get('a') == 'b'"), "3:17", "2200", "write x['name']"),
    refused(84, "unbalanced parenthesis", body("'${size(req.headers}'"), "4:30", "2224"),
    refused(84, "unterminated", body("'Hello ${req.id'"), "4:18", "2224"),
    refused(84, "empty", body("'Hello ${}'"), "4:18", "2224"),
    refused(85, "variables without 'vars'", "on_http_request:\n- type: set-vars\n  config:\n    who: ann\n",
            "4:5", "2203", "who"),
    refused(89, "old template", body("'${.ngrok.geo.country_code}'"), "4:15", "2200", "ngrok"),
)  # fmt: skip


@pytest.mark.parametrize("each", refusals(globals()), ids=str)
def test_loading(each: Refusal) -> None:
    check_loading(each)


@pytest.mark.parametrize("each", refusals(globals()), ids=str)
def test_command(each: Refusal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_command(each, tmp_path, capsys)


@pytest.mark.parametrize("each", refusals(globals()), ids=str)
async def test_start(each: Refusal) -> None:
    await check_start(each)
