"""What is answered, before any dialect."""

from __future__ import annotations

import json

from gateway.demo.behaviour import PLAIN, Behaviour
from gateway.demo.call import Call, Surface, Tool
from gateway.demo.reply import Finish, Reply, build_reply

CALL = Call(Surface.CHAT, "demo", prompt="Hello there")


def build(behaviour: Behaviour = PLAIN, call: Call = CALL) -> Reply:
    return build_reply(call, behaviour, number=1, created_s=0)


def test_usage_is_what_was_asked_for_or_an_estimate():
    assert (build().usage.input, build().usage.output) == (10, 24)
    usage = build(Behaviour(n=5, input_tokens=100, cached_tokens=60, reasoning_tokens=7)).usage
    assert (usage.input, usage.output, usage.cached, usage.reasoning) == (100, 12, 60, 7)


def test_the_text_depends_on_model_and_prompt_only():
    assert build().text == build_reply(CALL, PLAIN, number=9, created_s=9).text
    assert build().text != build(call=Call(Surface.CHAT, "demo", prompt="Other")).text


def test_max_tokens_cut_the_answer():
    reply = build(call=Call(Surface.CHAT, "demo", max_tokens=3))
    assert (len(list(reply.tokens())), reply.finish) == (3, Finish.LENGTH)
    assert build(call=Call(Surface.CHAT, "demo", max_tokens=24)).finish is Finish.STOP


def test_tool_calls_fill_the_schema():
    schema = {"properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "boolean"}, "c": {}}}
    tool = Tool("f", schema)
    reply = build(Behaviour(tools=1), Call(Surface.CHAT, "demo", tools=(tool,)))
    (call,) = reply.tool_calls
    assert json.loads(call.arguments) == {"a": "x", "b": True, "c": "Paris"}
    assert "".join(call.pieces()) == call.arguments
    assert (reply.finish, reply.text) == (Finish.TOOLS, "")


def test_answered_tools_are_not_called_again():
    reply = build(Behaviour(tools=1), Call(Surface.CHAT, "demo", tools_answered=True))
    assert reply.tool_calls == ()
    assert reply.text


def test_finish_reasons():
    assert build(Behaviour(filtered=True)).finish is Finish.FILTER
