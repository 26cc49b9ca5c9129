"""What stands around the gateway of a document: other services, IP policies, gateway keys.

``Services`` is everything that actions ask for by type; nothing in it opens a socket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway import errors
from gateway.ai.credentials import sent_any_credential
from gateway.auth.addresses import IpPolicyTable, IpRules
from gateway.errors import GatewayError, failure
from gateway.headers import HeaderMap
from gateway.policy.action import Respond
from gateway.policy.body import request_body
from gateway.policy.internal import InternalEndpoints
from gateway.policy_tools.documents import CaseFile, Played, body_bytes
from gateway.policy_tools.played import SentRequest
from gateway.upstream.fetch import FetchAnswer, Fetcher, FetchError, FetchRequest, FetchRules
from gateway.upstream.origin import Origin

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.exchange import Exchange
    from gateway.policy.options import PolicyOptions
    from gateway.settings import Settings

_BODY_LIMIT = 32 << 20


def options_for(file: CaseFile, options: PolicyOptions) -> PolicyOptions:
    """The options of an installation that has what the document describes."""
    hosts = {urlsplit(url).hostname or "" for url in file.services}
    return replace(
        options,
        ip_policies=frozenset(options.ip_policies) | file.ip_policies.keys(),
        http_request_allow_external=(*options.http_request_allow_external, *sorted(hosts)),
    )


def services_of(file: CaseFile, settings: Settings, sent: list[SentRequest]) -> dict[type, Any]:
    """What actions ask for by type; ``sent`` takes the requests that go out."""
    played = PlayedServices(file.services, sent)
    rules = {policy.id: [(rule.cidr, rule.action) for rule in policy.rules] for policy in settings.ip_policies}
    rules |= {name: [(ip_network(r.cidr), r.action) for r in found] for name, found in file.ip_policies.items()}
    policies = {
        name: IpRules(*([cidr for cidr, action in found if action == kind] for kind in ("allow", "deny")))
        for name, found in rules.items()
    }
    return {InternalEndpoints: played, Fetcher: played, IpPolicyTable: IpPolicyTable(policies)}


class PlayedServices:
    """Internal endpoints and external hosts (``policy.internal.InternalEndpoints``, ``fetch.Fetcher.send``)."""

    def __init__(self, answers: Mapping[str, Played], sent: list[SentRequest]) -> None:
        #: the longest URL that a request's begins with is its answer's
        self._answers = sorted(answers.items(), key=lambda item: -len(item[0]))
        self._sent = sent

    def _answer(self, request: FetchRequest) -> Played | None:
        asked = request.url.partition("?")[0] + "/"
        played = next((played for url, played in self._answers if asked.startswith(url.rstrip("/") + "/")), None)
        if played is not None:
            parts = urlsplit(request.url)
            origin = Origin(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {name: ", ".join(values) for name, values in request.headers.items()}
            status = 0 if played.error is not None else played.status
            self._sent.append(SentRequest(origin, request.method, path, headers, request.body, status))
        return played

    async def forward(self, exchange: Exchange, scheme: str, host: str, port: int | None) -> Respond:
        """See ``InternalEndpoints``."""
        url = f"{scheme}://{host}" + (f":{port}" if port is not None else "")
        body = await request_body(exchange, _BODY_LIMIT)
        query = f"?{exchange.query}" if exchange.query else ""
        played = self._answer(FetchRequest(exchange.method, url + exchange.path + query, exchange.headers, body))
        if played is None:
            raise failure(errors.NO_ENDPOINT, url=url)
        if played.error is not None:
            raise GatewayError(errors.BAD_UPSTREAM, cause=f"{url}: {played.error}")
        return Respond(played.status, _headers(played), body_bytes(played.body), run_response_phase=True)

    async def request(self, exchange: Exchange, request: FetchRequest, host: str, port: int | None) -> FetchAnswer:
        """See ``InternalEndpoints``."""
        return self._fetched(request)

    async def send(self, request: FetchRequest, rules: FetchRules) -> FetchAnswer:
        """See ``Fetcher``."""
        if not rules.admits((urlsplit(request.url).hostname or "").lower()):
            raise FetchError("this host may not be asked")
        return self._fetched(request)

    def _fetched(self, request: FetchRequest) -> FetchAnswer:
        played = self._answer(request)
        if played is None:
            raise FetchError("there is no such endpoint")
        if played.error == "timeout":
            raise TimeoutError
        if played.error is not None:
            raise FetchError("connection refused")
        return FetchAnswer(played.status, _headers(played), body_bytes(played.body), "")


def _headers(played: Played) -> HeaderMap:
    headers = HeaderMap.of((name.lower(), value) for name, value in played.headers)
    if played.body is not None and "content-type" not in headers:
        text = isinstance(played.body, str) and not _is_json(played.body)
        headers.set("content-type", "text/plain" if text else "application/json")
    return headers


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class KnownKeys:
    """The gateway keys of a document; where there are any, the endpoint asks for one (AG-187)."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys

    def authenticate(self, call: AiCall) -> None:
        """Raises 401."""
        credential = call.credential
        if credential is not None and credential.is_gateway_key:
            if credential.token.reveal() not in self._keys:
                raise failure(errors.INVALID_KEY)
            call.gateway_key_id = f"key_{self._keys.index(credential.token.reveal()) + 1}"
        elif self._keys:
            if credential is None and not sent_any_credential(call.exchange.headers):
                raise failure(errors.AUTHENTICATION_FAILED, reason="a gateway key is required")
            raise failure(errors.INVALID_KEY)
