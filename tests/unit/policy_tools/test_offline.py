"""The gateway without sockets, its client (``client``) and its upstreams (``played``)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.policy_tools.client import parse_answer, request_bytes
from gateway.policy_tools.documents import RequestPart
from gateway.policy_tools.played import WORDS
from tests.unit.policy_tools.kit import GATEWAY, failures, served

ECHO = """
on_http_request:
  - type: custom-response
    config:
      body: "${req.method} ${req.url.path} ${req.host} ${conn.client_ip} ${req.headers['x'].join('+')}"
"""


def test_the_request_as_asked_for() -> None:
    part = RequestPart(
        method="PUT", path="/a/../b?c", host="h.example", client_ip="192.0.2.7", headers=(("X", ("1", "2")),)
    )
    (answer,) = served(ECHO, part)
    assert (answer.status, answer.body) == (200, b"PUT /b h.example 192.0.2.7 1+2")
    assert answer.request_headers["x"] == ["1", "2"]


def test_defaults() -> None:
    """A short conversation is posted where an API wants one; elsewhere nothing."""
    payload, headers = request_bytes(RequestPart())
    assert payload.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway.example\r\n")
    assert json.loads(payload.partition(b"\r\n\r\n")[2])["model"] == "gpt-4o"
    assert int(headers["content-length"][0]) == len(payload.partition(b"\r\n\r\n")[2])
    payload, _ = request_bytes(RequestPart(path="/v1/models"))
    assert payload == b"GET /v1/models HTTP/1.1\r\nhost: gateway.example\r\n\r\n"


def test_chunked_answers_are_put_together() -> None:
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, _, body = parse_answer(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert (status, body) == (200, b"abcde")


def test_requests_that_no_parser_takes_are_answered() -> None:
    """What the connection refuses before there is an exchange must not hang."""
    (bad,) = served(ECHO, RequestPart(headers=(("host", ("a", "b")),)))
    assert bad.status == 400
    assert bad.exchange is None


def test_state_lasts_as_long_as_the_gateway() -> None:
    policy = """
        on_http_request:
          - type: rate-limit
            config: {name: a, algorithm: sliding_window, capacity: 1, rate: 60s, bucket_key: [req.host]}
          - type: deny
    """
    answers = served(policy, RequestPart(), RequestPart(), RequestPart(host="other.example"))
    assert [answer.status for answer in answers] == [403, 429, 403]


@pytest.mark.parametrize(
    ("path", "model"),
    [("/v1/chat/completions", "gpt-4o"), ("/v1/messages", "claude-haiku-4-5"), ("/v1/responses", "gpt-4o")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_made_up_answers_are_the_apis(path: str, model: str, stream: bool) -> None:
    """Each goes through the gateway's own codecs, usage included."""
    body = {"model": model, "messages": [], "input": "x", "max_tokens": 9, "stream": stream}
    (answer,) = served(
        GATEWAY.replace("openai", "anthropic" if "claude" in model else "openai"), RequestPart(path=path, body=body)
    )
    assert answer.status == 200, answer.body
    assert answer.faults == []
    assert WORDS.encode() in answer.body
    assert (answer.headers.first("content-type") == "text/event-stream") is stream
    assert answer.exchange is not None
    assert answer.exchange.ai.output_tokens == 6


def test_made_up_embeddings() -> None:
    (answer,) = served(
        GATEWAY, RequestPart(path="/v1/embeddings", body={"model": "text-embedding-3-small", "input": "x"})
    )
    assert answer.json()["data"][0]["embedding"] == [0.25, -0.5]


@pytest.mark.parametrize(
    ("upstream", "expect"),
    [
        ("{status: 500}", "tried: [sk-first, sk-second], decision: refused"),
        ("{key: sk-first, status: 500}", "tried: [sk-first, sk-second], status: 200"),
        ("{status: 500, times: 1}", "tried: [sk-first, sk-second], status: 200"),
        ("{error: connection, times: 1}", "tried: [sk-first, sk-second], status: 200"),
        ("{error: timeout, key: sk-first}", "tried: [sk-first, sk-second], status: 200"),
        ("{takes: 4m, key: sk-first}", "tried: [sk-first, sk-second], status: 200"),
        ("{takes: 7m}", "tried: [sk-first, sk-second], status: 504"),
        ("{provider: anthropic, status: 500}", "tried: [sk-first]"),
        ("{body: as it is, headers: {x-a: b}}", "body: as it is, headers: {x-a: b}"),
    ],
)
def test_played_answers(tmp_path: Path, upstream: str, expect: str) -> None:
    cases = f"cases: [{{name: a, upstream: [{upstream}], expect: {{{expect}}}}}]"
    assert failures(tmp_path, GATEWAY, cases) == []


def test_events(tmp_path: Path) -> None:
    """Mappings are data, named when they have a type; texts are data, or events as they stand."""
    cases = """
        cases:
          - name: a
            request: {stream: true}
            upstream:
              - events: [{choices: [], type: x}, "event: ping\\ndata: {}", "[DONE]"]
            expect:
              body: |+
                event: x
                data: {"choices": [], "type": "x"}

                event: ping
                data: {}

                data: [DONE]

    """
    assert failures(tmp_path, GATEWAY, cases) == []
