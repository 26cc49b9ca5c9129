"""Usage, stop reasons and cost (AG-240 to AG-248, P02, P24)."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ai import usage as usage_module
from gateway.ai.pricing import Pricing, TextPrices
from gateway.ai.surfaces import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, SURFACES, Surface
from gateway.ai.usage import (
    Usage,
    UsageTap,
    _documents,
    stop_reason_of_stream,
    usage_of_body,
    usage_of_stream,
    usage_of_tail,
    usd,
)
from gateway.upstream.sse import events_of


def counts(usage: Usage) -> dict[str, object]:
    return {name: getattr(usage, name) for name in usage.__slots__ if getattr(usage, name) not in (0, "", False)}


CHAT_USAGE = {
    "prompt_tokens": 119,
    "completion_tokens": 82,
    "total_tokens": 201,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 40, "accepted_prediction_tokens": 0},
}
CHAT_BODY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": '"usage":{"prompt_tokens":1}'},
            "finish_reason": "stop",
        }
    ],
    "usage": CHAT_USAGE,
}
CHAT_COUNTS = {"input": 119, "output": 82, "cached": 64, "reasoning": 40, "reported": True, "stop_reason": "stop"}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "incomplete_details": None,
    "output": [],
    "tools": [{"type": "function", "parameters": {"properties": {"usage": {"type": "object"}}}}],
    "usage": {
        "input_tokens": 36,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 123,
    },
}
RESPONSE_COUNTS = {
    "input": 36,
    "output": 87,
    "cached": 10,
    "reasoning": 20,
    "reported": True,
    "stop_reason": "completed",
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 10,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 3000,
        "output_tokens": 5,
    },
}
MESSAGE_COUNTS = {
    "input": 3210, "output": 5, "cached": 3000, "cache_write": 200, "reported": True, "stop_reason": "end_turn",
}  # fmt: skip


@pytest.mark.parametrize(
    ("surface", "body", "expected"),
    [
        (CHAT, CHAT_BODY, CHAT_COUNTS),
        (
            COMPLETIONS,
            {
                "choices": [{"text": "x", "index": 0, "finish_reason": "length"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7},
            },
            {"input": 5, "output": 7, "reported": True, "stop_reason": "length"},
        ),
        (
            EMBEDDINGS,
            {"object": "list", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
            {"input": 8, "reported": True},
        ),
        (RESPONSES, RESPONSE, RESPONSE_COUNTS),
        (
            RESPONSES,
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
                "usage": {"input_tokens": 1},
            },
            {"input": 1, "reported": True, "stop_reason": "max_output_tokens"},
        ),
        (MESSAGES, MESSAGE, MESSAGE_COUNTS),
        (
            CHAT,  # DeepSeek
            {"choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 1, "prompt_cache_hit_tokens": 48}},
            {"input": 50, "output": 1, "cached": 48, "reported": True},
        ),
        (
            CHAT,  # what is no count counts as missing
            {
                "usage": {
                    "prompt_tokens": 50,
                    "prompt_tokens_details": {"cached_tokens": -1},
                    "prompt_cache_hit_tokens": 48,
                }
            },
            {"input": 50, "cached": 48, "reported": True},
        ),
        (CHAT, {"choices": [{"finish_reason": "stop"}]}, {"stop_reason": "stop"}),
        (
            CHAT,
            {"choices": [{"index": 1, "finish_reason": "length"}, {"index": 0, "finish_reason": "stop"}], "usage": {}},
            {"reported": True, "stop_reason": "stop"},
        ),
    ],
)
def test_json_bodies(surface, body, expected):
    """AG-240 to AG-242."""
    assert counts(usage_of_body(surface, json.dumps(body).encode())) == expected


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"\xff", b'{"usage":5}', b'{"usage":null}', b'{"usage":[],"choices":5}']
)
def test_bodies_that_say_nothing(body):
    for surface in SURFACES.values():
        assert not usage_of_body(surface, body).reported


@pytest.mark.parametrize("value", ["-1", "1.5", '"7"', "true", "null", "1e30", "[]", "{}"])
def test_counts_that_are_none_are_missing(value):
    """AG-241: missing members are 0."""
    body = b'{"usage":{"prompt_tokens":%b,"completion_tokens":3}}' % value.encode()
    usage = usage_of_body(CHAT, body)
    assert (usage.input, usage.output, usage.reported) == (0, 3, True)


def test_whole_numbers_written_as_floats_count():
    assert usage_of_body(CHAT, b'{"usage":{"prompt_tokens":7.0}}').input == 7


def usage_of_whole(surface: Surface, body: bytes) -> Usage:
    """The same without looking for the end."""
    found, document = Usage(), json.loads(body)
    usage_module._take(found, surface, document.get("usage"))
    found.stop_reason = usage_module._stop_reason(surface, document)
    return found


EMBEDDING = {"object": "list", "data": [{"embedding": [0.5], "index": 0}], "usage": {"prompt_tokens": 8}}


@pytest.mark.parametrize("spelling", [{"separators": (",", ":")}, {"indent": 2}])
@pytest.mark.parametrize(
    ("surface", "document"),
    [
        (MESSAGES, MESSAGE),
        (MESSAGES, {**MESSAGE, "content": [{"type": "tool_use", "input": {"usage": {"stop_reason": "x"}}}]}),
        (EMBEDDINGS, EMBEDDING),
    ],
)
def test_long_bodies_are_read_from_their_end(surface, document, spelling):
    """Whatever comes before, and however much of it."""
    body = json.dumps(document, **spelling).encode()
    end = usage_module._end_of(surface, body)
    assert end is not None
    assert end != document
    assert counts(usage_of_body(surface, body)) == counts(usage_of_whole(surface, body))


NAMES = st.sampled_from(
    ["usage", "choices", "finish_reason", "stop_reason", "index", "message", "a", 'x"usage', '"finish_reason', "}", "{"]
)
COUNTS = st.fixed_dictionaries(
    {}, optional={name: st.integers(-1, 9) for name in (*CHAT_USAGE, *MESSAGE["usage"], "prompt_cache_hit_tokens")}
)
VALUES = st.recursive(
    NAMES | st.integers(0, 1) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3) | COUNTS,
    max_leaves=6,
)
MORE = st.dictionaries(NAMES, VALUES, max_size=2)


def shaped(*parts: object) -> st.SearchStrategy[dict[str, object]]:
    """Members in an order of their own: what is given twice stands where it was first."""

    def merge(members: tuple[dict[str, object], ...]) -> dict[str, object]:
        return {name: value for each in members for name, value in each.items()}

    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts)).map(merge)


CHOICES = st.lists(
    shaped({"index": 0}, MORE.map(lambda more: {"message": more}), MORE, {"finish_reason": "stop"}, MORE)
    | shaped(MORE, {"index": 1, "finish_reason": "length"})
    | shaped({"index": 0, "message": {}}, MORE),
    max_size=2,
).map(lambda choices: {"choices": choices})
USAGE = COUNTS.map(lambda members: {"usage": members})


@given(
    surface=st.sampled_from(list(SURFACES.values())),
    document=shaped(MORE, CHOICES, MORE, USAGE, MORE)
    | shaped({"id": "x"}, CHOICES, USAGE)
    | shaped(MORE, {"stop_reason": "end_turn"}, MORE, USAGE, MORE)
    | shaped(MORE, USAGE, MORE, {"stop_reason": "end_turn"})
    | MORE,
    spelling=st.sampled_from([{"separators": (",", ":")}, {"indent": 2}, {}]),
)
def test_the_end_of_a_body_says_what_the_whole_body_says(surface, document, spelling):
    body = json.dumps(document, **spelling).encode()
    end = usage_module._end_of(surface, body)
    if end is not None:
        padded = b'{"pad":"%b",%b' % (b"x" * 3_000, body[1:])
        assert counts(usage_of_body(surface, padded)) == counts(usage_of_whole(surface, body))
    assert counts(usage_of_body(surface, body)) == counts(usage_of_whole(surface, body))


# ---- streams ----


def chat_stream(*, include_usage: bool = True, line_end: str = "\n") -> list[bytes]:
    chunks: list[dict[str, object]] = [
        {"choices": [{"index": 0, "delta": {"content": 'x"usage":{"prompt_tokens":1}'}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    if include_usage:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({"choices": [], "usage": CHAT_USAGE})
    events = [f"data: {json.dumps(chunk)}{line_end}{line_end}".encode() for chunk in chunks]
    return [*events, f"data: [DONE]{line_end}{line_end}".encode()]


def message_stream() -> list[bytes]:
    start = {**MESSAGE, "content": [], "stop_reason": None, "usage": {**MESSAGE["usage"], "output_tokens": 1}}  # type: ignore[dict-item]
    events = [
        ("message_start", {"type": "message_start", "message": start}),
        ("content_block_delta", {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hi"}}),
        ("ping", {"type": "ping"}),
        (
            "message_delta",
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        ),
        (
            "message_delta",
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5, "input_tokens": None}},
        ),
        ("message_stop", {"type": "message_stop"}),
    ]
    return [f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in events]


def response_stream(end: str = "completed") -> list[bytes]:
    early = {**RESPONSE, "status": "in_progress", "usage": None}
    response = {**RESPONSE, "status": end}
    events = [
        {"type": "response.created", "sequence_number": 0, "response": early},
        {"type": "response.in_progress", "sequence_number": 1, "response": early},
        {"type": "response.output_text.delta", "sequence_number": 2, "delta": '"usage": {'},
        {"type": f"response.{end}", "sequence_number": 3, "response": response},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


STREAMS: list[tuple[Surface, list[bytes], dict[str, object]]] = [
    (CHAT, chat_stream(), CHAT_COUNTS),
    (CHAT, chat_stream(line_end="\r\n"), CHAT_COUNTS),
    (CHAT, chat_stream(include_usage=False), {"stop_reason": "stop"}),
    (MESSAGES, message_stream(), MESSAGE_COUNTS),
    (RESPONSES, response_stream(), RESPONSE_COUNTS),
    (RESPONSES, response_stream("incomplete"), {**RESPONSE_COUNTS, "stop_reason": "incomplete"}),
    (RESPONSES, response_stream("failed"), {**RESPONSE_COUNTS, "stop_reason": "failed"}),
]


@pytest.mark.parametrize(("surface", "events", "expected"), STREAMS)
def test_streams(surface, events, expected):
    """AG-240, AG-242: one event per block, or all in one."""
    assert counts(usage_of_stream(surface, events)) == expected
    assert counts(usage_of_stream(surface, [b"".join(events)])) == expected


@pytest.mark.parametrize(("surface", "events", "expected"), STREAMS)
def test_a_tap_that_is_fed_everything(surface, events, expected):
    tap = UsageTap(surface)
    for event in events:
        tap.feed(event)
    assert counts(tap.usage()) == expected
    assert tap.usage() is tap.usage()


@pytest.mark.parametrize(("surface", "events", "expected"), STREAMS)
def test_a_tap_that_is_fed_what_mentions_usage_and_told_the_last_blocks(surface, events, expected):
    tap = UsageTap(surface)
    for event in events:
        if b'"usage"' in event:
            tap.feed(event)
    assert counts(tap.usage(*events[-3:])) == expected


def test_the_last_usage_object_counts():
    """AG-240: some providers repeat a growing usage in every chunk."""
    blocks = [b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d}}\n\n' % n for n in range(9)]
    assert usage_of_stream(CHAT, [*blocks, b'data: {"choices":[],"usage":null}\n\n']).output == 8


def test_usage_beside_choices_counts():
    block = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":2}}\n\n'
    assert counts(usage_of_stream(CHAT, [block])) == {"input": 2, "reported": True, "stop_reason": "stop"}


def test_a_cut_message_stream_reports_what_came():
    """P02: input tokens are known from the first event."""
    tap = UsageTap(MESSAGES)
    for event in message_stream()[:2]:
        tap.feed(event)
    assert counts(tap.usage()) == {"input": 3210, "output": 1, "cached": 3000, "cache_write": 200, "reported": True}


def test_a_truncated_event_still_reports():
    """AG-243: the end of a huge last event is enough."""
    event = response_stream()[-1]
    for start in (40, len(event) // 2):
        assert counts(usage_of_stream(RESPONSES, [event[start:]]))["output"] == 87


def test_the_tail_of_a_body_that_was_not_kept():
    """AG-243."""
    body = json.dumps({"data": ["y" * 200_000], **CHAT_BODY}).encode()
    assert counts(usage_of_tail(CHAT, body)) == CHAT_COUNTS
    tap = UsageTap(CHAT)
    tap.feed_tail(body[-64 << 10 :])
    assert counts(tap.usage()) == CHAT_COUNTS


def test_generated_text_is_never_taken_for_usage():
    text = json.dumps(
        {"choices": [{"delta": {"content": '"usage":{"prompt_tokens":99},"finish_reason":"evil"'}}]}
    ).encode()
    assert counts(usage_of_tail(CHAT, text[20:])) == {}


def test_feed_body():
    tap = UsageTap(CHAT)
    tap.feed_body(json.dumps(CHAT_BODY).encode())
    assert counts(tap.usage()) == CHAT_COUNTS


def test_what_a_tap_keeps_is_bounded():
    tap = UsageTap(CHAT)
    for number in range(1000):
        tap.feed(b"data: %d\n\n" % number)
    kept = [value for name in tap.__slots__ if isinstance(value := getattr(tap, name), bytes) and value]
    assert len(kept) == 4
    assert kept.count(b"") == 0


@given(
    surface=st.sampled_from(list(SURFACES.values())),
    blocks=st.lists(
        st.binary(max_size=60) | st.sampled_from([e for _, events, _ in STREAMS for e in events]), max_size=6
    ),
    cut=st.integers(min_value=0, max_value=400),
)
def test_nothing_an_upstream_sends_raises(surface, blocks, cut):
    """AG-243."""
    tap = UsageTap(surface)
    for block in blocks:
        tap.feed(block[cut % (len(block) + 1) :])
    usage = tap.usage(b"".join(blocks)[:cut])
    usage_of_body(surface, b"".join(blocks))
    assert usage.input >= 0


# ---- cost ----


def pricing(**prices: str) -> Pricing:
    return Pricing(TextPrices(), {}, {name: Decimal(value) for name, value in prices.items()})


def usage(**fields: int) -> Usage:
    made = Usage()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("used", "prices", "expected"),
    [
        (usage(input=1000, output=800), {"input": "2.50", "output": "10"}, "0.01050"),
        (usage(input=1000, cached=600), {"input": "2", "input_cache_read": "0.5"}, "0.00110"),
        (usage(input=1000, cached=600), {"input": "2"}, "0.00200"),
        (usage(input=1000, cached=600, cache_write=300),
         {"input": "1", "input_cache_read": "0.1", "input_cache_write": "1.25"}, "0.00054"),
        (usage(input=5, output=0), {"input": "1"}, "0.00000"),
        (usage(input=15, output=0), {"input": "1"}, "0.00002"),
        (usage(input=25, output=0), {"input": "1"}, "0.00002"),
        (usage(input=10**12, output=10**12), {"input": "0.123456789", "output": "99.999"}, "100122456.78900"),
        (usage(input=100, cached=300), {"input": "1"}, "0.00030"),
        (usage(input=1000), {}, "0.00000"),
        (usage(input=1000, output=5), {"input": "0.02"}, "0.00002"),
    ],
)  # fmt: skip
def test_cost(used, prices, expected):
    """AG-248: exact, rounded half-even, five places."""
    assert str(usd(used.units(pricing(**prices)))) == expected


def test_cost_without_pricing():
    assert f"{usd(usage(input=5).units(None)):f}" == "0.00000"


def test_representation():
    assert "input=5" in repr(usage(input=5))


EVENTS = st.sampled_from([
    b'data: {"a":1}', b'event: x\ndata: {"b":[2]}', b"data: [DONE]", b"", b": ping", b'data:{"c":3}', b"data: 5",
    b'data: {"d":\ndata: 4}', b'id: 1\ndata: {"e":5}', b'event: y\nevent: z\ndata: {"f":6}', b"data: {broken",
    b'\ndata: {"g":7}', b'data: {"h":8}\n', b'data: {"i":9}\r', b'data: {"j":10}\r\n\r\ndata: {"k":11}', b"event: only",
    b'\xef\xbb\xbfdata: {"l":12}', b'data: {"m":"\\n\\n"}', b'data: {"n":13}\nevent: after', b'event:\ndata: {"o":14}',
])  # fmt: skip


@given(st.lists(EVENTS, max_size=6), st.sampled_from([b"", b"\n", b"\n\n", b"\n\n\n"]))
def test_documents_of_usual_events_are_those_of_events(events, end):
    block = b"\n\n".join(events) + end
    whole = block if block.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")) else block + b"\n\n"
    wanted = []
    for event in events_of(whole):
        with contextlib.suppress(ValueError):
            document = json.loads(event.data or b"")
            wanted += [document] if isinstance(document, dict) else []
    assert list(_documents((block,))) == wanted


@pytest.mark.parametrize(("surface", "events", "expected"), STREAMS)
def test_the_stop_reason_alone(surface, events, expected):
    """AG-242: found in the last few events, whichever of them says it."""
    assert stop_reason_of_stream(surface, events[-4:]) == expected["stop_reason"]
    assert stop_reason_of_stream(surface, [b"".join(events)]) == expected["stop_reason"]
    assert stop_reason_of_stream(surface, []) == ""
