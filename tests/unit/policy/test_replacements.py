"""Lists of replacements (TP-440, TP-447, CL-96)."""

from __future__ import annotations

import pytest

from gateway.clock import ManualClock
from gateway.errors import GatewayError
from gateway.policy import replacements
from gateway.policy.replacement import compile_pattern, compile_target
from gateway.policy.replacements import Step, apply_steps, apply_to_body


def step(source: str, to: str) -> Step:
    pattern = compile_pattern(source)
    return Step(pattern, compile_target(to, pattern), "data")


def test_in_order_and_each_on_the_result_before_tp440() -> None:
    text, matches = apply_steps([step("a", "b"), step("x", "y"), step("bb", "c")], b"ab", 100)
    assert text == b"c"
    assert [(match.replacement_index, match.matched_content) for match in matches] == [(0, "a"), (2, "bb")]


def test_a_first_match_that_is_no_text_is_reported_as_it_is_tp447() -> None:
    _, matches = apply_steps([step(r"\C\C$", "")], b"a b\xff", 100)
    assert matches[0].matched_content == "b\udcff"


def test_all_steps_share_one_time_limit_cl96() -> None:
    clock = ManualClock()

    def monotonic() -> float:
        clock.advance(replacements.TIME_LIMIT_S / 3)
        return clock.monotonic()

    with pytest.raises(GatewayError) as caught:
        apply_steps([step("a", "a")] * 5, b"a", 100, monotonic)
    assert caught.value.code == "ERR_NGROK_3904"
    assert "replacements[3]" in caught.value.cause


async def test_long_bodies_are_changed_off_the_loop() -> None:
    for size in (10, 100_000):
        changed = await apply_to_body([step("a+", "b")], b"a" * size, 1 << 20, ManualClock().monotonic)
        assert (changed.text, len(changed.matches[0].matched_content)) == (b"b", size)
