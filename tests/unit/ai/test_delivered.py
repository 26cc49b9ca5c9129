"""``gateway.ai.delivered``: what a stream's client got, kept within bounds (P01, P02)."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.ai.delivered import FREE_BYTES, STEP_BYTES, Delivered, Retention
from gateway.ai.generated_text import Generated, read_events
from gateway.ai.surfaces import CHAT


def block(text: str) -> bytes:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text}}]})}\n\n".encode()


def texts_of(delivered: Delivered) -> list[str]:
    generated, blocks = delivered.take()
    generated = generated or Generated()
    read_events(generated, CHAT, blocks)
    return generated.texts()


class RelayLike:
    """Calls as the relay does."""

    def __init__(self, delivered: Delivered) -> None:
        self.delivered = delivered
        self._append = delivered.blocks.append
        self._until = self.sent = 0
        self.most = 0

    def pass_on(self, data: bytes) -> None:
        self._append(data)
        if self.sent > self._until:
            self._until = self.delivered.make_room(self.sent)
        self.sent += len(data)
        self.most = max(self.most, sum(map(len, self.delivered.blocks)))


@given(texts=st.lists(st.text(min_size=1, max_size=300), max_size=80), room=st.sampled_from([0, STEP_BYTES, 1 << 20]))
def test_the_text_is_whole_whatever_the_room(texts: list[str], room: int) -> None:
    retention = Retention(room)
    relay = RelayLike(Delivered(CHAT, retention))
    for text in texts:
        relay.pass_on(block(text))
    assert "".join(texts_of(relay.delivered)) == "".join(texts)
    assert retention.room_bytes == room


def test_without_room_little_is_kept() -> None:
    relay = RelayLike(Delivered(CHAT, Retention(0)))
    for _ in range(500):
        relay.pass_on(block("word "))
    assert relay.most <= FREE_BYTES + 6 * len(block("word "))


def test_streams_share_the_room_and_give_it_back() -> None:
    retention = Retention(3 * STEP_BYTES)
    relays = [RelayLike(Delivered(CHAT, retention)) for _ in range(4)]
    bound = 3 * STEP_BYTES + 4 * (FREE_BYTES + 6 * len(block("word ")))
    least = retention.room_bytes
    for _ in range(300):
        for relay in relays:
            relay.pass_on(block("word "))
        least = min(least, retention.room_bytes)
        assert sum(len(kept) for relay in relays for kept in relay.delivered.blocks) <= bound
    assert least == 0
    for relay in relays:
        assert texts_of(relay.delivered) == ["word " * 300]
    assert retention.room_bytes == 3 * STEP_BYTES
