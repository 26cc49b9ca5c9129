"""From an attempt to its usage event (AG-240, AG-285, AG-286, P02, P03, P24)."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from types import SimpleNamespace

import pytest

from gateway.ai.entities import KeySource
from gateway.ai.pricing import build_pricing
from gateway.ai.request import parse_request
from gateway.ai.surfaces import CHAT
from gateway.ai.usage import Usage
from gateway.ai.usage_notes import notes_of, price_version
from gateway.auth.usage import Noted, Unwritten, UsageEvent
from gateway.exchange import Attempt
from gateway.secrets.secret import Secret

PRICES = build_pricing({"text": {"input": 1_000, "output": 10_000}})


def candidate():
    provider = SimpleNamespace(id="p", display_name="")
    return SimpleNamespace(provider=provider, name="m", element=SimpleNamespace(display_name="M", pricing=PRICES))


def key(source=KeySource.POLICY, stored_id=""):
    return SimpleNamespace(source=source, stored_id=stored_id, value=Secret("sk-0123456789abcdefghij"))


def attempt(status=200, kind="", usage=None, source=KeySource.POLICY, stored_id="", completed=9.0, sent=8.0):
    made = Attempt(candidate(), key(source, stored_id), 8.0)
    made.status, made.kind, made.usage, made.completed, made.sent = status, kind, usage, completed, sent
    return made


def exchange(*attempts, gone=False, streaming=False):
    call = SimpleNamespace(gateway_key_id=None, request=parse_request(CHAT, b'{"model":"m"}'))
    return SimpleNamespace(id="req_1", attempts=list(attempts), client_gone=gone, streaming=streaming, ai=call)


def used(given=3, made=5, reported=True):
    usage = Usage()
    usage.input, usage.output, usage.reported = given, made, reported
    return usage


def events(seen):
    return [note.event() for note in notes_of(seen, 10.0, 60_000)]


@pytest.mark.parametrize(
    ("made", "gone", "status", "timed_out", "is_error"),
    [
        (attempt(200, usage=used()), False, 200, False, False),
        (attempt(302), False, 302, False, False),
        (attempt(429, "http"), False, 429, False, True),
        (attempt(0, "timeout"), False, 504, True, True),
        (attempt(200, "timeout", used(0, 0, False)), False, 200, True, True),
        (attempt(200, "connection"), False, 0, False, True),
        (attempt(200, "stream_error", used()), False, 200, False, True),
        (attempt(200, usage=used()), True, 499, False, True),
        (attempt(0, completed=0.0), False, 499, False, True),
        (attempt(500, "http"), True, 500, False, True),
    ],
)
def test_ag_286_status(made, gone, status, timed_out, is_error):
    (event,) = events(exchange(made, gone=gone))
    assert (event.status, event.timed_out, event.is_error) == (status, timed_out, is_error)


def test_ag_285_one_event_per_attempt_that_was_sent():
    tried = (attempt(500, "http"), attempt(0, "no_key", sent=0.0), attempt(200, usage=used(), completed=9.5))
    seen = events(exchange(*tried))
    assert [(event.attempt, event.is_final, event.event_time_ms) for event in seen] == [
        (1, False, 59_000), (2, True, 59_500),
    ]  # fmt: skip
    assert [(event.input_tokens, event.cost) for event in seen] == [(0, 0), (3, 5_300)]
    assert (seen[1].price_version, seen[1].estimated) == ("input=1000 output=10000", False)
    assert (seen[1].provider_name, seen[1].model_name) == ("p", "M")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (KeySource.POLICY, "user"), (KeySource.PASSTHROUGH, "user"), (KeySource.ACCOUNT, "user"),
        (KeySource.ROUTED, "user"), (KeySource.ATTACHED, "user"), (KeySource.MANAGED, "ngrok"),
        (KeySource.NONE, "ngrok"),
    ],
)  # fmt: skip
def test_ag_286_key_source(source, shown):
    (event,) = events(exchange(attempt(source=source)))
    assert event.key_source == shown
    assert (event.provider_key_id, event.provider_key_name, event.access_key_id) == (None, None, "")


def test_cp_103_stored_keys_are_named_and_redacted():
    (event,) = events(exchange(attempt(source=KeySource.ATTACHED, stored_id="aigpk_1")))
    assert (event.provider_key_id, event.provider_key_name) == ("aigpk_1", "sk-0123456***ghij")


def test_ag_240_estimates_are_told_apart():
    """Failed attempts and clients that got nothing pay nothing (AG-240, P03)."""
    counted = used(11, 12, reported=False)
    counted.estimated = True
    (event,) = events(exchange(attempt(usage=counted)))
    assert (event.input_tokens, event.output_tokens, event.estimated, event.cost) == (11, 12, True, 13_100)
    (event,) = events(exchange(attempt(usage=used(0, 0, reported=False))))
    assert (event.input_tokens, event.estimated, event.cost) == (0, False, 0)
    (event,) = events(exchange(attempt(500, "http")))
    assert event.cost == 0


def test_ag_248_cost_in_units():
    assert used().units(PRICES) == used(reported=False).units(PRICES) == 5_300
    assert used().units(None) == 0


def test_p24_the_prices_themselves_are_the_version():
    assert price_version(build_pricing({"text": {"input": 0.15, "output": 1000.0}}).exact) == "input=0.15 output=1000"


def test_p24_an_event_can_be_priced_again():
    """From what is stored of it alone: tokens, and the prices of its time."""
    prices = {"input": 3.0, "output": 15.0, "input_cache_read": 0.3, "input_cache_write": 3.75}
    made = attempt(usage=used(1_000_000, 40_000))
    made.candidate.element.pricing = build_pricing({"text": prices})
    made.usage.cached, made.usage.cache_write = 300_000, 200_000
    (event,) = events(exchange(made))
    known = {name: Decimal(price) for name, _, price in (each.partition("=") for each in event.price_version.split())}
    plain = event.input_tokens - event.cache_read_tokens - event.cache_write_tokens
    cost = (
        plain * known["input"] + event.cache_read_tokens * known["input_cache_read"]
        + event.cache_write_tokens * known["input_cache_write"] + event.output_tokens * known["output"]
    )  # fmt: skip
    assert event.cost == cost / 10  # units of 0.00001 USD, prices per million
    assert event.cost == 294_000


def test_notes_of_one_batch_are_told_apart():
    """The kind of a note is found by what it looks at: alone or behind all others, its event is the same."""
    keys = [key(), key(KeySource.MANAGED), key(KeySource.ATTACHED, "aigpk_1")]
    candidates = [candidate(), candidate()]
    candidates[1].element.pricing = None
    usages = [None, used(), used(0, 0), used(reported=False), used(10**9)]
    usages[3].estimated = True
    usages[4].stop_reason = "length"
    notes: list[Noted] = []
    first = attempt(500, "http")
    for chosen, kept, (status, kind), usage in product(
        candidates, keys, ((200, ""), (200, "stream_error"), (429, "http"), (0, "connection"), (0, "timeout")), usages
    ):
        for gone, streaming, time_s in ((False, False, 60), (True, True, 60), (False, True, 10**6)):
            made = Attempt(chosen, kept, 8.0)
            made.status, made.kind, made.usage, made.completed, made.sent = status, kind, usage, 9.0, 8.0
            seen = exchange(first, made, gone=gone, streaming=streaming)
            notes += notes_of(seen, 10.0, time_s * 1_000)
    together = Unwritten()
    found = [together.event(note) for _ in range(2) for note in notes]
    assert found == [note.event() for note in notes] * 2
    assert len(together.known) < len(notes) * 2 / 3
    assert [UsageEvent.event(event) for event in found] == [Unwritten().event(event) for event in found]
