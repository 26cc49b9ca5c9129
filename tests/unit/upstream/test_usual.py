"""``gateway.upstream.usual``: events that pass with no other look at them arrive and count like all others."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ai.delivered import Delivered, Retention
from gateway.ai.generated_text import Generated, read_events
from gateway.ai.surfaces import CHAT
from gateway.upstream.relay_plan import Ending
from tests.unit.upstream.test_relay import STREAM_HEAD, Rig
from tests.unit.upstream.wire_double import chunk, dechunk

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
#: what may hide in an event that looks like the others
ODD = (
    b'x"},"finish_reason":null}],"usage":{"prompt_tokens":9},"y":{"content":"', b"\n\ndata: [DONE]\n\n",
    b'"}}]}\n\ndata: [DONE]\n\ndata: {"choices":[{"index":0,"delta":{"content":"', b"\r\rdata: [DONE]\r\r", b"\\",
    b'\\"', b'\\\\"', b'\\\\\\"', b'{\\"usage\\":{', b"\\n", b"", b"\xff", b"[DONE]", b'}"',
)  # fmt: skip


def event(text: bytes, foot: bytes = b"") -> bytes:
    return b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"%b"}}]%b}\n\n' % (text, foot)


TEXTS = st.one_of(st.text(max_size=12).map(lambda text: json.dumps(text)[1:-1].encode()), st.sampled_from(ODD))
FEET = st.sampled_from(
    [b"", b"", b"", b"", b',"usage":null', b',"obfuscation":"a1B"', b',"obfuscation":"zz"', b',"sequence_number":7',
     b',"sequence_number":8', b',"sequence_number":10', b',"obfuscation":"zz","sequence_number":9']
)  # fmt: skip
EVENTS = st.lists(
    st.one_of(st.builds(event, TEXTS, FEET), st.sampled_from([USAGE, b": still there\n\n", b"data: 1\r\n\r\n"])),
    max_size=30,
)


def rig_of(*, looks: bool) -> Rig:
    rig = Rig()
    kept = Delivered(CHAT, Retention())
    rig.relay._plan.kept = kept
    rig.relay._keep = kept.blocks.append
    if looks:
        rig.relay._learn_at = sys.maxsize
    rig.feed(STREAM_HEAD + chunk(event(b"first"), end=False))
    return rig


def texts_of(rig: Rig) -> str:
    kept = rig.relay._plan.kept
    assert isinstance(kept, Delivered)
    generated, blocks = kept.take()
    generated = generated or Generated()
    read_events(generated, CHAT, blocks)
    return "".join(generated.texts())


@given(events=EVENTS, ends=st.booleans(), cut=st.integers(1, 40), many=st.sampled_from([1, 1, 2, 3, 5]))
async def test_a_relay_that_looks_at_every_event_does_the_same(
    events: list[bytes], ends: bool, cut: int, many: int
) -> None:
    seen = []
    for looks in (True, False):
        rig = rig_of(looks=looks)
        sent_by_upstream = [*events, *([DONE] if ends else [])]
        for start in range(0, len(sent_by_upstream), many):
            block = chunk(*sent_by_upstream[start : start + many], end=False)
            rig.feed(block[:cut])
            if block[cut:]:
                rig.feed(block[cut:])
        sent = rig.relay.sent_bytes
        rig.lose(ConnectionResetError())
        assert sent <= len(rig.client.bytes_written)
        seen.append(
            (dechunk(rig.client.bytes_written), rig.endings, rig.relay.marked, rig.tap.blocks, sent,
             rig.relay.last_events()[-1:], texts_of(rig))
        )  # fmt: skip
    assert seen[0] == seen[1]


async def test_usual_events_are_passed_without_a_look() -> None:
    """Of each only its text is kept."""
    rig = rig_of(looks=False)
    for _ in range(2):  # sizes of frames have to be known
        for number in range(20):
            rig.feed(chunk(event(b"word%d " % number), end=False))
    assert rig.relay.blocks < 10
    for number in range(100):
        rig.feed(chunk(event(b"word%d " % (number % 20)), end=False))
    assert rig.relay.blocks < 10
    rig.relay.client_gone()
    assert texts_of(rig).endswith("".join(f"word{number} " for number in range(20)))
    assert rig.endings == [Ending.CLIENT_GONE]
    assert rig.upstream.aborted


async def test_blocks_of_several_usual_events_are_passed_without_a_look() -> None:
    rig = rig_of(looks=False)
    for number in range(20):
        rig.feed(chunk(event(b"%d " % (number % 10)), end=False))
    seen = rig.relay.blocks
    for start in range(20, 40, 4):
        rig.feed(chunk(*(event(b"%d " % (number % 10)) for number in range(start, start + 4)), end=False))
    assert rig.relay.blocks == seen
    rig.feed(chunk(event(b"x"), b'data: {"error":"1"}\n\n', event(b"y"), end=False))
    assert rig.relay.blocks == seen + 1
    rig.relay.client_gone()
    assert texts_of(rig) == "first" + "0 1 2 3 4 5 6 7 8 9 " * 4 + "xy"


async def test_padded_events_are_passed_without_a_look() -> None:
    rig = rig_of(looks=False)
    for number in range(60):
        padding = b"x" * (9 - number % 9)
        rig.feed(chunk(event(b"word%d" % (number % 2), b',"obfuscation":"%b"' % padding), end=False))
    assert rig.relay.blocks < 20
    rig.relay.client_gone()
    assert texts_of(rig) == "first" + "word0word1" * 30


@pytest.mark.parametrize("foot", [b"", b',"obfuscation":"xX"'])
@pytest.mark.parametrize("last", [False, True])
async def test_counted_events_are_passed_without_a_look(last: bool, foot: bytes) -> None:
    """All but two where the number gets another digit: providers of the Responses format count from 0."""
    rig = rig_of(looks=False)
    sent = [event(b"first")]
    for number in range(300):
        count = b'"sequence_number":%d' % number
        one = event(b"word%d" % (number % 2), foot + b"," + count if last else foot)
        sent.append(one if last else one.replace(b'"id"', count + b',"id"'))
        rig.feed(chunk(sent[-1], end=False))
    assert rig.relay.blocks < 25
    assert dechunk(rig.client.bytes_written) == (b"".join(sent), False)
    rig.relay.client_gone()
    assert rig.relay.last_events() == sent[-1]
    assert texts_of(rig) == "first" + "word0word1" * 150


async def test_one_bad_character_costs_no_more_than_itself() -> None:
    """The text of many events is read as one."""
    rig = rig_of(looks=False)
    for _ in range(3):  # sizes of frames have to be known
        for text in (b"one ", b"two ", b"tw\xff ", b"t\tr\\q ", b"\\ud83d", b"\\ude00 ", b"\\ud83d end"):
            rig.feed(chunk(event(text), end=False))
    rig.relay.client_gone()
    assert texts_of(rig).endswith("one two tw\ufffd t?r?q \U0001f600 ? end")


async def test_events_about_as_long_as_a_size_line_gets_longer_are_passed_without_a_look() -> None:
    """255 bytes are ``ff``, 256 are ``100``."""
    rig = rig_of(looks=False)
    around = len(event(b""))
    sent = [event(b"first")]
    for number in range(200):
        sent.append(event(b"x" * (254 - around + number % 4)))
        rig.feed(chunk(sent[-1], end=False))
    assert rig.relay.blocks < 12
    assert dechunk(rig.client.bytes_written) == (b"".join(sent), False)


@pytest.mark.parametrize("many", [1, 3])
async def test_escaped_quotation_marks_are_text(many: int) -> None:
    """Code, and arguments of tools."""
    rig = rig_of(looks=False)
    for number in range(20):
        rig.feed(chunk(event(b"%d " % (number % 10)), end=False))
    texts = (rb"{\"city\":", rb" \"Oslo\\\\\"", rb"}", rb"\"usage\":{\"a\":1", rb"\\\"", rb'"')
    for text in texts:  # sizes of frames have to be known
        rig.feed(chunk(b": %b\n\n" % (b"x" * (len(event(text)) - 4)), end=False))
    seen = rig.relay.blocks
    for text in texts[:-1]:
        rig.feed(chunk(*[event(text)] * many, end=False))
    assert rig.relay.blocks == seen
    rig.feed(chunk(*[event(texts[-1])] * many, end=False))
    assert rig.relay.blocks == seen + 1


async def test_kinds_of_events_that_take_turns_are_hardly_ever_learned() -> None:
    rig = rig_of(looks=False)
    learned = set()
    for number in range(1_000):
        one = event(b"%d" % (number % 7))
        rig.feed(chunk(one if number & 2 else one.replace(b'"index":0', b'"index":1'), end=False))
        learned.add(rig.relay._usual)
    assert len(learned) < 20


async def test_an_event_behind_usual_ones_is_looked_at() -> None:
    """Usage is read, and the end mark ends the stream."""
    rig = rig_of(looks=False)
    for _ in range(20):
        rig.feed(chunk(event(b"a"), end=False) if _ % 2 else chunk(event(b"b"), end=False))
    rig.feed(chunk(USAGE, DONE))
    assert rig.endings == [Ending.COMPLETE]
    assert any(b"completion_tokens" in block for block in rig.tap.blocks)
    assert rig.released == [True]
    assert dechunk(rig.client.bytes_written)[0].endswith(b'"b"}}]}\n\n' + event(b"a") + USAGE + DONE)


@pytest.mark.parametrize("looks", [True, False])
async def test_pieces_of_usual_events_are_put_together(looks: bool) -> None:
    rig = rig_of(looks=looks)
    sent = [event(b"w%d" % number) for number in range(8)]
    for one in sent[:4]:
        rig.feed(chunk(one, end=False))
    rest = chunk(*sent[4:], end=False)
    for start in range(0, len(rest), 7):
        rig.feed(rest[start : start + 7])
    assert dechunk(rig.client.bytes_written) == (event(b"first") + b"".join(sent), False)


async def test_a_free_connection_keeps_nothing_of_the_client() -> None:
    rig = rig_of(looks=False)
    for number in range(9):
        rig.feed(chunk(event(b"%d" % number), end=False))
    assert rig.relay._usual is not None
    rig.feed(chunk(DONE))
    assert rig.connection._first is None
    assert rig.connection._feed == rig.connection._feed_head
