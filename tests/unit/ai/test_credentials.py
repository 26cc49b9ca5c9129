"""Credentials: which the client sent, where they may go, and that they do not leak (AG-42, AG-185 to AG-209)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ai.credentials import (
    ClientCredential,
    KeyPrefixes,
    PassthroughRules,
    TokenKind,
    UpstreamCredential,
    client_credential,
    is_azure_host,
    key_header,
    passthrough_header,
    scrub,
    sent_any_credential,
    token_kind,
    trim,
)
from gateway.ai.entities import Provider
from gateway.ai.providers import Target
from gateway.ai.surfaces import Format
from gateway.errors import GatewayError
from gateway.headers import HeaderMap
from gateway.secrets.secret import Secret

GATEWAY = "ng-abc-g1-0123456789"
OPENAI, ANTHROPIC = Format.OPENAI, Format.ANTHROPIC
PREFIXES = KeyPrefixes({"sk-ant-": "anthropic", "sk-proj-": "openai", "sk-or-v1-": "openrouter", "sk-": "short"})


def credential(format_: Format = OPENAI, **headers: str) -> ClientCredential | None:
    return client_credential(HeaderMap.of((name.replace("_", "-"), value) for name, value in headers.items()), format_)


def provider(provider_id: str = "openai", base_url: str = "https://api.example/v1", **fields: Any) -> Provider:
    made = Provider(provider_id)
    made.target = Target.parse(base_url)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("headers", "format_", "expected"),
    [
        ({"authorization": "Bearer sk-1"}, OPENAI, ("authorization", "sk-1")),
        ({"authorization": "bearer  sk-1 "}, OPENAI, ("authorization", "sk-1")),
        ({"x_api_key": "sk-1"}, OPENAI, ("x-api-key", "sk-1")),
        ({"api_key": "sk-1"}, ANTHROPIC, ("api-key", "sk-1")),
        ({"x_goog_api_key": "AIza1"}, OPENAI, ("x-goog-api-key", "AIza1")),
        ({"authorization": "Bearer sk-1", "x_api_key": "sk-2"}, OPENAI, ("authorization", "sk-1")),
        ({"authorization": "Bearer sk-1", "x_api_key": "sk-2"}, ANTHROPIC, ("x-api-key", "sk-2")),
        ({"api_key": "sk-1", "x_goog_api_key": "sk-2"}, OPENAI, ("api-key", "sk-1")),
        ({"authorization": "Bearer sk-1", "x_goog_api_key": GATEWAY}, OPENAI, ("x-goog-api-key", GATEWAY)),
        ({"authorization": f"Bearer {GATEWAY}", "x_api_key": "sk-2"}, ANTHROPIC, ("authorization", GATEWAY)),
        ({"authorization": f"Bearer {GATEWAY}", "x_api_key": GATEWAY}, ANTHROPIC, ("authorization", GATEWAY)),
        ({"x_api_key": f"Bearer {GATEWAY}"}, OPENAI, ("x-api-key", GATEWAY)),
    ],
)
def test_precedence(headers, format_, expected):
    """AG-185."""
    found = credential(format_, **headers)
    assert found is not None
    assert (found.header, found.token.reveal()) == expected
    assert found.is_gateway_key is (expected[1] == GATEWAY)


@pytest.mark.parametrize(
    "value", ["Basic dXNlcjpwdw==", "Digest x", "sk-1", "Bearer", "Bearer ", "", "Bearer a\tb", "Bearer \udcff"]
)
def test_other_schemes_are_no_credential(value):
    """AG-195 (c)."""
    assert credential(authorization=value) is None


def test_no_credential():
    assert credential() is None
    assert not sent_any_credential(HeaderMap())
    assert sent_any_credential(HeaderMap.of([("authorization", "Basic x")]))
    assert not sent_any_credential(HeaderMap.of([("x-api-key", " ")]))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {GATEWAY}", "x_api_key": "ng-other-g1-x"},
        {"x_api_key": "ng-other-a1-x"},
        {"authorization": f"Bearer {GATEWAY}", "x_api_key": "ng-other-a1-x"},
    ],
)
def test_two_gateway_tokens_and_admin_tokens_are_refused(headers):
    """AG-185, AG-186: 401 27007."""
    with pytest.raises(GatewayError) as caught:
        credential(**headers)
    assert (caught.value.code, caught.value.status) == ("ERR_NGROK_27007", 401)


def test_two_lines_of_one_header():
    headers = HeaderMap.of([("authorization", "Bearer sk-1"), ("authorization", f"Bearer {GATEWAY}")])
    found = client_credential(headers, OPENAI)
    assert found is not None
    assert found.is_gateway_key


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (GATEWAY, TokenKind.GATEWAY),
        ("ng--g1-", TokenKind.GATEWAY),
        ("ng-x-a1-y", TokenKind.ADMIN),
        ("xng-a-g1-b", TokenKind.OTHER),
        ("ng-abc", TokenKind.OTHER),
        ("sk-x-g1-y", TokenKind.OTHER),
    ],
)
def test_token_kinds(token, kind):
    """AG-186."""
    assert token_kind(token) is kind


def test_representations_hide_the_token():
    """P18."""
    found = credential(authorization="Bearer sk-secret")
    upstream = UpstreamCredential("x-api-key", Secret("sk-secret"), server_side=True)
    assert "sk-secret" not in f"{found!r} {upstream!r}"


# ---- AG-195 ----


def rules(token: str = "sk-proj-1", *, seen: tuple[str, ...] = (), consumed: tuple[str, ...] = ()) -> PassthroughRules:
    sent = ClientCredential(Secret(token), "authorization", token_kind(token))
    return PassthroughRules(sent, secrets_seen=seen, consumed_tokens=consumed, prefixes=PREFIXES)


def test_passthrough_needs_a_token():
    assert not PassthroughRules(None, secrets_seen=(), consumed_tokens=(), prefixes=PREFIXES).allow(provider())


@pytest.mark.parametrize("token", [GATEWAY, "ng-x-a1-y"])
def test_our_own_tokens_never_pass(token):
    """AG-195 (a)."""
    assert not rules(token).allow(provider())


@pytest.mark.parametrize("seen", ["sk-proj-1", "Bearer sk-proj-1", "bearer sk-proj-1"])
def test_tokens_that_the_policy_read_from_a_vault_do_not_pass(seen):
    """AG-195 (b), AG-196."""
    assert not rules(seen=("other", seen)).allow(provider())
    assert rules(seen=("other", "sk-proj-12")).allow(provider())


def test_tokens_that_an_authentication_action_accepted_do_not_pass():
    """AG-195 (b)."""
    assert not rules("eyJhbGciOi", consumed=("eyJhbGciOi",)).allow(provider())


def test_only_to_the_first_provider():
    """AG-195 (d)."""
    one = rules("token")
    first, second = provider("groq"), provider("deepseek")
    assert one.allow(first)
    one.used(first)
    one.used(second)
    assert one.allow(first)
    assert not one.allow(second)


@pytest.mark.parametrize(
    ("token", "to", "allowed"),
    [
        ("sk-proj-1", provider("openai"), True),
        ("sk-proj-1", provider("anthropic"), False),
        ("sk-ant-1", provider("openai"), False),
        ("sk-or-v1-1", provider("openrouter"), True),
        ("sk-or-v1-1", provider("short"), False),
        ("unknown", provider("anthropic"), True),
        ("sk-proj-1", provider("mine", custom=True), True),
        ("sk-proj-1", provider("anthropic", has_base_url_override=True), True),
    ],
)
def test_prefixes(token, to, *, allowed):
    """AG-195 (e): the longest prefix counts; custom providers get any token."""
    assert rules(token).allow(to) is allowed


# ---- AG-42, AG-206 ----


@pytest.mark.parametrize(
    ("to", "format_", "expected"),
    [
        (provider(), OPENAI, "authorization"),
        (provider(), ANTHROPIC, "x-api-key"),
        (provider("anthropic"), OPENAI, "authorization"),
        (provider(base_url="https://r.openai.azure.com/openai"), OPENAI, "api-key"),
        (provider(base_url="https://r.cognitiveservices.azure.com/"), OPENAI, "api-key"),
        (provider(base_url="https://r.services.ai.azure.com/anthropic"), ANTHROPIC, "api-key"),
        (provider(base_url="https://openai.azure.com.evil.example/"), OPENAI, "authorization"),
        (provider(credential_header="x-api-key"), OPENAI, "x-api-key"),
        (provider(base_url="https://r.openai.azure.com/", credential_header="authorization"), OPENAI, "authorization"),
    ],
)
def test_key_header(to, format_, expected):
    """AG-42."""
    assert key_header(to, format_) == expected


@pytest.mark.parametrize(
    ("to", "format_", "came_in", "expected"),
    [
        (provider(), ANTHROPIC, "authorization", "authorization"),
        (provider(), ANTHROPIC, "x-api-key", "x-api-key"),
        (provider(), ANTHROPIC, "x-goog-api-key", "x-api-key"),
        (provider(), OPENAI, "authorization", "authorization"),
        (provider(), OPENAI, "x-api-key", "authorization"),
        (provider(), OPENAI, "x-goog-api-key", "authorization"),
        (provider(base_url="https://r.openai.azure.com/"), OPENAI, "x-api-key", "api-key"),
        (provider(base_url="https://r.openai.azure.com/"), OPENAI, "api-key", "api-key"),
        (provider(base_url="https://r.openai.azure.com/"), OPENAI, "authorization", "authorization"),
        (provider(credential_header="api-key"), OPENAI, "authorization", "api-key"),
    ],
)
def test_passthrough_header(to, format_, came_in, expected):
    """AG-206."""
    assert passthrough_header(to, format_, came_in) == expected


def test_azure_hosts():
    assert is_azure_host("x.openai.azure.com")
    assert not is_azure_host("openai.azure.com.example")


def test_credential_lines():
    bearer = UpstreamCredential("authorization", Secret("sk-1\n"), server_side=True)
    assert bearer.line == "\r\nauthorization: Bearer sk-1"
    assert UpstreamCredential("api-key", Secret(" k "), server_side=False).line == "\r\napi-key: k"


@pytest.mark.parametrize("value", ["", " ", "a\r\nx: y", "a\0b", "a\tb"])
def test_keys_that_cannot_be_sent(value):
    with pytest.raises(ValueError, match="key") as caught:
        UpstreamCredential("authorization", Secret(value), server_side=True)
    assert value.strip() == "" or value not in str(caught.value)


# ---- AG-208, AG-209 ----


def test_trim():
    """AG-208."""
    assert trim("sk-proj-abcdefghijklmnopf3Qx") == "sk-proj...f3Qx"
    assert trim("fifteen-letters") == "***"


def test_scrub_replaces_keys_and_our_tokens():
    """AG-209."""
    text = f"Incorrect API key sk-1234: {GATEWAY}, {GATEWAY}; ng-pub.x-a1-s_e"
    assert scrub(text, [Secret("sk-1234"), "other"]) == "Incorrect API key ***: ***, ***; ***"
    assert scrub("sk-1234", [Secret("sk-1234\n")]) == "***"
    assert scrub("nothing", [Secret("")]) == "nothing"


def test_scrub_is_linear_in_hostile_text():
    text = "ng-" * 50_000 + "-g1-"
    assert len(scrub(text)) <= len(text)
