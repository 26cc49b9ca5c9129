"""Reserving, waiting, settling: the order of things around a ledger (CP-57, P05, P07). HTTP: ``wire/test_budgets``."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gateway.ai import accounting as module
from gateway.ai.accounting import Accounting
from gateway.ai.request import parse_request
from gateway.ai.surfaces import CHAT, COUNT_TOKENS
from gateway.ai.usage import Usage
from gateway.auth.budgets import Budget, Counts, Ledger, Period
from gateway.auth.usage import UsageQueue
from gateway.clock import ManualClock
from gateway.errors import GatewayError
from gateway.exchange import Attempt
from gateway.secrets.secret import Secret


class World:
    """An accounting with its ledger; requests ask for 10 output tokens and have no input."""

    def __init__(self):
        self.clock = ManualClock(now_s=1_000.0)
        self.ledger = Ledger(self.clock.now)
        self.queue = UsageQueue()
        self.accounting = Accounting(self.clock)
        self.accounting.connect(usage=self.queue, ledger=self.ledger)

    def budget(self, tokens, key_id="", budget_id="aigb_1"):
        self.ledger.put(Budget(id=budget_id, key_id=key_id, period=Period.TOTAL, limit_tokens=tokens), Counts(0))

    def call(self, output=10, key=None, surface=CHAT):
        element = SimpleNamespace(pricing=None, max_context_window=1, max_output_tokens=None, display_name="")
        candidate = SimpleNamespace(name="m", element=element, provider=SimpleNamespace(id="p", display_name="P"))
        body = b'{"max_tokens":%d}' % (output - 1)  # one of input
        exchange = SimpleNamespace(
            id="req_1", settlers=[], attempts=[], client_gone=False, streaming=False, sent_bytes=9
        )
        options = SimpleNamespace(max_output_tokens=None, max_attempts=20)
        call = SimpleNamespace(
            exchange=exchange, surface_of=surface, request=parse_request(CHAT, body), candidates=(candidate,),
            gateway_key_id=key, gateway=SimpleNamespace(options=options),
            left_s=lambda now: 60.0, estimated_input=0, estimated_output=0, cost=None,
        )  # fmt: skip
        exchange.ai = call
        return call

    def answered(self, call, tokens):
        """The call's only attempt used so many tokens; it is over."""
        key = SimpleNamespace(value=Secret("sk-1"), stored_id="aigpk_1", source=None)
        attempt = Attempt(call.candidates[0], key, 1.0)
        attempt.sent, attempt.completed, attempt.status = 1.0, 2.0, 200
        attempt.usage = usage = Usage()
        usage.input, usage.output, usage.reported = 1, tokens - 1, True
        call.exchange.attempts.append(attempt)
        self.over(call)

    def over(self, call):
        for settle in call.exchange.settlers:
            settle(call.exchange)

    def counts(self, budget_id="aigb_1"):
        counter = self.ledger.counter(budget_id)
        assert counter is not None
        return counter.spent_tokens, counter.reserved_tokens


@pytest.fixture
def world():
    return World()


def test_without_a_budget_there_is_nothing_but_a_note(world):
    call = world.call()
    assert world.accounting.open(call) is None
    assert len(call.exchange.settlers) == 1
    world.answered(call, 7)
    (note,) = world.queue.take(9)
    assert note.event().output_tokens == 6


def test_token_counts_are_neither_charged_nor_recorded(world):
    world.budget(1)
    call = world.call(surface=COUNT_TOKENS)
    assert world.accounting.open(call) is None
    assert call.exchange.settlers == []


def test_an_accounting_that_is_not_connected_keeps_nothing():
    accounting, call = Accounting(ManualClock()), World().call()
    assert not accounting.connected
    assert accounting.open(call) is None
    for settle in call.exchange.settlers:
        settle(call.exchange)


def test_p05_reserved_settled_to_the_truth_released(world):
    world.budget(25)
    calls = [world.call(), world.call()]
    assert [world.accounting.open(call) for call in calls] == [None, None]
    assert world.counts() == (0, 20)
    world.answered(calls[0], 4)
    assert world.counts() == (4, 10)
    world.over(calls[1])  # no attempt, or one without an answer
    assert world.counts() == (4, 0)
    world.over(calls[1])
    assert world.counts() == (4, 0), "invariant 1"


def test_cp_57_nothing_left_is_4026(world):
    world.budget(10, "aigk_1")
    first = world.call(key="aigk_1")
    world.accounting.open(first)
    world.answered(first, 10)
    with pytest.raises(GatewayError) as refused:
        world.accounting.open(world.call(key="aigk_1"))
    assert (refused.value.status, refused.value.code) == (403, "ERR_NGROK_4026")
    assert refused.value.details == {"budget": {"id": "aigb_1", "scope": "accessKey", "period": "total"}}
    assert world.accounting.open(world.call(key="aigk_2")) is None


async def test_a_request_that_may_be_too_dear_runs_alone(world):
    """While nothing shows that it costs more than is left."""
    world.budget(15)
    call = world.call(output=40)
    assert world.accounting.open(call) is None
    other = await _entered(world, world.call(output=1))
    assert not other.done()
    world.answered(call, 5)
    await other
    assert world.counts()[0] == 5


async def _entered(world, call):
    task = asyncio.get_running_loop().create_task(world.accounting.open(call))
    await asyncio.sleep(0)
    return task


async def test_waiting_requests_are_called_in_order_and_refused_when_nothing_is_left(world):
    world.budget(30)
    running = [world.call(), world.call(), world.call()]
    for call in running:
        world.accounting.open(call)
    waiting = [world.call() for _ in range(4)]
    tasks = [await _entered(world, call) for call in waiting]
    assert world.accounting.waiting == 4
    world.answered(running[0], 2)
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [False] * 4, "8 free, 10 wanted"
    world.answered(running[1], 2)
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True, False, False, False]
    world.answered(running[2], 10)
    world.answered(waiting[0], 10)
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True, True, False, False], "alone: 6 are left, and such use 4"
    world.answered(waiting[1], 6)
    await asyncio.sleep(0)
    assert [type(task.exception()) for task in tasks[2:]] == [GatewayError] * 2
    assert world.counts() == (30, 0)
    assert world.accounting.waiting == 0


async def test_a_key_that_waits_does_not_hold_up_another(world):
    world.budget(10, "aigk_1", "aigb_1")
    world.budget(10, "aigk_2", "aigb_2")
    first, second = world.call(key="aigk_1"), world.call(key="aigk_2")
    world.accounting.open(first)
    world.accounting.open(second)
    for_first = [await _entered(world, world.call(key="aigk_1")) for _ in range(20)]
    for_second = await _entered(world, world.call(key="aigk_2"))
    world.over(second)
    await asyncio.sleep(0)
    assert for_second.done()
    assert not any(task.done() for task in for_first)
    for task in for_first:
        task.cancel()
    await asyncio.wait(for_first)
    assert world.accounting.waiting == 0


async def test_who_is_cancelled_in_the_moment_of_admission_gives_it_back(world):
    """Invariant 1."""
    world.budget(10)
    first, second = world.call(), world.call()
    world.accounting.open(first)
    task = await _entered(world, second)
    world.over(first)
    assert world.counts() == (0, 10), "the second has it"
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    world.over(second)
    assert world.counts() == (0, 0)


async def test_waiting_is_bounded(world, monkeypatch):
    """In time, and in number."""
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    monkeypatch.setattr(module, "WAITING_LIMIT", 1)
    world.budget(10)
    first = world.call()
    world.accounting.open(first)
    waits = world.call()
    task = await _entered(world, waits)
    with pytest.raises(GatewayError):
        world.accounting.open(world.call())
    with pytest.raises(GatewayError):
        await task
    world.over(waits)
    world.over(first)
    assert world.counts() == (0, 0)


def test_a_budget_that_was_made_meanwhile_counts_the_request(world):
    call = world.call()
    world.accounting.open(call)
    world.budget(100)
    world.answered(call, 8)
    assert world.counts() == (8, 0)
