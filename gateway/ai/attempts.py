"""One attempt with one credential: the upstream request is built, sent, and its answer judged (AG-152, AG-153)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway import errors
from gateway.ai.answer import Answer
from gateway.ai.credentials import scrub
from gateway.ai.dialects import codec_for
from gateway.ai.final import attempt_error
from gateway.ai.measure import Measure
from gateway.ai.measure import Outcome as Measured
from gateway.ai.quota import parse_retry_after
from gateway.ai.splice import build_body
from gateway.exchange import Attempt

if TYPE_CHECKING:
    from gateway.ai.call import AiCall
    from gateway.ai.credentials import UpstreamCredential
    from gateway.ai.entities import Candidate, ProviderKey
    from gateway.upstream.attempt import Failure, Held

_MESSAGE_LIMIT = 300


async def attempt_candidate(call: AiCall, candidate: Candidate, key: ProviderKey, now: float) -> Answer | None:
    """The answer, or None after recording why there is none. ``now``: monotonic."""
    gateway, exchange = call.gateway, call.exchange
    surface, request = call.surface_of, call.request
    assert surface is not None
    assert request is not None
    attempt = Attempt(candidate, key, now)
    exchange.attempts.append(attempt)
    if key.stored_id and gateway.touch is not None:
        gateway.touch(key.stored_id)
    route = candidate.routes.get(surface.path) or gateway.route(candidate, surface)
    body, streams, injects_usage = build_body(request, route.plan, call.overrides)
    known = key.sent_as
    if known is not None and known[0] is route:
        credential = known[1]
    else:
        credential = gateway.keyring.credential(key, candidate.provider, surface.format)
        key.sent_as = (route, credential)
    head = route.head.build(call.lines, credential, len(body), call.upstream_query, call.fields)
    attempt.route = route
    monotonic = gateway.clock.monotonic
    sent = attempt.sent = monotonic()
    limit_s = gateway.options.per_request_timeout_s
    expect = route.expects[streams]
    if call.first_token_by - sent < limit_s:
        limit_s, expect = call.first_token_by - sent, replace(expect, limits_first_event=True)
    origin, message, left_s = route.origin, head + body, call.deadline - sent
    held = gateway.transport.begin(origin, message, expect)
    if held is not None:
        waiter = held.outcome(limit_s, left_s)
        if waiter is not None:
            try:
                await waiter
            except asyncio.CancelledError:
                held.abandon()
                raise
    if held is None or (held.failure is not None and held.failure.stale):
        held = await gateway.transport.send(origin, message, expect, limit_s, left_s, pooled=held is None)
    _note_answer(call, attempt, held, key)
    if held.failure is None:
        return Answer(call, attempt, held, credential, injects_usage)
    _note_failure(call, attempt, held.failure, credential)
    if held.failure.kind == "timeout" and left_s <= limit_s:
        call.end()
    return None


def _note_answer(call: AiCall, attempt: Attempt, held: Held, key: ProviderKey) -> None:
    """Times, status and what the head says about the key's quota (AG-130), for success and failure alike."""
    clock = call.gateway.clock
    monotonic = clock.monotonic
    now = monotonic()
    waited_until = now
    if held.first_byte_at:
        attempt.first_byte = now - held.age_s()
        if held.failure is None:  # the rest is added when the answer is over
            waited_until = attempt.first_byte
    call.exchange.upstream_wait_s += waited_until - attempt.sent
    status = attempt.status = held.status
    head = attempt.head = held.head
    if head is not None and status and (key.id or status in (429, 503)):
        headers = head.quota_headers()  # type: ignore[attr-defined] # inbound.InboundHead, see Answer
        key.observe(status, headers)
        if status in (429, 503):
            call.note_retry_after(parse_retry_after(headers, clock.now()))


def _note_failure(call: AiCall, attempt: Attempt, failure: Failure, credential: UpstreamCredential | None) -> None:
    """Status, kind, code and message of AG-180; what the provider said is cleaned of keys (AG-209)."""
    code, message = _explain(call, failure, credential)
    attempt.status = failure.status if failure.kind != "timeout" else 0
    attempt.body = failure.body
    call.failed(attempt, failure.kind, code, message)
    measure = Measure(
        _measured(failure),
        max(0.0, attempt.sent - call.exchange.started),
        attempt.completed - attempt.sent,
    )
    call.gateway.record_attempt(attempt, measure)


def _explain(call: AiCall, failure: Failure, credential: UpstreamCredential | None) -> tuple[str, str]:
    surface = call.surface_of
    assert surface is not None
    if failure.kind == "timeout":
        return errors.UPSTREAM_TIMEOUT.code, errors.UPSTREAM_TIMEOUT.message
    if failure.kind == "connection":
        return errors.UPSTREAM_NETWORK.code, _clean(failure.reason, credential)
    if failure.kind == "stream_error":
        if (not failure.body and "/" in failure.reason) or not failure.reason:
            spec = errors.UPSTREAM_NOT_STREAMING
            return spec.code, spec.message.format(content_type=failure.reason)
        return errors.UPSTREAM_UNEXPECTED.code, _clean(failure.reason, credential)[:_MESSAGE_LIMIT]
    spec = attempt_error(failure.status)
    if failure.status in (401, 403) and credential is not None and credential.server_side:
        return spec.code, "upstream rejected the API key"
    said = codec_for(surface).error_message(failure.body) or failure.reason
    return spec.code, _clean(said, credential)[:_MESSAGE_LIMIT]


def _measured(failure: Failure) -> Measured:
    if failure.kind == "timeout":
        return Measured.TIMEOUT
    if failure.kind == "connection":
        return Measured.CONNECTION
    if failure.kind == "stream_error":
        return Measured.ERROR
    return Measured.of_status(failure.status)


def _clean(text: str, credential: UpstreamCredential | None) -> str:
    """Text from upstream, without the key that was used and without any of our own tokens (AG-209)."""
    return scrub(text, () if credential is None else (credential.secret,))
