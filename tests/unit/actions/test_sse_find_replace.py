"""``sse-find-replace`` (TP-445 … TP-447, CL-29)."""

from __future__ import annotations

import pytest

from gateway.exchange import Exchange
from gateway.policy.model import Phase
from gateway.policy.stream import StreamRuleError, StreamRules
from tests.unit.actions.policies import Policies, action, report, result

TYPE = "sse-find-replace"


def rules(config: str, **headers: str) -> tuple[StreamRules, Exchange]:
    policies = Policies()
    exchange = policies.exchange(headers=headers)
    policy = policies.compile(action(TYPE, config, Phase.STREAM))
    return StreamRules(exchange, policy.phases[Phase.STREAM], limit_bytes=1_000), exchange


def streamed(config: str, stream: bytes) -> bytes:
    machine, _ = rules(config)
    return machine.feed(stream) + machine.finish()


@pytest.mark.parametrize(
    ("config", "stream", "expected"),
    [
        (r"replacements: [{from: '\d{3}-\d{2}-\d{4}', to: '***'}]", b"data: 123-45-6789!\n\n", b"data: ***!\n\n"),
        (r"replacements: [{from: '(\w+)', to: '**$1**'}]", b"data: hi you\n\n", b"data: **hi** **you**\n\n"),
        ("replacements: [{from: bad}]", b"data: a bad word\n\n", b"data: a  word\n\n"),
        ("replacements: [{from: '.*', to: '5000', field: retry}]", b"data: x\n\n", b"data: x\nretry: 5000\n\n"),
        ("replacements: [{from: '3000', to: '5000', field: retry}]", b"retry: 3000\ndata: x\n\n",
         b"retry: 5000\ndata: x\n\n"),
        ("replacements: [{from: '3', to: 'x', field: retry}]", b"retry: 3000\ndata: x\n\n", b"data: x\n\n"),
        ("replacements: [{from: a, to: b}]", b"data: a\ndata:a\n\n", b"data: b\ndata: b\n\n"),
        (r"replacements: [{from: '\n', to: ' '}]", b"data: a\nevent: e\ndata: b\n\n", b"data: a b\nevent: e\n\n"),
        (r"replacements: [{from: ' ', to: ''}, {from: b, to: \"x\ny\"}]".replace("\\\"", '"'),
         b"id: 7\ndata: a b\n: note\n\n", b"id: 7\ndata: ax\ndata: y\n: note\n\n"),
        (r"replacements: [{from: '\[DONE\]', to: '[END]'}]", b"data: [DONE]\n\n", b"data: [END]\n\n"),
        ("replacements: [{from: a, to: b}]", b"data: \xff a \xc3\n\n", b"data: \xff b \xc3\n\n"),
        ("replacements: [{from: a, to: b}]", b"data: a\r\n\r\n", b"data: b\n\r\n"),
        ("replacements: [{from: a, to: b}]", b"data: a", b"data: b\n"),
    ],
)  # fmt: skip
def test_messages_are_changed_tp445(config: str, stream: bytes, expected: bytes) -> None:
    assert streamed(config, stream) == expected


@pytest.mark.parametrize(
    "stream",
    [
        b"data: other\n\n",
        b"data:no space\n\n",
        b": a comment\n\n",
        b"event: a\n\n",
        b"id: a\r\n\r\n",
        b"\n\n\n",
        b"data: tail without an end",
        b"data: x\revent: y\r\r",
        b"\xef\xbb\xbfdata: x\n\n",
    ],
)
def test_what_does_not_match_leaves_as_it_came_tp446(stream: bytes) -> None:
    assert streamed("replacements: [{from: 'zzz', to: b}]", stream) == stream


def test_comments_meet_no_rule_tp446() -> None:
    assert streamed("replacements: [{from: '.*', to: b}]", b": a\n\n") == b": a\n\n"


def test_every_way_to_cut_the_stream_gives_the_same_p12() -> None:
    stream = "data: ä-secret-日本\n\ndata: x\r\n\r\n: note\n\ndata: secret\n\n".encode()
    config = "replacements: [{from: secret, to: '[…]'}]"
    whole = streamed(config, stream)
    assert whole.count("[…]".encode()) == 2
    for cut in range(len(stream)):
        machine, _ = rules(config)
        assert machine.feed(stream[:cut]) + machine.feed(stream[cut:]) + machine.finish() == whole


def test_a_tail_without_an_end_is_not_let_through_p27() -> None:
    assert b"secret" not in streamed("replacements: [{from: secret, to: x}]", b"data: a\n\ndata: a secret")


def test_text_over_two_messages_is_not_found_tp445() -> None:
    """By contract: each message is looked at alone."""
    stream = b"data: sec\n\ndata: ret\n\n"
    assert streamed("replacements: [{from: secret, to: x}]", stream) == stream


def test_a_field_may_be_interpolated() -> None:
    config = "replacements: [{from: '.*', to: '1', field: \"${req.headers['x'][0]}\"}]"
    machine, _ = rules(config, x="retry")
    assert machine.feed(b"data: a\n\n") == b"data: a\nretry: 1\n\n"
    machine, _ = rules(config, x="event")
    with pytest.raises(StreamRuleError) as caught:
        machine.feed(b"data: a\n\n")
    assert caught.value.error.code == "ERR_NGROK_3900"


def test_a_failure_ends_the_stream_before_the_message_tp56() -> None:
    machine, _ = rules("replacements: [{from: \"${sse.data == 'b' ? '(' : 'x'}\", to: y}]")
    with pytest.raises(StreamRuleError) as caught:
        machine.feed(b"data: x\n\ndata: b\n\ndata: x\n\n")
    assert caught.value.sent == b"data: y\n\n"
    assert caught.value.error.code == "ERR_NGROK_3901"


def test_a_message_above_the_limit_ends_the_stream_tp446() -> None:
    machine, _ = rules("replacements: [{from: x, to: y}]")
    machine.feed(b"data: " + b"x" * 500)
    with pytest.raises(StreamRuleError) as caught:
        machine.feed(b"x" * 600)
    assert caught.value.error.code == "ERR_NGROK_2249"


def test_result_variables_tp447() -> None:
    machine, exchange = rules("replacements: [{from: zz, to: y}, {from: 'a(.)', to: y}, {from: '7', field: retry}]")
    machine.feed(b"retry: 7\ndata: ab ac\n\n")
    matches = result(exchange, "sse_find_replace").replacements
    assert [(match.replacement_index, match.matched_content) for match in matches] == [(1, "ab"), (2, "7")]


def test_messages_are_numbered_tp148() -> None:
    machine, _ = rules("replacements: [{from: '^', to: \"${string(sse.index)}:\"}]")
    assert machine.feed(b"data: a\n\n: c\n\ndata: b\n\n") == b"data: 0:a\n\n: c\n\ndata: 1:b\n\n"


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ("replacements: []", ("ERR_NGROK_2223", 4, 21)),
        ("replacements: [{from: a, field: event}]", ("ERR_NGROK_2222", 4, 39)),
        ("replacements: [{from: '(?=a)'}]", ("ERR_NGROK_2261", 4, 29)),
    ],
)
def test_wrong_configurations(config: str, place: tuple[str, int, int]) -> None:
    assert report(Policies().problems(action(TYPE, config, Phase.STREAM))) == [place]


def test_it_stands_only_in_the_stream_phase() -> None:
    assert report(Policies().problems(action(TYPE, "replacements: [{from: a}]"))) == [("ERR_NGROK_2202", 2, 11)]
