"""What one request costs in the wire formats: bodies, heads, event blocks, in CPU microseconds.

    python -m tests.bench.bench_wire

Aims: request head ≤ 6 µs for 12 client headers, response head ≤ 5 µs for 17. On a shared machine compare with the
first line, which does nothing but split and join a response head in C.
"""

from __future__ import annotations

import json
import sys
import time
import timeit
from collections.abc import Callable, Iterator

import orjson

from gateway.ai.credentials import UpstreamCredential, client_credential
from gateway.ai.dialects import codec_for
from gateway.ai.inbound import parse_head, served_lines
from gateway.ai.outbound import RequestHead, client_lines
from gateway.ai.providers import Target
from gateway.ai.request import parse_request
from gateway.ai.splice import BodyPlan, build_body
from gateway.ai.surfaces import CHAT, Format
from gateway.ai.usage import UsageTap
from gateway.headers import HeaderMap
from gateway.secrets.secret import Secret
from gateway.upstream.sse import SseParser, boundary, is_ping

CLIENT_HEADERS = HeaderMap.of(
    [
        ("host", "gateway.example"),
        ("authorization", f"Bearer ng-abcdef-g1-{'x' * 43}"),
        ("user-agent", "OpenAI/Python 3.54.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        ("connection", "keep-alive"),
        ("content-type", "application/json"),
        ("content-length", "890"),
        ("x-stainless-lang", "python"),
        ("x-stainless-package-version", "3.54.0"),
        ("x-stainless-os", "Linux"),
        ("x-stainless-retry-count", "0"),
    ]
)
RESPONSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 19:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 812\r\naccess-control-expose-headers: X-Request-ID\r\nopenai-organization: org-operator\r\n"
    b"openai-processing-ms: 312\r\nopenai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\n"
    b"x-ratelimit-limit-tokens: 2000000\r\nx-ratelimit-remaining-requests: 9999\r\n"
    b"x-ratelimit-remaining-tokens: 1999987\r\nx-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 0s\r\n"
    b"x-request-id: req_0123456789abcdef0123456789abcdef\r\ncf-cache-status: DYNAMIC\r\nserver: cloudflare\r\n"
    b"cf-ray: 8f0123456789abcd-FRA\r\n"
)
EVENT = (
    b'data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1740000000,'
    b'"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0aa8d3e20b","choices":[{"index":0,'
    b'"delta":{"content":" the"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)
USAGE_EVENT = b'data: {"choices":[],"usage":{"prompt_tokens":119,"completion_tokens":82}}\n\ndata: [DONE]\n\n'


def chat_document(messages: int, text: str) -> dict[str, object]:
    return {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": text}] * messages,
        "stream": True,
        "temperature": 0.7,
        "max_tokens": 100,
        "user": "u-1",
    }


SMALL = chat_document(2, "Ask me something else, please. " * 13)
LARGE = chat_document(1_200, 'hello \n wörld "q" ' * 50)
SAME = BodyPlan(model="gpt-4o", model_text=b'"gpt-4o"')
OTHER = BodyPlan(model="gpt-4o-2024-11-20", model_text=b'"gpt-4o-2024-11-20"')


def cases() -> Iterator[tuple[str, Callable[[], object]]]:
    yield "reference: split and join a response head", lambda: b"\r\n".join(RESPONSE_HEAD.split(b"\r\n"))
    yield from head_cases()
    yield from body_cases()
    yield from event_cases()


def head_cases() -> Iterator[tuple[str, Callable[[], object]]]:
    head = RequestHead.compile(Target.parse("https://api.openai.com/v1/"), CHAT)
    key = UpstreamCredential("authorization", Secret("sk-proj-" + "a" * 40), server_side=True)
    lines = client_lines(CLIENT_HEADERS, hop="instance;1")
    parsed = parse_head(RESPONSE_HEAD)
    served = served_lines("openai", "gpt-4o")
    yield "client credential", lambda: client_credential(CLIENT_HEADERS, Format.OPENAI)
    yield (
        "request head, 12 client headers",
        lambda: head.build(client_lines(CLIENT_HEADERS, hop="instance;1"), key, 890),
    )
    yield "request head, next attempt", lambda: head.build(lines, key, 890)
    yield "response head, 17 headers", lambda: parse_head(RESPONSE_HEAD)
    yield (
        "response head for the client",
        lambda: parsed.client_block(request_id="0123456789abcdef", served=served, secret=key.secret),
    )


def body_cases() -> Iterator[tuple[str, Callable[[], object]]]:
    for name, body in (
        ("1 KB", json.dumps(SMALL, separators=(",", ":"), ensure_ascii=False).encode()),
        ("1 KB with blanks", json.dumps(SMALL).encode()),
        ("1 MB", json.dumps(LARGE, separators=(",", ":"), ensure_ascii=False).encode()),
        ("1 MB with blanks", json.dumps(LARGE).encode()),
    ):
        request = parse_request(CHAT, body)
        yield f"{name}: orjson alone", lambda body=body: orjson.loads(body)  # type: ignore[misc]
        yield f"{name}: parse", lambda body=body: parse_request(CHAT, body)  # type: ignore[misc]
        yield f"{name}: body, nothing to change", lambda request=request: build_body(request, SAME)  # type: ignore[misc]
        yield f"{name}: body, other model", lambda request=request: build_body(request, OTHER)  # type: ignore[misc]


def event_cases() -> Iterator[tuple[str, Callable[[], object]]]:
    codec = codec_for(CHAT)
    parser = SseParser()
    tap = UsageTap(CHAT)
    yield "event: boundary", lambda: boundary(EVENT)
    yield "event: is_ping", lambda: is_ping(EVENT)
    yield "event: parse", lambda: parser.feed(EVENT)
    yield "event: strip_usage, nothing to strip", lambda: codec.strip_usage(EVENT)
    yield "event: tap", lambda: tap.feed(EVENT)
    yield "stream: usage of its last blocks", lambda: UsageTap(CHAT).usage(EVENT, USAGE_EVENT)


def microseconds(run: Callable[[], object]) -> float:
    """Best of many short runs, in CPU time of this process: neighbours on the machine disturb a few, not all."""
    timer = timeit.Timer(run, timer=time.process_time)
    timer.timeit(10)
    number = max(1, int(0.001 / max(timer.timeit(5) / 5, 1e-7)))
    return min(timer.repeat(120 if number > 1 else 20, number)) / number * 1e6


def main() -> int:
    for name, run in cases():
        print(f"{name:45} {microseconds(run):12.2f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
