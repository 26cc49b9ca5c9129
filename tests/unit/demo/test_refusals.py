"""Errors in both dialects."""

from __future__ import annotations

import json

import pytest

from gateway.demo.behaviour import PLAIN, Behaviour, Refusal
from gateway.demo.call import RefusedError
from gateway.demo.refusals import asked_refusal, render_refusal, unknown_model


def body(refused: RefusedError, *, anthropic: bool, behaviour: Behaviour = PLAIN):
    return json.loads(render_refusal(refused, behaviour, "req_1", anthropic=anthropic).body)


@pytest.mark.parametrize(
    ("status", "openai", "anthropic"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (404, "invalid_request_error", "not_found_error"),
        (413, "invalid_request_error", "request_too_large"),
        (429, "rate_limit_error", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (529, "server_error", "overloaded_error"),
    ],
)
def test_types_by_status(status, openai, anthropic):
    refused = asked_refusal(Behaviour(status=status), "m", "k", anthropic=False)
    assert refused is not None
    assert body(refused, anthropic=False)["error"]["type"] == openai
    answer = body(refused, anthropic=True)
    assert (answer["type"], answer["error"]["type"], answer["request_id"]) == ("error", anthropic, "req_1")


def test_nothing_asked_nothing_refused():
    assert asked_refusal(PLAIN, "m", "k", anthropic=False) is None


@pytest.mark.parametrize("refusal", [r for r in Refusal if r is not Refusal.NONE])
def test_every_named_refusal_is_an_error(refusal):
    for anthropic in (False, True):
        refused = asked_refusal(Behaviour(refusal=refusal), "m", "the-key", anthropic=anthropic)
        assert refused is not None
        assert refused.status >= 400
        assert ("the-key" in refused.message) == (refusal is Refusal.ECHO_KEY)


def test_an_unknown_model_says_what_is_wrong_with_its_name():
    error = body(unknown_model("demo-x", "no behaviour 'x'", anthropic=False), anthropic=False)["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "no behaviour 'x'" in error["message"]
