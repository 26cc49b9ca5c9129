"""Recording rules: what ran, and who decided; also ``lens``, ``selection`` and ``render`` through ``explain``."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from gateway.errors import ACTION_FAILED, GatewayError
from gateway.headers import HeaderMap
from gateway.policy.action import CloseConnection, Forward, Outcome, Refuse, Respond
from gateway.policy_tools.documents import RequestPart, read_request
from gateway.policy_tools.offline import OfflineGateway, OfflineParts
from gateway.policy_tools.trace import Recorder, words_of
from gateway.problems import Problems
from tests.unit.policy_tools.kit import loaded, settings


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "goes on"),
        (Respond(404, HeaderMap(), b"", True), "answers 404"),
        (Refuse(GatewayError(ACTION_FAILED)), "refuses with 500 ERR_NGROK_2300"),
        (Forward(None), "forwards the answer of an upstream"),
        (CloseConnection(), "closes the connection"),
    ],
)
def test_words(outcome: Outcome, words: str) -> None:
    assert words_of(outcome) == words


def recorded(policy: str) -> Recorder:
    """The recorder after one request."""
    random = Random(0)
    file = read_request(b"{}", Problems("r"))
    assert file is not None
    parts = OfflineParts(policy=loaded(policy, random), settings=settings(), random=random, surroundings=file)
    recorder = Recorder(parts.policy)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            await OfflineGateway(parts, group, wrap=recorder.wrap).send(RequestPart())

    asyncio.run(run())
    return recorder


def test_who_decided() -> None:
    policy = """
        on_http_request:
          - {expressions: ["req.method == 'GET'"], actions: [{type: deny}]}
          - {name: last, actions: [{type: add-headers, config: {headers: {a: b}}}, {type: custom-response}]}
        on_http_response:
          - {type: add-headers, config: {headers: {c: d}}}
    """
    recorder = recorded(policy)
    assert [(rule.place, rule.matched, len(rule.actions)) for rule in recorder.rules] == [
        ("on_http_request[0]", False, 0), ("on_http_request[1]", True, 2), ("on_http_response[0]", True, 1),
    ]  # fmt: skip
    assert recorder.decided_by() == ("on_http_request[1]", "last")
    assert recorder.summary() == "on_http_request[1], custom-response: answers 200"
    recorder.begin()
    assert recorder.rules == []
    assert recorder.summary() == "no rule"


def test_failures_decide() -> None:
    recorder = recorded('on_http_request: [{expressions: ["vars.x == 1"], actions: [{type: deny}]}]')
    assert recorder.decided_by() == ("on_http_request[0]",)
    assert recorder.summary() == "on_http_request[0]: the condition cannot be evaluated"
