"""Signatures of webhooks, by provider (TP-510 … TP-513). Pure.

Invariants
    1. Every comparison takes the same time wherever two texts differ.
    2. A header that is missing, repeated or malformed is a failure, never an exception.
    3. A timestamp is only believed if it is part of what is signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit

#: where a provider names no tolerance of its own
TOLERANCE_S = 180.0
_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 1_000
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Webhook:
    """A request as it was sent. ``headers``: lower-case name → values; ``now_s``: Unix time."""

    headers: Mapping[str, Sequence[str]]
    body: bytes
    url: str
    media_type: str
    now_s: float

    def header(self, name: str) -> str:
        """The only value of that name; ``''`` if there is none or more than one."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else ""


Check: TypeAlias = "Callable[[Webhook, str], bool]"


def _mac(secret: str | bytes, *parts: str | bytes, digest: str = "sha256") -> bytes:
    key = secret if isinstance(secret, bytes) else _bytes(secret)
    return hmac.digest(key, b"".join(part if isinstance(part, bytes) else _bytes(part) for part in parts), digest)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _same(left: str, right: str) -> bool:
    """Over digests, so that lengths do not show either; an empty value equals nothing."""
    digests = [hashlib.sha256(_bytes(text)).digest() for text in (left, right)]
    return hmac.compare_digest(*digests) and left != ""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _fresh(timestamp: str, webhook: Webhook, tolerance_s: float) -> bool:
    """A signed timestamp against replay (TP-510)."""
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
        return False
    return abs(webhook.now_s - int(timestamp)) <= tolerance_s


def _github(webhook: Webhook, secret: str) -> bool:
    return _same(webhook.header("x-hub-signature-256"), f"sha256={_mac(secret, webhook.body).hex()}")


def _gitlab(webhook: Webhook, secret: str) -> bool:
    return _same(webhook.header("x-gitlab-token"), secret)


def _versioned(signature: str, timestamp: str, tolerance_s: float) -> Check:
    """``v0=`` over ``v0:<timestamp>:<body>``: Slack, and Zoom after it."""

    def check(webhook: Webhook, secret: str) -> bool:
        at = webhook.header(timestamp)
        expected = f"v0={_mac(secret, 'v0:', at, ':', webhook.body).hex()}"
        return _same(webhook.header(signature), expected) and _fresh(at, webhook, tolerance_s)

    return check


def _stripe(webhook: Webhook, secret: str) -> bool:
    fields = [part.strip().partition("=") for part in webhook.header("stripe-signature").split(",")]
    times = [value for name, _, value in fields if name == "t"]
    if len(times) != 1:
        return False
    expected = _mac(secret, times[0], ".", webhook.body).hex()
    matches = [_same(value, expected) for name, _, value in fields if name == "v1"]
    return any(matches) and _fresh(times[0], webhook, 300.0)


def _svix(webhook: Webhook, secret: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return False
    at = webhook.header("svix-timestamp")
    expected = _base64(_mac(key, webhook.header("svix-id"), ".", at, ".", webhook.body))
    offered = [entry.partition(",") for entry in webhook.header("svix-signature").split(" ")]
    matches = [_same(value, expected) for version, _, value in offered if version == "v1"]
    return any(matches) and _fresh(at, webhook, 300.0)


def _shopify(webhook: Webhook, secret: str) -> bool:
    return _same(webhook.header("x-shopify-hmac-sha256"), _base64(_mac(secret, webhook.body)))


def _linear(webhook: Webhook, secret: str) -> bool:
    if not _same(webhook.header("linear-signature"), _mac(secret, webhook.body).hex()):
        return False
    try:
        body = json.loads(webhook.body)
    except (ValueError, RecursionError):
        return False
    sent_ms = body.get("webhookTimestamp") if isinstance(body, dict) else None
    if isinstance(sent_ms, bool) or not isinstance(sent_ms, int | float):
        return False
    return abs(webhook.now_s - sent_ms / 1_000) <= 60.0


def _pagerduty(webhook: Webhook, secret: str) -> bool:
    expected = f"v1={_mac(secret, webhook.body).hex()}"
    matches = [_same(entry.strip(), expected) for entry in webhook.header("x-pagerduty-signature").split(",")]
    return any(matches)


def _twilio(webhook: Webhook, secret: str) -> bool:
    signed = _twilio_fields(webhook)
    if signed is None:
        return False
    offered = webhook.header("x-twilio-signature")
    # Twilio signs the URL with or without the port that goes without saying
    matches = [_same(offered, _base64(_mac(secret, url, signed, digest="sha1"))) for url in _url_forms(webhook.url)]
    return any(matches)


def _twilio_fields(webhook: Webhook) -> str | None:
    """The sorted form parameters; for any other body, its digest has to be part of the signed URL."""
    if webhook.media_type == _FORM:
        try:
            pairs = parse_qsl(webhook.body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
        except ValueError:
            return None
        return "".join(name + value for name, value in sorted(set(pairs)))
    if not webhook.body:
        return ""
    query = parse_qsl(urlsplit(webhook.url).query, max_num_fields=_MAX_FIELDS)
    digests = [value for name, value in query if name == "bodySHA256"]
    return "" if digests and _same(digests[0].lower(), hashlib.sha256(webhook.body).hexdigest()) else None


def _url_forms(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    port = f":{_PORTS.get(scheme, 443)}"
    other = authority.removesuffix(port) if authority.endswith(port) else authority + port
    return url, f"{scheme}://{other}{slash}{path}"


CHECKS: Mapping[str, Check] = {
    "github": _github,
    "gitlab": _gitlab,
    "slack": _versioned("x-slack-signature", "x-slack-request-timestamp", 300.0),
    "stripe": _stripe,
    "svix": _svix,
    "clerk": _svix,
    "shopify": _shopify,
    "linear": _linear,
    "pagerduty": _pagerduty,
    "twilio": _twilio,
    "zoom": _versioned("x-zm-signature", "x-zm-request-timestamp", TOLERANCE_S),
}

#: identifiers of the reference whose checks are not here (TP-513)
KNOWN_ELSEWHERE = frozenset(
    """
    adobe_sign aftership airship alchemy amazon_sns autodesk bitbucket bolt box brex buildkite calendly castle chargify
    circleci clearbit coinbase contentful docusign dropbox facebook_graph_api facebook_messenger frameio go1 heroku
    hosted_hooks hubspot hygraph instagram intercom launch_darkly mailchimp mailgun microsoft_teams modern_treasury
    mongodb mux orb orbit paypal pinwheel plivo pusher sendgrid sentry signal_sciences sns sonatype square terraform
    tiktok trend_micro trend_micro_conformity twitter typeform vmware webex whatsapp wise worldline xero zendesk
    """.split()  # noqa: SIM905 - sixty words read better without quotes
)


def challenge_answer(provider: str, body: bytes, secret: str) -> bytes | None:
    """The answer to Zoom's URL validation; None for any other request.

    Only for requests whose signature was verified: a token chosen by a stranger could be the text of a forged webhook.
    """
    if provider != "zoom":
        return None
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.get("event") != "endpoint.url_validation":
        return None
    payload = event.get("payload")
    token = payload.get("plainToken") if isinstance(payload, dict) else None
    if not isinstance(token, str):
        return None
    return json.dumps({"plainToken": token, "encryptedToken": _mac(secret, token).hex()}).encode()
