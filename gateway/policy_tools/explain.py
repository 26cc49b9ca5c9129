"""``gateway policy explain``: the decision trace of one request (SV 1). Nothing is sent upstream.

The result is one plain document (``Explanation``), masked as a whole; ``render`` writes it for people.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from gateway.policy.load import load_policy
from gateway.policy_tools.cases import Story, play
from gateway.policy_tools.compare import decision_of
from gateway.policy_tools.documents import CaseFile
from gateway.policy_tools.lens import PlainLens, WatchedLimits
from gateway.policy_tools.masks import Mask, sent_credentials
from gateway.policy_tools.offline import OfflineGateway, OfflineParts, Served, offline_context
from gateway.policy_tools.selection import describe_call
from gateway.policy_tools.services import options_for
from gateway.policy_tools.trace import ActionTrace, Recorder, RuleTrace
from gateway.secrets.sources import SecretLookupError, SecretSource, SecretTable

if TYPE_CHECKING:
    from gateway.policy.model import Policy
    from gateway.policy.options import PolicyOptions
    from gateway.policy_tools.parts import Valued
    from gateway.policy_tools.played import SentRequest
    from gateway.problems import Problems
    from gateway.settings import Settings

Explanation = Mapping[str, Any]
_BODY_SHOWN = 2_000


class LenientSecrets(SecretTable):
    """Gives a made-up value for a secret that is nowhere, and remembers that."""

    def __init__(self, sources: Sequence[SecretSource]) -> None:
        super().__init__(sources)
        self.missing: dict[str, str] = {}

    def get(self, vault: str, name: str) -> str:
        try:
            return super().get(vault, name)
        except SecretLookupError:
            return self._made_up(f"{vault}/{name}")

    def get_single(self, name: str) -> str:
        try:
            return super().get_single(name)
        except SecretLookupError:
            if any(True for source in self.sources for _ in source.named(name)):
                raise  # it is there more than once
            return self._made_up(name)

    def _made_up(self, name: str) -> str:
        return self.missing.setdefault(name, f"made-up-secret:{name}")

    def values(self) -> set[str]:
        return super().values() | set(self.missing.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A policy and a request. ``case``: name of a case in the request's file; ``sources``: secrets of the machine."""

    policy: bytes
    policy_file: str
    request: CaseFile
    case: str = ""
    sources: Sequence[SecretSource] = ()


def explain(question: Question, options: PolicyOptions, settings: Settings) -> tuple[Explanation | None, Problems]:
    """The explanation, or None if the policy does not load or there is no such case."""
    random = Random()  # noqa: S311 - chance that can be repeated
    context = offline_context(options_for(question.request, options), random)
    policy, problems = load_policy(question.policy, context, file=question.policy_file)
    if policy is None:
        return None, problems
    story = Story.of(question.request, question.case)
    if story is None:
        problems.add_error(problems.codes.bad_value, f"there is no case '{question.case}'", line=1, column=1)
        return None, problems
    limits = WatchedLimits()
    recorder = Recorder(policy, PlainLens(context, random, limits))
    parts = OfflineParts(
        policy=policy, settings=settings, random=random, surroundings=question.request,
        secret_table=lambda source: LenientSecrets([source, *question.sources]),
    )  # fmt: skip
    return asyncio.run(_explained(parts, recorder, limits, story)), problems


async def _explained(parts: OfflineParts, recorder: Recorder, limits: WatchedLimits, story: Story) -> Explanation:
    last = Served()
    async with asyncio.TaskGroup() as group:
        gateway = OfflineGateway(parts, group, clock_s=story.clock, wrap=recorder.wrap, limiters=limits)
        async for _, served in play(gateway, recorder, story):
            last = served
    secrets = gateway.secrets
    assert isinstance(secrets, LenientSecrets)
    shown = _document(last, recorder, gateway)
    notes = [f"secret '{name}' is not known here: a made-up value stands in for it" for name in secrets.missing]
    masked: Explanation = _mask(parts.policy, secrets, last).hide({"notes": notes, **shown})
    return masked


def _mask(policy: Policy, secrets: SecretTable, served: Served) -> Mask:
    """Secrets, keys written into the policy, and what the caller sent as credentials."""
    hidden = set(secrets.values())
    for action in policy.actions():
        for provider in getattr(action.config, "providers", ()):
            hidden |= {text.reveal() for text in provider.key_texts if "${" not in text.reveal()}
    exchange = served.exchange
    if exchange is None:
        return Mask(hidden)
    call = exchange.ai
    for _, order in call.key_orders if call is not None else ():
        hidden |= {key.value.reveal() for key in order.keys if not key.client_header}
    return Mask(hidden | exchange.secrets_seen, sent_credentials(served.request_headers, exchange.query))


# ---- the document ---------------------------------------------------------------------------------------------------


def _document(served: Served, recorder: Recorder, gateway: OfflineGateway) -> dict[str, Any]:
    exchange = served.exchange
    call = exchange.ai if exchange is not None else None
    return {
        "request": _request(served),
        "rules": [_rule(rule) for rule in recorder.rules],
        "model_request": describe_call(call, gateway.decisions) if call is not None else None,
        "upstream_requests": [_sent(each) for each in gateway.transport.sent],
        "answer": {
            "decision": decision_of(served),
            "decided_by": list(recorder.decided_by()),
            "how": recorder.summary(),
            "status": served.status,
            "headers": {name: ", ".join(values) for name, values in served.headers.items()},
            "body": served.body.decode("utf-8", "replace")[:_BODY_SHOWN],
            "error": exchange.error.cause if exchange is not None and exchange.error is not None else "",
        },
        "log": exchange.log_metadata if exchange is not None else [],
    }


def _request(served: Served) -> dict[str, Any]:
    exchange = served.exchange
    if exchange is None:
        return {}
    return {
        "method": exchange.method,
        "target": exchange.raw_target,
        "client_ip": exchange.conn.client_ip,
        "headers": {name: ", ".join(values) for name, values in served.request_headers.items()},
    }


def _sent(request: SentRequest) -> dict[str, Any]:
    origin = request.origin
    body = request.json()
    model = body.get("model", "") if isinstance(body, dict) else ""
    url = f"{origin.scheme}://{origin.host}{request.path}"
    return {"method": request.method, "url": url, "model": model, "bytes": len(request.body), "status": request.status}


def _rule(rule: RuleTrace) -> dict[str, Any]:
    return {
        "place": rule.place,
        "name": rule.name,
        "line": rule.line,
        "matched": rule.matched,
        "error": rule.error,
        "expressions": [_parts(parts) for parts in rule.expressions],
        "actions": [_action(action) for action in rule.actions],
    }


def _action(action: ActionTrace) -> dict[str, Any]:
    return {
        "type": action.type,
        "inputs": [{"field": field, **_parts(parts)} for field, parts in action.inputs],
        "effects": [{"what": name, "value": value} for name, value in action.effects],
        "outcome": action.outcome,
    }


def _parts(parts: list[Valued]) -> dict[str, Any]:
    """The whole expression, and beneath it its parts."""
    whole, *inner = [dict(_part(part)) for part in parts]
    return {**whole, "parts": inner}


def _part(part: Valued) -> Iterator[tuple[str, Any]]:
    yield "source", part.source
    yield "depth", part.depth
    yield from [("error", part.error)] if part.error else [("value", part.value)]
