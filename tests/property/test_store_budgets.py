"""Budgets under concurrency: no order of reserving, booking and releasing passes a limit (P05, P07)."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.budgets import ACCOUNT, Budget, Counts, Exhausted, Ledger, Period

STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "book", "release"]), st.integers(0, 40), st.integers(0, 7)), max_size=120
)


@given(STEPS, st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=200)
def test_spending_never_passes_a_limit_while_estimates_hold(steps, limit_usd, limit_tokens):
    ledger = Ledger(lambda: 0.0)
    ledger.put(Budget(id="b", key_id=ACCOUNT, period=Period.TOTAL, limit_usd=limit_usd), Counts(0))
    ledger.put(Budget(id="k", key_id="aigk_1", period=Period.TOTAL, limit_tokens=limit_tokens), Counts(0))
    running = []
    for step, amount, which in steps:
        if step == "reserve":
            found = ledger.reserve("aigk_1", usd=amount, tokens=amount)
            if not isinstance(found, Exhausted):
                running.append(found)
        elif running:
            reservation = running[which % len(running)]
            if step == "book":
                ledger.book(reservation, usd=min(amount, reservation.usd), tokens=min(amount, reservation.tokens))
            else:
                ledger.release(reservation)
        account, key = ledger.counter("b"), ledger.counter("k")
        assert account is not None
        assert key is not None
        assert account.spent_usd + account.reserved_usd <= limit_usd
        assert key.spent_tokens + key.reserved_tokens <= limit_tokens
        assert account.reserved_usd == sum(reservation.usd for reservation in running)
        assert key.reserved_tokens == sum(reservation.tokens for reservation in running)


async def test_p07_500_simultaneous_requests_spend_exactly_the_limit_and_not_more():
    ledger = Ledger(lambda: 0.0)
    ledger.put(Budget(id="b", key_id=ACCOUNT, period=Period.TOTAL, limit_usd=1_000), Counts(0))
    draw = random.Random(7)
    seen = 0

    async def request(number: int) -> bool:
        nonlocal seen
        await asyncio.sleep(draw.random() / 1_000)
        reservation = ledger.reserve(f"aigk_{number % 5}", usd=10)
        if isinstance(reservation, Exhausted):
            return False
        await asyncio.sleep(draw.random() / 1_000)
        ledger.book(reservation, usd=10, tokens=0)
        ledger.release(reservation)
        counter = ledger.counter("b")
        assert counter is not None
        seen = max(seen, counter.spent_usd + counter.reserved_usd)
        return True

    admitted = await asyncio.gather(*map(request, range(500)))
    assert (sum(admitted), seen) == (100, 1_000)
