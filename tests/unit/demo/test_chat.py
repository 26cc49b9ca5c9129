"""Chat and completions as events; the bodies are covered by the SDK tests."""

from __future__ import annotations

from gateway.demo.behaviour import Behaviour
from gateway.demo.call import Surface
from gateway.demo.chat import DONE, ChatStream, chat_body, completion_body
from tests.unit.demo.dialects import payload, play, reply_for


def test_a_stream_ends_with_finish_usage_and_done():
    events = play(ChatStream(reply_for(Surface.CHAT, include_usage=True)))
    assert events[-1] == DONE
    usage, finish = payload(events[-2]), payload(events[-3])
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 24)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert payload(events[0])["usage"] is None
    assert len({payload(e)["id"] for e in events[:-1]}) == 1


def test_usage_is_only_there_when_asked_for():
    assert all(b'"usage"' not in event for event in play(ChatStream(reply_for(Surface.CHAT))))
    silenced = reply_for(Surface.CHAT, Behaviour(no_usage=True), include_usage=True)
    assert all(b'"usage"' not in event for event in play(ChatStream(silenced)))
    assert "usage" not in chat_body(silenced)
    assert "usage" not in completion_body(silenced)


def test_spliced_tokens_equal_built_ones():
    reply = reply_for(Surface.CHAT, Behaviour(unicode=True, n=12))
    deltas = [payload(e)["choices"][0]["delta"]["content"] for e in ChatStream(reply).deltas()]
    assert deltas == list(reply.tokens())


def test_legacy_completions_have_text():
    events = play(ChatStream(reply_for(Surface.COMPLETIONS)))
    assert payload(events[0])["object"] == "text_completion"
    assert "".join(payload(e)["choices"][0]["text"] for e in events[:-1]) == reply_for(Surface.COMPLETIONS).text


def test_reasoning_comes_first():
    reply = reply_for(Surface.CHAT, Behaviour(think=True))
    deltas = [payload(e)["choices"][0]["delta"] for e in ChatStream(reply).deltas()]
    assert [("reasoning_content" in d) for d in deltas[:9]] == [True] * 8 + [False]
    assert chat_body(reply)["choices"][0]["message"]["reasoning_content"] == "".join(reply.thoughts)
