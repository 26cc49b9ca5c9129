"""``verify-webhook`` (TP-510 … TP-514, CL-69)."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json

import pytest

from gateway.exchange import Exchange
from gateway.policy.action import Respond
from gateway.policy.options import PolicyOptions
from tests.unit.actions.policies import Policies, Secrets, action, refused, report, result

TYPE = "verify-webhook"
GITHUB = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
SECRET = "It's a Secret to Everybody"
HELLO = b"Hello, World!"


def github(policies: Policies, body: bytes = HELLO, **headers: str) -> Exchange:
    return policies.exchange("POST", headers=GITHUB | headers, body=body)


def policies_with_secret(value: str = SECRET) -> Policies:
    return Policies(secrets=Secrets({("hooks", "github"): value}))


CONFIG = "{provider: github, secret: \"${secrets.get('hooks', 'github')}\"}"


def test_a_signed_request_passes_with_its_body_tp511() -> None:
    policies = policies_with_secret()
    exchange = github(policies)
    assert policies.run(policies.compile(action(TYPE, CONFIG)), exchange) is None
    assert exchange.body == HELLO
    assert result(exchange, "verify_webhook").verified is True
    assert result(exchange, "verify_webhook").error is None


def test_anything_else_is_a_403_tp510() -> None:
    policies = policies_with_secret()
    policy = policies.compile(action(TYPE, CONFIG))
    for exchange in (github(policies, b"Hello, World?"), policies.exchange("POST", body=HELLO)):
        error = refused(policies.run(policy, exchange))
        assert (error.code, error.status) == ("ERR_NGROK_3204", 403)
        assert result(exchange, "verify_webhook").error.code == "ERR_NGROK_3204"


def test_without_enforcement_the_request_goes_on_tp510() -> None:
    policies = policies_with_secret()
    policy = policies.compile(action(TYPE, CONFIG.replace('}"}', '}", enforce: false}')))
    exchange = github(policies, b"forged")
    assert policies.run(policy, exchange) is None
    assert result(exchange, "verify_webhook").verified is False


def test_a_compressed_body_is_verified_as_sent_and_passed_on_decoded_tp511() -> None:
    policies = policies_with_secret("k")
    raw = gzip.compress(b"{}", mtime=0)
    signature = "sha256=" + hmac.new(b"k", raw, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": signature, "content-encoding": "gzip"}
    exchange = policies.exchange("POST", headers=headers, body=raw)
    assert policies.run(policies.compile(action(TYPE, CONFIG)), exchange) is None
    assert exchange.body == b"{}"


def test_a_body_above_the_limit_is_a_413_tp511() -> None:
    policies = Policies(PolicyOptions(max_buffered_body_bytes=5))
    policy = policies.compile(action(TYPE, "{provider: github, secret: x}"))
    headers = {"content-encoding": "gzip"}
    error = refused(policies.run(policy, policies.exchange("POST", headers=headers, body=gzip.compress(bytes(9_999)))))
    assert (error.code, error.status) == ("ERR_NGROK_3903", 413)


def test_an_empty_secret_fails_closed() -> None:
    policies = Policies()
    policy = policies.compile(action(TYPE, "{provider: gitlab, secret: \"${req.headers['x'][0]}\"}"))
    assert refused(policies.run(policy, policies.exchange(headers={"x-gitlab-token": ""}))).code == "ERR_NGROK_2238"


def test_zooms_challenge_is_answered_only_when_it_is_signed_tp513() -> None:
    policies = Policies()
    policy = policies.compile(action(TYPE, "{provider: zoom, secret: zoomsecret}"))
    body = b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}'
    headers = {
        "x-zm-signature": "v0=9817dfac714627b4af2daca94133ae33aaab79014bc5679476edf39485de88c6",
        "x-zm-request-timestamp": "1700000000",
    }
    outcome = policies.run(policy, policies.exchange("POST", headers=headers, body=body))
    assert isinstance(outcome, Respond)
    assert outcome.status == 200
    assert json.loads(outcome.body)["plainToken"] == "qgg8vlvZRS6UYooatFL8Aw"
    refused(policies.run(policy, policies.exchange("POST", body=body)))
    lenient = policies.compile(action(TYPE, "{provider: zoom, secret: zoomsecret, enforce: false}"))
    assert policies.run(lenient, policies.exchange("POST", body=body)) is None, "strangers get nothing signed"


def test_twilio_signs_the_url_as_sent() -> None:
    policies = Policies()
    policy = policies.compile(action(TYPE, "{provider: twilio, secret: '12345'}"))
    body = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    headers = {
        "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
    }
    exchange = policies.exchange(
        "POST", "/myapp.php", query="foo=1&bar=2", host="mycompany.com", scheme="https", headers=headers, body=body
    )
    assert policies.run(policy, exchange) is None


def test_one_provider_per_path_cl69() -> None:
    policies = policies_with_secret()
    policy = policies.compile(
        """
        on_http_request:
          - expressions: ["req.url.path == '/github'"]
            actions:
              - {type: verify-webhook, config: {provider: github, secret: "${secrets.get('hooks', 'github')}"}}
          - expressions: ["req.url.path == '/gitlab'"]
            actions:
              - {type: verify-webhook, config: {provider: gitlab, secret: t0ken}}
              - {type: custom-response, config: {body: thanks}}
        """
    )
    hello = policies.exchange("POST", "/github", headers=GITHUB, body=HELLO)
    assert policies.run(policy, hello) is None
    answer = policies.run(policy, policies.exchange("POST", "/gitlab", headers={"x-gitlab-token": "t0ken"}))
    assert isinstance(answer, Respond)
    assert answer.body == b"thanks"
    refused(policies.run(policy, policies.exchange("POST", "/gitlab", headers=GITHUB)))


@pytest.mark.parametrize(
    ("config", "place", "words"),
    [
        ("{provider: github}", ("ERR_NGROK_2234", 4, 7), "secret"),
        ("{secret: x}", ("ERR_NGROK_2234", 4, 7), "provider"),
        ("{provider: github, secret: ''}", ("ERR_NGROK_2223", 4, 34), "empty"),
        ("{provider: gihub, secret: x}", ("ERR_NGROK_2222", 4, 18), "'github'"),
        ("{provider: xero, secret: x}", ("ERR_NGROK_2222", 4, 18), "not supported here"),
        ("{provider: twitter, secret: x}", ("ERR_NGROK_2222", 4, 18), "not supported here"),
        ("{provider: github, secret: x, tolerance: 5s}", ("ERR_NGROK_2203", 4, 37), "tolerance"),
    ],
)
def test_wrong_configurations_tp513_cl74(config: str, place: tuple[str, int, int], words: str) -> None:
    problems = Policies().problems(action(TYPE, config))
    assert report(problems) == [place]
    assert words in problems.errors[0].message


def test_the_older_name_is_read_with_a_warning_tp201() -> None:
    problems = Policies().problems(action("webhook-validation", "{provider: github, secret: x}"))
    assert not problems.failed
    assert any("verify-webhook" in problem.message for problem in problems.warnings)
