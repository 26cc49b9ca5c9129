"""``response-body-find-replace`` (TP-440 … TP-448, CL-28)."""

from __future__ import annotations

import gzip

import pytest

from gateway.exchange import Exchange, ResponseHead
from gateway.headers import HeaderMap
from gateway.policy.action import Outcome
from gateway.policy.model import Phase
from gateway.policy.options import PolicyOptions
from tests.unit.actions.policies import Policies, action, refused, report, result

TYPE = "response-body-find-replace"
CONFIG = "replacements: [{from: 'secret (\\w+)', to: '[$1]'}]"


def answer(body: bytes | None, *, upstream: bytes | None = None, status: int = 200, **headers: str) -> ResponseHead:
    """``upstream``: what reading the upstream's body gives."""
    head = ResponseHead(status, HeaderMap.of((name.replace("_", "-"), value) for name, value in headers.items()), body)

    async def read(limit_bytes: int) -> bytes | None:
        return upstream if upstream is None or len(upstream) <= limit_bytes else None

    if upstream is not None:
        head.read = read
    return head


def run(head: ResponseHead, config: str = CONFIG, method: str = "GET", limit: int = 1_000) -> tuple[Outcome, Exchange]:
    policies = Policies(PolicyOptions(max_buffered_body_bytes=limit))
    exchange = policies.exchange(method, response=head)
    return policies.run(policies.compile(action(TYPE, config, "on_http_response")), exchange, Phase.RESPONSE), exchange


def test_the_upstreams_body_is_read_and_changed() -> None:
    head = answer(None, upstream=b"a secret word", content_type="text/plain", content_length="13")
    outcome, exchange = run(head)
    assert outcome is None
    assert head.body == b"a [word]"
    assert head.headers.first("content-length") == "8"
    matches = result(exchange, "response_body_find_replace").replacements
    assert [(match.replacement_index, match.matched_content) for match in matches] == [(0, "secret word")]


def test_the_gateways_own_answers_are_changed_too_cl28() -> None:
    head = answer(b"a secret word", status=502)
    run(head)
    assert head.body == b"a [word]"


def test_chunks_become_a_length_tp441() -> None:
    head = answer(None, upstream=b"nothing in here", transfer_encoding="chunked")
    run(head)
    assert dict(head.headers.lines()) == {"content-length": "15"}


def test_a_compressed_body_is_decoded_tp442() -> None:
    head = answer(None, upstream=gzip.compress(b"a secret word"), content_encoding="gzip")
    run(head)
    assert head.body == b"a [word]"
    assert "content-encoding" not in head.headers


@pytest.mark.parametrize(("coding", "body"), [("zstd", b"x"), ("gzip", b"x"), ("x-own", b"x")])
def test_other_codings_fail_closed_tp442(coding: str, body: bytes) -> None:
    outcome, _ = run(answer(None, upstream=body, content_encoding=coding))
    assert refused(outcome).code == "ERR_NGROK_3904"


def test_event_streams_pass_unread_tp444() -> None:
    head = answer(None, content_type="text/event-stream; charset=utf-8")
    outcome, exchange = run(head)
    assert outcome is None
    assert head.body is None
    assert result(exchange, "response_body_find_replace").replacements == []


def test_streams_that_escape_are_a_warning_tp444() -> None:
    def warned(text: str) -> list[tuple[int, int]]:
        found = Policies().problems(text).warnings
        return [(problem.line, problem.column) for problem in found if problem.code == "ERR_TP_STREAMS_ESCAPE"]

    alone = action(TYPE, CONFIG, "on_http_response")
    assert warned(alone) == [(2, 11)]
    assert warned(alone + action("sse-find-replace", CONFIG, Phase.STREAM)) == []


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_answers_without_a_body_keep_their_head(method: str, status: int) -> None:
    head = answer(None, status=status, content_length="999")
    outcome, _ = run(head, method=method)
    assert outcome is None
    assert head.headers.first("content-length") == "999"


def test_a_body_above_the_limit_is_a_500_tp441() -> None:
    for head in (
        answer(None, upstream=b"x" * 1_001),
        answer(None, upstream=gzip.compress(bytes(100_000)), content_encoding="gzip"),
    ):
        outcome, _ = run(head)
        assert (refused(outcome).code, refused(outcome).status) == ("ERR_NGROK_3903", 500)


def test_a_body_that_cannot_be_read_fails_closed_tp448() -> None:
    outcome, _ = run(answer(None))
    assert refused(outcome).code == "ERR_NGROK_3902"


def test_only_for_errors_cl28() -> None:
    policies = Policies()
    policy = policies.compile(
        """
        on_http_response:
          - expressions: [res.status_code >= 500]
            actions: [{type: response-body-find-replace, config: {replacements: [{from: '.+', to: sorry}]}}]
        """
    )
    for status, body in ((200, b"fine"), (503, b"sorry")):
        head = answer(b"fine", status=status)
        policies.run(policy, policies.exchange(response=head), Phase.RESPONSE)
        assert head.body == body


def test_the_new_length_is_seen_by_later_rules() -> None:
    policies = Policies()
    policy = policies.compile(
        action(TYPE, CONFIG, "on_http_response")
        + '  - type: set-vars\n    config: {vars: [{n: "${res.content_length}"}, '
        '{m: "${actions.ngrok.response_body_find_replace.replacements[0].matched_content}"}]}\n'
    )
    exchange = policies.exchange(response=answer(b"a secret word", content_length="13"))
    assert policies.run(policy, exchange, Phase.RESPONSE) is None
    assert exchange.vars == {"n": 8, "m": "secret word"}


def test_it_stands_only_in_the_response_phase() -> None:
    assert report(Policies().problems(action(TYPE, CONFIG))) == [("ERR_NGROK_2202", 2, 11)]
