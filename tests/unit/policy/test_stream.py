"""Writing a changed message back (TP-445), and what the rules of a stream may do (TP-56)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.headers import HeaderMap
from gateway.policy.action import CompiledAction, Respond
from gateway.policy.compile import CompiledPhase, CompiledRule
from gateway.policy.model import Phase, RulePlace
from gateway.policy.stream import StreamRuleError, StreamRules, rewrite
from gateway.policy.variables import StreamMessage
from gateway.upstream.sse import SseEvent
from tests.unit.actions.policies import Policies


@pytest.mark.parametrize(
    ("raw", "data", "retry", "expected"),
    [
        (b"data: a\n\n", "b", None, b"data: b\n\n"),
        (b"data: a\n\n", "b\nc", None, b"data: b\ndata: c\n\n"),
        (b"data: a\n\n", "b\r\nc\rd", None, b"data: b\ndata: c\ndata: d\n\n"),
        (b"data: a\n\n", "", None, b"data: \n\n"),
        (b"event: e\ndata: a\nid: 1\ndata: b\n: c\n\n", "x", None, b"event: e\ndata: x\nid: 1\n: c\n\n"),
        (b"data: a\nretry: 5\n\n", "a", 7, b"data: a\nretry: 7\n\n"),
        (b"data: a\nretry: 5\n\n", "a", None, b"data: a\n\n"),
        (b"retry: 5\n\n", "", 6, b"retry: 6\n\n"),
        (b"retry: 5\n\n", "now", 5, b"retry: 5\ndata: now\n\n"),
        (b"data: a\r\n\r\n", "b", 3, b"data: b\nretry: 3\n\r\n"),
        (b"\xef\xbb\xbfdata: a\n\n", "b", None, b"\xef\xbb\xbfdata: b\n\n"),
        (b"data: a", "b", 1, b"data: b\nretry: 1\n"),
        (b"unknown: field\ndata\n\n", "b", None, b"unknown: field\ndata: b\n\n"),
    ],
)
def test_other_fields_are_untouched_tp445(raw: bytes, data: str, retry: int | None, expected: bytes) -> None:
    assert rewrite(SseEvent(raw), StreamMessage(0, data, retry=retry)) == expected


def rules(text: str) -> StreamRules:
    policies = Policies()
    return StreamRules(policies.exchange(), policies.compile(text).phases[Phase.STREAM], limit_bytes=1_000)


def test_a_failed_expression_ends_the_stream_tp56() -> None:
    machine = rules(
        """
        on_event_stream_message:
          - expressions: ["json.decode(sse.data).ok == true"]
            actions: [{type: log, config: {metadata: {a: b}}}]
        """
    )
    assert machine.feed(b'data: {"ok": 1}\n\n') == b'data: {"ok": 1}\n\n'
    with pytest.raises(StreamRuleError) as caught:
        machine.feed(b'data: {"ok": true}\n\ndata: broken\n\n')
    assert (caught.value.sent, caught.value.error.code) == (b'data: {"ok": true}\n\n', "ERR_NGROK_2254")
    machine = rules("on_event_stream_message:\n  - {type: log, config: {metadata: {a: '${json.decode(sse.data)}'}}}\n")
    machine.feed(b"data: broken")
    with pytest.raises(StreamRuleError):
        machine.finish()


def one_action(run: Callable[[Exchange], Any]) -> StreamRules:
    place = RulePlace("policy.yaml", 1, 1, "on_event_stream_message[0]")
    rule = CompiledRule(place, None, (CompiledAction("own", run),))
    policies = Policies()
    phase = CompiledPhase(Phase.STREAM, (rule,), policies.clock.now)
    return StreamRules(policies.exchange(), phase, limit_bytes=1_000)


def test_a_dropped_message_leaves_the_stream() -> None:
    def drop(exchange: Exchange) -> None:
        exchange.scope.sse.dropped = exchange.scope.sse.data == "b"

    assert one_action(drop).feed(b"data: a\n\ndata: b\n\ndata: c\n\n") == b"data: a\n\ndata: c\n\n"


def test_an_answer_in_a_stream_ends_it_tp56() -> None:
    machine = one_action(lambda exchange: Respond(200, HeaderMap(), b"", run_response_phase=False))
    with pytest.raises(StreamRuleError) as caught:
        machine.feed(b"data: a\n\n")
    assert caught.value.error.code == "ERR_NGROK_2300"


@pytest.mark.parametrize("size", [1, 7, 2_000])
def test_what_came_before_a_message_that_is_too_long_is_sent_tp446(size: int) -> None:
    """However the stream is cut."""
    machine = rules("on_event_stream_message:\n  - {type: log, config: {metadata: {a: b}}}\n")
    stream = b"data: a\n\ndata: b\n\ndata: " + b"x" * 1_100
    out: list[bytes] = []
    with pytest.raises(StreamRuleError) as caught:
        out.extend(machine.feed(stream[start : start + size]) for start in range(0, len(stream), size))
    assert b"".join(out) + caught.value.sent == b"data: a\n\ndata: b\n\n"
    assert caught.value.error.code == "ERR_NGROK_2249"
