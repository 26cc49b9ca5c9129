"""Behaviours as values."""

from __future__ import annotations

from gateway.demo.behaviour import PLAIN, Behaviour, Transport


def test_overlaying_takes_only_what_was_set():
    model = Behaviour(n=9, status=500)
    assert model.overlaid(PLAIN) is model
    assert model.overlaid(Behaviour(transport=Transport.RESET, n=3)) == Behaviour(
        n=3, status=500, transport=Transport.RESET
    )


def test_the_healthy_half_of_flapping_keeps_pace_and_content_only():
    flapping = Behaviour(n=9, delay_s=0.5, status=503, flap=2, tools=1, transport=Transport.RESET)
    assert flapping.healthy() == Behaviour(n=9, delay_s=0.5, tools=1)
