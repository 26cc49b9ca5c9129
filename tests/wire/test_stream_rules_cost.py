"""Streams that no rule reads pay nothing for stream rules: the same calls for each event, whatever else a policy has.

Counted are the calls of the gateway's own functions between the first and the last event of a stream.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from gateway.settings.address import parse_public_url
from gateway.settings.model import PolicySource, Settings
from tests.wire.running import RunningGateway, ai_policy, request_bytes, settings_for
from tests.wire.serving import KEY, chat_body, connect, provider_entry
from tests.wire.upstreams import LAST_CHUNK, SSE_HEAD, Move, ScriptedUpstream, events, request, send, until

EVENTS = 40
#: longer than what the relay looks at more closely
DELTA = '{"choices":[{"delta":{"content":"word"}}],"system_fingerprint":"' + "0" * 200 + '"}'
STREAM_RULES = """
on_event_stream_message:
  - expressions: ["sse.data.contains('never')"]
    actions: [{type: sse-find-replace, config: {replacements: [{from: never, to: ever}]}}]
"""
OTHER_RULES = """
on_http_response:
  - expressions: ["res.status_code >= 500 || hasResHeader('x-never')"]
    actions: [{type: add-headers, config: {headers: {x-a: b}}}]
  - actions: [{type: remove-headers, config: {headers: [server]}}]
"""
REQUEST_RULES = """
  - expressions: ["req.url.path == '/never'"]
    actions: [{type: deny}]
  - actions: [{type: set-vars, config: {vars: [{a: 1}]}}]
"""


@contextmanager
def counting(calls: Counter[str]) -> Iterator[None]:
    """Counts calls of functions in the gateway's modules, ``module.function``."""

    def called(frame: FrameType, event: str, _: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("gateway."):
            calls[f"{module}.{frame.f_code.co_name}"] += 1

    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(None)


async def calls_of(after: str = "", before: str = "", elsewhere: str = "") -> Counter[str]:
    """The calls for the events of one stream, each sent when the client has the one before.

    ``elsewhere``: phases of the policy of another endpoint of the same gateway.
    """
    steps = [asyncio.Event() for _ in range(EVENTS)]
    script: list[Move] = [request(), send(SSE_HEAD + events(DELTA))]
    for step in steps:
        script += (until(step), send(events(DELTA)))
    script.append(send(events("[DONE]") + LAST_CHUNK))
    calls: Counter[str] = Counter()
    async with ScriptedUpstream(script) as upstream:
        providers = [provider_entry(f"{upstream.url}/v1", KEY)]
        settings = settings_for(ai_policy(providers, before) + after)
        if elsewhere:
            settings = beside(settings, ai_policy(providers) + elsewhere)
        async with RunningGateway(settings) as gateway:
            reader, writer = await connect(gateway)
            writer.write(request_bytes("/v1/chat/completions", chat_body(stream=True)))
            await reader.readuntil(b"word")
            with counting(calls):
                for step in steps:
                    step.set()
                    await reader.readuntil(b"word")
            await reader.readuntil(b"[DONE]")
            writer.close()
    return calls


def beside(settings: Settings, policy: str) -> Settings:
    (endpoint,) = settings.endpoints
    source = PolicySource(file="other.yaml", text=policy)
    url = parse_public_url("http://other.example")
    assert url is not None
    other = replace(endpoint, id="ep_other", name="other", url=url, has_url=True, policy=source)
    return replace(settings, endpoints=(endpoint, other))


def of_events(calls: Counter[str]) -> dict[str, int]:
    """How often something was called for each event; timers that happen to fire now and then are left out."""
    return {name: round(count / EVENTS) for name, count in calls.items() if count >= EVENTS / 2}


async def test_streams_that_no_rule_reads_are_relayed_by_the_same_calls() -> None:
    plain = of_events(await calls_of())
    assert plain, "nothing was counted"
    assert not [name for name in plain if name.startswith(("gateway.policy", "gateway.cel", "gateway.upstream.shaped"))]
    assert of_events(await calls_of(OTHER_RULES, REQUEST_RULES)) == plain
    assert of_events(await calls_of(elsewhere=STREAM_RULES)) == plain


async def test_streams_that_rules_read_have_a_path_of_their_own() -> None:
    """The counting would show it."""
    read = of_events(await calls_of(STREAM_RULES))
    for name in (
        "gateway.upstream.shaped._pack_theirs",
        "gateway.policy.stream.feed",
        "gateway.policy.engine.run_phase",
    ):
        assert read[name] == 1
