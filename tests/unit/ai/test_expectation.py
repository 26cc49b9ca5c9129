"""Estimates of what a request will cost: learned per key and model, bounded by the request's own limit (P05, P07)."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.ai import expectation
from gateway.ai.expectation import Expectations
from gateway.ai.pricing import build_pricing
from gateway.ai.request import parse_request
from gateway.ai.surfaces import CHAT, EMBEDDINGS
from gateway.ai.usage import Usage

PRICES = build_pricing({"text": {"input": 2, "output": 10, "input_cache_write": 3}})


def candidate(name="m", pricing=PRICES, window=1_000, output=500):
    element = SimpleNamespace(pricing=pricing, max_context_window=window, max_output_tokens=output)
    return SimpleNamespace(name=name, element=element)


def call(body=b'{"model":"m"}', *candidates, key="aigk_1", surface=CHAT, cap=None):
    gateway = SimpleNamespace(options=SimpleNamespace(max_output_tokens=cap, max_attempts=20))
    return SimpleNamespace(
        request=parse_request(surface, body), surface_of=surface, gateway_key_id=key, gateway=gateway,
        candidates=candidates or (candidate(),),
    )  # fmt: skip


def used(given, made):
    usage = Usage()
    usage.input, usage.output, usage.reported = given, made, True
    return usage


def test_p05_nothing_learned_reserves_what_the_model_may_write():
    """A token is at least a byte; input is priced at its dearest; the lower end is nothing."""
    body = b'{"model":"m"}'
    assert Expectations().estimate(call(body)) == (
        -(-(len(body) * 3 + 500 * 10) // 10), len(body) + 500, 0, 0,
    )  # fmt: skip
    unknown = candidate(window=None, output=None, pricing=None)
    assert Expectations().estimate(call(body, unknown)) == (0, len(body) + expectation.UNKNOWN_OUTPUT, 0, 0)


def test_a_body_is_never_more_than_the_context_window():
    assert Expectations().estimate(call(b'{"model":"%b"}' % (b"m" * 5_000))).tokens == 1_500


@pytest.mark.parametrize(
    ("body", "cap", "output"),
    [
        (b'{"max_tokens":7}', None, 7),
        (b'{"max_completion_tokens":8}', None, 8),
        (b'{"max_tokens":7,"n":3}', None, 21),
        (b'{"max_tokens":100000,"n":2}', None, 1_000),
        (b'{"max_tokens":50}', 9, 9),
        (b"{}", 9, 9),
        (b'{"max_tokens":"7"}', None, 500),
        (b'{"max_tokens":true}', None, 500),
    ],
)
def test_p05_the_request_limits_itself(body, cap, output):
    """The gateway's own cap (AG-236) counts like the request's; every choice may be that long; no model writes more."""
    assert Expectations().estimate(call(body, cap=cap)).tokens == len(body) + output


def test_p07_requests_alike_are_covered_from_the_first_answer_on():
    expectations, same = Expectations(), call()
    expectations.learn(same, candidate(), used(4, 30), 31)
    estimate = expectations.estimate(same)
    assert (estimate.tokens, estimate.least_tokens, estimate.least_usd) == (34, 34, 31)
    expectations.learn(same, candidate(), used(4, 20), 21)
    later = expectations.estimate(same)
    assert 20 + 4 < later.tokens <= 34, "the most of late counts, and fades"
    assert later.least_tokens == 33, "the mean follows slowly"
    assert expectations.estimate(call(key="aigk_2")).tokens > 500, "another key's habits are its own"
    assert expectations.estimate(call(b'{"model":"m","max_tokens":99}')).tokens > 99, (
        "a stated limit counts before habit"
    )


def test_the_dearest_candidate_counts():
    cheap, dear = candidate("a", None, output=900), candidate("b", PRICES)
    body = b'{"model":"m"}'
    both = Expectations().estimate(call(body, cheap, dear))
    assert both.usd == Expectations().estimate(call(body, dear)).usd
    assert both.tokens == len(body) + 900


def test_candidates_that_never_have_their_turn_do_not_count():
    """AG-156."""
    many = [candidate(str(number), None, output=number) for number in range(1, 31)]
    body = b'{"model":"m"}'
    assert Expectations().estimate(call(body, *many)).tokens == len(body) + 20


def test_embeddings_write_nothing():
    body = b'{"model":"m","input":"hello"}'
    assert Expectations().estimate(call(body, surface=EMBEDDINGS)).tokens == len(body)


def test_memory_is_bounded(monkeypatch):
    """Invariant 1."""
    monkeypatch.setattr(expectation, "PAIRS_LIMIT", 3)
    expectations = Expectations()
    for number in (1, 2, 3, 1, 4):
        expectations.learn(call(key=f"aigk_{number}"), candidate(), used(1, 1), 1)
    assert len(expectations) == 3
    assert expectations.estimate(call(key="aigk_1")).tokens == 2
    assert expectations.estimate(call(key="aigk_2")).tokens > 500
