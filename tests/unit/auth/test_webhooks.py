"""Webhook signatures (TP-510 … TP-513).

Signatures are not computed by the code under test: those of GitHub, Slack, Svix and Twilio are the examples of the
providers' own documentation, the others were made with ``openssl dgst -hmac``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

import pytest

from gateway.auth.webhooks import CHECKS, KNOWN_ELSEWHERE, Webhook, challenge_answer


class Vector(NamedTuple):
    provider: str
    secret: str
    headers: dict[str, str]
    body: bytes
    now_s: float = 1_700_000_000.0
    url: str = "https://mycompany.com/hook"
    media_type: str = "application/json"

    def webhook(self, **changes: str) -> Webhook:
        headers = {name: [value] for name, value in (self.headers | changes).items()}
        return Webhook(headers, self.body, self.url, self.media_type, self.now_s)


SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
FORM = "application/x-www-form-urlencoded"
VECTORS = {
    "github": Vector(
        "github", "It's a Secret to Everybody",
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
    ),
    "gitlab": Vector("gitlab", "t0ken", {"x-gitlab-token": "t0ken"}, b"{}"),
    "slack": Vector(
        "slack", "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            "x-slack-request-timestamp": "1531420618",
        },
        SLACK_BODY, 1_531_420_618.0,
    ),
    "stripe": Vector(
        "stripe", "whsec_test_secret",
        {"stripe-signature": "t=1700000000,v1=248a374f50f943a28b0f6ab50faf9a7e7e29b710fa26df9fb1618b9bf8ea9c9a,v0=aa"},
        b'{"id":"evt_1"}',
    ),
    "svix": Vector(
        "svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        {
            "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": "1614265330",
            "svix-signature": "v1,AAAA v2,g0hM v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}', 1_614_265_330.0,
    ),
    "shopify": Vector(
        "shopify", "hush", {"x-shopify-hmac-sha256": "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="}, b'{"id":1}'
    ),
    "linear": Vector(
        "linear", "lin_wh", {"linear-signature": "0c1e2d60f576a79af11ebaf46a501c97b51ade81b54b1b7085f0691f2ea75603"},
        b'{"action":"create","webhookTimestamp":1700000000000}',
    ),
    "pagerduty": Vector(
        "pagerduty", "pd",
        {"x-pagerduty-signature": "v1=aa,v1=9980eb4a9cb6fbf6270095070e64b0f7d91b42bb33b095799e72df75b14a9907"},
        b'{"event":{}}',
    ),
    "twilio": Vector(
        "twilio", "12345", {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212",
        url="https://mycompany.com/myapp.php?foo=1&bar=2", media_type=FORM,
    ),
    "zoom": Vector(
        "zoom", "zoomsecret",
        {
            "x-zm-signature": "v0=37fabdea8e4d1e7734f676bedeb9a0c18dee9af13e5cf9b95606a452c0b52749",
            "x-zm-request-timestamp": "1700000000",
        },
        b'{"event":"meeting.started"}',
    ),
}  # fmt: skip
VECTORS["clerk"] = VECTORS["svix"]._replace(provider="clerk")
EVERY = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())


def verified(vector: Vector, webhook: Webhook | None = None, secret: str | None = None) -> bool:
    return CHECKS[vector.provider](webhook or vector.webhook(), vector.secret if secret is None else secret)


def test_every_provider_has_a_vector_tp512() -> None:
    assert VECTORS.keys() == CHECKS.keys()
    assert not KNOWN_ELSEWHERE & CHECKS.keys()


@EVERY
def test_the_vector_verifies(vector: Vector) -> None:
    assert verified(vector)


@EVERY
def test_another_secret_does_not(vector: Vector) -> None:
    for secret in ("", "x", vector.secret + "x", vector.secret[:-1]):
        assert not verified(vector, secret=secret)


@EVERY
def test_another_body_does_not(vector: Vector) -> None:
    if vector.provider == "gitlab":
        return  # a shared token says nothing about the body
    changed = replace(vector.webhook(), body=vector.body + b"&x=1")
    assert not verified(vector, changed)


@EVERY
@pytest.mark.parametrize("value", ["", "x", "v0=", "v1,", "t=,v1=", "é", "sha256=", "v1=" + "0" * 64, "\udcff"])
def test_malformed_headers_do_not(vector: Vector, value: str) -> None:
    for name in vector.headers:
        assert not verified(vector, vector.webhook(**{name: value}))


@EVERY
def test_missing_and_repeated_headers_do_not(vector: Vector) -> None:
    for name in vector.headers:
        webhook = vector.webhook()
        without = {other: values for other, values in webhook.headers.items() if other != name}
        assert not verified(vector, replace(webhook, headers=without))
        assert not verified(vector, replace(webhook, headers={**without, name: [vector.headers[name]] * 2}))


@pytest.mark.parametrize(
    ("provider", "tolerance_s"),
    [("slack", 300), ("stripe", 300), ("svix", 300), ("clerk", 300), ("linear", 60), ("zoom", 180)],
)
def test_replays_are_failures_tp510(provider: str, tolerance_s: int) -> None:
    vector = VECTORS[provider]
    for offset, expected in (
        (tolerance_s, True),
        (-tolerance_s, True),
        (tolerance_s + 1, False),
        (-tolerance_s - 1, False),
    ):
        assert verified(vector, replace(vector.webhook(), now_s=vector.now_s + offset)) is expected


@pytest.mark.parametrize("provider", ["slack", "svix", "zoom", "stripe"])
def test_a_newer_timestamp_breaks_the_signature_tp510(provider: str) -> None:
    """The timestamp is signed: it cannot be refreshed."""
    vector = VECTORS[provider]
    later = str(int(vector.now_s) + 1_000)
    changed = {name: value.replace(str(int(vector.now_s)), later) for name, value in vector.headers.items()}
    assert changed != vector.headers
    assert not verified(vector, replace(vector._replace(headers=changed).webhook(), now_s=float(later)))


def test_an_empty_gitlab_token_equals_nothing() -> None:
    vector = VECTORS["gitlab"]
    assert not verified(vector, vector.webhook(**{"x-gitlab-token": ""}), secret="")


def test_twilio_signs_the_url_with_or_without_its_port() -> None:
    vector = VECTORS["twilio"]
    with_port = vector.url.replace("mycompany.com", "mycompany.com:443")
    assert verified(vector, replace(vector.webhook(), url=with_port))
    assert not verified(vector, replace(vector.webhook(), url=vector.url.replace(".com", ".com:8443")))
    assert not verified(vector, replace(vector.webhook(), url=vector.url + "&x=1"))


def test_twilios_other_bodies_are_signed_by_their_digest() -> None:
    digest = "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    webhook = Webhook(
        {"x-twilio-signature": ["5RzLWLtxROOEDxluB0CLCWjQg48="]}, b'{"a":1}',
        f"https://mycompany.com/hook?bodySHA256={digest}", "application/json", 0.0,
    )  # fmt: skip
    assert CHECKS["twilio"](webhook, "12345")
    assert not CHECKS["twilio"](replace(webhook, body=b'{"a":2}'), "12345")
    assert not CHECKS["twilio"](replace(webhook, body=b'{"a":1}', media_type=FORM), "12345")


def test_linear_needs_its_timestamp() -> None:
    vector = VECTORS["linear"]
    # made with openssl over a body without the timestamp
    headers = {"linear-signature": ["28da4c5453fd80b3234b956f7d30c06c977ce9be827838d2c72fa8e619ddfd4a"]}
    assert not verified(vector, replace(vector.webhook(), body=b"{}", headers=headers))


def test_zooms_challenge_is_answered_tp513() -> None:
    body = b'{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}'
    answer = challenge_answer("zoom", body, "zoomsecret")
    assert answer is not None
    assert json.loads(answer) == {
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw",
        "encryptedToken": "83b2a60d4bbe49dc93763ed9e727a9a7690cbe4c1f8bb0adc0ffccd09ecb1384",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"event":"meeting.started"}', b'{"event":"endpoint.url_validation"}',
        b'{"event":"endpoint.url_validation","payload":[]}',
        b'{"event":"endpoint.url_validation","payload":{"plainToken":5}}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_other_requests_are_no_challenge(body: bytes) -> None:
    assert challenge_answer("zoom", body, "s") is None
    assert challenge_answer("slack", b'{"event":"endpoint.url_validation","payload":{"plainToken":"x"}}', "s") is None
