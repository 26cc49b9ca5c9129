"""``jwt-validation`` (TP-320 … TP-327, CL-7, CL-54, P31)."""

from __future__ import annotations

import json
import logging
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from gateway.actions.jwt_validation import url_is_allowed
from gateway.auth.jwks import JwksCache
from gateway.errors import GatewayError
from gateway.exchange import Exchange
from gateway.policy.compile import CompiledPolicy
from gateway.policy.options import PolicyOptions
from tests.unit.actions.policies import Policies, action, refused, report, result
from tests.unit.auth.issuers import Site, b64, document, hmac_token, jwk, private_key, segment, token

URL = "https://issuer.example/jwks.json"
CONFIG = """
issuer: {allow_list: [{value: 'https://issuer.example/'}]}
audience: {allow_list: [{value: api}]}
http:
  tokens: [{type: access_token, method: header, name: Authorization, prefix: 'Bearer '}]
jws:
  allowed_algorithms: [RS256, ES256]
  keys: {sources: {additional_jkus: ['https://issuer.example/jwks.json']}}
"""
CLAIMS: dict[str, Any] = {"iss": "https://issuer.example/", "aud": "api", "sub": "alice", "exp": 1_700_000_060}


class Guard:
    """A policy with this action and the site that its keys are on."""

    def __init__(self, config: str = CONFIG, *, options: PolicyOptions | None = None, rest: str = "") -> None:
        self.site = Site()
        self.site.documents[URL] = document(jwk("RS256", "k1"), jwk("ES256", "e1"))
        self.policies = Policies(options or PolicyOptions())
        cache = JwksCache(fetch=self.site.fetch, spawn=self.site.spawn, clock=self.policies.clock)
        self.policies.services[JwksCache] = cache
        self.policy: CompiledPolicy = self.policies.compile(action("jwt-validation", config) + rest)

    def send(self, exchange: Exchange) -> GatewayError | None:
        outcome = self.policies.run(self.policy, exchange)
        return None if outcome is None else refused(outcome)

    def bearer(self, text: str) -> Exchange:
        return self.policies.exchange(headers={"authorization": f"Bearer {text}"})

    def code(self, text: str) -> str | None:
        error = self.send(self.bearer(text))
        return None if error is None else error.code


def test_a_valid_token_passes_cl7() -> None:
    guard = Guard()
    exchange = guard.bearer(token(CLAIMS))
    assert guard.send(exchange) is None
    assert guard.code(token(CLAIMS, "ES256", "e1")) is None
    assert guard.site.fetched == [URL]
    assert exchange.consumed_tokens == {token(CLAIMS)}, "an accepted token is never passed on (AG-195 b)"


def test_a_missing_token_tp323_tp326() -> None:
    guard = Guard()
    for headers in ({}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": "Basic abc"}):
        error = guard.send(guard.policies.exchange(headers=headers))
        assert error is not None
        assert (error.code, error.status) == ("ERR_TP_JWT_MISSING", 401)
        assert error.headers == (("www-authenticate", "Bearer"),)
    assert guard.site.fetched == []


def test_an_invalid_token_says_nothing_to_the_client_tp326() -> None:
    guard = Guard()
    error = guard.send(guard.bearer(token(CLAIMS | {"exp": 5})))
    assert error is not None
    assert (error.code, error.status) == ("ERR_TP_JWT_INVALID", 401)
    assert error.headers == (("www-authenticate", 'Bearer error="invalid_token"'),)
    assert "expired" in error.cause
    assert "expired" not in error.message


def public_pem() -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(private_key("RS256").public_key().public_bytes(serialization.Encoding.PEM, form))


def test_forged_tokens_tp321() -> None:
    """No algorithm, the public key used as a secret, other algorithms, other keys, keys inside the token."""
    guard = Guard()
    header, payload, signature = token(CLAIMS).split(".")
    own = {"alg": "RS256", "jwk": jwk("RS256", "k1", number=7)}
    forged = {
        "none": f"{segment({'alg': 'none', 'kid': 'k1'})}.{payload}.",
        "none with the signature": f"{segment({'alg': 'none', 'kid': 'k1'})}.{payload}.{signature}",
        "None": f"{segment({'alg': 'None', 'kid': 'k1'})}.{payload}.{signature}",
        "key confusion, PEM": hmac_token(CLAIMS, public_pem()),
        "key confusion, JWK": hmac_token(CLAIMS, json.dumps(jwk("RS256", "k1")).encode()),
        "not allowed": token(CLAIMS, "RS512"),
        "PSS where PKCS1 is allowed": token(CLAIMS, "PS256"),
        "another key": token(CLAIMS, number=1),
        "another key's kid": token(CLAIMS, "ES256", "k1"),
        "own key": f"{segment(own)}.{payload}.{signature}",
        "own key, signed with it": token(CLAIMS, number=7, kid=None, jwk=own["jwk"], jku="https://evil.example/"),
        "changed payload": f"{header}.{segment(CLAIMS | {'sub': 'root'})}.{signature}",
        "changed header": f"{segment({'alg': 'RS256', 'kid': 'k1', 'x': 1})}.{payload}.{signature}",
        "no signature": f"{header}.{payload}.",
        "empty signature": f"{header}.{payload}.{b64(b'')}",
        "critical": token(CLAIMS, crit=["exp"]),
        "null": "null",
    }
    assert {name: guard.code(text) for name, text in forged.items()} == dict.fromkeys(forged, "ERR_TP_JWT_INVALID")


def test_algorithm_confusion_is_refused_even_if_the_list_names_both_tp321() -> None:
    """The kid of an EC key with an RSA algorithm: the key's type decides, too."""
    guard = Guard(CONFIG.replace("[RS256, ES256]", "[RS256, PS256, ES256, ES384, EdDSA]"))
    assert guard.code(token(CLAIMS, "RS256", "e1")) == "ERR_TP_JWT_INVALID"
    assert guard.code(token(CLAIMS, "PS256", "k1")) is None


@pytest.mark.parametrize(
    ("changes", "valid"),
    [
        ({}, True),
        ({"exp": 1_700_000_000 - 59}, True),
        ({"exp": 1_700_000_000 - 60}, False),
        ({"exp": None}, False),
        ({"nbf": 1_700_000_060}, True),
        ({"nbf": 1_700_000_061}, False),
        ({"iat": 1_700_000_061}, False),
        ({"iss": "https://issuer.example"}, False),
        ({"iss": "https://evil.example/"}, False),
        ({"aud": ["x", "api"]}, True),
        ({"aud": "x"}, False),
        ({"aud": []}, False),
    ],
)
def test_claims_tp324(changes: dict[str, Any], valid: bool) -> None:
    # the library refuses to sign some of these, so they are signed as raw JSON
    payload = json.dumps(CLAIMS | changes).encode()
    text = jwt.PyJWS().encode(payload, private_key("RS256"), "RS256", headers={"kid": "k1"})
    assert Guard().code(text) == (None if valid else "ERR_TP_JWT_INVALID")


def test_a_missing_audience_is_invalid_only_if_one_is_configured_tp324() -> None:
    without = {name: value for name, value in CLAIMS.items() if name != "aud"}
    assert Guard().code(token(without)) == "ERR_TP_JWT_INVALID"
    assert Guard(CONFIG.replace("audience: {allow_list: [{value: api}]}\n", "")).code(token(without)) is None


def test_tokens_without_exp_are_accepted_and_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    endless = token({name: value for name, value in CLAIMS.items() if name != "exp"})
    guard = Guard()
    with caplog.at_level(logging.WARNING):
        assert [guard.code(endless) for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1
    assert "https://issuer.example/" in caplog.text
    assert Guard(options=PolicyOptions(jwt_require_exp=True)).code(endless) == "ERR_TP_JWT_INVALID"


def test_rotated_keys_p31() -> None:
    guard = Guard()
    assert guard.code(token(CLAIMS)) is None
    guard.site.documents[URL] = document(jwk("RS256", "k2", number=2))
    assert guard.code(token(CLAIMS, kid="k2", number=2)) is None
    assert guard.code(token(CLAIMS)) == "ERR_TP_JWT_INVALID", "the old key is gone"


def test_a_storm_of_unknown_kids_p31() -> None:
    guard = Guard()
    guard.code(token(CLAIMS))
    for n in range(200):
        assert guard.code(token(CLAIMS, kid=f"random-{n}")) == "ERR_TP_JWT_INVALID"
    assert len(guard.site.fetched) == 2


def test_without_keys_nobody_passes_tp325() -> None:
    guard = Guard()
    guard.site.documents.clear()
    error = guard.send(guard.bearer(token(CLAIMS)))
    assert error is not None
    assert (error.code, error.status) == ("ERR_TP_JWKS_UNAVAILABLE", 503)
    policies = Policies()
    alone = policies.compile(action("jwt-validation", CONFIG))
    exchange = policies.exchange(headers={"authorization": f"Bearer {token(CLAIMS)}"})
    assert refused(policies.run(alone, exchange)).code == "ERR_TP_JWKS_UNAVAILABLE", "nor without a cache"


def test_two_header_lines_are_invalid_tp322() -> None:
    guard = Guard()
    line = ("authorization", f"Bearer {token(CLAIMS)}")
    error = guard.send(guard.policies.exchange(lines=[line, line]))
    assert error is not None
    assert error.code == "ERR_TP_JWT_INVALID"


def test_query_parameters_are_never_read_tp322() -> None:
    guard = Guard()
    error = guard.send(guard.policies.exchange(query=f"authorization=Bearer%20{token(CLAIMS)}"))
    assert error is not None
    assert error.code == "ERR_TP_JWT_MISSING"


BODY = CONFIG.replace("tokens: [{", "tokens: [{type: id_token, method: body, name: id_token}, {")  # both must be there


@pytest.mark.parametrize(
    ("method", "content_type", "body", "code"),
    [
        ("POST", "application/json", {"id_token": token(CLAIMS)}, None),
        ("PUT", "application/json; charset=utf-8", {"ID_TOKEN": token(CLAIMS)}, None),
        ("PATCH", "application/x-www-form-urlencoded", f"id_token={token(CLAIMS)}", None),
        ("GET", "application/json", {"id_token": token(CLAIMS)}, "ERR_TP_JWT_MISSING"),
        ("POST", "text/plain", {"id_token": token(CLAIMS)}, "ERR_TP_JWT_MISSING"),
        ("POST", "application/json", {"nested": {"id_token": token(CLAIMS)}}, "ERR_TP_JWT_MISSING"),
        ("POST", "application/json", {"id_token": 5}, "ERR_TP_JWT_INVALID"),
        ("POST", "application/json", {"id_token": token(CLAIMS | {"aud": "x"})}, "ERR_TP_JWT_INVALID"),
    ],
)
def test_a_header_and_a_body_token_cl54(method: str, content_type: str, body: object, code: str | None) -> None:
    guard = Guard(BODY)
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {token(CLAIMS)}", "content-type": content_type}
    exchange = guard.policies.exchange(method, headers=headers, body=raw)
    error = guard.send(exchange)
    assert (None if error is None else error.code) == code
    if code is None:
        assert [shown.location for shown in result(exchange, "jwt_validation").tokens] == ["body", "header"]


def test_every_token_must_be_there_tp323() -> None:
    guard = Guard(BODY)
    body = json.dumps({"id_token": token(CLAIMS)}).encode()
    headers = {"content-type": "application/json"}
    error = guard.send(guard.policies.exchange("POST", headers=headers, body=body))
    assert error is not None
    assert error.code == "ERR_TP_JWT_MISSING"


def test_result_variables_tp327() -> None:
    guard = Guard()
    text = token(CLAIMS)
    exchange = guard.bearer(text)
    guard.send(exchange)
    shown = result(exchange, "jwt_validation").tokens[0]
    assert shown.header == {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    assert shown.payload == CLAIMS
    assert (shown.location, shown.location_property, shown.verified) == ("header", "Authorization", True)
    assert shown.signature == text.split(".")[2]
    refused_exchange = guard.bearer(token(CLAIMS, number=1))
    guard.send(refused_exchange)
    outcome = result(refused_exchange, "jwt_validation")
    assert outcome.error.code == "ERR_TP_JWT_INVALID"
    assert [shown.verified for shown in outcome.tokens] == [False]


def test_a_limit_per_subject_cl46() -> None:
    guard = Guard(
        rest="""  - type: rate-limit
    config:
      name: per-subject
      algorithm: sliding_window
      capacity: 1
      rate: 60s
      bucket_key: ["actions.ngrok.jwt_validation.tokens[0].payload.sub"]
"""
    )
    codes = [guard.code(token(CLAIMS | {"sub": who})) for who in ("alice", "bob", "alice")]
    assert codes == [None, None, "ERR_TP_RATE_LIMITED"]


@pytest.mark.parametrize(
    "keys",
    [
        "{sources: {additional_jkus: [U]}}",
        "[{sources: {additional_jkus: [U]}}]",
        "{sources: [{additional_jkus: [U]}]}",
        "[{sources: [{additional_jkus: [U]}], identification: [{token_claims: [kid]}]}]",
        "{sources: {additional_jkus: [U], identification: {token_claims: [kid]}}}",
    ],
)
def test_the_forms_of_keys_tp320(keys: str) -> None:
    base = CONFIG.replace(
        "{sources: {additional_jkus: ['https://issuer.example/jwks.json']}}", keys.replace("U", f"'{URL}'")
    )
    assert Guard(base).code(token(CLAIMS)) is None


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("issuer: {allow_list: [{value: 'https://issuer.example/'}]}\n", "", "ERR_NGROK_7172"),
        ("[{value: 'https://issuer.example/'}]", "[]", "ERR_NGROK_7172"),
        ("[{value: 'https://issuer.example/'}]", "[{value: a}, {value: a}]", "ERR_NGROK_7187"),
        ("[{value: api}]", "[{value: a}, {value: a}]", "ERR_NGROK_7188"),
        ("[{value: api}]", "[]", "ERR_NGROK_2223"),
        ("[{value: api}]", "[api]", "ERR_NGROK_2203"),
        ("[RS256, ES256]", "[]", "ERR_NGROK_7176"),
        ("  allowed_algorithms: [RS256, ES256]\n", "", "ERR_NGROK_7176"),
        ("[RS256, ES256]", "[RS256, none]", "ERR_NGROK_7177"),
        ("[RS256, ES256]", "[HS256]", "ERR_NGROK_7177"),
        ("[RS256, ES256]", "[RS256, RS256]", "ERR_NGROK_7190"),
        ("tokens: [{type: access_token, method: header, name: Authorization, prefix: 'Bearer '}]", "tokens: []",
         "ERR_NGROK_7178"),
        ("method: header", "method: query", "ERR_NGROK_2222"),
        ("type: access_token", "type: macaroon", "ERR_NGROK_2222"),
        ("tokens: [{", "tokens: [{type: jwt, method: header, name: AUTHORIZATION}, {", "ERR_NGROK_7189"),
        ("['https://issuer.example/jwks.json']", "[]", "ERR_NGROK_7184"),
        ("{sources: {additional_jkus: ['https://issuer.example/jwks.json']}}", "{}", "ERR_NGROK_7184"),
        ("{sources: {additional_jkus: ['https://issuer.example/jwks.json']}}", "[]", "ERR_NGROK_7184"),
        ("https://issuer.example/jwks.json", "http://issuer.example/jwks.json", "ERR_NGROK_7185"),
        ("https://issuer.example/jwks.json", "not a url", "ERR_NGROK_7185"),
        ("['https://issuer.example/jwks.json']", "['https://a/', 'https://a/']", "ERR_NGROK_7191"),
        ("['https://issuer.example/jwks.json']", str([f"https://a/{n}" for n in range(101)]), "ERR_NGROK_7193"),
        ("jws:", "enforce: false\njws:", "ERR_NGROK_2203"),
    ],
)  # fmt: skip
def test_wrong_configurations(old: str, new: str, code: str) -> None:
    assert old in CONFIG
    problems = Policies().problems(action("jwt-validation", CONFIG.replace(old, new, 1)))
    assert [problem.code for problem in problems.errors] == [code]


def test_positions_are_those_of_the_value() -> None:
    text = action(
        "jwt-validation", CONFIG.replace("https://issuer.example/jwks.json", "http://issuer.example/jwks.json")
    )
    line = text.splitlines().index(next(line for line in text.splitlines() if "additional_jkus" in line)) + 1
    assert report(Policies().problems(text)) == [
        ("ERR_NGROK_7185", line, text.splitlines()[line - 1].index("'http") + 1)
    ]


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.example/x", True),
        ("http://localhost:8080/x", True),
        ("http://127.0.0.1/x", True),
        ("http://[::1]:1/x", True),
        ("http://keys.internal/x", True),
        ("http://a.example/x", False),
        ("http://localhost.example/x", False),
        ("http://xinternal/x", False),
        ("https://user:pw@a.example/", False),
        ("ftp://a.example", False),
        ("https://", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_where_keys_may_come_from_tp325(url: str, allowed: bool) -> None:
    assert url_is_allowed(url) is allowed


def test_interpolated_values_are_checked_when_they_are_used() -> None:
    config = CONFIG.replace("'https://issuer.example/jwks.json'", "\"${req.headers['x'][0]}\"")
    guard = Guard(config)
    for url, code in ((URL, None), ("http://evil.example/", "ERR_NGROK_2238")):
        headers = {"authorization": f"Bearer {token(CLAIMS)}", "x": url}
        error = guard.send(guard.policies.exchange(headers=headers))
        assert (None if error is None else error.code) == code
