"""``gateway.ai.estimates``: when tokens are counted, where, and what becomes of them (AG-228 to AG-240, P02, P03)."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from gateway.ai.estimates import (
    INLINE_BYTES,
    Counted,
    Estimator,
    Output,
    Unreported,
    add_estimate,
    count_roughly,
)
from gateway.ai.generated_text import Generated
from gateway.ai.request import AiRequest, parse_request
from gateway.ai.surfaces import CHAT, EMBEDDINGS
from gateway.ai.usage import Usage

O200K = "o200k_base"


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    ready = Estimator()
    ready.prepare((O200K,))
    return ready


def request(text: str = "Hello world", **members: Any) -> AiRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **members}
    return parse_request(CHAT, json.dumps(body).encode())


def event(text: str) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


def answer(output: Output, *, needs_input: bool = True) -> Unreported:
    return Unreported(request(), O200K, output, needs_input)


class TestInput:
    async def test_ag_229_texts_and_frames_of_messages(self, estimator: Estimator) -> None:
        assert await estimator.count_input(request(), O200K) == 2 + 6

    async def test_ag_228_long_texts_are_counted_in_a_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []

        class Spy:
            def count(self, text: str) -> int:
                seen.append(threading.current_thread() is threading.main_thread())
                return 1

        monkeypatch.setattr("gateway.ai.tokens.load_encoder", lambda name: Spy())
        estimator = Estimator()
        estimator.prepare((O200K,))
        await estimator.count_input(request("short"), O200K)
        assert seen == [True]
        await estimator.count_input(request("x" * INLINE_BYTES), O200K)
        assert len(seen) > 2
        assert not any(seen[1:])

    async def test_a_vocabulary_that_is_not_there_is_loaded_in_a_thread(self) -> None:
        estimator = Estimator()
        assert estimator.guess_input(request(), O200K) == -(-len(request().body) // 4)
        assert await estimator.count_input(request(), O200K) == 8
        assert estimator.guess_input(request(), O200K) == 8

    def test_nobody_waits_for_a_guess(self, estimator: Estimator) -> None:
        long = request("x" * INLINE_BYTES)
        assert estimator.guess_input(long, O200K) == -(-len(long.body) // 4)


class TestAnswer:
    def test_ag_230_a_stream(self, estimator: Estimator) -> None:
        blocks = [event("Hello"), event(" wor"), event("ld")]
        output = Output(None, blocks, relayed_bytes=sum(map(len, blocks)))
        assert estimator.count_now(answer(output)) == Counted(8, 2)
        assert estimator.count_now(answer(output, needs_input=False)) == Counted(0, 2)

    def test_what_was_read_already_counts(self, estimator: Estimator) -> None:
        read = Generated()
        read.add((0, "content"), "Hello")
        assert estimator.count_now(answer(Output(read, [event(" world")]))) == Counted(8, 2)

    def test_a_body(self, estimator: Estimator) -> None:
        body = json.dumps({"choices": [{"message": {"content": "Hello world"}}]}).encode()
        assert estimator.count_now(answer(Output(body=body))) == Counted(8, 2)

    def test_a_stream_that_a_rule_collected(self, estimator: Estimator) -> None:
        assert estimator.count_now(answer(Output(body=event("Hello") + event(" world")))) == Counted(8, 2)

    def test_a_body_that_was_not_kept_counts_by_size(self, estimator: Estimator) -> None:
        assert estimator.count_now(answer(Output(relayed_bytes=4_001))) == Counted(8, 1_001)

    def test_embeddings_have_no_output(self, estimator: Estimator) -> None:
        asked = parse_request(EMBEDDINGS, b'{"model":"m","input":"Hello world"}')
        found = estimator.count_now(Unreported(asked, O200K, Output(body=b'{"data":[]}'), needs_input=True))
        assert found == Counted(2, 0)

    async def test_ag_228_long_ones_wait_for_a_thread(self, estimator: Estimator) -> None:
        blocks = [event("Hello world")] * 2_000
        output = Output(None, blocks, relayed_bytes=sum(map(len, blocks)))
        assert estimator.count_now(answer(output)) is None
        assert (await estimator.count_later(answer(output))).output > 3_999

    async def test_an_unloaded_vocabulary_too(self) -> None:
        estimator = Estimator()
        output = Output(None, [event("Hello world")])
        assert estimator.count_now(answer(output)) is None
        assert await estimator.count_later(answer(output)) == Counted(8, 2)

    async def test_the_loop_goes_on_meanwhile(self, estimator: Estimator) -> None:
        """Two megabytes: the counting gives way many times."""
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        task = asyncio.get_running_loop().create_task(turn())
        await estimator.count_input(request("word " * 400_000), O200K)
        task.cancel()
        assert turns > 10

    def test_roughly_is_by_size(self) -> None:
        found = count_roughly(answer(Output(None, [b"x"], relayed_bytes=1_500)))
        assert found == Counted(-(-len(request().body) // 4), 10)


class TestAdding:
    @staticmethod
    def usage(given: int = 0, made: int = 0, *, reported: bool = False) -> Usage:
        usage = Usage()
        usage.input, usage.output, usage.reported = given, made, reported
        return usage

    def test_ag_240_estimates_stand_where_nothing_was_reported(self) -> None:
        usage = self.usage()
        add_estimate(usage, Counted(8, 2), failed=False)
        assert (usage.input, usage.output, usage.reported, usage.estimated) == (8, 2, False, True)

    def test_reported_numbers_are_never_replaced_by_smaller_ones(self) -> None:
        usage = self.usage(100, 5, reported=True)
        add_estimate(usage, Counted(0, 2), failed=False)
        assert (usage.input, usage.output) == (100, 5)

    def test_p03_a_failed_attempt_without_output_used_nothing(self) -> None:
        usage = self.usage(100, 0, reported=True)
        usage.cached = 40
        add_estimate(usage, Counted(8, 0), failed=True)
        assert (usage.input, usage.output, usage.cached) == (0, 0, 0)

    def test_a_failed_attempt_with_output_used_both(self) -> None:
        usage = self.usage()
        add_estimate(usage, Counted(8, 2), failed=True)
        assert (usage.input, usage.output) == (8, 2)
