"""Tokens, keys and claims (TP-321, TP-324)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.auth.web_tokens import (
    ALGORITHMS,
    ClaimRules,
    PublicKey,
    TokenError,
    check_algorithm,
    check_claims,
    parse_key,
    parse_token,
    signature_verifies,
)
from tests.unit.auth.issuers import b64, jwk, segment, token

NOW = 1_700_000_000.0
RULES = ClaimRules(frozenset({"https://issuer.example/"}), frozenset({"api", "admin"}))
CLAIMS = {"iss": "https://issuer.example/", "aud": "api", "exp": NOW + 60}


def usable(entry: dict[str, Any]) -> PublicKey:
    key = parse_key(entry)
    assert key is not None
    return key


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_verifies_with_its_key_tp321(algorithm: str) -> None:
    parsed = parse_token(token(CLAIMS, algorithm))
    assert parsed.payload == CLAIMS
    assert signature_verifies(parsed, usable(jwk(algorithm, "k1")))
    assert not signature_verifies(parsed, usable(jwk(algorithm, "k1", number=1)))


@pytest.mark.parametrize(
    ("algorithm", "key_algorithm", "members", "fits"),
    [
        ("RS256", "RS256", {}, True),
        ("PS256", "RS256", {}, True),
        ("RS256", "RS256", {"alg": "RS256"}, True),
        ("RS256", "RS256", {"alg": "RS512"}, False),
        ("PS256", "RS256", {"alg": "RS256"}, False),
        ("ES256", "ES384", {}, False),
        ("ES256", "RS256", {}, False),
        ("RS256", "ES256", {}, False),
        ("EdDSA", "ES256", {}, False),
    ],
)
def test_the_algorithm_must_fit_the_key_tp321(
    algorithm: str, key_algorithm: str, members: dict[str, Any], fits: bool
) -> None:
    assert usable(jwk(key_algorithm, None, **members)).fits(algorithm) is fits


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kty": "oct", "k": "c2VjcmV0"},
        jwk("RS256", "k1", use="enc"),
        jwk("RS256", "k1", key_ops=["encrypt"]),
        jwk("RS256", "k1", d="AQAB"),
        jwk("RS256", "k1", bits=1_024),
        jwk("RS256", None) | {"kid": 5},
        jwk("RS256", "k1", n="!!"),
        {"kty": "RSA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        "text",
        None,
    ],
)
def test_keys_that_cannot_be_used_are_skipped(entry: object) -> None:
    assert parse_key(entry) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "a.b",
        "a.b.c.d",
        "....",
        f"{segment({'alg': 'RS256'})}.{segment([1])}.AA",
        f"{segment([])}.{segment({})}.AA",
        f"{segment({'typ': 'JWT'})}.{segment({})}.AA",
        f"{segment({'alg': 5})}.{segment({})}.AA",
        f"{segment({'alg': 'RS256', 'kid': 5})}.{segment({})}.AA",
        f"{segment({'alg': 'RS256', 'crit': ['exp'], 'exp': 1})}.{segment({})}.AA",
        f"{segment({'alg': 'RS256', 'b64': False})}.{segment({})}.AA",
        f"{segment({'alg': 'RS256'})}.{b64(b'{')}.AA",
        f"{segment({'alg': 'RS256'})}.{b64(b'[' * 50_000)}.AA",
        f"{segment({'alg': 'RS256'})}.{segment({})}.A A",
        f"{segment({'alg': 'RS256'})}.{segment({})}.AA==",
        f"{segment({'alg': 'RS256'})}.{segment({})}.A+/A",
        f"{segment({'alg': 'RS256'})}.{segment({})}.A",
        f"{segment({'alg': 'RS256'})}.{b64(bytes([0xFF, 0xFE]))}.AA",
        "a" * 70_000,
    ],
)
def test_malformed_tokens(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        parse_token(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS384", "rs256", "ES256K", ""])
def test_algorithms_that_are_not_allowed_tp321(algorithm: str) -> None:
    parsed = parse_token(f"{segment({'alg': algorithm})}.{segment(CLAIMS)}.AA")
    with pytest.raises(TokenError):
        check_algorithm(parsed, ("RS256", "HS256", "none"))


def test_a_changed_payload_does_not_verify() -> None:
    header, payload, signature = token(CLAIMS).split(".")
    forged = parse_token(f"{header}.{segment(CLAIMS | {'sub': 'root'})}.{signature}")
    assert not signature_verifies(forged, usable(jwk("RS256", "k1")))
    assert signature_verifies(parse_token(f"{header}.{payload}.{signature}"), usable(jwk("RS256", "k1")))


def claims(**changes: Any) -> dict[str, Any]:
    merged = CLAIMS | changes
    return {name: value for name, value in merged.items() if value is not ...}


@pytest.mark.parametrize(
    "good",
    [
        claims(),
        claims(aud=["x", "admin"]),
        claims(exp=...),
        claims(exp=NOW - 59),
        claims(exp=NOW - 59.5),
        claims(nbf=NOW + 60),
        claims(iat=NOW + 60, nbf=NOW - 10**9),
    ],
)
def test_claims_that_are_accepted_tp324(good: dict[str, Any]) -> None:
    check_claims(json.loads(json.dumps(good)), RULES, NOW)


@pytest.mark.parametrize(
    "bad",
    [
        claims(iss=...),
        claims(iss="https://issuer.example"),
        claims(iss="https://ISSUER.example/"),
        claims(iss=["https://issuer.example/"]),
        claims(iss=None),
        claims(aud=...),
        claims(aud="API"),
        claims(aud=[]),
        claims(aud=[["api"]]),
        claims(aud={"api": 1}),
        claims(aud=None),
        claims(exp=NOW - 60),
        claims(exp=0),
        claims(exp=None),
        claims(exp="tomorrow"),
        claims(exp=True),
        claims(exp=float("inf")),
        claims(nbf=NOW + 61),
        claims(nbf="now"),
        claims(iat=NOW + 61),
    ],
)
def test_claims_that_are_refused_tp324(bad: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        check_claims(bad, RULES, NOW)


def test_without_audiences_in_the_policy_none_is_looked_at_tp324() -> None:
    check_claims(claims(aud=...), ClaimRules(RULES.issuers, None), NOW)


def test_exp_may_be_required() -> None:
    with pytest.raises(TokenError, match="no exp"):
        check_claims(claims(exp=...), ClaimRules(RULES.issuers, RULES.audiences, require_exp=True), NOW)
