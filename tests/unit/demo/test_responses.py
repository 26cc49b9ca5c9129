"""Responses as events."""

from __future__ import annotations

import pytest

from gateway.demo.behaviour import Behaviour
from gateway.demo.call import Surface
from gateway.demo.responses import ResponseStream, responses_body
from tests.unit.demo.dialects import payload, play, reply_for


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(think=True), Behaviour(tools=2), Behaviour(unicode=True)])
def test_numbers_rise_and_the_last_event_carries_the_whole(behaviour):
    reply = reply_for(Surface.RESPONSES, behaviour)
    events = [payload(e) for e in play(ResponseStream(reply))]
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    assert events[-1] == {
        "type": "response.completed",
        "sequence_number": len(events) - 1,
        "response": responses_body(reply),
    }
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    assert text == reply.text


def test_errors_continue_the_numbers():
    first = ResponseStream(reply_for(Surface.RESPONSES))
    assert payload(first.error("x", first=True)) == {
        "type": "error",
        "sequence_number": 0,
        "code": "server_error",
        "message": "x",
        "param": None,
    }
    later = ResponseStream(reply_for(Surface.RESPONSES))
    sent = len(list(later.opening()))
    failed = payload(later.error("x", first=False))
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", sent)
    assert (failed["response"]["status"], failed["response"]["usage"]) == ("failed", None)


def test_incomplete_answers_say_why():
    body = responses_body(reply_for(Surface.RESPONSES, Behaviour(filtered=True)))
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert responses_body(reply_for(Surface.RESPONSES, Behaviour(no_usage=True)))["usage"] is None
