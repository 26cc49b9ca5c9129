"""Budgets and usage of model requests: what is reserved before the first attempt, booked and noted after the last.

One object for the whole process; a gateway calls ``open`` once its candidates are known, and everything else happens in
a settler, which runs in every ending (client gone included).

    open     no budget covers the caller: nothing but a settler is left behind
             a budget admits the request: its estimate is reserved
             running requests hold what is left: wait for them, for at most ``WAIT_S``
             nothing is left: 403 4026, which names the budget (CP-57)
    settle   notes for the usage record, the truth into the budgets, the rest of the reservation free again

Invariants
    1. Every reservation is released exactly once, whatever becomes of its request.
    2. While estimates hold, no budget is overspent. A request may pass its estimate only where neither it nor the
       catalog limits its output, or while nothing was learned of its key and model; then by that request alone.
    3. Nothing here touches a disk, and nothing but the wait above touches the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from gateway import errors
from gateway.ai.expectation import Expectations
from gateway.ai.usage_notes import note_of, notes_of, spent
from gateway.auth.budgets import ACCOUNT, Exhausted
from gateway.eager import in_task
from gateway.errors import GatewayError, failure

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.ai.call import AiCall
    from gateway.auth.budgets import Budget, Ledger, Reservation
    from gateway.auth.usage import UsageQueue
    from gateway.clock import Clock
    from gateway.exchange import Exchange

#: how long a request waits for what running ones hold
WAIT_S: Final = 10.0
WAITING_LIMIT: Final = 2_000
#: waiting requests that still do not fit and are passed over for a smaller one, when something became free
_PASSED_OVER: Final = 8


class Waiter:
    """One request that a budget does not admit yet."""

    __slots__ = ("call", "turn")

    def __init__(self, call: AiCall, turn: asyncio.Future[Reservation | Exhausted]) -> None:
        self.call = call
        self.turn = turn


class Charge:
    """The settler of a request that a budget covers."""

    __slots__ = ("accounting", "reservation")

    def __init__(self, accounting: Accounting) -> None:
        self.accounting = accounting
        self.reservation: Reservation | None = None

    def settle(self, exchange: Exchange) -> None:
        """After the last attempt."""
        self.accounting.settle_charge(exchange, self.reservation)


class Accounting:
    """Connected by the management side before anything is served."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = clock.now
        self._usage: UsageQueue | None = None
        self._ledger: Ledger | None = None
        #: budget id → who waits for it, in the order of arrival
        self._waiting: dict[str, deque[Waiter]] = {}
        self.waiting = 0
        self.expectations = Expectations()

    def connect(self, *, usage: UsageQueue, ledger: Ledger) -> None:
        """From now on requests are recorded and charged."""
        self._usage = usage
        self._ledger = ledger

    @property
    def connected(self) -> bool:
        return self._usage is not None

    # ---- before the first attempt ---------------------------------------------------------------------------------

    def open(self, call: AiCall) -> Awaitable[None] | None:
        """Reserves, or raises 4026; gives something to wait for where running requests hold what is left."""
        surface = call.surface_of
        if surface is None or not surface.counts_usage:
            return None
        ledger = self._ledger
        if ledger is None or not ledger.has_budgets or not ledger.covers(call.gateway_key_id or ACCOUNT):
            call.exchange.settlers.append(self.settle)
            return None
        charge = Charge(self)
        call.exchange.settlers.append(charge.settle)
        found = ledger.admit(call.gateway_key_id or ACCOUNT, self.expectations.estimate(call))
        if not isinstance(found, Exhausted):
            charge.reservation = found
            return None
        if found.held and self.waiting < WAITING_LIMIT:
            return self._wait(call, charge, found)
        raise out_of_credit(found.budget)

    async def _wait(self, call: AiCall, charge: Charge, found: Exhausted) -> None:
        turn: asyncio.Future[Reservation | Exhausted] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(found.budget.id, deque()).append(Waiter(call, turn))
        self.waiting += 1
        outcome: Reservation | Exhausted = found
        await in_task()
        try:
            async with asyncio.timeout(min(WAIT_S, call.left_s(self._clock.monotonic()))):
                await turn
        except TimeoutError:
            pass
        finally:
            self.waiting -= 1
            # cancelled or too late in the moment in which it was admitted: the reservation is there all the same
            if turn.done() and not turn.cancelled():
                outcome = turn.result()
            if not isinstance(outcome, Exhausted):
                charge.reservation = outcome
        if isinstance(outcome, Exhausted):
            raise out_of_credit(outcome.budget)

    def _call_waiting(self, ledger: Ledger, budget_id: str) -> None:
        """Something of a budget became free: admits whoever fits, and refuses whoever never will."""
        waiting = self._waiting.pop(budget_id, None)
        if waiting is None:
            return
        held: list[Waiter] = []
        while waiting and len(held) < _PASSED_OVER:
            waiter = waiting.popleft()
            if waiter.turn.done():  # its client left, or its time is over
                continue
            call = waiter.call
            found = ledger.admit(call.gateway_key_id or ACCOUNT, self.expectations.estimate(call))
            if not isinstance(found, Exhausted) or not found.held:
                waiter.turn.set_result(found)
            elif found.budget.id == budget_id:
                held.append(waiter)
            else:
                self._waiting.setdefault(found.budget.id, deque()).append(waiter)
        waiting.extendleft(reversed(held))
        if waiting:
            self._waiting[budget_id] = waiting

    # ---- after the last attempt -----------------------------------------------------------------------------------

    def settle(self, exchange: Exchange) -> None:
        """A request that no budget covered when it began. One that was made meanwhile counts it all the same."""
        self._note(exchange)
        ledger = self._ledger
        if ledger is None or not ledger.has_budgets:
            return
        if ledger.covers(exchange.ai.gateway_key_id or ACCOUNT):
            self._book(ledger, exchange.ai, ledger.hold(exchange.ai.gateway_key_id or ACCOUNT))

    def settle_charge(self, exchange: Exchange, reservation: Reservation | None) -> None:
        """A request that holds a reservation, or was refused one."""
        ledger = self._ledger
        assert ledger is not None
        try:
            self._note(exchange)
            if reservation is not None:
                self._book(ledger, exchange.ai, reservation)
        finally:
            if reservation is not None:
                ledger.release(reservation)
                for counter in reservation.counters if self._waiting else ():
                    self._call_waiting(ledger, counter.budget.id)

    def _note(self, exchange: Exchange) -> None:
        attempts, usage = exchange.attempts, self._usage
        if not attempts or usage is None:
            return
        now_ms = int(self._now() * 1_000)
        attempt = attempts[0]
        if len(attempts) > 1:
            for note in notes_of(exchange, self._clock.monotonic(), now_ms):
                usage.put(note)
        elif attempt.sent:  # nearly always
            usage.put(note_of(exchange, attempt, 1, now_ms, True))

    def _book(self, ledger: Ledger, call: AiCall, reservation: Reservation) -> None:
        """Only the attempt that gave an answer costs anything (AG-240)."""
        exchange = call.exchange
        attempt = next((attempt for attempt in reversed(exchange.attempts) if attempt.usage is not None), None)
        usage = None if attempt is None else spent(attempt)
        if attempt is None or usage is None:
            return
        cost = usage.units(attempt.candidate.element.pricing)
        ledger.book(reservation, usd=cost, tokens=usage.input + usage.output)
        if not attempt.kind and not exchange.client_gone:
            self.expectations.learn(call, attempt.candidate, usage, cost)


def out_of_credit(budget: Budget) -> GatewayError:
    """4026; ``details.budget`` says which one (CP-57)."""
    error = failure(errors.OUT_OF_CREDIT)
    shown = {"id": budget.id, "scope": "accessKey" if budget.key_id else "account", "period": str(budget.period)}
    error.details = {"budget": shown}
    return error
